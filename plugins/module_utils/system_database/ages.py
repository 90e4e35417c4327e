# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How old the unfinished work of each version is."""

from __future__ import annotations

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database

# Upper ends of the classes of age in seconds; the last class has none.
CLASSES = (60, 600, 3600, 86400, 604800)
# From this schema level on a row tells whose it is.
_OWNED_FROM = 100

_READ = """
SELECT application_version, width_bucket(extract(epoch FROM clock_timestamp()) - created_at / 1000.0, {ends}), count(*)
FROM (
    SELECT application_version, created_at FROM dbos.workflow_status
    WHERE status IN ('ENQUEUED', 'PENDING') AND {owned}
    UNION ALL
    SELECT application_version, created_at FROM dbos.workflow_status WHERE status = 'DELAYED' AND {owned}) unfinished
GROUP BY 1, 2
"""


def read(db: Database, application_name: str, level: int) -> dict[str | None, list[int]]:
    """The application's unfinished rows in each class of age, by version (None is work without one)."""
    from psycopg2 import sql

    ends = sql.SQL("ARRAY[{}]::numeric[]").format(sql.SQL(", ").join(map(sql.Literal, CLASSES)))
    mine = sql.SQL("(application_name = {name} OR application_name IS NULL)").format(name=sql.Literal(application_name))
    owned = mine if level >= _OWNED_FROM else sql.SQL("true")
    found: dict[str | None, list[int]] = {}
    for version, position, count in db.read(sql.SQL(_READ).format(ends=ends, owned=owned)):
        found.setdefault(version, [0] * (len(CLASSES) + 1))[position] = int(count)
    return found

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schedules by which an application makes work for itself."""

from __future__ import annotations

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database

# Through JSON, as the table has told applications apart only since one of the later migrations.
_ACTIVE = """
SELECT schedule_name FROM dbos.workflow_schedules s
WHERE status = 'ACTIVE' AND coalesce(to_jsonb(s) ->> 'application_name', %(owner)s) = %(owner)s
ORDER BY schedule_name
"""


def active(db: Database, owner: str) -> list[str]:
    """Names of those that fire, in order; of all applications' where the schema does not tell them apart yet."""
    if db.read("SELECT to_regclass('dbos.workflow_schedules')")[0][0] is None:
        return []
    return [name for (name,) in db.read(_ACTIVE, {"owner": owner})]

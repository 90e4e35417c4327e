# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the system database knows of a release's hazards, in one statement."""

from __future__ import annotations

from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database, DatabaseError
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import schema
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.schema import ABSENT

# A column that a schema level does not have yet is found in the row 'missing' outside instead, as a NULL.
# An SDK that stores payloads in tables of their own leaves workflow_status.inputs empty.
# Of other users' sessions only the database shows, so not what kind of process each is.
_READ = """
SELECT
    (SELECT version FROM dbos.dbos_migrations),
    (SELECT coalesce(json_agg(v), '[]') FROM (SELECT NULL::text AS application_name) missing, LATERAL (
        SELECT version_name AS version, created_at AS created, application_name AS owner
        FROM dbos.application_versions WHERE application_name = %(owner)s OR application_name IS NULL) v),
    (SELECT coalesce(json_agg(w), '[]') FROM (SELECT NULL::text AS application_name) missing, LATERAL (
        SELECT application_version AS version, queue_name AS queue, count(*) AS unfinished,
               count(*) FILTER (WHERE status = 'PENDING') AS running,
               count(*) FILTER (WHERE status = 'PENDING' AND executor_id = 'local') AS local,
               count(*) FILTER (WHERE inputs IS NOT NULL) AS inline
        FROM (
            SELECT application_version, queue_name, status, executor_id, inputs
            FROM dbos.workflow_status
            WHERE status IN ('ENQUEUED', 'PENDING') AND (application_name = %(owner)s OR application_name IS NULL)
            UNION ALL
            SELECT application_version, queue_name, status, executor_id, inputs
            FROM dbos.workflow_status
            WHERE status = 'DELAYED' AND (application_name = %(owner)s OR application_name IS NULL)) unfinished
        GROUP BY application_version, queue_name) w),
    (SELECT coalesce(json_object_agg(name, concurrency), '{}') FROM dbos.queues WHERE concurrency IS NOT NULL),
    json_build_object(
        'maximum', current_setting('max_connections')::int,
        'reserved', current_setting('superuser_reserved_connections')::int
                    + coalesce(current_setting('reserved_connections', true), '0')::int,
        'elsewhere', (SELECT count(*) FROM pg_stat_activity WHERE datname <> current_database()),
        'metrics', (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = %(metrics)s))
"""


def read(db: Database, owner: str, metrics: str | None) -> dict[str, Any]:
    """C(level), C(registered) versions, unfinished C(work) by version and queue, C(limits) of queues, C(connections).

    Of a schema that has not all of these tables yet only the level is known; None when there is none.
    """
    try:
        rows = db.read(_READ, {"owner": owner, "metrics": metrics})
    except DatabaseError as error:
        if error.code in ABSENT:
            return {"level": schema.level(db)}
        raise
    return dict(zip(("level", "registered", "work", "limits", "connections"), rows[0], strict=True))

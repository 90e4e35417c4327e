# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a version has left in the system database: its runs, its unfinished work, and what came with it."""

from __future__ import annotations

from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.work import timestamp

# By the index on created_at: there is none on application_version.
_RUNS = """
SELECT status, count(*) FROM dbos.workflow_status
WHERE created_at >= %(since)s AND application_version = %(version)s
  AND (application_name = %(owner)s OR application_name IS NULL)
GROUP BY 1 ORDER BY 1
"""
# A running workflow is its executor's; an ENQUEUED row only names who enqueued it.
_UNFINISHED = """
SELECT workflow_uuid, name, status, queue_name, executor, schedule_name, created_at FROM (
    SELECT *, CASE WHEN status = 'PENDING' THEN executor_id END AS executor
    FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')
    UNION ALL
    SELECT *, NULL FROM dbos.workflow_status WHERE status = 'DELAYED') unfinished
WHERE application_version = %(version)s AND (application_name = %(owner)s OR application_name IS NULL)
ORDER BY created_at, workflow_uuid
"""
_UNVERSIONED = """
SELECT count(*) FROM (
    SELECT application_version, application_name FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')
    UNION ALL
    SELECT application_version, application_name FROM dbos.workflow_status WHERE status = 'DELAYED') unfinished
WHERE application_version IS NULL AND (application_name = %(owner)s OR application_name IS NULL)
"""
# A schedule has no time of its own: one that nothing older came from is taken for new.
_SCHEDULES = """
SELECT s.schedule_name, s.workflow_name, s.status, coalesce(r.runs, 0), NOT EXISTS (
    SELECT FROM dbos.workflow_status w WHERE w.schedule_name = s.schedule_name AND w.created_at < %(since)s)
FROM dbos.workflow_schedules s LEFT JOIN (
    SELECT schedule_name, count(*) AS runs FROM dbos.workflow_status
    WHERE created_at >= %(since)s AND application_version = %(version)s AND schedule_name IS NOT NULL
    GROUP BY 1) r USING (schedule_name)
WHERE s.application_name = %(owner)s OR s.application_name IS NULL
ORDER BY 1
"""
_QUEUES = """
SELECT name FROM dbos.queues
WHERE created_at >= %(since)s AND (application_name = %(owner)s OR application_name IS NULL) ORDER BY 1
"""
_REGISTERED = """
SELECT version_name, version_timestamp, created_at, application_name FROM dbos.application_versions
WHERE (application_name = %(owner)s OR application_name IS NULL)
  AND (version_name = %(version)s OR created_at >= %(since)s) ORDER BY created_at, 1
"""


def read(db: Database, owner: str, version: str, since: float) -> dict[str, Any]:
    """Everything of an application's version since a moment (epoch seconds); its unfinished work of any age.

    C(runs) counts by status; C(workflows) are those that are unfinished; C(unversioned) counts unfinished work that
    is the latest version's, whichever that is; C(schedules), C(queues) and C(registered) came with the version.
    """
    values: dict[str, Any] = {"owner": owner, "version": version, "since": int(since * 1000)}
    return {
        "since": timestamp(values["since"]),
        "runs": {status: int(count) for status, count in db.read(_RUNS, values)},
        "workflows": [
            {
                "id": row[0], "workflow": row[1], "status": row[2], "queue": row[3], "executor": row[4],
                "schedule": row[5], "created_at": timestamp(row[6]),
            }
            for row in db.read(_UNFINISHED, values)
        ],
        "unversioned": int(db.read(_UNVERSIONED, values)[0][0]),
        "schedules": [
            {"name": row[0], "workflow": row[1], "status": row[2], "runs": int(row[3]), "new": row[4]}
            for row in db.read(_SCHEDULES, values)
        ],
        "queues": [row[0] for row in db.read(_QUEUES, values)],
        "registered": [
            {"version": row[0], "latest_since": timestamp(row[1]), "created_at": timestamp(row[2]), "owner": row[3]}
            for row in db.read(_REGISTERED, values)
        ],
    }  # fmt: skip

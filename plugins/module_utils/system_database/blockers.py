# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What unfinished workflows are and wait for: one read of a version's rows, and one of its queues' limits."""

from __future__ import annotations

from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database, DatabaseError
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.schema import ABSENT
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.work import columns

# Through to_jsonb a column that an old schema level lacks reads as NULL. Payloads are never read, but for a sleep's
# end, which is what DBOS records as the output of DBOS.sleep before it sleeps.
_ROWS = """
WITH found AS (
    SELECT workflow_uuid, created_at FROM (
        SELECT workflow_uuid, created_at FROM dbos.workflow_status
        WHERE status IN ('ENQUEUED', 'PENDING') AND application_version IS NOT DISTINCT FROM %(version)s AND {owned}
        UNION ALL
        SELECT workflow_uuid, created_at FROM dbos.workflow_status
        WHERE status = 'DELAYED' AND application_version IS NOT DISTINCT FROM %(version)s AND {owned}) unfinished
    ORDER BY created_at, workflow_uuid LIMIT %(most)s)
SELECT json_build_object(
    'id', w.workflow_uuid, 'status', w.status, 'workflow', w.name, 'queue', w.queue_name, 'created', w.created_at,
    'executor', CASE WHEN w.status = 'PENDING' THEN w.executor_id END, 'attempts', w.recovery_attempts,
    'partition', to_jsonb(w) ->> 'queue_partition_key', 'delayed', (to_jsonb(w) ->> 'delay_until_epoch_ms')::bigint,
    'now', (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    'step', last.step)
FROM found JOIN dbos.workflow_status w USING (workflow_uuid)
LEFT JOIN LATERAL (
    SELECT json_build_object(
        'number', o.function_id, 'name', o.function_name, 'child', o.child_workflow_id,
        'child_status', (SELECT c.status FROM dbos.workflow_status c WHERE c.workflow_uuid = o.child_workflow_id),
        'end', CASE WHEN o.function_name = 'DBOS.sleep' THEN o.output END,
        'completed', (to_jsonb(o) ->> 'completed_at_epoch_ms')::bigint,
        'follows', EXISTS (SELECT FROM dbos.operation_outputs p
                           WHERE p.workflow_uuid = o.workflow_uuid AND p.function_id = o.function_id - 1)) AS step
    FROM dbos.operation_outputs o WHERE o.workflow_uuid = w.workflow_uuid AND w.status = 'PENDING'
    ORDER BY o.function_id DESC LIMIT 1) last ON true
ORDER BY found.created_at, found.workflow_uuid
"""
# A queue's limits hold for all versions together.
_QUEUES = """
SELECT q.name, q.concurrency, (to_jsonb(q) ->> 'partition_concurrency')::int, q.rate_limit_max,
    (SELECT count(*) FROM dbos.workflow_status w WHERE w.status = 'PENDING' AND w.queue_name = q.name)
FROM dbos.queues q WHERE q.name = ANY(%s)
"""


def rows(db: Database, owner: str, version: str | None, most: int) -> list[dict[str, Any]]:
    """The oldest unfinished workflows of a version, times in epoch milliseconds; C(version) None for those of none.

    C(step) is the last step that a running one has recorded: {number, name, child, child_status, end, completed,
    follows: whether the step before it is recorded too}, None before its first.
    """
    from psycopg2 import sql

    named = ("workflow_status", "application_name") in columns(db, "dbos")
    owned = "(application_name = %(owner)s OR application_name IS NULL)" if named else "true"
    statement = sql.SQL(_ROWS).format(owned=sql.SQL(owned))
    return [row[0] for row in db.read(statement, {"owner": owner, "version": version, "most": most})]


def queues(db: Database, names: list[str]) -> dict[str, dict[str, Any]]:
    """Limits of these queues and how many workflows run from each; empty where queues are not in the database yet."""
    try:
        found = db.read(_QUEUES, (names,))
    except DatabaseError as error:
        if error.code in ABSENT:
            return {}
        raise
    keys = ("limit", "partition_limit", "rate", "running")
    return {name: dict(zip(keys, values, strict=True)) for name, *values in found}

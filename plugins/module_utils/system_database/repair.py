# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements that end, move or requeue unfinished workflows: what the SDKs' own cancel, fork and recovery do.

From level 100 on all SDKs share the schema; what they write was read in Python 3.4 and Go 1.8, and is run by the tests.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

# Inputs have a table of their own since.
NEEDED = 109
# Where DBOS puts what was started without a queue.
INTERNAL_QUEUE = "_dbos_internal_queue"

_UNFINISHED = """
SELECT workflow_uuid, recovery_attempts FROM (
    SELECT workflow_uuid, recovery_attempts, application_version, application_name
    FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')
    UNION ALL
    SELECT workflow_uuid, recovery_attempts, application_version, application_name
    FROM dbos.workflow_status WHERE status = 'DELAYED') s
WHERE application_version IS NOT DISTINCT FROM %s AND (application_name = %s OR application_name IS NULL)
"""
_RUNNING = """
SELECT workflow_uuid, recovery_attempts, application_version, executor_id, queue_name
FROM dbos.workflow_status
WHERE status = 'PENDING' AND (application_name = %s OR application_name IS NULL) ORDER BY created_at
"""
# In one order, so that two writers cannot wait for each other. A row may have ended since it was listed.
_LOCK = """
SELECT workflow_uuid FROM dbos.workflow_status
WHERE workflow_uuid = ANY(%s) AND status IN ('ENQUEUED', 'PENDING', 'DELAYED')
ORDER BY workflow_uuid FOR UPDATE
"""
# Each time a workflow is taken counts: one whose count is another was taken since it was listed.
_LOCK_UNTAKEN = """
SELECT w.workflow_uuid FROM dbos.workflow_status w
JOIN unnest(%s::text[], %s::bigint[]) AS listed(id, attempts)
    ON listed.id = w.workflow_uuid AND listed.attempts = w.recovery_attempts
WHERE w.status IN ('ENQUEUED', 'PENDING', 'DELAYED')
ORDER BY w.workflow_uuid FOR UPDATE OF w
"""
# A parent that was forked waits under its fork's id.
_AWAITED = """
SELECT c.workflow_uuid, min(p.workflow_uuid)
FROM dbos.workflow_status c JOIN dbos.workflow_status p
    ON p.workflow_uuid = c.parent_workflow_id OR p.forked_from = c.parent_workflow_id
WHERE c.workflow_uuid = ANY(%s) AND p.status IN ('ENQUEUED', 'PENDING', 'DELAYED')
GROUP BY c.workflow_uuid
"""
_CANCEL = """
UPDATE dbos.workflow_status
SET status = 'CANCELLED', owner_xid = NULL, queue_name = NULL, deduplication_id = NULL, started_at_epoch_ms = NULL,
    updated_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    completed_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint
WHERE workflow_uuid = ANY(%s) AND status IN ('ENQUEUED', 'PENDING', 'DELAYED')
RETURNING workflow_uuid
"""
# Each fork goes on behind the last recorded step: where the original's own recovery would.
_STARTS = """
SELECT workflow_uuid, max(function_id) + 1 FROM dbos.operation_outputs WHERE workflow_uuid = ANY(%s) GROUP BY 1
"""
# It keeps its queue and partition, so that their limits hold for it too, its time-out, and its delay.
_FORK = (
    """
INSERT INTO dbos.workflow_status (
    workflow_uuid, status, name, class_name, config_name, application_version, application_id, application_name,
    authenticated_user, authenticated_roles, assumed_role, serialization, attributes, forked_from, workflow_timeout_ms,
    queue_name, queue_partition_key, priority, delay_until_epoch_ms, recovery_attempts, created_at, updated_at)
SELECT
    m.new, CASE WHEN w.status = 'DELAYED' THEN 'DELAYED' ELSE 'ENQUEUED' END, w.name, w.class_name, w.config_name,
    %(version)s, w.application_id, coalesce(w.application_name, %(owner)s), w.authenticated_user,
    w.authenticated_roles, w.assumed_role, w.serialization, w.attributes, w.workflow_uuid, w.workflow_timeout_ms,
    coalesce(nullif(w.queue_name, ''), %(internal)s), w.queue_partition_key, w.priority,
    CASE WHEN w.status = 'DELAYED' THEN w.delay_until_epoch_ms END, 0,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM unnest(%(old)s::text[], %(new)s::text[]) AS m(old, new)
JOIN dbos.workflow_status w ON w.workflow_uuid = m.old
""",
    """
INSERT INTO dbos.workflow_input (workflow_uuid, inputs)
SELECT m.new, coalesce(i.inputs, w.inputs)
FROM unnest(%(old)s::text[], %(new)s::text[]) AS m(old, new)
JOIN dbos.workflow_status w ON w.workflow_uuid = m.old
LEFT JOIN dbos.workflow_input i ON i.workflow_uuid = m.old
""",
    # A child that is forked with its parent is found under its new id.
    """
INSERT INTO dbos.operation_outputs (
    workflow_uuid, function_id, function_name, output, error, serialization, child_workflow_id, started_at_epoch_ms,
    completed_at_epoch_ms, application_name)
SELECT m.new, o.function_id, o.function_name, o.output, o.error, o.serialization,
    coalesce(child.new, o.child_workflow_id), o.started_at_epoch_ms, o.completed_at_epoch_ms, %(owner)s
FROM unnest(%(old)s::text[], %(new)s::text[], %(start)s::int[]) AS m(old, new, start)
JOIN dbos.operation_outputs o ON o.workflow_uuid = m.old AND o.function_id < m.start
LEFT JOIN unnest(%(old)s::text[], %(new)s::text[]) AS child(old, new) ON child.old = o.child_workflow_id
""",
    """
INSERT INTO dbos.workflow_events_history (workflow_uuid, function_id, key, value, serialization)
SELECT m.new, h.function_id, h.key, h.value, h.serialization
FROM unnest(%(old)s::text[], %(new)s::text[], %(start)s::int[]) AS m(old, new, start)
JOIN dbos.workflow_events_history h ON h.workflow_uuid = m.old AND h.function_id < m.start
""",
    """
INSERT INTO dbos.workflow_events (workflow_uuid, key, value, serialization)
SELECT DISTINCT ON (m.new, h.key) m.new, h.key, h.value, h.serialization
FROM unnest(%(old)s::text[], %(new)s::text[], %(start)s::int[]) AS m(old, new, start)
JOIN dbos.workflow_events_history h ON h.workflow_uuid = m.old AND h.function_id < m.start
ORDER BY m.new, h.key, h.function_id DESC
""",
    """
INSERT INTO dbos.streams (workflow_uuid, function_id, key, value, serialization, "offset")
SELECT m.new, s.function_id, s.key, s.value, s.serialization, s."offset"
FROM unnest(%(old)s::text[], %(new)s::text[], %(start)s::int[]) AS m(old, new, start)
JOIN dbos.streams s ON s.workflow_uuid = m.old AND s.function_id < m.start
""",
    "UPDATE dbos.workflow_status SET was_forked_from = true WHERE workflow_uuid = ANY(%(old)s)",
)
_REQUEUE = """
UPDATE dbos.workflow_status
SET status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL,
    updated_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    queue_name = coalesce(nullif(queue_name, ''), %s)
WHERE workflow_uuid = ANY(%s) AND status = 'PENDING'
RETURNING workflow_uuid
"""


class Running(NamedTuple):
    """A workflow in PENDING; C(attempts) is how often it was taken so far."""

    id: str
    attempts: int
    version: str | None
    executor: str | None
    queue: str | None


def check_level(level: int | None) -> None:
    """Refuse schemas whose payloads are not yet where today's SDKs look for them."""
    if level is None or level < NEEDED:
        raise DbosError(
            f"The system database is at schema level {level or 'none'}; cancelling, forking and requeueing by this "
            f"collection needs {NEEDED}. Migrate it with a current SDK (role migration)."
        )


def unfinished(db: Database, owner: str, version: str | None) -> dict[str, int]:
    """All unfinished workflows of a version, None for those of none: how often each was taken so far, by id."""
    return dict(db.read(_UNFINISHED, (version, owner)))


def running(db: Database, owner: str) -> list[Running]:
    """All workflows that an executor has taken, of all versions, the oldest first."""
    return [Running(*row) for row in db.read(_RUNNING, (owner,))]


def lock(db: Database, ids: Collection[str]) -> list[str]:
    """Those of the ids that are still unfinished, locked until the transaction ends."""
    return [row[0] for row in db.write(_LOCK, (list(ids),))]


def lock_untaken(db: Database, listed: Mapping[str, int]) -> list[str]:
    """Those that are still unfinished and that nobody has taken since they were C(listed): {id: attempts}."""
    return [row[0] for row in db.write(_LOCK_UNTAKEN, (list(listed), list(listed.values())))]


def awaited(db: Database, ids: Collection[str]) -> dict[str, str]:
    """Unfinished parent by id of each of these workflows that has one."""
    return dict(db.write(_AWAITED, (list(ids),)))


def cancel(db: Database, ids: Sequence[str]) -> list[str]:
    """Cancel; the ids that were."""
    return [row[0] for row in db.write(_CANCEL, (list(ids),))]


def fork(db: Database, owner: str, ids: Sequence[str], version: str) -> dict[str, str]:
    """Fork locked workflows to a version: new id by old one. The caller cancels them in the same transaction."""
    found = {old: str(uuid.uuid4()) for old in ids}
    starts: dict[str, int] = dict(db.write(_STARTS, (list(ids),)))
    values: Mapping[str, object] = {
        "old": list(found), "new": list(found.values()), "start": [starts.get(old, 0) for old in found],
        "owner": owner, "version": version, "internal": INTERNAL_QUEUE,
    }  # fmt: skip
    for statement in _FORK:
        db.write(statement, values)
    return found


def requeue(db: Database, ids: Sequence[str]) -> list[str]:
    """Put locked workflows back, each into its queue, or DBOS' own if it was started without one; their ids.

    The count of attempts stays, so the SDK's limit holds: an executor gives up what was taken once too often.
    """
    return [row[0] for row in db.write(_REQUEUE, (INTERNAL_QUEUE, list(ids)))]

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unfinished work in detail, for people: who sleeps, what came late to a draining version, what could come back.

All of it and the counts of work.read() are one statement: it shows one moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import AHEAD
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import work

if TYPE_CHECKING:
    from psycopg2 import sql

# A version's successor is the one that was promoted next; its promotion is where late work begins. Schedules and
# queues are told by their names, parents and originals of forks by one of them.
_LATE = """
(SELECT coalesce(json_agg(entry), '[]') FROM (
    SELECT json_build_object(
        'version', application_version, 'source', source, 'from', min(origin), 'workflow', name,
        'count', count(*), 'newest', max(created_at), 'example', min(workflow_uuid)) AS entry
    FROM (
        SELECT application_version, created_at, workflow_uuid, name, {source} AS source, {origin} AS origin
        FROM {schema}.workflow_status WHERE status IN ('ENQUEUED', 'PENDING') AND {owned}
        UNION ALL
        SELECT application_version, created_at, workflow_uuid, name, {source}, {origin}
        FROM {schema}.workflow_status WHERE status = 'DELAYED' AND {owned}) unfinished
    JOIN (
        SELECT version_name, lead(version_timestamp) OVER (ORDER BY version_timestamp) AS ended
        FROM {schema}.application_versions WHERE version_timestamp > {ahead} AND {registered}) known
    ON version_name = application_version AND created_at > ended
    GROUP BY application_version, source, name, CASE WHEN source IN ('schedule', 'enqueue') THEN origin END) l)
"""
# The SDKs note the end of a sleep as the time at which that step is completed.
_SLEEPING = """
(SELECT coalesce(json_agg(entry), '[]') FROM (
    SELECT json_build_object(
        'version', application_version, 'count', count(DISTINCT workflow_uuid), 'wakes', min(wakes)) AS entry
    FROM (
        SELECT workflow_uuid, completed_at_epoch_ms AS wakes FROM {schema}.operation_outputs
        WHERE completed_at_epoch_ms > (extract(epoch FROM now()) * 1000)::bigint
        AND function_name = 'DBOS.sleep') asleep
    JOIN {schema}.workflow_status USING (workflow_uuid)
    WHERE status IN ('ENQUEUED', 'PENDING') AND {owned}
    GROUP BY application_version) s)
"""
_RESUMABLE = """
(SELECT coalesce(json_agg(entry), '[]') FROM (
    SELECT json_build_object('version', application_version, 'status', status, 'count', count(*)) AS entry
    FROM {schema}.workflow_status WHERE status IN ('CANCELLED', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED') AND {owned}
    GROUP BY application_version, status) r)
"""
_NOTHING = "'[]'::json"
_WAKES = ("operation_outputs", "completed_at_epoch_ms")


def read(
    db: Database, application_name: str | None = None, schema: str = "dbos", *, resumable: bool = False
) -> dict[str, Any] | None:
    """What work.read() gives, and C(late), C(sleeping) and C(resumable); None when there is no system database.

    Counting what is C(resumable) costs with the number of workflows that were ever cancelled or given up.
    """
    from psycopg2 import sql

    there = work.columns(db, schema)
    if ("workflow_status", "status") not in there:
        return None
    more = {
        "late": _LATE if ("application_versions", "version_name") in there else _NOTHING,
        "sleeping": _SLEEPING if _WAKES in there else _NOTHING,
        "resumable": _RESUMABLE if resumable else _NOTHING,
    }
    names = work.parts(there, application_name, schema) | _source(there) | {"ahead": sql.Literal(AHEAD)}
    text = sql.SQL(", ").join(sql.SQL(part).format(**names) for part in [work.READ, *more.values()])
    level, registered, rows, replica, *details = db.read(text)[0]
    seen = {"level": level, "registered": registered, "work": rows, "replica": replica}
    return seen | dict(zip(more, details, strict=True))


def _source(there: set[tuple[str, str]]) -> dict[str, sql.Composable]:
    """SQL for what made a row, and of what, by the columns there are.

    A row in DBOS' own queue was started directly, and put there by its recovery.
    """
    from psycopg2 import sql

    scheduled = ("workflow_status", "schedule_name") in there
    cases = [
        ("fork", "forked_from", "forked_from IS NOT NULL"),
        (
            "schedule",
            "schedule_name" if scheduled else "NULL",
            "schedule_name IS NOT NULL" if scheduled else "starts_with(workflow_uuid, 'sched-')",
        ),
        ("parent", "parent_workflow_id", "parent_workflow_id IS NOT NULL"),
        ("enqueue", "queue_name", "queue_name <> '_dbos_internal_queue'"),
    ]
    missing = {column for column in ("forked_from", "parent_workflow_id") if ("workflow_status", column) not in there}
    whens = [(name, origin, when) for name, origin, when in cases if origin not in missing]
    source = " ".join(f"WHEN {when} THEN '{name}'" for name, _origin, when in whens)
    origin = " ".join(f"WHEN {when} THEN {origin}" for _name, origin, when in whens)
    return {"source": sql.SQL(f"CASE {source} ELSE 'direct' END"), "origin": sql.SQL(f"CASE {origin} END")}

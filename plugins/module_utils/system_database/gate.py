# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements on a test workflow that a version is asked to run, and on what a staged version has made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database

# The function of DBOS' own that writes a workflow's input where SDKs of this level read it.
LEVEL = 113

_ENQUEUE = """
SELECT dbos.enqueue_workflow(
    workflow_name => %(name)s, queue_name => %(queue)s, positional_args => %(inputs)s::json[],
    class_name => %(class_name)s, workflow_id => %(id)s, app_version => %(version)s, application_name => %(owner)s)
"""
_STATE = """
SELECT w.status, coalesce(w.error, o.error)
FROM dbos.workflow_status w LEFT JOIN dbos.workflow_output o USING (workflow_uuid) WHERE w.workflow_uuid = %s
"""
# As the SDKs cancel.
_CANCEL = """
UPDATE dbos.workflow_status
SET status = 'CANCELLED', updated_at = t.now, completed_at = t.now, started_at_epoch_ms = NULL, queue_name = NULL,
    deduplication_id = NULL, owner_xid = NULL
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) t
WHERE workflow_uuid = %s AND status NOT IN ('SUCCESS', 'ERROR', 'CANCELLED')
"""
# Nothing of a version is older than its registration; by the index on created_at, as versions have none.
_MADE = """
SELECT w.workflow_uuid, w.name, w.status FROM dbos.workflow_status w
WHERE w.application_version = %(version)s AND (w.application_name = %(owner)s OR w.application_name IS NULL)
  AND w.created_at >= (SELECT min(v.created_at) FROM dbos.application_versions v WHERE v.version_name = %(version)s)
ORDER BY w.created_at, w.workflow_uuid
"""


def enqueue(
    db: Database,
    owner: str,
    version: str,
    id_: str,
    name: str,
    queue: str,
    inputs: Sequence[Any],
    class_name: str | None,
) -> None:
    """Enqueue one workflow for exactly this version; one of that id which is there already stays as it is."""
    values = {"name": name, "queue": queue, "class_name": class_name, "id": id_, "version": version, "owner": owner}
    db.write(_ENQUEUE, {**values, "inputs": [json.dumps(value) for value in inputs]})


def state(db: Database, id_: str) -> tuple[str, str] | None:
    """A workflow's status and what it failed with, as the SDK wrote it; None when there is none of this id."""
    rows = db.read(_STATE, (id_,))
    return (str(rows[0][0]), str(rows[0][1] or "")) if rows else None


def cancel(db: Database, id_: str) -> None:
    """Cancel a workflow unless it has ended."""
    db.write(_CANCEL, (id_,))


def made(db: Database, owner: str, version: str) -> list[dict[str, str]]:
    """All workflows of the version since it was registered, the oldest first: {id, workflow, status}."""
    rows = db.read(_MADE, {"owner": owner, "version": version})
    return [{"id": id_, "workflow": name, "status": status} for id_, name, status in rows]

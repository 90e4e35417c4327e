# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an unfinished workflow waits for, from what DBOS records of it; where that does not tell, the words say so."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.executor_state import DEAD, UNKNOWN
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.work import timestamp

Row = Mapping[str, Any]

_UNFINISHED = ("PENDING", "ENQUEUED", "DELAYED")
# DBOS records a sleep with its end as its completion, and the time-out of a Recv or GetEvent with the moment it began.
_NEAR = 1000
# Epoch seconds reach this in the year 5138, epoch milliseconds did in 1973.
_MILLISECONDS = 1e11


def described(
    row: Row, version: str | None, queues: Mapping[str, Row], judge: Callable[[str | None], str] | None
) -> dict[str, Any]:
    """One of system_database.blockers' rows for a person."""
    state = judge(row["executor"]) if judge and row["status"] == "PENDING" else UNKNOWN
    words, until = waits_for(row, state, queues.get(row["queue"] or "", {}))
    return {
        "id": row["id"],
        "workflow": row["workflow"],
        "status": row["status"],
        "version": version,
        "queue": row["queue"],
        "partition": row["partition"],
        "executor": row["executor"],
        "executor_state": state if row["executor"] else None,
        "created_at": timestamp(row["created"]),
        "age": max(0, row["now"] - row["created"]) // 1000,
        "waits_for": words,
        "until": timestamp(until),
    }


def waits_for(row: Row, state: str, queue: Row) -> tuple[str, int | None]:
    """In words, and until when at the longest (epoch milliseconds), where that is known."""
    if row["status"] == "DELAYED":
        return f"the end of its delay at {timestamp(row['delayed'])}", row["delayed"]
    if row["status"] == "ENQUEUED":
        return _turn(row, queue), None
    if state == DEAD:
        return f"executor {row['executor']}, which is dead: only recovery goes on with it", None
    return _running(row)


def _turn(row: Row, queue: Row) -> str:
    limit, running = queue.get("limit"), queue.get("running", 0)
    if limit is not None and running >= limit:
        return f"its turn in queue {row['queue']}: {running} run, its limit is {limit}"
    where = f"partition {row['partition']} of queue {row['queue']}" if row["partition"] else f"queue {row['queue']}"
    limited = row["partition"] and queue.get("partition_limit") is not None
    if limited:
        return f"an executor of its version to take it from {where}, which runs {queue['partition_limit']} at once"
    if queue.get("rate") is not None:
        return f"an executor of its version to take it from {where}, which is limited in its rate"
    return f"an executor of its version to take it from {where}"


def _running(row: Row) -> tuple[str, int | None]:
    step = row["step"]
    if step is None:
        return f"its first step, on executor {row['executor']}", None
    if step["child_status"] in _UNFINISHED:
        return f"its child workflow {step['child']}, or a step after having started it", None
    end = _end(step)
    if end is not None and end > row["now"]:
        if step["follows"] or abs(step["completed"] - end) <= _NEAR:
            return f"the end of its sleep at {timestamp(end)}", end
        return (
            "a message (Recv) or an event (GetEvent); its topic is not recorded. "
            f"It waits until {timestamp(end)} at the longest"
        ), end
    return f"a step after number {step['number']} ({step['name']}), on executor {row['executor']}", None


def _end(step: Row) -> int | None:
    """When a sleep or a wait ends, in epoch milliseconds. Python records seconds in JSON, Go milliseconds in Base64.

    What older Python SDKs pickled is not read: the completion tells.
    """
    if step["name"] != "DBOS.sleep" or step["end"] is None:
        return None
    for decode in (str, lambda text: base64.b64decode(text, validate=True).decode()):
        try:
            value = float(json.loads(decode(step["end"])))
        except (ValueError, TypeError):
            continue
        return int(value if value > _MILLISECONDS else value * 1000)
    completed: int | None = step["completed"]
    return completed

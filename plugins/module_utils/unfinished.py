# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was read of unfinished work, put together per version: for tasks as data, for people as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.executor_state import DEAD, UNKNOWN
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.work import summary, timestamp
from ansible_collections.dbos.kubernetes.plugins.module_utils.table import age, columns

Json = dict[str, Any]
COUNTS = ("pending", "enqueued", "delayed")
RARE = ("sleeping", "late", "resumable", DEAD, UNKNOWN)


def described(seen: Mapping[str, Any], judge: Callable[[str | None], str] | None = None) -> list[Json]:
    """Versions as module workflow_info returns them, of what inspection.read() gave.

    With C(judge), which tells whether an executor is alive, dead or unknown, the executors are judged too.
    """
    entries = summary(seen["registered"], seen["work"], (row["version"] for row in seen["resumable"]))
    for entry in entries:
        due, sleeping, late, resumable = (
            [row for row in seen[key] if row["version"] == entry["version"]]
            for key in ("work", "sleeping", "late", "resumable")
        )
        moments = [row["due"] for row in due if row["due"]] + [row["wakes"] for row in sleeping]
        entry["sleeping"] = sum(row["count"] for row in sleeping)
        entry["next_wake_at"] = timestamp(min(moments, default=None))
        entry["late"] = sum(row["count"] for row in late)
        entry["late_sources"] = [_late(row) for row in sorted(late, key=lambda row: (-row["count"], row["example"]))]
        entry["resumable"] = sum(row["count"] for row in resumable)
        if judge:
            entry["executors"] = [{**one, "state": judge(one["id"])} for one in entry["executors"]]
            for state in (DEAD, UNKNOWN):
                entry[state] = sum(one["pending"] for one in entry["executors"] if one["state"] == state)
    return entries


def _late(row: Mapping[str, Any]) -> Json:
    kept = {key: row[key] for key in ("source", "from", "workflow", "count", "example")}
    return {**kept, "newest_at": timestamp(row["newest"])}


def table(versions: Sequence[Json], now: datetime) -> str:
    """All of it for a person, without the rarer counts that are zero everywhere."""
    judged = any(DEAD in row for row in versions)
    rare = [name for name in RARE if any(row.get(name) for row in versions)]
    blocks = [
        columns(
            [name.upper() for name in ("version", "latest", *COUNTS, *rare, "oldest", "next wake-up")],
            [
                (
                    _name(row),
                    "yes" if row["latest"] else None,
                    *(row[count] for count in (*COUNTS, *rare)),
                    age(row["oldest_at"], now),
                    row["next_wake_at"],
                )
                for row in versions
            ],
        ),
        columns(
            ("VERSION", "QUEUE", "PENDING", "ENQUEUED", "DELAYED"),
            [
                (_name(row), queue["name"] or "(none)", *(queue[count] for count in COUNTS))
                for row in versions
                for queue in row["queues"]
            ],
        ),
        columns(
            ("VERSION", "EXECUTOR", "PENDING", *(["STATE"] if judged else [])),
            [
                (_name(row), one["id"] or "(none)", one["pending"], *([one["state"]] if judged else []))
                for row in versions
                for one in row["executors"]
            ],
        ),
        columns(
            ("LATE FOR", "BY", "OF", "WORKFLOW", "COUNT", "EXAMPLE"),
            [
                (_name(row), one["source"], one["from"], one["workflow"], one["count"], one["example"])
                for row in versions
                for one in row["late_sources"]
            ],
        ),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) or "No versions, and no unfinished work."


def _name(row: Json) -> str:
    return str(row["version"] or "(none)")

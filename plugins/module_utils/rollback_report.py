# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a rollback did, for a person: plain text of plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.table import columns, minute

Json = dict[str, Any]

MOST_WORKFLOWS = 50
# What each policy is about to do with unfinished work.
_PLANNED = {"drain": "drains on {bad}", "cancel": "would be cancelled", "fork": "would be forked to {to}"}


def outcomes(result: Json, *, check: bool) -> dict[str, str]:
    """What became of each unfinished workflow, by id."""
    settled, policy = result["settled"], result["policy"]
    found = dict.fromkeys(settled.get("cancelled", ()), "cancelled")
    found |= {one["from"]: f"forked to {one['to']}" for one in settled.get("forked", ())}
    found |= {one["id"]: f"kept: {one['why']}" for one in settled.get("refused", ())}
    kept = check or policy == "drain"
    rest = _PLANNED[policy].format(bad=result["from_version"], to=result["version"]) if kept else "ended meanwhile"
    return {one["id"]: found.get(one["id"], rest) for one in result["account"]["workflows"]}


def text(app: str, result: Json, *, check: bool) -> str:
    """The whole report."""
    bad, to = result["from_version"], result["version"]
    if bad is None:
        return f"Version {to} of {app} is promoted already, and none was rolled back to it: nothing to do."
    if check and result["steps"]:
        head = f"{app} would be rolled back from {bad} to {to}."
    else:
        head = f"{app} is rolled back from {bad} to {to}{'' if result['steps'] else ', as it was before this run'}."
    blocks = [[head], [*_made(result)], _schedules(result), _workflows(result, outcomes(result, check=check))]
    if result["account"]["unversioned"]:
        blocks.append([f"{result['account']['unversioned']} unfinished workflows name no version: {to} takes them."])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _made(result: Json) -> Iterator[str]:
    made = result["account"]
    runs = ", ".join(f"{count} {status}" for status, count in made["runs"].items()) or "none"
    yield f"Created by {result['from_version']} since {minute(made['since'])} UTC:"
    yield f"  runs: {runs}"
    yield f"  unfinished, of any age: {len(made['workflows'])}"
    yield f"  versions registered: {', '.join(row['version'] for row in made['registered']) or 'none'}"
    yield f"  queues registered: {', '.join(made['queues']) or 'none'}"


def _schedules(result: Json) -> list[str]:
    rows = [one for one in result["account"]["schedules"] if one["runs"] or one["new"]]
    note = f"new: {result['version']} may not know its workflow"
    return columns(
        ("SCHEDULE", "WORKFLOW", "STATUS", f"RUNS ON {result['from_version']}", "NOTE"),
        [(one["name"], one["workflow"], one["status"], one["runs"], note if one["new"] else None) for one in rows],
    )


def _workflows(result: Json, became: dict[str, str]) -> list[str]:
    rows = result["account"]["workflows"]
    lines = columns(
        ("UNFINISHED", "WORKFLOW", "STATUS", "QUEUE", "EXECUTOR", "CREATED", "OUTCOME"),
        [
            (
                one["id"],
                one["workflow"],
                one["status"],
                one["queue"],
                one["executor"],
                minute(one["created_at"]),
                became[one["id"]],
            )
            for one in rows[:MOST_WORKFLOWS]
        ],
    )
    hidden = len(rows) - MOST_WORKFLOWS
    return [*lines, f"… and {hidden} more, all in the module's result"] if hidden > 0 else lines

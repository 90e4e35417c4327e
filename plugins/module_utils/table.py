# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain text for a person: aligned columns, ages and sizes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import status
from ansible_collections.dbos.kubernetes.plugins.module_utils.status import Json, parse_time


def columns(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Lines of left-aligned columns; nothing at all without rows."""
    if not rows:
        return []
    cells = [list(head), *[["-" if cell is None or cell == "" else str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def age(since: str | None, now: datetime) -> str:
    """How long ago, in one unit."""
    if not since:
        return "-"
    seconds = max(0, int((now - parse_time(since)).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def until(due: str | None, now: datetime) -> str:
    """How long from now, in one unit."""
    if not due:
        return "-"
    return f"in {age(now.isoformat(), parse_time(due))}" if parse_time(due) > now else "now"


def minute(moment: str | None) -> str:
    """A moment to the minute, in UTC."""
    return f"{parse_time(moment).astimezone(UTC):%Y-%m-%d %H:%M}" if moment else "-"


def size(count: int) -> str:
    """Bytes for a person."""
    power = min(4, max(0, (count.bit_length() - 1) // 10))
    unit = ("B", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{count / 1024**power:.{min(power, 1)}f} {unit}"


def summary(report: Json) -> str:
    """A report of status.report as a table."""
    now = parse_time(report["taken_at"])
    blocks = [
        [f"{report['application']} in namespace {report['namespace']}, {now:%Y-%m-%d %H:%M:%S} UTC"],
        [f"Frozen by {report['frozen']['by']}: {report['frozen']['reason']}"] if report["frozen"] else [],
        _versions(report, now),
        columns(
            ("BLOCKER", "VERSION", "WORKFLOW", "STATUS", "AGE", "QUEUE", "EXECUTOR", "WAITS FOR"),
            [_blocker(one, now) for one in report["blockers"]],
        ),
        columns(
            ("POD", "VERSION", "READY", "RESTARTS", "AGE", "REASON"),
            [
                (
                    pod["name"],
                    pod["version"],
                    _yes(pod["ready"]),
                    pod["restarts"],
                    age(pod["created_at"], now),
                    pod["reason"],
                )
                for pod in report["pods"]
            ],
        ),
        _schema(report["schema"]),
        columns(
            ("SECRET", "KEYS", "SYNCED"),
            [(one["name"], ", ".join(one["keys"]), _yes(one["synced"])) for one in report["secrets"]],
        ),
        columns(
            ("CERTIFICATE", "EXPIRES", "DAYS LEFT"),
            [(one["name"], one["not_after"][:10], one["days_left"]) for one in report["certificates"]],
        ),
        columns(
            ("SCALING", "TARGET", "READY", "ACTIVE", "MIN", "MAX", "PAUSED"),
            [
                (
                    one["name"],
                    one["target"],
                    _yes(one["ready"]),
                    _yes(one["active"]),
                    one["minimum"],
                    one["maximum"],
                    _yes(one["paused"]),
                )
                for one in report["scaling"]
            ],
        ),
        ["Needs a person:", *[f"  * {sentence}" for sentence in report["attention"]]]
        if report["attention"]
        else ["Nothing needs a person."],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _versions(report: Json, now: datetime) -> list[str]:
    rows, hidden = status.shown(report["versions"])
    head = ("VERSION", "STATE", "READY", "PENDING", "ENQUEUED", "DELAYED", "OLDEST", "NEXT DUE", "BLOCKERS")
    lines = columns((*head, "PROMOTED", "RETIRED"), [_version(row, now) for row in rows])
    return [*lines, f"… and {hidden} older versions without work"] if hidden else lines


def _version(row: Json, now: datetime) -> Sequence[Any]:
    return (
        row["version"] or "(none)",
        row["state"],
        f"{row['ready']}/{row['replicas']}" if row["workload"] else "-",
        row["pending"],
        row["enqueued"],
        row["delayed"],
        age(row.get("oldest_at"), now),
        until(row.get("next_due_at"), now),
        row["blockers"],
        minute(row["promoted_at"]),
        minute(row["retired_at"]),
    )


def _blocker(one: Json, now: datetime) -> Sequence[Any]:
    return (
        one["id"],
        one["version"],
        one["workflow"],
        one["status"],
        age(one["created_at"], now),
        one["queue"],
        one["executor"],
        one["waits_for"],
    )


def _schema(schema: Json | None) -> list[str]:
    if schema is None:
        return []
    largest = ", ".join(f"{table['name']} {size(int(table['bytes']))}" for table in schema["tables"][:3])
    return [
        f"Schema level {schema['level']}, {size(schema['bytes'])} in {len(schema['tables'])} tables"
        + (f": {largest} …" if largest else "")
    ]

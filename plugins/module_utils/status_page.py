# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report of status.py as one HTML page that needs no other file, and runs no script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ansible_collections.dbos.kubernetes.plugins.module_utils import status, status_timeline
from ansible_collections.dbos.kubernetes.plugins.module_utils.markup import Html, join, safe, tag
from ansible_collections.dbos.kubernetes.plugins.module_utils.status import Json, parse_time
from ansible_collections.dbos.kubernetes.plugins.module_utils.status_style import STYLE
from ansible_collections.dbos.kubernetes.plugins.module_utils.table import age, size, until

# The classes of age that system_database/ages.py counts in.
AGES = ("< 1 min", "1-10 min", "10-60 min", "1-24 h", "1-7 d", "> 7 d")
MOST_BLOCKERS = 50
_TELLING = ("Staged", "DrainBlocked", "Stranded", "Degraded")
# Should anything ever slip through unescaped, the browser still neither runs nor loads it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render(report: Json) -> str:
    """The whole page."""
    now = parse_time(report["taken_at"])
    body = tag(
        "main",
        _header(report, now),
        _verdict(report),
        _tiles(report, now),
        _timeline(report, now),
        _versions(report, now),
        _ages(report),
        _blockers(report, now),
        _rest(report, now),
        tag("footer", "Written by status.yml of dbos.kubernetes from what was read at the time above. Times are UTC."),
    )
    head = join(
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        tag("title", f"{report['application']} in {report['namespace']}"),
        tag("style", Html(STYLE)),
    )
    return f'<!doctype html>\n<html lang="en">{tag("head", head)}{tag("body", body)}</html>\n'


def _header(report: Json, now: datetime) -> Html:
    where = f"Namespace {report['namespace']} · {now:%d %b %Y, %H:%M} UTC"
    return tag("header", tag("h1", report["application"]), tag("p", where))


def _verdict(report: Json) -> Html:
    said = report["attention"]
    if said:
        things = "1 thing needs a person" if len(said) == 1 else f"{len(said)} things need a person"
        verdict = tag("div", things, tag("ul", *[tag("li", one) for one in said]), cls="card verdict bad")
    else:
        verdict = tag("div", "Nothing needs a person", cls="card verdict")
    if not report["frozen"]:
        return verdict
    frozen = report["frozen"]
    return join(
        verdict,
        tag("div", tag("strong", f"Frozen by {frozen['by']}"), f": {frozen['reason']}", cls="card frozen"),
    )


def _tiles(report: Json, now: datetime) -> Html:
    rows = report["versions"]
    live = [row for row in rows if row["workload"]]
    counts = {name: sum(row[name] or 0 for row in rows) for name in ("pending", "enqueued", "delayed")}
    oldest = min((row["oldest_at"] for row in rows if row.get("oldest_at")), default=None)
    promoted = next((row for row in rows if row["version"] == report["promoted"]), None)
    since = f"since {_moment(promoted['promoted_at'], now)}" if promoted and promoted["promoted_at"] else "-"
    pods = sum(row["replicas"] for row in live)
    known = report["schema"] is not None
    work = " · ".join(f"{count} {name}" for name, count in counts.items() if count) or "-"
    tiles = [
        ("Promoted", report["promoted"] or "none", since),
        ("Live versions", len(live), "1 pod" if pods == 1 else f"{pods} pods"),
        ("Unfinished workflows", sum(counts.values()) if known else "?", work if known else "not read"),
        ("Oldest", age(oldest, now) if oldest else "-", "unfinished workflow"),
    ]
    return tag(
        "div", *[tag("p", name, tag("strong", value), more, cls="card") for name, value, more in tiles], cls="tiles"
    )


def _timeline(report: Json, now: datetime) -> Html:
    rows, _hidden = status.shown(report["versions"])
    drawn = status_timeline.chart(rows, report["versions"], now)
    if not drawn:
        return drawn
    return _card("Versions over time", drawn, status_timeline.history(report["versions"], now))


def _versions(report: Json, now: datetime) -> Html:
    rows, hidden = status.shown(report["versions"])
    table = _table(
        ("Version", "State", "Ready", "Pending", "Enqueued", "Delayed", "Oldest", "Next due", "Promoted", "Retired"),
        [_version(row, now) for row in rows],
        numbers=("Ready", "Pending", "Enqueued", "Delayed"),
        cls="cards versions",
    )
    more = tag("p", tag("small", f"… and {hidden} older versions without work")) if hidden else None
    return _card("Versions", table, more)


def _version(row: Json, now: datetime) -> Sequence[object]:
    back = row["rolled_back"]
    # What the other columns don't say.
    said = [one["message"] for one in row["conditions"] if one["type"] == row["state"] and row["state"] in _TELLING]
    if back:
        said.append(f"rolled back to {back['to']}, {_moment(back['at'], now)}")
    return (
        row["version"] or "any",
        tag("div", tag("span", row["state"], cls=f"pill {row['state']}"), *[tag("small", one) for one in said]),
        f"{row['ready']}/{row['replicas']}" if row["workload"] else "",
        row["pending"],
        row["enqueued"],
        row["delayed"],
        age(row["oldest_at"], now) if row.get("oldest_at") else "",
        until(row["next_due_at"], now) if row.get("next_due_at") else "",
        _moment(row["promoted_at"], now),
        _moment(row["retired_at"], now),
    )


def _moment(at: str | None, now: datetime) -> str:
    return status_timeline.moment(parse_time(at), now) if at else ""


def _ages(report: Json) -> Html:
    rows = [row for row in report["versions"] if row["ages"]]
    if not rows:
        return Html("")
    most = max(count for row in rows for count in row["ages"])

    def cell(count: int) -> Html:
        height = tag("i", style=f"height:{100 * count / most:.0f}%") if count else None
        return tag("td", tag("div", height, cls="bar"), tag("span", count, cls=None if count else "none"))

    body = [
        tag(
            "tr",
            tag("th", row["version"] or "any", scope="row"),
            *[cell(count) for count in row["ages"]],
            tag("td", sum(row["ages"]), cls="total"),
        )
        for row in rows
    ]
    head = tag("tr", *[tag("th", name, scope="col") for name in ("", *AGES, "All")])
    return _card("Unfinished work by age", tag("table", tag("thead", head), tag("tbody", *body), cls="ages"))


def _blockers(report: Json, now: datetime) -> Html:
    found = report["blockers"]
    if not found:
        return Html("")
    table = _table(
        ("Workflow", "Waits for", "Version", "Status", "Age", "Queue", "Executor", "Id"),
        [
            (
                one["workflow"],
                one["waits_for"],
                one["version"],
                one["status"].lower(),
                age(one["created_at"], now),
                one["queue"],
                tag("code", one["executor"]) if one["executor"] else "",
                tag("code", one["id"]),
            )
            for one in found[:MOST_BLOCKERS]
        ],
        cls="cards blockers",
    )
    hidden = len(found) - MOST_BLOCKERS
    more = tag("p", tag("small", f"… and {hidden} more")) if hidden > 0 else None
    return _card("What keeps versions from being retired", table, more)


def _rest(report: Json, now: datetime) -> Html:
    """Everything else, folded away."""
    schema = report["schema"]
    parts = [
        _fold(
            "Pods",
            ("Pod", "Version", "Ready", "Restarts", "Age", "Reason"),
            [
                (
                    one["name"], one["version"], _yes(one["ready"]), one["restarts"], age(one["created_at"], now),
                    one["reason"],
                )
                for one in report["pods"]
            ],
        ),
        _fold(
            "Scaling",
            ("ScaledObject", "Target", "Ready", "Active", "Minimum", "Maximum", "Paused"),
            [
                (
                    one["name"], one["target"], _yes(one["ready"]), _yes(one["active"]), one["minimum"], one["maximum"],
                    _yes(one["paused"]),
                )
                for one in report["scaling"]
            ],
        ),
        _fold(
            "Database",
            ("Table", "Size"),
            [(one["name"], size(int(one["bytes"]))) for one in schema["tables"]] if schema else [],
            f"schema level {schema['level']}, {size(schema['bytes'])}" if schema else "",
        ),
        _fold(
            "Secrets",
            ("Secret", "Keys", "Synced"),
            [(one["name"], ", ".join(one["keys"]), _yes(one["synced"])) for one in report["secrets"]],
        ),
        _fold(
            "Certificates",
            ("Certificate", "Expires", "Days left"),
            [(one["name"], one["not_after"][:10], one["days_left"]) for one in report["certificates"]],
        ),
    ]  # fmt: skip
    drawn = [part for part in parts if part]
    return tag("section", *drawn, cls="card") if drawn else Html("")


def _fold(title: str, head: Sequence[str], rows: Sequence[Sequence[object]], about: str = "") -> Html:
    if not rows:
        return Html("")
    return tag("details", tag("summary", title, tag("small", about or len(rows))), _table(head, rows))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _card(title: str, *content: object) -> Html:
    return tag("section", tag("h2", title), *content, cls="card")


def _table(
    head: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[str] = (), cls: str = "cards"
) -> Html:
    """A table whose rows become cards on a phone; the first column names the row."""

    def style(name: str) -> str | None:
        return "number" if name in numbers else None

    def line(row: Sequence[object]) -> Html:
        first, *rest = row
        cells = [
            tag("td", safe(cell), data_label=name, cls=style(name)) for name, cell in zip(head[1:], rest, strict=True)
        ]
        return tag("tr", tag("th", first, scope="row"), *cells)

    titles = tag("tr", *[tag("th", name, scope="col", cls=style(name)) for name in head])
    return tag("table", tag("thead", titles), tag("tbody", *map(line, rows)), cls=cls)

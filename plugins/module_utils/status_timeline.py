# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The history of versions as the ledger tells it: when each was staged, promoted and draining, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ansible_collections.dbos.kubernetes.plugins.module_utils.markup import Html, join, tag
from ansible_collections.dbos.kubernetes.plugins.module_utils.status import Json, parse_time, unfinished

MOST_EVENTS = 8
_MOST_TICKS = 5
_STATES = ("staged", "promoted", "draining")
_MARKS = (("retired", "retired"), ("rolled", "rolled back"))
_STEPS = [timedelta(minutes=n) for n in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720)]
_STEPS += [timedelta(days=n) for n in (1, 2, 7, 14, 30, 90, 180, 365)]


@dataclass(frozen=True)
class Span:
    """A time in one state: staged, promoted or draining."""

    state: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Event:
    """Something that happened to a version at a moment."""

    at: datetime
    version: str
    what: str


def spans(row: Json, rows: Sequence[Json], now: datetime) -> list[Span]:
    """A version's states in order. C(rows) are all versions: a promotion ends with the next of another."""
    promotions = [parse_time(one) for one in row["promotions"]]
    others = [parse_time(one) for other in rows if other is not row for one in other["promotions"]]
    alive = row["workload"] is not None or unfinished(row) > 0
    end = parse_time(row["retired_at"]) if row["retired_at"] else now if alive else None
    found = []
    if row["created_at"] and (promotions or end):
        until = promotions[0] if promotions else end or now
        found.append(Span("staged", min(parse_time(row["created_at"]), until), until))
    for position, since in enumerate(promotions):
        following = promotions[position + 1] if position + 1 < len(promotions) else None
        until = min([one for one in others if one > since], default=now)
        if following and following <= until:
            until = following
        found.append(Span("promoted", since, until))
        drained = following or end
        if until < now and drained and drained > until:
            found.append(Span("draining", until, drained))
    return found


def events(rows: Sequence[Json]) -> list[Event]:
    """What happened, the newest first."""
    found = []
    for row in rows:
        version = str(row["version"])
        found += [Event(parse_time(one), version, "promoted") for one in row["promotions"]]
        if row["rolled_back"]:
            back = row["rolled_back"]
            found.append(Event(parse_time(back["at"]), version, f"rolled back to {back['to']}"))
        if row["retired_at"]:
            found.append(Event(parse_time(row["retired_at"]), version, "retired"))
    # A rollback is what a promotion of the same second comes from.
    return sorted(found, key=lambda one: (one.at, one.what == "promoted"), reverse=True)


def ticks(since: datetime, until: datetime) -> list[datetime]:
    """Round moments between the two, few enough for their labels."""
    step = next((one for one in _STEPS if (until - since) / one <= _MOST_TICKS), _STEPS[-1])
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first = epoch + step * (-(-(since - epoch) // step))
    return [first + step * count for count in range(int((until - first) / step) + 1)]


def chart(shown: Sequence[Json], rows: Sequence[Json], now: datetime) -> Html:
    """A lane for each version; nothing while the ledger knows none."""
    lanes = [(row, found) for row in shown if (found := spans(row, rows, now))]
    if not lanes:
        return Html("")
    lanes.sort(key=lambda lane: lane[1][0].since, reverse=True)
    since = lanes[-1][1][0].since
    length = max(now - since, timedelta(minutes=1))

    def left(moment: datetime) -> float:
        return 100 * ((moment - since) / length)

    def place(moment: datetime, width: float | None = None) -> str:
        return f"left:{left(moment):.2f}%" + (f";width:{width:.2f}%" if width is not None else "")

    def lane(row: Json, found: Sequence[Span]) -> Html:
        bars = [
            tag(
                "i",
                cls=f"span {one.state}",
                style=place(one.since, left(one.until) - left(one.since)),
                title=f"{one.state} {moment(one.since, now)} to {moment(one.until, now) if one.until < now else 'now'}",
            )
            for one in found
        ]
        marks = [
            tag("i", cls=f"mark {one.what.split()[0]}", style=place(one.at), title=f"{one.what} {moment(one.at, now)}")
            for one in events([row])
            if one.what != "promoted" and one.at >= since
        ]
        return tag("div", tag("b", row["version"]), tag("div", *bars, *marks, cls="track"), cls="lane")

    scale = [tag("span", label(one, length), style=place(one)) for one in ticks(since, now) if 4 <= left(one) <= 96]
    states = {one.state for _row, found in lanes for one in found}
    happened = {one.what.split()[0] for one in events([row for row, _found in lanes])}
    key = [tag("span", tag("i", cls=f"span {state}"), state) for state in _STATES if state in states]
    key += [tag("span", tag("i", cls=f"mark {what}"), said) for what, said in _MARKS if what in happened]
    said = ". ".join(
        f"{row['version']}: " + ", ".join(f"{one.state} from {moment(one.since, now)}" for one in found)
        for row, found in lanes
    )
    axis = tag("div", tag("b"), tag("div", *scale, cls="scale"), cls="lane axis")
    return join(
        tag("div", *[lane(*one) for one in lanes], axis, cls="timeline", role="img", aria_label=said),
        tag("p", *key, cls="key"),
    )


def history(rows: Sequence[Json], now: datetime) -> Html:
    """The newest events as a list."""
    found = events(rows)[:MOST_EVENTS]
    lines = [
        tag("li", tag("time", moment(one.at, now)), tag("span", tag("b", one.version), " ", one.what)) for one in found
    ]
    return tag("ol", *lines, cls="events") if lines else Html("")


def moment(at: datetime, now: datetime) -> str:
    """For a person, in UTC; the year only when it is another."""
    utc = at.astimezone(UTC)
    return f"{utc:%d %b, %H:%M}".lstrip("0") if utc.year == now.year else f"{utc:%d %b %Y}".lstrip("0")


def label(at: datetime, length: timedelta) -> str:
    """A moment on a scale of that length."""
    if length < timedelta(hours=36):
        return f"{at:%H:%M}"
    return f"{at:%d %b}".lstrip("0") if length < timedelta(days=300) else f"{at:%b %Y}"

"""The page of status.yml: what it shows, and that nothing gets out of its text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import status_page, status_timeline
from ansible_collections.dbos.kubernetes.plugins.module_utils.markup import Html, tag
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import ages

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
EVIL = "<script>alert('1')</script>\"&"
VOID = {"meta", "!doctype"}


def ago(hours: float) -> str:
    return (NOW - timedelta(hours=hours)).isoformat(timespec="seconds")


def row(version: str | None, state: str = "Promoted", **changes: Any) -> dict[str, Any]:
    return {
        "version": version, "state": state, "conditions": [{"type": state, "message": "why"}], "latest": False,
        "workload": f"StatefulSet/shop-{version}", "replicas": 2, "ready": 2, "pending": 0, "enqueued": 0,
        "delayed": 0, "oldest_at": None, "next_due_at": None, "ages": None, "blockers": 0, "created_at": None,
        "promotions": [], "promoted_at": None, "retired_at": None, "rolled_back": None, **changes,
    }  # fmt: skip


def report(*versions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "application": "shop", "namespace": "dbos", "taken_at": NOW.isoformat(), "promoted": "v1", "promoting": None,
        "frozen": None, "versions": list(versions), "blockers": [], "pods": [], "schema": None, "secrets": [],
        "certificates": [], "scaling": [], "unreadable": {}, "attention": [], **changes,
    }  # fmt: skip


class Page(HTMLParser):
    """The page's tags and text; fails when an element is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] != "style":
            self.text += data + " "


def everything(text: str) -> dict[str, Any]:
    """A report in which every text is the same."""
    blocker = dict.fromkeys(("id", "version", "workflow", "status", "queue", "executor", "waits_for"), text)
    return report(
        row(
            text, text, created_at=ago(9), promotions=[ago(8)], promoted_at=ago(8), retired_at=ago(1), ages=[1] * 6,
            conditions=[{"type": text, "message": text}], rolled_back={"at": ago(2), "to": text},
        ),
        row(text, "Staged", created_at=ago(1), conditions=[{"type": "Staged", "message": text}]),
        application=text,
        namespace=text,
        promoted=text,
        frozen={"by": text, "reason": text},
        attention=[text],
        blockers=[{**blocker, "created_at": ago(1)}],
        pods=[{"name": text, "version": text, "ready": True, "restarts": 0, "created_at": ago(1), "reason": text}],
        schema={"level": 125, "bytes": 5, "tables": [{"name": text, "bytes": 5}]},
        secrets=[{"name": text, "keys": [text], "synced": True}],
        certificates=[{"name": text, "not_after": "2030-01-01", "days_left": 5}],
        scaling=[
            {"name": text, "target": text, "ready": True, "active": True, "paused": False, "minimum": 1, "maximum": 2}
        ],
    )  # fmt: skip


def test_no_text_gets_out_of_its_place() -> None:
    plain, evil = Page(status_page.render(everything("x"))), Page(status_page.render(everything(EVIL)))
    assert "script" not in evil.tags
    assert evil.tags == plain.tags
    assert [name for name, _value in evil.attributes] == [name for name, _value in plain.attributes]
    assert evil.text.count(EVIL) > 20


def test_the_page_needs_no_other_file_and_runs_nothing() -> None:
    text = status_page.render(everything("x"))
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [name for name, _value in page.attributes if name in ("src", "href") or name.startswith("on")]
    assert not re.search(r"url\(|@import|https?://", text)
    assert "default-src 'none'" in text


def test_everything_of_a_report_is_shown() -> None:
    full = report(
        row("v2", created_at=ago(3), promotions=[ago(2)], promoted_at=ago(2), pending=7, ages=[4, 2, 1, 0, 0, 0]),
        row("v1", "DrainBlocked", delayed=1, next_due_at=ago(-1), rolled_back={"at": ago(2), "to": "v2"}),
        promoted="v2",
        schema={"level": 125, "bytes": 0, "tables": []},
        attention=["Something is wrong."],
        blockers=[
            {"id": "w-1", "version": "v1", "workflow": "nap", "status": "DELAYED", "created_at": ago(5), "queue": "q",
             "executor": None, "waits_for": "its delay"}
        ],
    )  # fmt: skip
    text = Page(status_page.render(full)).text
    for said in ("1 thing needs a person", "Something is wrong.", "since 24 Nov, 10:00", "7 pending", "DrainBlocked",
                 "in 60 min", "rolled back to v2", "w-1", "its delay", "Unfinished work by age"):  # fmt: skip
        assert said in text, said


def test_an_empty_report_is_a_page_too() -> None:
    text = Page(status_page.render(report(promoted=None))).text
    assert "Nothing needs a person" in text and "Versions over time" not in text


def test_many_blockers_do_not_make_an_endless_page() -> None:
    one = {"version": "v1", "workflow": "nap", "status": "PENDING", "created_at": ago(5), "queue": None}
    many = [{**one, "executor": None, "waits_for": "", "id": f"w-{n}"} for n in range(300)]
    text = Page(status_page.render(report(row("v1"), blockers=many))).text
    assert "w-49 " in text and "w-50 " not in text and "and 250 more" in text


def test_ages_have_a_name_for_every_class() -> None:
    assert len(status_page.AGES) == len(ages.CLASSES) + 1


def test_a_version_promoted_twice_drains_in_between() -> None:
    first = row("v1", created_at=ago(11), promotions=[ago(10), ago(2)])
    second = row("v2", created_at=ago(6), promotions=[ago(5)], retired_at=ago(1), workload=None)
    states = [(one.state, one.since, one.until) for one in status_timeline.spans(first, [first, second], NOW)]
    times = {hours: NOW - timedelta(hours=hours) for hours in (11, 10, 5, 2, 0)}
    assert states == [
        ("staged", times[11], times[10]),
        ("promoted", times[10], times[5]),
        ("draining", times[5], times[2]),
        ("promoted", times[2], times[0]),
    ]
    other = [(one.state, one.until) for one in status_timeline.spans(second, [first, second], NOW)]
    assert other == [
        ("staged", NOW - timedelta(hours=5)),
        ("promoted", times[2]),
        ("draining", NOW - timedelta(hours=1)),
    ]


def test_a_version_that_was_promoted_again_at_once_was_promoted_all_along() -> None:
    one = row("v1", promotions=[ago(3), ago(2)])
    assert [span.state for span in status_timeline.spans(one, [one], NOW)] == ["promoted", "promoted"]


def test_what_never_came_up_is_no_lane() -> None:
    never = row("v3", "Retired", created_at=ago(5), workload=None)
    assert status_timeline.spans(never, [never], NOW) == []


@pytest.mark.parametrize("length", [timedelta(seconds=30), timedelta(hours=3), timedelta(days=9), timedelta(days=900)])
def test_ticks_are_few_and_inside(length: timedelta) -> None:
    found = status_timeline.ticks(NOW - length, NOW)
    assert len(found) <= 6
    assert all(NOW - length <= one <= NOW for one in found)


def test_children_are_escaped_unless_they_are_html() -> None:
    assert tag("b", "<", Html("<i></i>"), None, 5) == "<b>&lt;<i></i>5</b>"
    assert tag("b", data_label='"', cls=None) == '<b data-label="&quot;"></b>'

"""What was read of unfinished work, as tasks and people get it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import executor_state, unfinished

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MOMENT = int(NOW.timestamp()) * 1000
HOUR = 3_600_000


def work(version: str | None, status: str, count: int = 1, **more: Any) -> dict[str, Any]:
    known = {"queue": None, "executor": None, "oldest": MOMENT - HOUR, "due": None}
    return {"version": version, "status": status, "count": count, **known, **more}


def seen(**changes: Any) -> dict[str, Any]:
    registered = [{"version": "v1", "timestamp": 100}, {"version": "v2", "timestamp": 200}]
    known: dict[str, Any] = {"level": 125, "replica": False, "registered": registered, "work": [], "late": []}
    return {**known, "sleeping": [], "resumable": [], **changes}


SEEN = seen(
    work=[
        work("v1", "PENDING", 3, executor="shop-v1-0", queue="mail"),
        work("v1", "PENDING", 2, executor="shop-v1-1"),
        work("v1", "PENDING", 1, executor="0d6c6c0c-uuid"),
        work("v1", "DELAYED", 1, due=MOMENT + 2 * HOUR),
        work(None, "ENQUEUED", 4, queue="mail"),
    ],
    sleeping=[{"version": "v1", "count": 2, "wakes": MOMENT + HOUR}],
    late=[
        {"version": "v1", "source": "direct", "from": None, "workflow": "w", "count": 1, "example": "a",
         "newest": MOMENT},
        {"version": "v1", "source": "schedule", "from": "nightly", "workflow": "r", "count": 4,
         "example": "sched-nightly-1", "newest": MOMENT},
    ],
    resumable=[
        {"version": "v1", "status": "CANCELLED", "count": 5},
        {"version": "v0", "status": "MAX_RECOVERY_ATTEMPTS_EXCEEDED", "count": 6},
    ],
)  # fmt: skip
STATES = {"shop-v1-0": "alive", "shop-v1-1": "dead"}


def judge(executor: str | None) -> str:
    return STATES.get(executor or "", "unknown")


def test_each_version_has_what_is_its_own() -> None:
    v2, v1, v0, none = unfinished.described(SEEN, judge)
    assert [row["version"] for row in (v2, v1, v0, none)] == ["v2", "v1", "v0", None]
    assert (v1["sleeping"], v1["next_wake_at"], v1["next_due_at"]) == (
        2,
        "2026-11-24T13:00:00Z",
        "2026-11-24T14:00:00Z",
    )
    assert (v1["late"], [one["from"] for one in v1["late_sources"]]) == (5, ["nightly", None])
    assert v1["late_sources"][0]["newest_at"] == "2026-11-24T12:00:00Z"
    assert (v1["dead"], v1["unknown"]) == (2, 1)
    assert {one["id"]: one["state"] for one in v1["executors"]} == {**STATES, "0d6c6c0c-uuid": "unknown"}
    assert [row["resumable"] for row in (v2, v1, v0, none)] == [0, 5, 6, 0]
    assert (v2["late"], v2["sleeping"], v2["next_wake_at"], v2["dead"]) == (0, 0, None, 0)
    assert none["queues"] == [{"name": "mail", "pending": 0, "enqueued": 4, "delayed": 0}]


def test_nobody_is_judged_without_kubernetes() -> None:
    for row in unfinished.described(SEEN):
        assert not {"dead", "unknown"} & set(row)
        assert all(set(one) == {"id", "pending"} for one in row["executors"])


def test_the_table_for_a_person() -> None:
    shown = unfinished.table(unfinished.described(SEEN, judge), NOW).split("\n\n")
    versions, queues, executors, late = ([" ".join(line.split()) for line in block.splitlines()] for block in shown)
    assert versions == [
        "VERSION LATEST PENDING ENQUEUED DELAYED SLEEPING LATE RESUMABLE DEAD UNKNOWN OLDEST NEXT WAKE-UP",
        "v2 yes 0 0 0 0 0 0 0 0 - -",
        "v1 - 6 0 1 2 5 5 2 1 60 min 2026-11-24T13:00:00Z",
        "v0 - 0 0 0 0 0 6 0 0 - -",
        "(none) - 0 4 0 0 0 0 0 0 60 min -",
    ]
    assert "v1 (none) 3 0 1" in queues
    assert executors[0] == "VERSION EXECUTOR PENDING STATE"
    assert "v1 shop-v1-1 2 dead" in executors
    assert late[1] == "v1 schedule nightly r 4 sched-nightly-1"


def test_a_table_says_no_more_than_there_is() -> None:
    assert unfinished.table([], NOW) == "No versions, and no unfinished work."
    shown = unfinished.table(unfinished.described(seen()), NOW)
    assert shown.splitlines()[0].split() == [
        "VERSION",
        "LATEST",
        "PENDING",
        "ENQUEUED",
        "DELAYED",
        "OLDEST",
        "NEXT",
        "WAKE-UP",
    ]
    assert executor_state.DEAD not in shown.lower()

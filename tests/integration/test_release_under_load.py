"""v1 to v2 while clients ask, schedules fire and work comes in: nothing fails, nothing is lost, nothing runs twice."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from load_kit import Clients, Enqueuer
from process_kit import until
from release_kit import Kit, sample_image

ROWS = (
    "SELECT workflow_uuid, status, application_version, executor_id, recovery_attempts, created_at / 1000.0::float, "
    "started_at_epoch_ms / 1000.0::float, schedule_name FROM dbos.workflow_status"
)
OWN = "SELECT count(*) FROM dbos.workflow_status WHERE status = 'SUCCESS' AND application_version = 'v2'"
LATE = (
    "SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid LIKE 'any-%' AND created_at > 1000 + "
    "(SELECT version_timestamp FROM dbos.application_versions WHERE version_name = 'v2')"
)
TICKS = "SELECT count(*) FROM dbos.workflow_status WHERE schedule_name = 'every-second'"
SCHEDULE = (
    "INSERT INTO dbos.workflow_schedules (schedule_id, schedule_name, workflow_name, schedule, status, context, "
    "cron_timezone, application_name) VALUES ('1', 'every-second', 'tick', '* * * * * *', 'ACTIVE', '{}', '', 'shop')"
)


@pytest.fixture(scope="module")
def kit(platform: Any, ansible_playbook: Any, namespace: str, tmp_path_factory: Any) -> Iterator[Kit]:
    one = Kit(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("load"))
    one.prepare()
    yield one
    one.forget()


@pytest.fixture(scope="module")
def course(kit: Kit, root: Path) -> dict[str, Any]:
    """One release of v2 over v1 under load, and all that it left in the database."""
    image = sample_image(kit, root)
    kit.sql(SCHEDULE)
    kit.released("v1", image)
    until("scheduled", lambda: kit.sql(TICKS)[0][0] > 0)
    address = kit.get("service", "shop")["spec"]["clusterIP"]
    enqueuer = Enqueuer(kit.url("owner"), "shop")
    named: list[str | None] = [None, "v1"]
    with Clients(address, 8080) as clients, enqueuer.steadily(lambda: named), closing(enqueuer.session()) as open_:
        kit.released("v2", image, env={"COLOUR": "red"}, state="staged")
        named.append("v2")
        clients.served(200)
        until("v2 did what names it", lambda: kit.sql(OWN)[0][0] > 2)
        # Not committed before the promotion is done: it must not be lost, and run on what is the latest then.
        enqueuer.enqueue(open_, "uncommitted", None)
        kit.released("v2", image, env={"COLOUR": "red"})
        open_.commit()
        clients.served(200)
        until("three times asked for what names no version", lambda: kit.sql(LATE)[0][0] > 2)
        until("scheduled eleven times", lambda: kit.sql(TICKS)[0][0] > 10)
    kit.sql("UPDATE dbos.workflow_schedules SET status = 'PAUSED'")
    at = kit.versions()["v2"][0] / 1000
    # The pods look every 30 seconds for schedules that were paused; until then there may be a new row at any moment.
    rows = until("all done", lambda: _done(kit.sql(ROWS)), timeout=180)
    keys = ("id", "status", "version", "executor", "attempts", "created", "started", "schedule")
    found = {row[0]: dict(zip(keys, row, strict=True)) for row in rows}
    return {"clients": clients, "made": enqueuer.made, "rows": found, "promoted": at}


def _done(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows, when none of them is unfinished."""
    return [] if any(row[1] in ("ENQUEUED", "PENDING", "DELAYED") for row in rows) else rows


def test_no_request_fails_and_connections_are_kept(course: dict[str, Any]) -> None:
    clients = course["clients"]
    assert clients.failures == []
    assert clients.answered > 400
    assert clients.reconnected == 0


def test_nothing_is_lost_and_nothing_runs_twice(course: dict[str, Any]) -> None:
    rows, clients = course["rows"], course["clients"]
    asked = {*course["made"], *clients.enqueued}
    assert len(asked) > 20 and asked <= rows.keys()
    assert Counter(row["status"] for row in rows.values()) == {"SUCCESS": len(rows)}
    assert {row["attempts"] for row in rows.values()} == {1}


def test_every_row_runs_on_its_version(kit: Kit, course: dict[str, Any]) -> None:
    rows = course["rows"]
    for row in rows.values():
        assert row["executor"].startswith(f"shop-{row['version']}-"), row
    for identity, (version, _at) in course["made"].items():
        assert version in (None, rows[identity]["version"]), rows[identity]


def test_a_staged_version_gets_only_what_names_it(course: dict[str, Any]) -> None:
    made = course["made"]
    early = [row for row in course["rows"].values() if row["version"] == "v2" and row["started"] < course["promoted"]]
    assert len(early) > 2
    assert [row for row in early if made.get(row["id"], ("",))[0] != "v2"] == []


def test_new_work_goes_to_the_promoted_version(course: dict[str, Any]) -> None:
    rows, promoted = course["rows"], course["promoted"]
    assert rows["uncommitted"]["version"] == "v2"
    late = [row for row in rows.values() if row["created"] > promoted + 1]
    free = [row for row in late if row["schedule"] or course["made"].get(row["id"], ("",))[0] is None]
    assert len(free) > 2
    assert {row["version"] for row in free} == {"v2"}


def test_no_tick_of_the_schedule_is_missing(course: dict[str, Any]) -> None:
    times = sorted(
        datetime.fromisoformat(row["id"].removeprefix("sched-every-second-"))
        for row in course["rows"].values()
        if row["schedule"]
    )
    gaps = [(a, b) for a, b in itertools.pairwise(times) if b - a > timedelta(seconds=1)]
    assert len(times) > 10 and gaps == [], json.dumps([str(pair) for pair in gaps])

"""Which workflows are parked, and whose pods they hold."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import compacting, lifecycle, lifecycle_tick
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import Observed, Work, Workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle_tick import Policy

NOW = 1_800_000_000_000


def row(executor: str, count: int = 1, version: str = "v1", status: str = "PENDING") -> dict[str, Any]:
    return {"version": version, "status": status, "executor": executor, "count": count}


@pytest.mark.parametrize(
    ("rows", "sparse"),
    [
        ([row("shop-v1-4")], True),
        ([row("shop-v1-0")], False),
        ([row("shop-v1-4"), row("shop-v1-2")], True),
        ([row("shop-v1-1"), row("shop-v1-0")], False),
        ([row("shop-v1-4", 5)], False),
        ([row("shop-v1-4"), row("another")], False),
        ([row("shop-v1-4", version="v2")], False),
        ([row("shop-v1-4", status="ENQUEUED")], False),
        ([], False),
    ],
)
def test_few_workflows_on_high_ordinals_are_sparse(rows: list[dict[str, Any]], sparse: bool) -> None:
    assert compacting.sparse(rows, "v1", "shop-v1") == sparse


def test_only_pods_of_the_workload_have_ordinals() -> None:
    assert compacting.ordinal("shop-v1-10", "shop-v1") == 10
    assert [compacting.ordinal(name, "shop-v1") for name in ("shop-v1-01", "shop-v10-1", "shop-v1-x", None)] == [
        None
    ] * 4


def test_only_long_sleeps_that_were_not_moved_too_often_are_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    def sleeper(seconds: int, attempts: int = 1, status: str = "PENDING") -> dict[str, Any]:
        end = NOW + seconds * 1000
        step = {
            "number": 1, "name": "DBOS.sleep", "child": None, "child_status": None, "end": str(end), "completed": end,
            "follows": True,
        }  # fmt: skip
        return {
            "status": status, "queue": None, "executor": "shop-v1-4", "attempts": attempts, "now": NOW, "step": step,
            "partition": None, "delayed": None,
        }  # fmt: skip

    rows = [sleeper(86400), sleeper(60), sleeper(86400, attempts=21), sleeper(86400, status="ENQUEUED")]
    monkeypatch.setattr(compacting.blockers, "rows", lambda *_: rows)
    assert compacting.parked(None, "shop", "v1", 4) == 1  # type: ignore[arg-type] # the read is replaced


def observed(work: Work, **workload: Any) -> Observed:
    pods = Workload("v1", lifecycle.STATEFUL_SET, 5, pods=5, **workload)
    record = lifecycle.Record("v1", 1, {}, "t", promotions=("2026-11-24T12:00:00+00:00",))
    rows = (lifecycle.Registration("v1", 5, "shop"), lifecycle.Registration("v2", 9, "shop"))
    promoted = Workload("v2", lifecycle.STATEFUL_SET, 1)
    return Observed(rows, (pods, promoted), (record,), selected="v2", work={"v1": work}, read_at=100.0)


@pytest.mark.parametrize(
    ("work", "workload", "verbs"),
    [
        (Work(pending=1, parked=1), {}, ["compact"]),
        (Work(pending=1, parked=1, delayed=3), {}, ["compact"]),
        (Work(pending=2, parked=1), {}, []),
        (Work(pending=1, parked=1, enqueued=1), {}, []),
        (Work(pending=1, parked=1), {"ours": False}, []),
        (Work(enqueued=1), {"compacting": True}, ["compact"]),
        (Work(), {"compacting": True}, ["compact"]),
    ],
)
def test_a_version_is_compacted_only_while_all_that_runs_is_parked(
    work: Work, workload: dict[str, Any], verbs: list[str]
) -> None:
    tick = lifecycle_tick.tick(observed(work, **workload), "shop", Policy(), 101.0)
    assert [action.verb for action in tick.actions if action.version == "v1"] == verbs

"""The proof of a drained version, and the words for what a workflow waits for."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import drain_wait, draining, waiting
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import DatabaseError
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Unreachable
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle_tick import Policy
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import work

NOW = 1_790_000_000_000
POLICY = Policy(reads=3, seconds=0.0)


class Database:
    """Only its name is looked at."""

    name = "shop"


def seen(count: int = 0, **changes: Any) -> dict[str, Any]:
    row = {"version": "v1", "status": "DELAYED", "queue": "q", "executor": None, "count": count, "oldest": 1, "due": 0}
    registered = [{"version": "v1", "timestamp": 1}, {"version": "v2", "timestamp": 2}]
    return {"level": 125, "registered": registered, "work": [row] if count else [], "replica": False, **changes}


def answered(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[Any]:
    """The reads answer these; returned is what is left of them."""
    left = list(answers)

    def read(_database: Any, _owner: str) -> Any:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(work, "read", read)
    return left


def prove(monkeypatch: pytest.MonkeyPatch, *answers: Any, version: str = "v1") -> draining.Evidence:
    answered(monkeypatch, *answers)
    return draining.prove(Database(), "shop", version, POLICY, Progress(""), pause=lambda _seconds: None)  # type: ignore[arg-type]


def test_only_all_reads_in_a_row_are_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    found = prove(monkeypatch, seen(), seen(), seen())
    assert found.drained and found.reads == 3 and found.schema_version == 125
    found = prove(monkeypatch, seen(), seen(), seen(2))
    assert not found.drained and found.unfinished == {"pending": 0, "enqueued": 0, "delayed": 2}


def test_one_read_serves_all_versions_and_each_is_judged_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    left = answered(monkeypatch, seen(), seen(2), seen(), seen())
    database: Any = Database()
    found = draining.prove_all(database, "shop", ["v1", "v0"], POLICY, Progress(""), pause=lambda _seconds: None)
    assert {version: (one.drained, one.reads) for version, one in found.items()} == {"v1": (False, 2), "v0": (True, 3)}
    assert len(left) == 1


@pytest.mark.parametrize(
    ("answers", "version", "text"),
    [
        ([seen(), DatabaseError("gone")], "v1", "gone"),
        ([None], "v1", "no DBOS schema"),
        ([seen(), seen(replica=True)], "v1", "replica"),
        ([seen()], "v2", "is the latest"),
        ([seen()], "v11", "no version v11"),
    ],
)
def test_what_is_no_proof_is_an_error(
    monkeypatch: pytest.MonkeyPatch, answers: list[Any], version: str, text: str
) -> None:
    with pytest.raises(DbosError, match=text):
        prove(monkeypatch, *answers, version=version)


@pytest.mark.parametrize("before", [[seen(1)], [seen()]], ids=["between-proofs", "in-mid-proof"])
def test_the_wait_goes_on_where_a_primary_fails_over(monkeypatch: pytest.MonkeyPatch, before: list[Any]) -> None:
    answers = [*before, seen(replica=True), seen(replica=True), seen(), seen(), seen()]
    assert wait(monkeypatch, answers).drained and not answers


def test_a_replica_from_the_beginning_on_is_a_wrong_address(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [seen(replica=True), seen()]
    with pytest.raises(DbosError, match="Give the primary's address"):
        wait(monkeypatch, answers)
    assert len(answers) == 1


def test_the_wait_goes_on_without_the_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge() -> Any:
        raise Unreachable("The Kubernetes API does not answer.")

    assert wait(monkeypatch, [seen(1), seen(), seen(), seen()], judge).drained


def wait(monkeypatch: pytest.MonkeyPatch, answers: list[Any], judge: Any = None) -> draining.Evidence:
    monkeypatch.setattr(work, "read", lambda *_: answers.pop(0))
    monkeypatch.setattr(draining, "blockers", lambda *_: [])
    monkeypatch.setattr(drain_wait, "POLL", 0.0)
    request = drain_wait.Request("shop", "v1", POLICY, 60.0, drain_wait.FAIL)
    return drain_wait.Drainer(Database(), request, Progress(""), judge)._wait()  # type: ignore[arg-type]


def row(status: str = "PENDING", step: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "id": "w", "status": status, "workflow": "task", "queue": None, "created": NOW - 5000, "executor": "shop-v1-0",
        "attempts": 1, "partition": None, "delayed": None, "now": NOW, "step": step, **changes,
    }  # fmt: skip


def sleep(end: str, completed: int, *, follows: bool = False) -> dict[str, Any]:
    return {
        "number": 3, "name": "DBOS.sleep", "child": None, "child_status": None, "end": end, "completed": completed,
        "follows": follows,
    }  # fmt: skip


PYTHON, GO = str((NOW + 60_000) / 1000), base64.b64encode(str(NOW + 60_000).encode()).decode()
CHILD = {**sleep("", 0), "name": "child", "child": "c1", "child_status": "ENQUEUED"}
STEP = {**sleep("", 0), "name": "charge"}
LIMITED = {"limit": 2, "running": 2, "partition_limit": None, "rate": None}


@pytest.mark.parametrize(
    ("one", "queue", "state", "words"),
    [
        (row("DELAYED", delayed=NOW), {}, "unknown", "end of its delay"),
        (row("ENQUEUED", queue="q"), LIMITED, "unknown", "2 run, its limit is 2"),
        (row("ENQUEUED", queue="q"), {**LIMITED, "running": 1}, "unknown", "an executor of its version"),
        (row("ENQUEUED", queue="q", partition="eu"), {}, "unknown", "partition eu of queue q"),
        (row(), {}, "dead", "shop-v1-0, which is dead"),
        (row(), {}, "alive", "its first step"),
        (row(step=sleep(PYTHON, NOW + 60_000)), {}, "alive", "end of its sleep"),
        (row(step=sleep(GO, NOW + 60_000)), {}, "unknown", "end of its sleep"),
        (row(step=sleep(GO, NOW, follows=True)), {}, "alive", "end of its sleep"),
        (row(step=sleep(GO, NOW)), {}, "alive", "topic is not recorded"),
        (row(step=sleep("gASV", NOW + 60_000)), {}, "alive", "end of its sleep"),
        (row(step=CHILD), {}, "alive", "child workflow c1"),
        (row(step=STEP), {}, "alive", "a step after number 3 (charge)"),
    ],
)
def test_what_a_workflow_waits_for(one: dict[str, Any], queue: dict[str, Any], state: str, words: str) -> None:
    found = waiting.described(one, "v1", {"q": queue} if queue else {}, lambda _executor: state)
    assert words in found["waits_for"]
    assert found["age"] == 5
    assert json.dumps(found)

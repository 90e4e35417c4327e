"""Versions to their end, tick by tick, on the real platform: nothing with work goes, and what is gone returns."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from load_kit import ENQUEUE
from module_call import call
from process_kit import until
from release_kit import Kit, sample_image

from ansible_collections.dbos.kubernetes.plugins.module_utils import retiring, taking_down
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import work

LEDGER = "app.kubernetes.io/component=ledger"
YEAR = 365 * 86400


@pytest.fixture(scope="module")
def image(platform: Any, ansible_playbook: Any, root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return sample_image(Kit(platform, ansible_playbook, "unused", tmp_path_factory.mktemp("images")), root)


@pytest.fixture(scope="module")
def kit(
    platform: Any, ansible_playbook: Any, namespace: str, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kit]:
    """An application whose v2 was promoted over v1."""
    one = Kit(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("retirement"))
    one.prepare()
    release(one, image, "v1")
    release(one, image, "v2")
    yield one
    one.forget()


def release(kit: Kit, image: str, version: str) -> None:
    kit.released(version, image, env={"COLOUR": version}, files={"colour": version}, replicas=1)


def options(kit: Kit) -> dict[str, Any]:
    return {
        "kubeconfig": str(kit.platform.kubeconfig),
        "name": kit.app,
        "namespace": kit.namespace,
        "lease": kit.app,
        "database_url": kit.url("owner"),
        "ca": (kit.platform.directory / "pki/ca.crt").read_text(),
        "seconds": 0.5,
    }


def attempt(kit: Kit, *, check: bool = False, **changed: Any) -> dict[str, Any]:
    """One tick, with its Lease given up as the playbook does."""
    try:
        return call("retirement", check=check, **{**options(kit), **changed})
    finally:
        where = {"application": kit.app, "namespace": kit.namespace, "state": "absent"}
        call("lease", kubeconfig=str(kit.platform.kubeconfig), **where)


def tick(kit: Kit, **changed: Any) -> list[tuple[str, str]]:
    """What it did."""
    result = attempt(kit, **changed)
    assert not result.get("failed"), result
    return [(action["verb"], action["version"]) for action in result["actions"]]


def enqueue(kit: Kit, version: str, given: int | str, queue: str = "taskQueue", workflow: str = "task") -> str:
    name = f"{version}-{uuid.uuid4().hex[:6]}"
    statement = ENQUEUE.replace("'0'::json", f"'{json.dumps(given)}'::json").replace("taskQueue", queue)
    kit.sql(statement.replace("'task'", f"'{workflow}'"), name, version, kit.app)
    return name


def serve(kit: Kit, workflow: str) -> None:
    """Moves work from a queue that nobody serves to one that every pod does."""
    kit.sql("UPDATE dbos.workflow_status SET queue_name = 'taskQueue' WHERE workflow_uuid = %s", workflow)


def row(kit: Kit, workflow: str) -> tuple[str, int]:
    query = "SELECT status, recovery_attempts FROM dbos.workflow_status WHERE workflow_uuid = %s"
    return kit.sql(query, workflow)[0]


def done(kit: Kit, workflow: str) -> int:
    """Waits for its success; how often it was begun."""
    until(f"{workflow} done", lambda: row(kit, workflow)[0] == "SUCCESS", 120)
    return row(kit, workflow)[1]


def gone(kit: Kit, version: str) -> None:
    until(f"no pod of {version}", lambda: not any(f"{kit.app}-{version}-" in n for n in kit.names("pods")))


def retire(kit: Kit, version: str) -> dict[str, Any]:
    """From draining to retired; the last tick's result."""
    assert ("stop", version) in tick(kit)
    gone(kit, version)
    result = attempt(kit)
    assert ("retire", version) in [(action["verb"], action["version"]) for action in result["actions"]], result
    return result


def record(kit: Kit, version: str) -> dict[str, Any]:
    text = kit.kubectl("get", "controllerrevision", "-n", kit.namespace, "-l", LEDGER, "-o", "json")
    found = [one for one in json.loads(text)["items"] if one["data"]["version"] == version]
    return dict(max(found, key=lambda one: int(one["revision"])))


def test_a_version_lives_until_its_work_is_done(kit: Kit) -> None:
    workflow = enqueue(kit, "v1", 0, "nobody")
    result = attempt(kit)
    assert result["actions"] == [] and not result["changed"]
    assert [one["type"] for one in result["conditions"]["v1"]] == ["Draining"]
    serve(kit, workflow)
    assert done(kit, workflow) == 1
    # The plan, which changes nothing.
    planned = attempt(kit, check=True)
    assert [action["verb"] for action in planned["actions"]] == ["stop"] and planned["changed"]
    assert kit.get("statefulset", "shop-v1")["spec"]["replicas"] == 1
    result = retire(kit, "v1")
    evidence = result["evidence"]["v1"]
    assert evidence["stopped"] and evidence["reads"] == 3 and evidence["pending"] == 0
    assert kit.names("statefulset") == ["shop-v2"] and kit.names("poddisruptionbudget") == ["shop-v2"]
    assert sorted(kit.names("service")) == ["shop", "shop-v2"]
    assert len([name for name in kit.names("configmap") if "files" in name]) == 1
    written = record(kit, "v1")["metadata"]["annotations"]
    assert json.loads(written["dbos.kubernetes/evidence"])["database"] == kit.database
    assert written["dbos.kubernetes/retired"]
    result = attempt(kit)
    assert result["actions"] == []
    assert {name: said[0]["type"] for name, said in result["conditions"].items()} == {"v1": "Retired", "v2": "Promoted"}


def test_work_that_returns_revives_a_retired_version(kit: Kit) -> None:
    workflow = enqueue(kit, "v1", 0)
    assert tick(kit) == [("revive", "v1")]
    assert done(kit, workflow) == 1
    container = kit.get("statefulset", "shop-v1")["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "COLOUR", "value": "v1"} in container["env"]
    assert "dbos.kubernetes/retired" not in record(kit, "v1")["metadata"]["annotations"]
    assert kit.get("service", "shop")["spec"]["selector"]["app.kubernetes.io/version"] == "v2"


def test_work_between_the_last_read_and_the_deletion_is_not_lost(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[str] = []
    prove, delete = retiring.Ticker._prove, taking_down.retire

    def proven_and_then_not(*arguments: Any) -> Any:
        found = prove(*arguments)
        # On a queue that nobody serves: v1, which still runs, may not be done with it before it is read again.
        late.append(enqueue(kit, "v1", 0, "nobody"))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(retiring.Ticker, "_prove", proven_and_then_not)
        assert tick(kit) == []
    serve(kit, late[0])
    assert done(kit, late.pop()) == 1
    assert tick(kit) == [("stop", "v1")]
    gone(kit, "v1")
    # After zero pods.
    workflow = enqueue(kit, "v1", 0)
    assert tick(kit) == [("revive", "v1")]
    assert done(kit, workflow) == 1
    assert tick(kit) == [("stop", "v1")]
    gone(kit, "v1")

    def too_late(*arguments: Any) -> None:
        late.append(enqueue(kit, "v1", 0))
        delete(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(taking_down, "retire", too_late)
        assert tick(kit) == [("retire", "v1")]
    assert kit.names("statefulset") == ["shop-v2"]
    assert tick(kit) == [("revive", "v1")]
    assert done(kit, late.pop()) == 1


def test_a_deleted_workload_comes_back_and_goes_on(kit: Kit) -> None:
    # It waits for a message: it may not be done before its pod is gone, however long that takes.
    workflow = enqueue(kit, "v1", "go", workflow="wait")
    until("begun", lambda: row(kit, workflow)[0] == "PENDING")
    kit.kubectl("delete", "statefulset", "shop-v1", "-n", kit.namespace)
    gone(kit, "v1")
    result = attempt(kit)
    assert [one["type"] for one in result["conditions"]["v1"]] == ["Stranded"]
    assert [action["verb"] for action in result["actions"]] == ["revive"]
    kit.sql("SELECT dbos.send_message(%s, '\"on\"'::json, 'go')", workflow)
    assert done(kit, workflow) == 2


def test_nothing_goes_on_missing_data(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    there = kit.names("statefulset")
    nowhere = json.loads(kit.kubectl("config", "view", "--raw", "-o", "json"))
    nowhere["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    api_gone = call("retirement", **{**options(kit), "kubeconfig": nowhere})
    assert api_gone["failed"] and "does not answer" in api_gone["msg"]
    database_gone = attempt(kit, database_url=kit.url("owner").replace(":5432", ":9"))
    assert database_gone["failed"] and not database_gone.get("changed")
    read, reads = work.read, iter([False, False, True])

    def failing_over(*arguments: Any, **keywords: Any) -> Any:
        return {**read(*arguments, **keywords), "replica": next(reads)}

    with monkeypatch.context() as patch:
        patch.setattr(work, "read", failing_over)
        result = attempt(kit)
    assert result["failed"] and "replica" in result["msg"]
    assert kit.names("statefulset") == there

    def cut(*arguments: Any, **keywords: Any) -> Any:
        kit.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'dbos.kubernetes'"
        )
        return read(*arguments, **keywords)

    # The next one goes on, and does not mind that its session is cut at every read.
    with monkeypatch.context() as patch:
        patch.setattr(work, "read", cut)
        assert tick(kit) == [("stop", "v1")]
    gone(kit, "v1")
    assert tick(kit) == [("retire", "v1")]


def test_another_run_is_left_in_peace(kit: Kit) -> None:
    other = {"application": kit.app, "namespace": kit.namespace, "kubeconfig": str(kit.platform.kubeconfig)}
    kit.kubectl("delete", "lease", "dbos-shop", "-n", kit.namespace, "--ignore-not-found")
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "collections")]
    hold = f"call('lease', **{other!r}); print('held', flush=True); time.sleep(60)"
    script = f"import sys, time; sys.path[:0] = {paths!r}; from module_call import call; {hold}"
    held = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert held.stdout is not None and held.stdout.readline() == "held\n"
        result = call("retirement", **options(kit))
        assert not result.get("failed") and not result["changed"]
        assert f"process {held.pid}" in result["held_by"]
    finally:
        held.kill()
        held.wait()
    call("lease", **other, state="frozen", by="alice", reason="an incident")
    try:
        result = call("retirement", **options(kit))
        assert result["failed"] and "frozen by alice" in result["msg"]
    finally:
        call("lease", **other, state="thawed")


def test_five_versions_at_once_and_a_sleep_of_a_year(kit: Kit, image: str) -> None:
    sleeper = enqueue(kit, "v2", YEAR)
    for version in ("v3", "v4", "v5", "v6"):
        release(kit, image, version)
    assert len(kit.names("statefulset")) == 5
    until("asleep", lambda: row(kit, sleeper)[0] == "PENDING")
    result = attempt(kit, deadline=0)
    assert {(a["verb"], a["version"]) for a in result["actions"]} == {("stop", v) for v in ("v3", "v4", "v5")}
    assert {one["type"] for one in result["conditions"]["v2"]} == {"Draining", "DrainBlocked"}
    for version in ("v3", "v4", "v5"):
        gone(kit, version)
    assert {verb for verb, _version in tick(kit)} == {"retire"}
    assert sorted(kit.names("statefulset")) == ["shop-v2", "shop-v6"]
    assert tick(kit) == []
    # An abandoned stage, and the sleeper's end.
    kit.released("v7", image, env={"COLOUR": "v7"}, replicas=1, state="staged")
    assert tick(kit) == []
    assert tick(kit, give_up=["v7"]) == [("stop", "v7")]
    gone(kit, "v7")
    assert tick(kit, give_up=["v7"]) == [("retire", "v7")]
    assert row(kit, sleeper) == ("PENDING", 1)

"""Recovery on the real platform: what no live executor will take is found and repaired, and nothing else is touched."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from process_kit import until
from recovery_kit import UNTOUCHED, Shop, deployed_shop


@pytest.fixture(scope="module")
def deployed(
    platform: Any, ansible_playbook: Any, namespace: str, root: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    with deployed_shop(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("recovery"), root) as one:
        yield one


@pytest.fixture
def shop(deployed: Shop) -> Iterator[Shop]:
    yield deployed
    deployed.finish()


def kinds(found: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(entry["kind"], entry["version"]) for entry in found["stranded"]]


def test_a_busy_pod_that_lives_is_not_touched_nor_is_a_stranger(shop: Shop) -> None:
    """Conductor's names are random; 'local' is anyone's; another application's pods are not ours."""
    busy = shop.start("v1", 3600)
    strangers = [shop.insert(one) for one in (str(uuid.uuid4()), "local", "other-v1-0", None, f"{shop.app}-v1-00")]
    before = sorted(shop.sql(UNTOUCHED))
    for repair in ("requeue", "fork", "revive"):
        found = shop.recover(repair=repair, to_version="v2")
        assert not found["changed"] and found["stranded"] == [], found
    assert sorted(shop.sql(UNTOUCHED)) == before
    states = {entry["id"]: entry["state"] for entry in found["executors"]}
    assert states[f"{shop.app}-v1-0"] == "alive" and states["local"] == "unknown"
    assert shop.row(busy)[0] == "PENDING" and len(strangers) == 5


def test_the_work_of_a_lost_pod_is_requeued_once_and_a_live_executor_ends_it(shop: Shop) -> None:
    """Its ordinal does not come back, as after a scale-in; the other pod of its version takes the work."""
    shop.ready("v1", 2)
    lost = f"{shop.app}-v1-1"
    orphan, direct = shop.wait("v1", ordinal=1), shop.wait("v1")
    shop.scale("v1", 1)
    shop.kill(lost)
    until("gone", lambda: lost not in shop.names("pod"))
    found = shop.recover(check=True, repair="requeue")
    assert found["changed"] and kinds(found) == [("dead_executor", "v1")]
    repaired = shop.recover(repair="requeue")
    assert repaired["requeued"] == [orphan]
    assert shop.recover(repair="requeue")["requeued"] == []
    until("taken", lambda: shop.row(orphan)[1] == f"{shop.app}-v1-0")
    shop.end(orphan, direct)
    until("done", lambda: {shop.row(orphan)[0], shop.row(direct)[0]} == {"SUCCESS"})
    assert (shop.row(orphan)[2], shop.row(direct)[2]) == (2, 1)


def test_what_was_taken_too_often_is_named_not_requeued(shop: Shop) -> None:
    tired = shop.insert(f"{shop.app}-v1-7", recovery_attempts=102)
    found = shop.recover(repair="requeue")
    assert found["requeued"] == [] and [entry["id"] for entry in found["refused"]] == [tired]
    assert shop.row(tired)[0] == "PENDING"


def test_a_dead_head_of_a_limited_queue_is_found(shop: Shop) -> None:
    now = int(time.time() * 1000)
    shop.sql(
        "INSERT INTO dbos.queues (queue_id, name, concurrency, created_at, updated_at) "
        "VALUES ('n', 'narrow', 1, %s, %s)",
        now, now,
    )  # fmt: skip
    head = shop.insert(f"{shop.app}-v1-7", queue_name="narrow")
    shop.insert(None, "ENQUEUED", queue_name="narrow")
    found = shop.recover()
    assert kinds(found) == [("dead_executor", "v1"), ("blocked_queue", None)] and not found["changed"]
    assert shop.recover(repair="requeue")["requeued"] == [head]


def test_no_pod_that_comes_and_goes_loses_or_doubles_work_while_recovery_runs(shop: Shop) -> None:
    """Pods are killed and started at random under a recovery that runs without pause; every workflow ends once."""
    shop.ready("v1", 3)
    pods = [f"{shop.app}-v1-{ordinal}" for ordinal in range(3)]
    where = f"/api/v1/namespaces/{shop.namespace}/pods/{pods[0]}:8080/proxy/enqueue/3"
    ids = [str(json.loads(shop.kubectl("get", "--raw", where))["workflow_id"]) for _one in range(12)]
    stranger = shop.insert(str(uuid.uuid4()))
    stop, done = threading.Event(), []

    def repair() -> None:
        while not stop.is_set():
            done.extend(shop.recover(repair="requeue")["requeued"])

    thread = threading.Thread(target=repair)
    thread.start()
    chosen = random.Random(4)
    try:
        for _round in range(4):
            shop.kill(chosen.choice(pods))
            time.sleep(2)
        left = "SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = ANY(%s) AND status <> 'SUCCESS'"
        until("ended", lambda: shop.sql(left, ids) == [(0,)], 180)
    finally:
        stop.set()
        thread.join()
    sleeps = "SELECT count(*) FROM dbos.operation_outputs WHERE workflow_uuid = ANY(%s)"
    assert shop.sql(sleeps, ids) == [(len(ids),)]
    assert shop.row(stranger)[0] == "PENDING" and stranger not in done
    shop.ready("v1", 1)


def test_a_version_without_pods_is_revived_or_its_work_forked(shop: Shop) -> None:
    """All pods of a version killed and its workload deleted: its running workflow goes on where it was."""
    first, second = shop.wait("v1"), shop.insert(None, "ENQUEUED", queue_name="nobody")
    shop.kubectl("delete", "statefulset", f"{shop.app}-v1", "-n", shop.namespace, "--wait=false")
    shop.kill(f"{shop.app}-v1-0")
    until("gone", lambda: shop.gone("v1") and shop.get("statefulset", f"{shop.app}-v1") is None)
    found = shop.recover()
    assert kinds(found) == [("dead_executor", "v1"), ("version_without_pods", "v1")], found
    forked = shop.recover(repair="fork", to_version="v2")
    assert sorted(entry["from"] for entry in forked["forked"]) == sorted([first, second])
    fork = {entry["from"]: entry["to"] for entry in forked["forked"]}[first]
    shop.end(fork)
    until("done on v2", lambda: shop.row(fork)[:2] == ("SUCCESS", f"{shop.app}-v2-0"))
    assert shop.row(first)[0] == "CANCELLED"
    third = shop.insert(None, "ENQUEUED", queue_name="nobody")
    revived = shop.recover(repair="revive")
    assert revived["revived"] == ["v1"] and revived["changed"]
    until("a pod again", lambda: not shop.gone("v1"))
    assert shop.row(third)[0] == "ENQUEUED"
    assert not shop.recover(repair="revive")["changed"]


def test_work_without_a_version_while_the_latest_has_no_pod(shop: Shop) -> None:
    shop.insert(None, "ENQUEUED", application_version=None)
    shop.scale("v2", 0)
    until("gone", lambda: shop.gone("v2"))
    assert kinds(shop.recover()) == [("latest_without_pods", "v2")]
    assert shop.recover(repair="revive")["revived"] == ["v2"]
    until("a pod again", lambda: not shop.gone("v2"))

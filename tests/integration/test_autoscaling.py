"""Scaling with the real KEDA: replicas rise and fall with the work, and no executor loses what it runs."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from load_kit import ENQUEUE
from process_kit import until
from release_kit import Kit, sample_image

pytestmark = pytest.mark.slow

WORKLOAD = "shop-v1"
# HPAs act every 15 s, and pods may be slow to come.
SOON = 150
NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


@pytest.fixture(scope="module")
def kit(
    platform: Any, ansible_playbook: Any, root: Any, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kit]:
    one = Kit(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("autoscaling"))
    one.prepare()
    one.released("v1", sample_image(one, root), replicas=1)
    yield one
    one.kubectl("delete", "scaledobject", "--all", "-n", namespace)
    one.forget()


def scale(kit: Kit, **options: Any) -> dict[str, Any]:
    """The module, quick enough for a test."""
    user = f"{kit.database}_metrics"
    settings = {
        "version": "v1",
        "max_replicas": 12,
        "polling_interval": 2,
        "scale_in_delay": 5,
        "database": {"host": kit.platform.node, "name": kit.database, "user": user, "secret": "shop-metrics"},
    }
    given = {name: value for name, value in {**settings, **options}.items() if value is not None}
    return kit.on_application("autoscaling", **given)


def scaled(kit: Kit, **options: Any) -> dict[str, Any]:
    result = scale(kit, **options)
    assert not result["failed"], result["output"]
    return result


def replicas(kit: Kit) -> int:
    return int(kit.get("statefulset", WORKLOAD)["spec"]["replicas"])


def insert(
    kit: Kit, count: int, status: str = "ENQUEUED", *, delay: str = "NULL", version: str = "v1", queue: str = "nobody"
) -> None:
    """Rows on a queue that nobody listens to, or of an executor that is nobody: work that stays."""
    kit.sql(
        "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, application_version,"
        " application_name, created_at, updated_at, executor_id, delay_until_epoch_ms)"
        f" SELECT 'made-' || gen_random_uuid(), %s, 'task', %s, %s, 'shop', {NOW_MS}, {NOW_MS}, 'test', {delay}"
        " FROM generate_series(1, %s)",
        status,
        queue,
        version,
        count,
    )


def remove(kit: Kit) -> None:
    kit.sql("DELETE FROM dbos.workflow_status WHERE workflow_uuid LIKE 'made-%'")


def enqueue(kit: Kit, *seconds: int) -> list[str]:
    return [str(json.loads(kit.http(f"/enqueue/{each}"))["workflow_id"]) for each in seconds]


def alone(kit: Kit) -> None:
    """One pod is left: another that is on its way out may still take work, and would lose it."""
    until("one pod", lambda: kit.names("pods") == [f"{WORKLOAD}-0"], SOON)


def unfinished(kit: Kit) -> list[tuple[str, str, str]]:
    columns = "status, executor_id, workflow_uuid"
    return kit.sql(f"SELECT {columns} FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')")


def taken_by(kit: Kit) -> list[int]:
    """How many workflows each busy executor has."""
    return sorted(Counter(executor for status, executor, _ in unfinished(kit) if status == "PENDING").values())


def test_it_is_set_up_once(kit: Kit) -> None:
    first = scaled(kit)
    assert first["changed"] and first["scaled_object"] == WORKLOAD
    again = scaled(kit)
    assert not again["changed"], again["output"]


def test_ten_to_eleven_by_one_row(kit: Kit) -> None:
    try:
        insert(kit, 20)
        until("10 replicas", lambda: replicas(kit) == 10, SOON)
        time.sleep(20)
        assert replicas(kit) == 10
        insert(kit, 1)
        until("11 replicas", lambda: replicas(kit) == 11, SOON)
    finally:
        remove(kit)
    until("1 replica", lambda: replicas(kit) == 1, SOON)


def test_others_work_does_not_count(kit: Kit) -> None:
    try:
        insert(kit, 8, version="v0")
        insert(kit, 4, "SUCCESS")
        insert(kit, 4, "DELAYED", delay=f"{NOW_MS} + 3600000")
        insert(kit, 3)
        kit.sql(
            "UPDATE dbos.workflow_status SET application_version = NULL"
            " WHERE application_version = 'v1' AND status = 'ENQUEUED' AND workflow_uuid LIKE 'made-%'"
        )
        # Three version-less rows belong to the latest version: two executors.
        until("2 replicas", lambda: replicas(kit) == 2, SOON)
        time.sleep(20)
        assert replicas(kit) == 2
    finally:
        remove(kit)


def test_no_executor_loses_its_work(kit: Kit) -> None:
    """Short and long tasks over several executors: replicas fall under the work, and never below a busy ordinal."""
    alone(kit)
    long = enqueue(kit, *[5, 70, 10, 15, 5, 40, 10, 55])
    short = ENQUEUE.replace("'0'::json", "'1'::json") + " FROM generate_series(1, 200)"
    kit.sql(short.replace("%s", "gen_random_uuid()::text", 1), "v1", "shop")
    most, deadline = 0, time.monotonic() + 300
    while left := unfinished(kit):
        assert time.monotonic() < deadline, left
        # The last short ones, which end within the drain, may be taken by a pod that goes, after KEDA has counted.
        taken = [executor for status, executor, id_ in left if status == "PENDING" and id_ in long]
        busy = [int(executor.rsplit("-", 1)[1]) for executor in taken]
        wanted = replicas(kit)
        most = max(most, wanted)
        # Read after the work: replicas may have risen since, but never fallen under it.
        assert not busy or max(busy) < wanted, (busy, wanted)
        time.sleep(1)
    assert most >= 3
    attempts = kit.sql("SELECT status, recovery_attempts FROM dbos.workflow_status WHERE queue_name = 'taskQueue'")
    assert set(attempts) == {("SUCCESS", 1)} and len(attempts) >= 208, attempts
    until("1 replica", lambda: replicas(kit) == 1, SOON)


def test_work_claimed_in_the_gap_is_resumed_once(kit: Kit) -> None:
    """A decision taken just before the claim, played by hand: the pod goes although it has begun to work."""
    kit.sql("DELETE FROM dbos.workflow_status")
    alone(kit)
    # On a queue that nobody listens to until all pods are there, so that all begin at once.
    late = ENQUEUE.replace("'taskQueue'", "'nobody'").replace("'0'::json", "'60'::json")
    for number in range(6):
        kit.sql(late, f"minute-{number}", "v1", "shop")
    until("3 ready pods", lambda: kit.get("statefulset", WORKLOAD)["status"].get("readyReplicas") == 3, SOON)
    kit.sql("UPDATE dbos.workflow_status SET queue_name = 'taskQueue'")
    # All taken: one that is still queued could be claimed and lost by the pod while it ends, and be a third.
    until("3 busy executors", lambda: taken_by(kit) == [2, 2, 2], SOON)
    lost = f"{WORKLOAD}-2"
    before = kit.get("pod", lost)["metadata"]["uid"]

    def told() -> bool:
        """The HorizontalPodAutoscaler may have taken it back before the pod was told."""
        pod = kit.get("pod", lost)
        if pod and pod["metadata"]["uid"] == before and "deletionTimestamp" not in pod["metadata"]:
            kit.kubectl("scale", "statefulset", WORKLOAD, "--replicas=2", "-n", kit.namespace)
            return False
        return True

    until("told to go", told)
    until("gone", lambda: (kit.get("pod", lost) or {"metadata": {"uid": None}})["metadata"]["uid"] != before)
    query = "SELECT count(*) FROM dbos.workflow_status WHERE recovery_attempts = 2 AND executor_id = %s"
    started = time.monotonic()
    until("resumed", lambda: kit.sql(query, lost)[0][0] == 2, SOON)
    print(f"resumed {time.monotonic() - started:.0f} s after the pod was gone")
    until("done", lambda: not unfinished(kit), 150)
    attempts = kit.sql("SELECT status, recovery_attempts, count(*) FROM dbos.workflow_status GROUP BY 1, 2 ORDER BY 2")
    assert attempts == [("SUCCESS", 1, 4), ("SUCCESS", 2, 2)]


def test_zero_only_when_confirmed_and_back_for_what_falls_due(kit: Kit) -> None:
    refused = scale(kit, min_replicas=0)
    assert refused["failed"] and "scale_to_zero" in refused["msg"]
    scaled(kit, min_replicas=0, scale_to_zero=True)
    until("0 replicas", lambda: replicas(kit) == 0, SOON)
    try:
        insert(kit, 1, "DELAYED", delay=f"{NOW_MS} + 3600000")
        time.sleep(10)
        assert replicas(kit) == 0
        kit.sql(f"UPDATE dbos.workflow_status SET delay_until_epoch_ms = {NOW_MS} + 2000 WHERE status = 'DELAYED'")
        until("1 replica", lambda: replicas(kit) == 1, SOON)
    finally:
        remove(kit)
        scaled(kit)


def test_the_applications_own_metric(kit: Kit) -> None:
    metrics = {"database": None, "metrics": {"path": "/metrics/taskQueue"}}
    refused = scale(kit, min_replicas=0, scale_to_zero=True, **metrics)
    assert refused["failed"] and "must be 1 or more" in refused["msg"]
    until("a ready pod", lambda: kit.get("statefulset", WORKLOAD)["status"].get("readyReplicas"), SOON)
    scaled(kit, **metrics)
    try:
        insert(kit, 5, "PENDING", queue="taskQueue")
        until("3 replicas", lambda: replicas(kit) == 3, SOON)
    finally:
        remove(kit)


def test_a_wrong_password_is_told_in_keda_s_words(kit: Kit) -> None:
    name = f"wrong-{uuid.uuid4().hex[:4]}"
    kit.kubectl("create", "secret", "generic", name, "--from-literal=password=nothing", "-n", kit.namespace)
    user = f"{kit.database}_metrics"
    database = {"host": kit.platform.node, "name": kit.database, "user": user, "secret": name}
    scaled(kit, state="absent")
    result = scale(kit, database=database, timeout=20)
    assert result["failed"] and "KEDA says" in result["msg"], result["msg"]


def test_a_missing_workload_is_named(kit: Kit) -> None:
    result = scale(kit, version="v7")
    assert result["failed"] and "shop-v7" in result["msg"]


def test_off_leaves_the_replicas(kit: Kit) -> None:
    scaled(kit)
    insert(kit, 4)
    until("2 replicas", lambda: replicas(kit) == 2, SOON)
    assert scaled(kit, state="absent")["changed"]
    assert kit.names("scaledobject") == [] and replicas(kit) == 2
    assert not scaled(kit, state="absent")["changed"]

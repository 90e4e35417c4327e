"""Parked is not busy: what sleeps for a year on a high ordinal costs one pod, and goes on there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from module_call import call
from process_kit import until
from release_kit import Kit, sample_image

YEAR = 365 * 86400
TASK = (
    "SELECT dbos.enqueue_workflow('task', %s, ARRAY[%s::json], app_version => 'v1', "
    "application_name => 'shop', workflow_id => %s)"
)
BUSY = "SELECT count(*) FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')"


@pytest.fixture(scope="module")
def kit(
    platform: Any, ansible_playbook: Any, root: Path, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kit]:
    """v2 promoted over a v1 of four pods, each told to end within a second."""
    one = Kit(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("compaction"))
    one.prepare()
    image = sample_image(one, root)
    one.released("v1", image, replicas=4, drain_seconds=1)
    yield one
    one.kubectl("delete", "scaledobject", "--all", "-n", namespace)
    one.forget()


def sleeper(kit: Kit, ordinal: int) -> str:
    """A workflow that was started directly on that pod of v1, for a year."""
    where = f"/api/v1/namespaces/{kit.namespace}/pods/shop-v1-{ordinal}:8080/proxy/start/{YEAR}"
    identity = str(json.loads(kit.kubectl("get", "--raw", where))["workflow_id"])
    until("asleep", lambda: kit.sql("SELECT 1 FROM dbos.operation_outputs WHERE workflow_uuid = %s", identity))
    return identity


def where(kit: Kit, identity: str) -> tuple[str, str, int]:
    row = "SELECT status, executor_id, recovery_attempts FROM dbos.workflow_status WHERE workflow_uuid = %s"
    return kit.sql(row, identity)[0]


def pods(kit: Kit) -> list[str]:
    return sorted(name for name in kit.names("pods") if name.startswith("shop-v1-"))


def tick(kit: Kit) -> list[str]:
    """What a tick did to v1; its Lease is given up as the playbook does."""
    given = {"database_url": kit.url("owner"), "ca": (kit.platform.directory / "pki/ca.crt").read_text()}
    common = {"kubeconfig": str(kit.platform.kubeconfig), "namespace": kit.namespace}
    try:
        result = call("retirement", check=False, name=kit.app, lease=kit.app, seconds=0.5, **common, **given)
    finally:
        call("lease", application=kit.app, state="absent", **common)
    assert not result.get("failed"), result
    return [action["verb"] for action in result["actions"] if action["version"] == "v1"]


def test_a_year_s_sleep_on_a_high_ordinal_costs_one_pod(kit: Kit, root: Path) -> None:
    identity = sleeper(kit, 3)
    kit.released("v2", sample_image(kit, root), env={"COLOUR": "red"}, replicas=1)
    kit.sql(TASK, "taskQueue", "300", "short")
    until("begun", lambda: where(kit, "short")[0] == "PENDING")
    # While anything is awake, or sleeps for less than ten minutes, nothing is moved.
    assert tick(kit) == []
    kit.sql("UPDATE dbos.workflow_status SET status = 'CANCELLED' WHERE workflow_uuid = 'short'")
    assert tick(kit) == ["compact"]
    until("one pod left", lambda: pods(kit) == ["shop-v1-0"])
    assert where(kit, identity) == ("PENDING", "shop-v1-3", 1)
    assert tick(kit) == ["compact"]
    until("going on", lambda: where(kit, identity) == ("PENDING", "shop-v1-0", 2))
    assert tick(kit) == []
    assert pods(kit) == ["shop-v1-0"]


def test_keda_pauses_meanwhile_and_goes_on(kit: Kit) -> None:
    user = f"{kit.database}_metrics"
    database = {"host": kit.platform.node, "name": kit.database, "user": user, "secret": "shop-metrics"}
    settings = {"max_replicas": 5, "draining_max_replicas": 5, "polling_interval": 2, "scale_in_delay": 5}
    result = kit.on_application("autoscaling", database=database, **settings)
    assert not result["failed"], result["output"]
    # Ten tasks, which nobody takes, need five pods; a second sleeper stays on the last of them.
    for number in range(10):
        kit.sql(TASK, "nobody", "15", f"task-{number}")
    until("five pods", lambda: "shop-v1-4" in pods(kit), 120)
    kit.kubectl("wait", "--for=condition=Ready", "pod/shop-v1-4", "--timeout=120s", "-n", kit.namespace)
    identity = sleeper(kit, 4)
    kit.sql("UPDATE dbos.workflow_status SET status = 'CANCELLED' WHERE queue_name = 'nobody'")
    assert kit.sql(BUSY) == [(2,)]
    assert tick(kit) == ["compact"]
    until("a pod for each at most", lambda: pods(kit) == ["shop-v1-0", "shop-v1-1"], 120)
    assert tick(kit) == ["compact"]
    until("going on", lambda: where(kit, identity)[2] == 2 and where(kit, identity)[0] == "PENDING")
    scaled = kit.get("scaledobject", "shop-v1")
    assert "autoscaling.keda.sh/paused-replicas" not in scaled["metadata"].get("annotations", {})
    assert tick(kit) == []

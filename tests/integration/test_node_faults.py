"""A node's faults on the real platform: an executor that cannot be seen is alive, and what it runs is left to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import module_call
import pytest
from process_kit import until
from recovery_kit import UNTOUCHED, Shop, deployed_shop

pytestmark = pytest.mark.alone

POD = "shop-v1-0"


@pytest.fixture(scope="module")
def shop(
    platform: Any, ansible_playbook: Any, namespace: str, root: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    with deployed_shop(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("faults"), root) as one:
        yield one


@contextmanager
def without_kubelet(platform: Any, ansible_playbook: Callable[..., Any]) -> Iterator[None]:
    """It dies without a word; provision.yml starts it again."""
    os.kill(int((platform.directory / "run/processes/kubelet").read_text().split()[0]), signal.SIGKILL)
    try:
        yield
    finally:
        provisioned = ansible_playbook("provision.yml")
    assert provisioned.changed == 1, provisioned.output


@contextmanager
def cut_off(address: str) -> Iterator[None]:
    """No packet from or to this address gets through."""
    with ExitStack() as stack:
        for chain, side in (("INPUT", "-s"), ("OUTPUT", "-d"), ("FORWARD", "-s"), ("FORWARD", "-d")):
            rule = [chain, side, address, "-j", "DROP"]
            subprocess.run(["iptables", "-w", "-I", *rule], check=True)
            stack.callback(subprocess.run, ["iptables", "-w", "-D", *rule], check=True)
        yield


def lost_sight_of(shop: Shop) -> None:
    """What the node lifecycle controller writes when no heartbeat has come for 40 s."""
    node = pod(shop)["spec"]["nodeName"]
    said = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    mark(shop, "node", node, {"type": "Ready", "status": "Unknown", **said})
    mark(shop, "pod", POD, {"type": "Ready", "status": "False"})


def mark(shop: Shop, kind: str, name: str, condition: dict[str, str]) -> None:
    patch = json.dumps({"status": {"conditions": [condition]}})
    shop.kubectl("patch", kind, name, "-n", shop.namespace, "--subresource=status", "-p", patch)


def pod(shop: Shop) -> dict[str, Any]:
    return shop.get("pod", POD) or {}


def ready(shop: Shop) -> bool:
    conditions = {one["type"]: one["status"] for one in pod(shop)["status"]["conditions"]}
    return conditions["Ready"] == "True"


def container(shop: Shop) -> tuple[str, str, int]:
    """Which pod it is, and that its container is the first."""
    found = pod(shop)
    (status,) = found["status"]["containerStatuses"]
    return found["metadata"]["uid"], status["containerID"], status["restartCount"]


def left_alone(shop: Shop) -> None:
    """Neither a repair nor the tick takes anything of v1, which would be stopped if it had no work."""
    before, replicas = sorted(shop.sql(UNTOUCHED)), shop.get("statefulset", "shop-v1")["spec"]["replicas"]
    for repair in ("requeue", "fork", "revive"):
        found = shop.recover(repair=repair, to_version="v2")
        assert not found["changed"] and found["stranded"] == [], found
        assert [(entry["id"], entry["state"]) for entry in found["executors"]] == [(POD, "alive")]
    tick = module_call.call(
        "retirement",
        kubeconfig=str(shop.platform.kubeconfig),
        name=shop.app,
        namespace=shop.namespace,
        database_url=shop.url("owner"),
        seconds=0.2,
    )
    assert not tick.get("failed") and tick["actions"] == [], tick
    assert [condition["type"] for condition in tick["conditions"]["v1"]] == ["Draining"]
    assert shop.get("statefulset", "shop-v1")["spec"]["replicas"] == replicas
    assert sorted(shop.sql(UNTOUCHED)) == before


def ends_once(shop: Shop, id_: str) -> None:
    """On the pod that began it, which took it once and began to wait once."""
    until("ended", lambda: shop.row(id_)[0] == "SUCCESS")
    assert shop.row(id_) == ("SUCCESS", POD, 1)
    waits = "SELECT count(*) FROM dbos.operation_outputs WHERE function_name = 'DBOS.sleep' AND workflow_uuid = %s"
    assert shop.sql(waits, id_) == [(1,)]


def test_a_kubelet_that_dies_takes_no_executor_along(shop: Shop, platform: Any, ansible_playbook: Any) -> None:
    """Its containers run on, also when the node is given up for lost."""
    before, busy = container(shop), shop.wait("v1")
    with without_kubelet(platform, ansible_playbook):
        left_alone(shop)
        lost_sight_of(shop)
        left_alone(shop)
        assert not ready(shop)
    until("ready again", lambda: ready(shop))
    shop.end(busy)
    ends_once(shop, busy)
    assert container(shop) == before


def test_a_pod_that_is_cut_off_is_alive(shop: Shop) -> None:
    """One workflow ends while nobody can be told, one after the pod is back."""
    before, address = container(shop), pod(shop)["status"]["podIP"]
    long, short = shop.wait("v1"), shop.start("v1", 10)
    over = time.monotonic() + 10
    with cut_off(address):
        until("not ready", lambda: not ready(shop))
        until("slept", lambda: time.monotonic() > over)
        assert shop.row(short)[0] == "PENDING"
        left_alone(shop)
    ends_once(shop, short)
    shop.end(long)
    ends_once(shop, long)
    until("ready again", lambda: ready(shop))
    assert container(shop) == before

"""Versions with limits of their own: one that drains falls to no pod by itself, and returns when work of its is due."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from load_kit import ENQUEUE
from process_kit import until
from release_kit import Kit, sample_image

NOW_MS = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"


@pytest.fixture(scope="module")
def kit(
    platform: Any, ansible_playbook: Any, root: Path, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kit]:
    one = Kit(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("draining"))
    one.prepare()
    image = sample_image(one, root)
    one.released("v1", image, replicas=1)
    scaled(one)
    one.released("v2", image, env={"COLOUR": "red"}, replicas=1)
    yield one
    one.kubectl("delete", "scaledobject", "--all", "-n", namespace)
    one.forget()


def scaled(kit: Kit, **options: Any) -> dict[str, Any]:
    """Limits for the promoted version, and 3 pods at most for each other."""
    user = f"{kit.database}_metrics"
    settings = {
        "max_replicas": 5,
        "draining_max_replicas": 3,
        "polling_interval": 2,
        "scale_in_delay": 5,
        "database": {"host": kit.platform.node, "name": kit.database, "user": user, "secret": "shop-metrics"},
    }
    result = kit.on_application("autoscaling", **{**settings, **options})
    assert not result["failed"], result["output"]
    return result


def limits(kit: Kit, version: str) -> tuple[int, int]:
    spec = kit.get("scaledobject", f"shop-{version}")["spec"]
    return spec["minReplicaCount"], spec["maxReplicaCount"]


def pods(kit: Kit, version: str) -> int:
    return sum(name.startswith(f"shop-{version}-") for name in kit.names("pods"))


def test_a_draining_version_falls_and_returns_for_what_falls_due(kit: Kit) -> None:
    assert limits(kit, "v1") == (1, 5)
    assert scaled(kit)["changed"]
    assert (limits(kit, "v1"), limits(kit, "v2")) == ((0, 3), (1, 5))
    assert not scaled(kit)["changed"]
    until("no pod of v1", lambda: pods(kit, "v1") == 0, 120)
    # In one transaction: no pod may see it before it is delayed.
    kit.sql(
        ENQUEUE + "; UPDATE dbos.workflow_status SET status = 'DELAYED', "
        f"delay_until_epoch_ms = {NOW_MS} + 15000 WHERE workflow_uuid = 'late'",
        "late", "v1", "shop",
    )  # fmt: skip
    found = "SELECT status, executor_id, recovery_attempts FROM dbos.workflow_status WHERE workflow_uuid = 'late'"
    until("done", lambda: kit.sql(found)[0][0] == "SUCCESS", 150)
    assert kit.sql(found) == [("SUCCESS", "shop-v1-0", 1)]
    until("no pod of v1 again", lambda: pods(kit, "v1") == 0, 120)


def test_retirement_takes_the_autoscaler_along(kit: Kit) -> None:
    given = {"database_url": kit.url("owner"), "ca": (kit.platform.directory / "pki/ca.crt").read_text()}
    until("no pod of v1", lambda: pods(kit, "v1") == 0, 120)
    result = kit.on_application("retirement", seconds=0.5, **given)
    assert [action["verb"] for action in result["actions"]] == ["retire"], result["output"]
    assert kit.names("statefulset") == ["shop-v2"]
    # KEDA takes a moment to let go of what is deleted.
    until("let go", lambda: kit.names("scaledobject") == kit.names("triggerauthentication") == ["shop-v2"])
    assert not scaled(kit)["changed"]

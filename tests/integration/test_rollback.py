"""v1, v2, and back to v1 on the real platform: schedules and new work follow at once, v2's is accounted for."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import module_call
import pytest
from load_kit import ENQUEUE
from process_kit import until
from release_kit import Kit, sample_image

from ansible_collections.dbos.kubernetes.plugins.module_utils import ledger, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client

SCHEDULE = (
    "INSERT INTO dbos.workflow_schedules (schedule_id, schedule_name, workflow_name, schedule, status, context, "
    "cron_timezone, application_name) VALUES ('1', 'every-second', 'tick', '* * * * * *', 'ACTIVE', '{}', '', 'shop')"
)
TICKS = "SELECT 1 FROM dbos.workflow_status WHERE schedule_name = 'every-second' AND application_version = %s"
# Waits in a queue that no executor has, so that only a policy moves it.
WAITING = (
    "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, application_version, application_name, "
    "created_at, updated_at, priority, recovery_attempts, delay_until_epoch_ms) VALUES "
    "(%s, %s, 'task', 'nobodys', 'v2', 'shop', %s, %s, 0, 0, %s)"
)
# Ends the process like kill -9 when the rollback comes to that function.
KILLED = """
import importlib, os, sys
sys.path[:0] = json_path
place, _, name = sys.argv[1].rpartition(".")
utils = "ansible_collections.dbos.kubernetes.plugins.module_utils."
setattr(importlib.import_module(utils + place), name, lambda *a, **k: os.kill(os.getpid(), 9))
import module_call
print(module_call.call("rollback", **options))
"""


@pytest.fixture(scope="module")
def kit(platform: Any, ansible_playbook: Any, namespace: str, root: Any, tmp_path_factory: Any) -> Iterator[Kit]:
    one = Kit(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("rollback"))
    one.prepare()
    yield one
    one.forget()


@pytest.fixture(scope="module")
def image(kit: Kit, root: Any) -> str:
    return sample_image(kit, root)


@pytest.fixture(scope="module")
def release(kit: Kit, image: str) -> Callable[[str], None]:
    """Releases a version, or promotes it again."""

    def deploy(version: str) -> None:
        settings = {"resources": {"requests": {"cpu": "5m", "memory": "32Mi"}}, "drain_seconds": 3}
        # A pod runs two workflows at once, and goes on sleeping in one that was cancelled.
        replicas = 2 if version == "v2" else 1
        call(kit, "release", version=version, image=image, env={"RELEASE": version}, replicas=replicas, **settings)

    deploy("v1")
    kit.sql(SCHEDULE)
    # Pods look for new schedules every 30 seconds.
    until("ticks on v1", lambda: len(kit.sql(TICKS, "v1")) > 1, timeout=180)
    return deploy


@pytest.fixture
def bad(kit: Kit, release: Callable[[str], None]) -> None:
    """v2 is promoted, with nothing unfinished."""
    release("v2")
    assert kit.latest() == "v2"
    assert "dbos.kubernetes/rolled-back" not in annotations(kit, "v2")
    kit.sql("DELETE FROM dbos.workflow_status WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED') AND name = 'task'")


def options(kit: Kit, **more: Any) -> dict[str, Any]:
    ca = (kit.platform.directory / "pki/ca.crt").read_text()
    common = {"kubeconfig": str(kit.platform.kubeconfig), "name": kit.app, "namespace": kit.namespace, "lease": kit.app}
    return {**common, "database_url": kit.url("owner"), "ca": ca, "replicas": 1, "timeout": 120, **more}


def call(kit: Kit, module: str, *, check: bool = False, **more: Any) -> dict[str, Any]:
    """A call that succeeds, and gives the lease back as a playbook does."""
    result = module_call.call(module, check=check, **options(kit, **more))
    give_back(kit)
    assert not result.get("failed"), result
    return result


def give_back(kit: Kit, state: str = "absent", **more: Any) -> None:
    where = {"kubeconfig": str(kit.platform.kubeconfig), "application": kit.app, "namespace": kit.namespace}
    assert not module_call.call("lease", **where, state=state, **more).get("failed")


def rollback(kit: Kit, **more: Any) -> dict[str, Any]:
    return call(kit, "rollback", **more)


def record(kit: Kit, version: str) -> dict[str, Any]:
    """The version's ledger record."""
    text = kit.kubectl("get", "controllerrevision", "-n", kit.namespace, "-o", "json",
                       "-l", f"app.kubernetes.io/component=ledger,app.kubernetes.io/version={version}")  # fmt: skip
    return dict(json.loads(text)["items"][0])


def annotations(kit: Kit, version: str) -> dict[str, str]:
    return dict(record(kit, version)["metadata"].get("annotations") or {})


def promoted(kit: Kit) -> set[str]:
    """Whom Service and DBOS take for the promoted version."""
    return {kit.latest(), kit.get("service", kit.app)["spec"]["selector"]["app.kubernetes.io/version"]}


def leave_work(kit: Kit, *, running: bool = True) -> dict[str, str]:
    """Work of v2 that stays unfinished, id by kind: running, waiting in a queue, delayed."""
    now = int(time.time() * 1000)
    found = {"waiting": f"waiting-{now}", "delayed": f"delayed-{now}"}
    if running:
        found["running"] = str(json.loads(kit.http("/enqueue/600"))["workflow_id"])
        until("running", lambda: status(kit, found["running"]) == ("PENDING", "v2"))
    kit.sql(WAITING, found["waiting"], "ENQUEUED", now, now, None)
    kit.sql(WAITING, found["delayed"], "DELAYED", now, now, now + 3_600_000)
    return found


def status(kit: Kit, workflow: str) -> tuple[str, str | None]:
    return kit.sql("SELECT status, application_version FROM dbos.workflow_status WHERE workflow_uuid = %s", workflow)[0]


def ids(result: dict[str, Any]) -> set[str]:
    return {one["id"] for one in result["account"]["workflows"] if one["workflow"] == "task"}


def test_schedules_and_new_work_run_on_the_version_before_within_seconds(kit: Kit, bad: None) -> None:
    until("a tick done on v2", lambda: kit.sql(f"{TICKS} AND status = 'SUCCESS'", "v2"))
    left = leave_work(kit)
    planned = rollback(kit, check=True)
    assert planned["changed"] and promoted(kit) == {"v2"}
    assert "would be rolled back from v2 to v1" in planned["table"] and ids(planned) == set(left.values())
    done = rollback(kit)
    after = datetime.now(UTC)
    assert (done["from_version"], done["version"]) == ("v2", "v1") and promoted(kit) == {"v1"}
    kit.sql(ENQUEUE, "free", None, kit.app)
    until("done", lambda: status(kit, "free") == ("SUCCESS", "v1"), timeout=20)
    # By when it was due: what a pod began before, it may write down later.
    later = f"{TICKS} AND workflow_uuid > 'sched-every-second-{after:%Y-%m-%dT%H:%M:%SZ}'"
    until("a tick on v1", lambda: kit.sql(later, "v1"), timeout=20)
    assert kit.sql(later, "v2") == []
    made = done["account"]
    assert ids(done) == set(left.values()) and all(left_id in done["table"] for left_id in left.values())
    assert {one["name"]: one["new"] for one in made["schedules"]} == {"every-second": False}
    assert made["runs"]["SUCCESS"] >= 1 and [row["version"] for row in made["registered"]] == ["v2"]
    # Its own pods end it.
    assert status(kit, left["running"]) == ("PENDING", "v2") and status(kit, left["waiting"]) == ("ENQUEUED", "v2")


def test_a_second_run_changes_nothing_and_does_not_flip_back(kit: Kit, bad: None) -> None:
    assert rollback(kit)["changed"]
    for again in (rollback(kit), rollback(kit, version="v1"), rollback(kit, check=True)):
        assert not again["changed"] and again["version"] == "v1" and "as it was before this run" in again["table"]
    assert promoted(kit) == {"v1"} and annotations(kit, "v2")["dbos.kubernetes/rolled-back"].endswith(" v1")


def test_cancel_ends_every_workflow_of_it(kit: Kit, bad: None) -> None:
    left = leave_work(kit)
    done = rollback(kit, policy="cancel")
    assert set(left.values()) <= set(done["settled"]["cancelled"]) and ids(done) == set(left.values())
    assert {status(kit, one)[0] for one in left.values()} == {"CANCELLED"}
    assert done["table"].count("cancelled") >= 3
    assert not rollback(kit, policy="cancel")["changed"]


def test_fork_goes_on_with_every_workflow_of_it(kit: Kit, bad: None) -> None:
    left = leave_work(kit)
    done = rollback(kit, policy="fork")
    forked = {one["from"]: one["to"] for one in done["settled"]["forked"]}
    assert set(left.values()) <= set(forked)
    for old, new in forked.items():
        assert status(kit, old)[0] == "CANCELLED" and status(kit, new)[1] == "v1"
        assert kit.sql("SELECT forked_from FROM dbos.workflow_status WHERE workflow_uuid = %s", new) == [(old,)]
        assert f"forked to {new}" in done["table"]
    until("running on v1", lambda: status(kit, forked[left["running"]]) == ("PENDING", "v1"))
    assert not rollback(kit, policy="fork")["changed"]


def test_another_policy_later_settles_what_is_left(kit: Kit, bad: None) -> None:
    left = leave_work(kit, running=False)
    rollback(kit)
    later = rollback(kit, policy="cancel")
    assert later["changed"] and later["steps"] == [] and set(left.values()) <= set(later["settled"]["cancelled"])


def test_a_version_that_was_retired_is_brought_back(kit: Kit, bad: None) -> None:
    kit.kubectl("delete", "statefulset,service,pdb", "shop-v1", "-n", kit.namespace, "--wait")
    client = Client.from_params({"kubeconfig": str(kit.platform.kubeconfig)})
    version_objects.annotate(client, record(kit, "v1"), {ledger.RETIRED_ANNOTATION: "2026-11-24T10:00:00+00:00"})
    kit.sql("DELETE FROM dbos.application_versions WHERE version_name = 'v1'")
    done = rollback(kit)
    assert done["steps"][0].startswith("revive v1")
    workload = kit.get("statefulset", "shop-v1")
    assert workload["status"]["readyReplicas"] == 1 and promoted(kit) == {"v1"}
    assert {"name": "RELEASE", "value": "v1"} in workload["spec"]["template"]["spec"]["containers"][0]["env"]
    assert "dbos.kubernetes/retired" not in annotations(kit, "v1")
    kit.sql(ENQUEUE, "revived", None, kit.app)
    until("done", lambda: status(kit, "revived") == ("SUCCESS", "v1"))


@pytest.mark.parametrize(
    "place",
    ["rolling_back.wait", "promoting.promote", "system_database.versions.promote", "promoting._verify",
     "promoting._remember", "system_database.account.read"],
)  # fmt: skip
def test_killed_anywhere_the_next_run_finishes(kit: Kit, bad: None, place: str) -> None:
    text = KILLED.replace("json_path", json.dumps(sys.path))
    program = f"options = __import__('json').loads(sys.stdin.read())\n{text}"
    killed = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}", place],
        input=json.dumps(options(kit)),
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert killed.returncode == -9, killed.stdout + killed.stderr
    done = rollback(kit)
    assert (done["from_version"], done["version"]) == ("v2", "v1") and promoted(kit) == {"v1"}
    assert "dbos.kubernetes/promoting" not in kit.get("service", kit.app)["metadata"].get("annotations", {})
    assert not rollback(kit)["changed"]


def test_a_frozen_application_is_left_alone(kit: Kit, bad: None) -> None:
    give_back(kit, "frozen", by="alice", reason="an incident")
    try:
        result = module_call.call("rollback", **options(kit))
        assert result["failed"] and "alice" in result["msg"] and promoted(kit) == {"v2"}
    finally:
        give_back(kit, "thawed")


def test_what_cannot_be_gone_back_to_is_refused(kit: Kit, bad: None) -> None:
    result = module_call.call("rollback", **options(kit, version="v9"))
    give_back(kit)
    assert result["failed"] and "the ledger has no record of it, only of v1, v2" in result["msg"]
    assert promoted(kit) == {"v2"}

"""kill -9 of ansible at every step of a first deployment, the next version's, a retirement and a rollback.

A step is a task that begins, or a line in which its module says what it does next. Every run is the same command as the
one before, goes on from where that was killed, and is killed itself at the first step at which none was before, up to
0.4 s later, in the midst of its work; half of the kills leave what ansible has started to end by itself. When a run
comes to its end, every step was killed once, and what is there must be what one run would have made.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gate_kit import VERSION, Deployed
from process_kit import kill_in, processes_in, start, until

pytestmark = pytest.mark.slow

# The first word is Ansible's for a task, or the host of a module's line.
STEP = re.compile(r"TASK \[|  (local|dbos-app): ")
# The tick, and not KEDA, takes a version's pod.
ONE_POD = {
    "autoscaling_enabled": True,
    "autoscaling_max_replicas": 1,
    "autoscaling_draining_max_replicas": 1,
    "autoscaling_scale_in_delay": 300,
}
GATES = {
    "release_gate_http": [{"path": "/healthz"}],
    "release_gate_workflow": {"name": "task", "queue": "taskQueue", "inputs": [0]},
}


class Shop(Deployed):
    """An application whose every run is killed, and its clients in the meantime."""

    def __init__(self, platform: Any, application: Any, ansible_playbook: Any, root: Path, environment: Any) -> None:
        super().__init__(platform, application, ansible_playbook)
        self._root = root
        self._environment = environment
        self.temporary = Path(environment["TMPDIR"])
        self.kills = 0
        self.work = 0
        self.said: list[str] = []
        self.waiting: dict[str, str] = {}
        self.pods: dict[str, list[str]] = {}

    @property
    def variables(self) -> dict[str, Any]:
        return super().variables | ONE_POD

    # Killing

    def killed(self, playbook: str, **variables: Any) -> Iterator[str]:
        """The step at which each run was killed, until one ends by itself."""
        steps: set[str] = set()
        while (step := self._killed_at_another(steps, playbook, variables)) is not None:
            yield step
        until("all ended", lambda: not processes_in(self.temporary), 60)

    def _killed_at_another(self, steps: set[str], playbook: str, variables: dict[str, Any]) -> str | None:
        run = start(self._root, self._environment, playbook, self.variables | variables)
        assert run.stdout
        lines, due, step = [], None, None
        for line in run.stdout:
            lines.append(line)
            self.said.append(line)
            if due and line.strip():
                # It ends before its time: then this is the time, unless it was none.
                due.cancel()
                due = None if line.startswith("skipping: ") else due
                if due:
                    self._kill(run)
            # Times and attempts differ from run to run.
            found = re.sub(r"\d+", "#", line.strip(" *\n"))
            if not due and STEP.match(line) and found not in steps:
                step = found
                steps.add(step)
                due = threading.Timer(random.uniform(0, 0.4), self._kill, [run])
                due.start()
        if due:
            due.join()
        assert run.wait() in (0, -9), "".join(lines)
        if run.returncode == 0:
            return None
        self.kills += 1
        return step

    def _kill(self, run: subprocess.Popen[str]) -> None:
        run.kill()
        if self.kills % 2:
            kill_in(self.temporary)

    # Its clients

    def enqueue(self, seconds: int) -> None:
        super().enqueue(seconds)
        self.work += 1

    def begin_work(self, version: str) -> None:
        """A workflow of the promoted version that waits for a message, and so keeps its pod."""
        path = f"/api/v1/namespaces/{self.namespace}/services/{self.application.name}:8080/proxy/wait/paid"
        self.waiting[version] = json.loads(self.platform.kubectl("get", "--raw", path))["workflow_id"]
        self.pods[version] = self.uids(version)
        self.work += 1

    def end_work(self, version: str) -> None:
        workflow = self.waiting[version]
        self.sql("SELECT dbos.send_message(%s, '\"now\"'::json, 'paid')", workflow)
        until("done", lambda: self.rows()[workflow] == ("SUCCESS", 1))

    # What is there

    def rows(self) -> dict[str, tuple[str, int]]:
        """Workflows: status, and how often they were begun."""
        found = self.sql("SELECT workflow_uuid, status, recovery_attempts FROM dbos.workflow_status")
        return {workflow: (status, attempts) for workflow, status, attempts in found}

    def objects(self, kind: str, component: str | None = None) -> list[dict[str, Any]]:
        selector = f"app.kubernetes.io/name={self.application.name}"
        if component:
            selector += f",app.kubernetes.io/component={component}"
        return list(json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"])

    def versions(self, kind: str, component: str | None = None) -> list[str]:
        return sorted(one["metadata"]["labels"][VERSION] for one in self.objects(kind, component))

    def check(self, *live: str) -> None:
        """Nothing is doubled, lost or left behind; only the first version found something to migrate."""
        for kind in ("statefulset", "scaledobject", "poddisruptionbudget"):
            assert self.versions(kind) == list(live), kind
        assert self.objects("lease") == []
        migrations = self.objects("job", "migration")
        assert [job["status"].get("succeeded") for job in migrations] == [1], migrations
        # A killed run's relay goes by its deadline; others have closed theirs.
        relays = self.objects("job", "relay")
        assert len(relays) <= self.kills and all(job["spec"]["activeDeadlineSeconds"] <= 1800 for job in relays)

    def check_work(self, *waiting: str) -> None:
        """Every workflow is there, was begun once, and is done, but for those that wait for a message."""

        def unfinished() -> set[str]:
            return {workflow for workflow, (status, _) in self.rows().items() if status != "SUCCESS"}

        until("done", lambda: unfinished() == set(waiting))
        rows = self.rows()
        assert {attempts for _, attempts in rows.values()} == {1}, rows
        assert len([workflow for workflow in rows if "-gate-" not in workflow]) == self.work, rows


@pytest.fixture(scope="module")
def shop(
    platform: Any, application: Any, ansible_playbook: Any, root: Path, ansible_environment: dict[str, str]
) -> Iterator[Shop]:
    # A short name: Ansible makes a socket below it.
    with tempfile.TemporaryDirectory(prefix="dbos-", dir="/tmp", ignore_cleanup_errors=True) as temporary:
        yield Shop(platform, application, ansible_playbook, root, ansible_environment | {"TMPDIR": temporary})


@pytest.fixture(scope="module")
def first(shop: Shop) -> list[str]:
    """From nothing to v1."""
    steps: list[str] = []
    for step in shop.killed("site.yml", release_version="v1"):
        steps.append(step)
        # It may have begun after the step, before the kill came.
        if not any("Take the application's lease" in line for line in shop.said):
            there = shop.platform.kubectl("get", "namespace", shop.namespace, "--ignore-not-found")
            assert not there, f"killed at {step}"
    return steps


@pytest.fixture(scope="module")
def second(shop: Shop, first: list[str]) -> list[str]:
    """v2 through its gates, while v1 has work."""
    shop.begin_work("v1")
    steps = []
    for step in shop.killed("deploy.yml", release_version="v2", **GATES):
        steps.append(step)
        shop.enqueue(0)
    return steps


@pytest.fixture(scope="module")
def retirement(shop: Shop, second: list[str]) -> list[str]:
    """v1's end, once its work is done."""
    shop.begin_work("v2")
    shop.end_work("v1")
    steps = []
    for step in shop.killed("retire.yml", retirement_seconds=0.5, retirement_wait=120):
        steps.append(step)
        shop.enqueue(0)
    return steps


@pytest.fixture(scope="module")
def rollback(shop: Shop, retirement: list[str]) -> list[str]:
    """Back to v1, which is gone, while v2 has work."""
    steps = []
    for step in shop.killed("rollback.yml"):
        steps.append(step)
        shop.enqueue(0)
    return steps


def assert_killed_at(steps: list[str], *wanted: str) -> None:
    for one in wanted:
        assert any(one in step for step in steps), (one, steps)


def test_a_first_deployment(shop: Shop, first: list[str]) -> None:
    assert len(first) >= 10
    assert_killed_at(first, "Make the database", "Seal the secrets", "Migrate", "Scale")
    shop.check("v1")
    assert shop.promoted() == "v1"
    assert shop.deploy("v1").changed == 0


def test_the_next_version(shop: Shop, second: list[str]) -> None:
    assert_killed_at(second, "Migrate", "Ask it over HTTP", "Release the version as", "Scale")
    shop.check("v1", "v2")
    assert shop.promoted() == "v2"
    assert shop.uids("v1") == shop.pods["v1"]
    shop.check_work(shop.waiting["v1"])
    assert shop.deploy("v2", **GATES).changed == 0


def test_a_retirement(shop: Shop, retirement: list[str]) -> None:
    assert_killed_at(retirement, "Take every version", "Scale")
    shop.check("v2")
    assert shop.promoted() == "v2"
    assert shop.uids("v2") == shop.pods["v2"]
    written = next(one for one in shop.objects("controllerrevision", "ledger") if one["data"]["version"] == "v1")
    evidence = json.loads(written["metadata"]["annotations"]["dbos.kubernetes/evidence"])
    assert evidence["stopped"] and evidence["pending"] == evidence["enqueued"] == evidence["delayed"] == 0
    assert written["metadata"]["annotations"]["dbos.kubernetes/retired"]
    shop.check_work(shop.waiting["v2"])
    assert shop.tick().changed == 0


def test_a_rollback(shop: Shop, rollback: list[str], ansible_playbook: Any) -> None:
    assert_killed_at(rollback, "Go back to the version", "Scale")
    shop.check("v1", "v2")
    assert shop.promoted() == "v1"
    assert shop.uids("v2") == shop.pods["v2"]
    shop.check_work(shop.waiting["v2"])
    again = ansible_playbook("rollback.yml", extra_vars=shop.variables)
    assert again.changed == 0, again.output
    shop.end_work("v2")

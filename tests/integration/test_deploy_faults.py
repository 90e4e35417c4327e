"""A deployment of the next version that is killed, doubled or brings a broken version: what serves goes on serving."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import process_kit
import pytest
from gate_kit import Deployed
from load_kit import ENQUEUE
from module_call import call
from process_kit import until
from python_kit import EXAMPLE, build

GATES = {
    "release_gate_http": [{"path": "/healthz"}],
    "release_gate_workflow": {"name": "task", "queue": "taskQueue", "inputs": [3]},
}
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def deployed(platform: Any, application: Any, ansible_playbook: Any) -> Deployed:
    """A first version with work that every later fault leaves alone."""
    one = Deployed(platform, application, ansible_playbook)
    one.deploy("v1")
    one.enqueue(0)
    return one


@pytest.fixture
def start(root: Path, ansible_environment: dict[str, str], temporary: Path, deployed: Deployed) -> Start:
    """A run of deploy.yml that goes on while the test does."""

    def run(version: str, **variables: Any) -> subprocess.Popen[str]:
        wanted = {**deployed.variables, "release_version": version, **variables}
        return process_kit.start(root, ansible_environment | {"TMPDIR": str(temporary)}, "deploy.yml", wanted)

    return run


@contextmanager
def held_back(deployed: Deployed) -> Iterator[None]:
    """A promotion gets as far as its intent: the versions' rows are locked."""
    with closing(deployed.session()) as session, session.cursor() as cursor:
        cursor.execute("SELECT 1 FROM dbos.application_versions FOR UPDATE")
        yield
        session.rollback()


def rows(deployed: Deployed, version: str) -> list[tuple[Any, ...]]:
    return deployed.sql(
        "SELECT status, recovery_attempts FROM dbos.workflow_status WHERE application_version = %s", version
    )


@pytest.mark.parametrize(
    ("variables", "text"),
    [
        ({"release_command": ["/usr/local/bin/nothing"]}, "StartError"),
        (
            {"release_health_path": "/nowhere", "release_startup_seconds": 5, "release_timeout": 15},
            "Not ready after 15 s",
        ),
    ],
    ids=["crash", "never-ready"],
)
def test_a_broken_version_leaves_the_old_one_untouched(
    deployed: Deployed, variables: dict[str, Any], text: str
) -> None:
    before, serving = deployed.uids("v1"), deployed.promoted()
    run = deployed.deploy("broken", check=False, **GATES, **variables)
    deployed.kubectl("delete", "statefulset", f"{deployed.application.name}-broken", "--ignore-not-found")
    assert run.returncode != 0 and text in run.output, run.output
    assert deployed.promoted() == serving and deployed.uids("v1") == before


@pytest.fixture
def python_image(root: Path, platform: Any) -> str:
    """The Python sample's digest."""
    registry = {"host": f"{platform.node}:5443", "ca_file": str(platform.directory / "pki/ca.crt")}
    result = call("images", build=[build(root / EXAMPLE, "python-starter")], registry=registry)
    return str(result["digests"]["python-starter"])


def test_a_version_of_the_codes_own_takes_nothing_from_the_old_one(
    deployed: Deployed, root: Path, python_image: str
) -> None:
    """The Python sample with one line more: a version in the code wins over DBOS__APPVERSION, and is the latest."""
    name = '"name": settings.application,'
    source = (root / EXAMPLE / "engine.py").read_text()
    assert name in source
    before, serving = deployed.uids("v1"), deployed.promoted()
    run = deployed.deploy(
        "own",
        check=False,
        release_image=python_image,
        release_command=["python3", "-P", "main.py"],
        release_files={"engine.py": source.replace(name, f'{name} "application_version": "0.1.0",')},
        release_env={"PYTHONPATH": "/etc/dbos/app:/app:/usr/local/lib/dbos"},
    )
    assert run.returncode != 0 and "registered version 0.1.0 instead of own" in run.output, run.output
    assert f"now it is {serving} again" in run.output
    assert deployed.promoted() == serving and deployed.uids("v1") == before
    deployed.sql(ENQUEUE, "any", None, deployed.application.name)
    found = "SELECT status, application_version FROM dbos.workflow_status WHERE workflow_uuid = 'any'"
    until("done", lambda: deployed.sql(found)[0][0] == "SUCCESS")
    deployed.kubectl("delete", "statefulset", f"{deployed.application.name}-own")
    assert deployed.sql(found) == [("SUCCESS", serving)]


def test_nothing_is_deployed_while_somebody_has_frozen_it(deployed: Deployed) -> None:
    serving = deployed.promoted()
    run = deployed.deploy("next", check=False, release_frozen={"by": "alice", "reason": "incident 4711"})
    where = {"application": deployed.application.name, "namespace": deployed.namespace}
    call("lease", kubeconfig=str(deployed.platform.kubeconfig), state="thawed", **where)
    assert run.returncode != 0 and "is frozen by alice: incident 4711." in run.output, run.output
    assert not staged(deployed, "next") and deployed.promoted() == serving
    assert deployed.deploy(serving).changed == 0


def holder(deployed: Deployed) -> int | None:
    """The process whose run has the application's Lease."""
    lease = f"dbos-{deployed.application.name}"
    held = deployed.kubectl("get", "lease", lease, "--ignore-not-found", "-o", "jsonpath={.spec.holderIdentity}")
    return int(held.rsplit("/", 3)[1]) if held else None


def test_two_at_once(deployed: Deployed, start: Start) -> None:
    """One of them is told who the other is; the winner's version is promoted whole."""
    runs = {version: start(version) for version in ("left", "right")}
    with process_kit.paused(until("held", lambda: holder(deployed), 180)):
        until("told", lambda: any(run.poll() is not None for run in runs.values()), 180)
    outputs = {version: run.communicate(timeout=600)[0] for version, run in runs.items()}
    won = [version for version, run in runs.items() if run.returncode == 0]
    assert len(won) == 1, outputs
    lost = next(version for version in runs if version not in won)
    told = f"Another run is changing application {deployed.application.name}"
    assert told in outputs[lost] and f"process {runs[won[0]].pid}" in outputs[lost], outputs[lost]
    assert deployed.promoted() == won[0] and not deployed.uids(lost)


def staged(deployed: Deployed, version: str) -> bool:
    name = f"{deployed.application.name}-{version}"
    return bool(deployed.kubectl("get", "statefulset", name, "-o", "name", "--ignore-not-found"))


def promoting(deployed: Deployed, version: str) -> bool:
    intent = deployed.kubectl("get", "service", deployed.application.name, "-o", "jsonpath={.metadata.annotations}")
    return f'"dbos.kubernetes/promoting":"{version}"' in intent


def test_killed_in_mid_promotion_and_run_again(
    deployed: Deployed, start: Start, kill_all: Callable[[Any], None]
) -> None:
    """The same command finishes what it finds; no workflow runs twice, and the old version's pods live on."""
    version, serving = "promoting", deployed.promoted()
    before = deployed.uids(serving)
    killed = start(version, **GATES)

    def wait_for(what: str, reached: Callable[[], bool]) -> None:
        until(what, lambda: reached() or killed.poll() is not None, 300)
        assert killed.poll() is None, killed.communicate()[0]

    # Its pod has claimed the row, and is yet to become ready and to pass the gates: no one else writes it until then.
    claimed = "SELECT 1 FROM dbos.application_versions WHERE version_name = %s AND application_name IS NOT NULL"
    wait_for("launched", lambda: bool(deployed.sql(claimed, version)))
    with held_back(deployed):
        wait_for("promoting", lambda: promoting(deployed, version))
        kill_all(killed)
    again = deployed.deploy(version, **GATES)
    assert deployed.promoted() == version, again.output
    assert set(rows(deployed, version)) == {("SUCCESS", 1)}
    assert deployed.uids(serving) == before
    assert deployed.deploy(version, **GATES).changed == 0


def test_a_version_is_retired_by_its_name(deployed: Deployed) -> None:
    """Refused while it has work or is promoted; the ledger keeps when and on what proof."""
    deployed.deploy("newest")
    deployed.sql(
        "SELECT dbos.enqueue_workflow('task', 'nobody', workflow_id => 'kept', app_version => 'v1',"
        " application_name => %s)",
        deployed.application.name,
    )
    kept = deployed.once("release", version="v1", state="retired")
    assert kept["failed"] and "1 enqueued" in kept["msg"] and "(kept)" in kept["msg"], kept
    promoted = deployed.once("release", version=deployed.promoted(), state="retired")
    assert promoted["failed"] and "is promoted" in promoted["msg"], promoted
    deployed.sql("UPDATE dbos.workflow_status SET status = 'CANCELLED' WHERE workflow_uuid = 'kept'")
    retired = deployed.once("release", version="v1", state="retired")
    assert not retired.get("failed"), retired
    assert [action["verb"] for action in retired["actions"]] == ["stop", "retire"], retired
    assert not staged(deployed, "v1")
    assert "dbos.kubernetes/retired" in deployed.kubectl("get", "controllerrevision", "-o", "yaml")
    assert not deployed.once("release", version="v1", state="retired")["changed"]

"""What a version has to pass before it is promoted, on the real platform: each gate passing and failing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gate_kit import Deployed

from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import gate as gate_statements

HEALTHY = [{"path": "/healthz", "contains": "ok"}]
TASK = {"name": "task", "queue": "taskQueue", "inputs": [0]}


@pytest.fixture(scope="module")
def deployed(platform: Any, application: Any, ansible_playbook: Any) -> Deployed:
    """A first version, which had to pass gates although there was nothing before it."""
    one = Deployed(platform, application, ansible_playbook)
    run = one.deploy("v1", release_gate_http=HEALTHY, release_gate_workflow=TASK)
    assert "passed: GET /healthz" in run.output and "passed: workflow task" in run.output, run.output
    return one


@pytest.fixture(scope="module")
def staged(deployed: Deployed) -> str:
    """A second version that waits for a person, with the first untouched."""
    before = deployed.uids("v1")
    run = deployed.deploy("v2", release_gate_http=HEALTHY, release_gate_approval=True)
    assert "To promote it, run again with -e release_approve=v2" in run.output, run.output
    assert deployed.promoted() == "v1" and deployed.uids("v1") == before
    assert deployed.selected(f"{deployed.application.name}-preview") == "v2"
    return "v2"


def gate(deployed: Deployed, version: str, **options: Any) -> dict[str, Any]:
    return deployed.once("gate", version=version, **options)


def test_a_promoted_version_passes_no_gate_again(deployed: Deployed) -> None:
    assert deployed.promoted() == "v1"
    again = deployed.deploy("v1", release_gate_http=[{"path": "/nowhere"}], release_gate_workflow=TASK)
    assert again.changed == 0, again.output
    assert deployed.sql("SELECT count(*) FROM dbos.workflow_status") == [(1,)]


def test_the_test_workflow_ran_on_the_gated_version(deployed: Deployed) -> None:
    rows = deployed.sql("SELECT workflow_uuid, application_version, application_name, status FROM dbos.workflow_status")
    name = deployed.application.name
    assert rows == [(f"{name}-v1-gate-1", "v1", name, "SUCCESS")]


def test_check_mode_prints_the_plan(deployed: Deployed) -> None:
    run = deployed.deploy("v3", "--check", release_gate_http=HEALTHY, release_gate_workflow=TASK)
    for line in ("register v3", "gate v3: GET /healthz", "gate v3: workflow task", "promote v3"):
        assert line in run.output, run.output
    assert not deployed.uids("v3")


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"path": "/nowhere"}, "GET /nowhere answered 404 instead of 200"),
        ({"path": "/healthz", "contains": "splendid"}, "answered without 'splendid'"),
    ],
)
def test_a_wrong_answer(deployed: Deployed, staged: str, asked: dict[str, Any], text: str) -> None:
    result = gate(deployed, staged, http=[*HEALTHY, asked])
    assert result["failed"] and text in result["msg"] and "v1 goes on serving" in result["msg"], result
    assert deployed.promoted() == "v1"


def test_a_status_that_was_asked_for(deployed: Deployed, staged: str) -> None:
    result = gate(deployed, staged, http=[{"path": "/workflow/none", "status": 404, "contains": "no workflow"}])
    assert result["passed"] == ["GET /workflow/none"], result


def test_a_workflow_that_fails(deployed: Deployed, staged: str) -> None:
    """The sample takes a whole number of seconds."""
    result = gate(deployed, staged, workflow={**TASK, "inputs": ["soon"]})
    assert result["failed"] and "ended as ERROR" in result["msg"], result
    ids = [row["id"] for row in result["made"]]
    assert f"{deployed.application.name}-v2-gate-1" in ids and all(id_ in result["msg"] for id_ in ids)


def test_a_workflow_that_nothing_takes_is_withdrawn(deployed: Deployed, staged: str) -> None:
    result = gate(deployed, staged, workflow={"name": "task", "queue": "nobody", "timeout": 1})
    assert result["failed"] and "serve queue nobody" in result["msg"], result
    assert result["made"][-1]["status"] == "CANCELLED"


def test_a_killed_gates_workflow_is_awaited(deployed: Deployed, staged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its id is the next that would be used. Nobody takes it before the gate has seen that it is there."""
    number = len(deployed.sql("SELECT 1 FROM dbos.workflow_status WHERE workflow_uuid LIKE %s", "%-v2-gate-%")) + 1
    id_ = f"{deployed.application.name}-v2-gate-{number}"
    deployed.sql(
        "SELECT dbos.enqueue_workflow('task', 'nobody', ARRAY['2'::json], workflow_id => %s, app_version => 'v2',"
        " application_name => %s)",
        id_,
        deployed.application.name,
    )
    enqueue = gate_statements.enqueue

    def found(*arguments: Any) -> None:
        enqueue(*arguments)
        deployed.sql("UPDATE dbos.workflow_status SET queue_name = 'taskQueue' WHERE workflow_uuid = %s", id_)

    monkeypatch.setattr(gate_statements, "enqueue", found)
    assert gate(deployed, staged, workflow=TASK)["passed"] == [f"workflow task ({id_})"]


def test_the_users_own_tasks(deployed: Deployed, staged: str, tmp_path: Path) -> None:
    tasks = tmp_path / "gate.yml"
    tasks.write_text(
        "- name: Look at the version\n"
        "  ansible.builtin.assert:\n"
        "    that: release_version == wanted_version\n"
        "    fail_msg: it is {{ release_version }}\n"
    )
    asked = {"release_gate_tasks": str(tasks), "release_gate_approval": True}
    failed = deployed.deploy(staged, check=False, wanted_version="v9", **asked)
    assert failed.returncode != 0
    assert "task 'Look at the version'" in failed.output and "it is v2" in failed.output, failed.output
    assert f"{deployed.application.name}-v2-gate-1" in failed.output and "v1 goes on serving" in failed.output
    assert deployed.promoted() == "v1"


def test_a_tick_leaves_a_version_that_waits_for_a_person(deployed: Deployed, staged: str) -> None:
    before = deployed.uids("v1") + deployed.uids(staged)
    assert deployed.tick().changed == 0
    assert deployed.uids("v1") + deployed.uids(staged) == before
    assert deployed.promoted() == "v1"


def test_a_person_approves(deployed: Deployed, staged: str) -> None:
    other = deployed.deploy(staged, check=False, release_gate_approval=True, release_approve="v1")
    assert other.returncode != 0 and "release_approve names version v1" in other.output, other.output
    deployed.deploy(staged, release_gate_http=HEALTHY, release_gate_approval=True, release_approve="v2")
    assert deployed.promoted() == "v2"

"""Every playbook as AWX runs it: through ansible-runner, without a terminal, extra variables all strings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ansible_runner
import pytest
from process_kit import until

pytestmark = pytest.mark.slow

# What the inventory says anyway, as a survey or a job template would pass it.
STRINGS = {
    "autoscaling_enabled": "true",
    "autoscaling_min_replicas": "1",
    "autoscaling_max_replicas": "10",
    "release_replicas": "2",
    "release_port": "8080",
    "release_conductor": "false",
    "demo_workflows": "8",
    "demo_seconds": "15",
    "demo_timeout": "900",
}
PLAYBOOKS = ["provision", "deploy", "site", "status", "retire", "demo", "rotate"]


def run(tmp_path: Path, root: Path, environment: dict[str, str], playbook: str, variables: dict[str, str]) -> Any:
    return ansible_runner.run(
        private_data_dir=str(tmp_path),
        project_dir=str(root),
        playbook=f"{playbook}.yml",
        inventory=str(root / "inventories/local"),
        extravars=variables,
        envvars=environment,
        quiet=True,
    )


# Before the demonstration releases a second one.
def test_a_first_version_has_none_to_be_rolled_back_to(
    converged: Any, ansible_environment: dict[str, str], root: Path, tmp_path: Path
) -> None:
    done = run(tmp_path, root, ansible_environment, "rollback", converged.variables | STRINGS)
    assert done.status == "failed"
    assert "no version that was promoted before" in done.stdout.read()


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbook_runs_without_a_terminal(
    playbook: str, converged: Any, platform: Any, ansible_environment: dict[str, str], root: Path, tmp_path: Path
) -> None:
    if playbook == "demo":
        # Nothing rises visibly while another file's work, such as that of a demonstration it has killed, is still done.
        seen = ("get", "statefulset", "-n", converged.namespace, "-o", "jsonpath={.items[*].status.replicas}")
        until("scaled in", lambda: platform.kubectl(*seen) in ("1", "2"), 600)
    done = run(tmp_path, root, ansible_environment, playbook, converged.variables | STRINGS)
    assert done.status == "successful", done.stdout.read()
    assert playbook == "demo" or not done.stats["changed"], done.stdout.read()


def test_teardown_asks_for_a_name_without_a_prompt(
    converged: Any, ansible_environment: dict[str, str], root: Path, tmp_path: Path
) -> None:
    done = run(tmp_path, root, ansible_environment, "teardown", converged.variables)
    assert done.status == "failed"
    assert "teardown_confirm" in done.stdout.read()


def test_every_playbook_is_tried(root: Path) -> None:
    assert {path.stem for path in root.glob("playbooks/*.yml")} - {"teardown", "rollback"} == set(PLAYBOOKS)

"""A run that is killed takes its module with it; one that is doubled is told so; one that is cut off says it."""

from __future__ import annotations

import re

import pytest
import yaml
from fault_kit import Cable
from process_kit import paused, processes_in, start, until

pytestmark = pytest.mark.slow


def wait_for_lease(platform, application):
    """Until a run has begun to change the application."""
    get = ("get", "lease", "-n", application.namespace, f"dbos-{application.name}", "-o", "name")
    until("the lease is held", lambda: platform.kubectl(*get, check=False).startswith("lease"), 300)


def test_a_killed_run_takes_its_module_with_it(root, ansible_environment, converged, temporary):
    """The demonstration's one module runs for most of a minute."""
    environment = ansible_environment | {"TMPDIR": str(temporary)}
    killed = start(root, environment, "demo.yml", converged.variables)

    for line in killed.stdout:
        if "unfinished" in line:
            break
    assert len(processes_in(temporary)) > 1
    killed.kill()
    killed.wait()
    until("all processes have ended", lambda: not processes_in(temporary), 20)


def test_two_runs_at_once(root, ansible_environment, ansible_playbook, platform, new_application):
    with new_application() as application:
        first = start(root, ansible_environment, "site.yml", application.variables)
        wait_for_lease(platform, application)
        with paused(first.pid):
            second = ansible_playbook("deploy.yml", extra_vars=application.variables, check=False)
        output, _ = first.communicate(timeout=300)
        assert first.returncode == 0, output
        assert second.returncode != 0
        found = re.search(r"Another run is changing application (\S+) in namespace (\S+): process (\d+)", second.output)
        assert found, second.output
        assert found.groups() == (application.name, application.namespace, str(first.pid))


def test_the_api_goes_away_in_mid_run(root, ansible_environment, ansible_playbook, platform, new_application, tmp_path):
    cable = Cable(platform.node, 6443)
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(cable.kubeconfig(platform)))
    with new_application() as application:
        run = start(
            root,
            ansible_environment,
            "deploy.yml",
            application.variables | {"platform_kubernetes": {"kubeconfig": str(path)}},
        )
        wait_for_lease(platform, application)
        cable.pull()
        output, _ = run.communicate(timeout=300)
        assert run.returncode != 0
        assert f"The Kubernetes API at https://127.0.0.1:{cable.port} does not answer" in output
        assert "Traceback" not in output
        ansible_playbook("deploy.yml", extra_vars=application.variables)
        assert ansible_playbook("deploy.yml", extra_vars=application.variables).changed == 0

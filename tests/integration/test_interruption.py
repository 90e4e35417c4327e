"""A run that is killed, doubled or cut off: the next one converges, and nothing is doubled or lost."""

from __future__ import annotations

import json
import random
import re
import subprocess
import time

import pytest
import yaml
from fault_kit import Cable
from process_kit import processes_in, until

pytestmark = pytest.mark.slow

KILLS = 10


def start(root, environment, application, *arguments, playbook="site.yml", extra_vars=None):
    """A playbook that goes on while the test does."""
    variables = json.dumps(application.variables | (extra_vars or {}))
    return subprocess.Popen(
        ["ansible-playbook", "-i", str(root / "inventories/local"), playbook, "-e", variables, *arguments],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def objects(platform, application, kind, component=None):
    selector = f"app.kubernetes.io/name={application.name}"
    if component:
        selector += f",app.kubernetes.io/component={component}"
    listed = platform.kubectl("get", kind, "-n", application.namespace, "-l", selector, "-o", "json")
    return json.loads(listed)["items"]


def wait_for_lease(platform, application):
    """Until a run has begun to change the application."""
    get = ("get", "lease", "-n", application.namespace, f"dbos-{application.name}", "-o", "name")
    until("the lease is held", lambda: platform.kubectl(*get, check=False).startswith("lease"))


@pytest.fixture(scope="module")
def seconds_of_a_run(ansible_playbook, platform, new_application):
    with new_application() as application:
        began = time.monotonic()
        ansible_playbook("site.yml", extra_vars=application.variables)
        return time.monotonic() - began


@pytest.mark.parametrize("position", range(KILLS))
def test_killed_at_any_moment(
    position,
    root,
    ansible_environment,
    ansible_playbook,
    platform,
    new_application,
    seconds_of_a_run,
    kill_all,
    temporary,
):
    """Ten moments, one at random in each tenth of a run; half of the kills spare the module that is just running."""
    environment = ansible_environment | {"TMPDIR": str(temporary)}
    moment = seconds_of_a_run * (position + random.random()) / KILLS
    with new_application() as application:
        killed = start(root, environment, application)
        time.sleep(moment)
        if position % 2:
            kill_all(killed)
        else:
            killed.kill()
            killed.wait()
        converged = ansible_playbook("site.yml", extra_vars=application.variables)
        again = ansible_playbook("deploy.yml", extra_vars=application.variables)
        assert again.changed == 0, f"killed after {moment:.1f} s:\n{converged.output}\n{again.output}"
        assert len(objects(platform, application, "statefulset", "executor")) == 1
        assert len(objects(platform, application, "scaledobject")) == 1
        migrations = objects(platform, application, "job", "migration")
        assert sum(job["status"].get("succeeded", 0) for job in migrations) == 1, migrations
        # The killed run's relay goes by its deadline at the latest; the runs after it have closed theirs.
        assert len(objects(platform, application, "job", "relay")) <= 1
        lease = platform.kubectl(
            "get", "lease", "-n", application.namespace, f"dbos-{application.name}", "--ignore-not-found"
        )
        assert lease == ""


def test_a_killed_run_takes_its_module_with_it(root, ansible_environment, converged, temporary):
    """The demonstration's one module runs for most of a minute."""
    environment = ansible_environment | {"TMPDIR": str(temporary)}
    killed = start(root, environment, converged, playbook="demo.yml")

    for line in killed.stdout:
        if "unfinished" in line:
            break
    assert len(processes_in(temporary)) > 1
    killed.kill()
    killed.wait()
    until("all processes have ended", lambda: not processes_in(temporary), 5)


def test_work_survives_a_killed_release(
    root, ansible_environment, ansible_playbook, platform, new_application, kill_all, temporary
):
    """Workflows of the version that runs are finished once each, whatever happens to the run that brings the next."""
    with new_application() as application:
        ansible_playbook("site.yml", extra_vars=application.variables)
        path = f"/api/v1/namespaces/{application.namespace}/services/{application.name}:8080/proxy"
        ids = [json.loads(platform.kubectl("get", "--raw", f"{path}/enqueue/5"))["workflow_id"] for _ in range(6)]
        environment = ansible_environment | {"TMPDIR": str(temporary)}
        killed = start(root, environment, application, extra_vars={"release_version": "v2"})
        time.sleep(random.uniform(3, 15))
        kill_all(killed)
        ansible_playbook("site.yml", extra_vars=application.variables | {"release_version": "v2"})

        def states():
            found = [json.loads(platform.kubectl("get", "--raw", f"{path}/workflow/{one}"))["status"] for one in ids]
            return all(state == "SUCCESS" for state in found)

        until("all work is done", states, 120)


def test_two_runs_at_once(root, ansible_environment, ansible_playbook, platform, new_application):
    with new_application() as application:
        first = start(root, ansible_environment, application)
        wait_for_lease(platform, application)
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
            application,
            playbook="deploy.yml",
            extra_vars={"platform_kubernetes": {"kubeconfig": str(path)}},
        )
        wait_for_lease(platform, application)
        cable.pull()
        output, _ = run.communicate(timeout=300)
        assert run.returncode != 0
        assert f"The Kubernetes API at https://127.0.0.1:{cable.port} does not answer" in output
        assert "Traceback" not in output
        ansible_playbook("deploy.yml", extra_vars=application.variables)
        assert ansible_playbook("deploy.yml", extra_vars=application.variables).changed == 0

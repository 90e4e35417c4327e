"""Secrets stand nowhere but in Secrets: not in output, process lists, objects, or Ansible's temporary files."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest
from leak_kit import Watch, leaks

pytestmark = pytest.mark.slow

# Every character that some layer quotes, round a core that no layer does: however it is quoted, the core shows.
CORES = {
    name: uuid.uuid4().hex
    for name in ("database_owner_password", "database_app_password", "database_metrics_password", "conductor_api_key")
}


def passwords(cores: dict[str, str]) -> dict[str, str]:
    return {name: f'it\'s 50% "ü" /@:?#&+ \\ ${{x}} {core} {{y}}' for name, core in cores.items()}


PASSWORDS = passwords(CORES)


def written(path, application, cores):
    """In a file that only this user reads, as a person would; kept out of what is searched."""
    # The key is sealed, but this SDK connects to Conductor only with DBOS' enterprise package.
    path.write_text(json.dumps(application.variables | passwords(cores) | {"release_conductor": "false"}))
    return path


@pytest.fixture
def variables(application, tmp_path):
    return written(tmp_path / "variables.json", application, CORES)


@pytest.fixture
def secrets(platform):
    return CORES | {"admin": (platform.directory / "postgresql/admin-password").read_text().strip()}


@pytest.fixture
def environment(ansible_environment, temporary):
    """All of Ansible's temporary files below one directory."""
    return ansible_environment | {
        "ANSIBLE_REMOTE_TEMP": str(temporary / "remote"),
        "ANSIBLE_LOCAL_TEMP": str(temporary / "local"),
        "TMPDIR": str(temporary),
    }


def command(root, variables, *arguments, playbook="site.yml"):
    return ["ansible-playbook", "-i", str(root / "inventories/local"), playbook, "-e", f"@{variables}", *arguments]


def start(root, environment, variables, *arguments, playbook="site.yml"):
    return subprocess.Popen(
        command(root, variables, *arguments, playbook=playbook),
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def shown_by_the_cluster(platform, application):
    """Everything that the API server shows but Secrets, of every kind, and all logs of the application."""
    kinds = platform.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    listed = ",".join(sorted({kind for kind in kinds if kind not in ("secrets", "events")}))
    everything = platform.kubectl("get", listed, "-A", "-o", "yaml", "--show-managed-fields", check=False)
    assert application.namespace in everything
    events = platform.kubectl("get", "events", "-A", "-o", "yaml")
    selector = f"app.kubernetes.io/name={application.name}"
    # The run's relay may be on its way out: what can no longer be read of it shows nothing.
    how = ["--all-containers", "--tail=-1", "--ignore-errors"]
    logs = platform.kubectl("logs", "-n", application.namespace, "-l", selector, *how)
    assert '"msg":"ready"' in logs
    return (everything + events + logs).encode()


def test_forms_find_what_is_hidden():
    core, secret = CORES["conductor_api_key"], PASSWORDS["conductor_api_key"]
    for hidden in (
        base64.b64encode(f"postgresql://u:{quote(secret, safe='')}@h".encode()),
        base64.b64encode(f"1{secret}".encode()),
        base64.b64encode(f"12{secret}".encode()),
        f"ALTER ROLE x PASSWORD '{secret.replace(chr(39), chr(39) * 2)}'".encode(),
        repr(json.dumps({"a": secret})).encode(),
    ):
        assert leaks(hidden, {"it": core}) == ["it"]


def test_a_run_shows_no_secret(root, environment, variables, secrets, platform, application, temporary):
    with Watch(secrets, temporary) as watch:
        run = start(root, environment, variables, "--diff", "-vvv")
        output, _ = run.communicate()
    assert leaks(output, secrets) == []
    assert run.returncode == 0, output.decode()
    assert watch.samples > 20
    assert watch.found == set()
    assert leaks(shown_by_the_cluster(platform, application), secrets) == []


def test_a_rotation_shows_no_secret(
    root, environment, variables, secrets, platform, application, temporary, tmp_path, kill_all
):
    """One that goes through, and one that is killed three times and finished; then there is nothing left to do."""
    one = ["--limit", "dbos-app"]

    def rotated(to):
        run = start(root, environment, to, *one, "--diff", "-vvv", playbook="rotate.yml")
        output, _ = run.communicate()
        assert leaks(output, secrets) == []
        assert run.returncode == 0, output.decode()
        return output

    renewed = []
    for turn in ("second", "third"):
        cores = {name: uuid.uuid4().hex for name in CORES}
        secrets |= {f"{turn} {name}": core for name, core in cores.items()}
        renewed.append(written(tmp_path / f"{turn}.json", application, cores))
    subprocess.run(command(root, variables, *one, playbook="deploy.yml"), cwd=root, env=environment, check=True)
    with Watch(secrets, temporary) as watch:
        shown = rotated(renewed[0])
        assert b'"role ' in shown and b'"pods of v1": "restarted"' in shown
        for seconds in (5, 8, 11):
            killed = start(root, environment, renewed[1], *one, playbook="rotate.yml")
            time.sleep(seconds)
            kill_all(killed)
            watch.files()
        rotated(renewed[1])
        nothing = rotated(renewed[1])
    assert b"changed=0 " in nothing, nothing.decode()
    assert watch.found == set()
    assert leaks(shown_by_the_cluster(platform, application), secrets) == []


@pytest.mark.parametrize("interpreter", ["python", "python3"])
def test_a_killed_run_leaves_no_secret(interpreter, root, environment, variables, secrets, temporary, kill_all):
    """Ansible's temporary files outlive kill -9; with pipelining they hold no arguments.

    Under another name than Ansible's own interpreter a module runs as a process of its own.
    """
    other = f"ansible_python_interpreter={Path(sys.executable).with_name(interpreter)}"
    with Watch(secrets, temporary) as watch:
        for seconds in (2, 4, 6, 8, 10):
            run = start(root, environment, variables, "-e", other)
            time.sleep(seconds)
            kill_all(run)
            watch.files()
    assert watch.found == set()

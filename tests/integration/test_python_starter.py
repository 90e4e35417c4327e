"""The sample application in Python on the real platform: built, migrated and deployed as its README says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from process_kit import until
from python_kit import EXAMPLE, interpreter


@pytest.fixture(scope="module")
def variables(root: Path, application: Any) -> dict[str, Any]:
    """What the README says to write into host_vars, for an application of this file's own."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (root / EXAMPLE / "README.md").read_text(), re.DOTALL)
    # One executor, so that it is known whose work is whose.
    return {**yaml.safe_load(text), **application.variables, "release_replicas": 1}


@pytest.fixture(scope="module")
def deployed(ansible_playbook: Callable[..., Any], variables: dict[str, Any]) -> Any:
    return ansible_playbook("deploy.yml", extra_vars=variables)


class App:
    """The deployed application."""

    def __init__(self, platform: Any, application: Any) -> None:
        self.platform, self.name, self.namespace = platform, application.name, application.namespace
        self.pod = f"{application.name}-v1-0"

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        return str(self.platform.kubectl(*arguments, "-n", self.namespace, check=check))

    def get(self, path: str) -> Any:
        """A GET of the pod through the API server."""
        where = f"/api/v1/namespaces/{self.namespace}/pods/{self.pod}:8080/proxy{path}"
        return json.loads(self.platform.kubectl("get", "--raw", where))

    def refused(self, path: str) -> str:
        where = f"/api/v1/namespaces/{self.namespace}/pods/{self.pod}:8080/proxy{path}"
        return str(self.platform.kubectl("get", "--raw", where, check=False))

    def workflow(self, identity: str) -> dict[str, Any]:
        """A workflow's row, as the database has it while no pod answers."""
        columns = "status, executor_id, application_version, recovery_attempts, name, application_name"
        row = self.rows(f"SELECT {columns} FROM dbos.workflow_status WHERE workflow_uuid = %s", identity)[0]
        return dict(zip(columns.split(", "), row, strict=True))

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """As the role that owns the database."""
        name = self.name.replace("-", "_")
        password = (self.platform.directory / "credentials" / self.name / "owner").read_text().strip()
        login = {"user": f"{name}_owner", "password": password}
        with closing(psycopg2.connect(**{**self.platform.database(name), **login})) as session:
            cursor = session.cursor()
            cursor.execute(statement, values)
            return cursor.fetchall()

    def uid(self) -> str:
        return self.kubectl("get", "pod", self.pod, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")

    def ready(self) -> bool:
        condition = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        return self.kubectl("get", "pod", self.pod, "-o", condition, check=False) == "True"

    def ended(self, *arguments: str) -> str:
        """Deletes the pod and waits until its successor is ready; what the deleted one logged."""
        before = self.uid()
        tool = [self.platform.program("kubectl"), "--kubeconfig", str(self.platform.kubeconfig)]
        follow = [*tool, "logs", "-f", self.pod, "-n", self.namespace]
        with subprocess.Popen(follow, stdout=subprocess.PIPE, text=True) as log:
            assert log.stdout
            said = []
            for line in log.stdout:
                said.append(line)
                if '"msg": "ready"' in line:  # what it logs from now on is seen
                    self.kubectl("delete", "pod", self.pod, *arguments)
        until("replaced", lambda: self.uid() != before and self.ready())
        return "".join(said)


@pytest.fixture(scope="module")
def app(platform: Any, application: Any, deployed: Any) -> App:
    return App(platform, application)


def test_a_second_deploy_changes_nothing(
    ansible_playbook: Callable[..., Any], variables: dict[str, Any], deployed: Any
) -> None:
    assert deployed.changed > 0
    again = ansible_playbook("deploy.yml", extra_vars=variables)
    assert again.changed == 0, again.output


def test_a_job_with_its_own_image_migrated(app: App) -> None:
    migrations = "app.kubernetes.io/component=migration"
    (job,) = json.loads(app.kubectl("get", "jobs", "-l", migrations, "-o", "json"))["items"]
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert job["status"]["succeeded"] == 1
    assert "/python-starter-migrate@sha256:" in container["image"]
    assert container["command"][0] == "python3" and "postgresql://" not in str(container)
    assert app.rows("SELECT version FROM dbos.dbos_migrations") == [(125,)]


def test_it_runs_confined_and_registers_as_asked(app: App) -> None:
    pod = json.loads(app.kubectl("get", "pod", app.pod, "-o", "json"))
    container = pod["spec"]["containers"][0]
    assert "/python-starter@sha256:" in container["image"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    enforced = app.platform.kubectl("get", "namespace", app.namespace, "-o", "jsonpath={.metadata.labels}")
    assert json.loads(enforced)["pod-security.kubernetes.io/enforce"] == "restricted"
    assert app.rows("SELECT version_name, application_name FROM dbos.application_versions") == [("v1", app.name)]
    assert app.rows("SELECT name, worker_concurrency, application_name FROM dbos.queues") == [
        ("taskQueue", 2, app.name)
    ]


def test_a_workflow_ends_and_is_counted_until_then(app: App) -> None:
    assert app.get("/healthz") == {"status": "ok"}
    assert app.get("/metrics/taskQueue") == {"queue_length": 0}
    identity = app.get("/enqueue/10")["workflow_id"]
    assert app.get("/metrics/taskQueue") == {"queue_length": 1}
    until("done", lambda: app.get(f"/workflow/{identity}")["status"] == "SUCCESS")
    assert app.get("/metrics/taskQueue") == {"queue_length": 0}
    done = app.get(f"/workflow/{identity}")
    assert (done["executor_id"], done["application_version"], done["output"]) == (app.pod, "v1", "done")
    assert app.workflow(identity)["name"] == "task" and app.workflow(identity)["application_name"] == app.name
    assert "(NotFound)" in app.refused("/metrics/taskqueue")
    assert "(NotFound)" in app.refused("/workflow/none")
    assert "(BadRequest)" in app.refused("/enqueue/soon")


def running(app: App, seconds: int) -> list[str]:
    """Two workflows, as many as one executor runs, that have begun."""
    identities = [app.get(f"/enqueue/{seconds}")["workflow_id"] for _ in range(2)]
    until("running", lambda: all(app.workflow(identity)["status"] == "PENDING" for identity in identities))
    return identities


def test_a_pod_that_is_told_to_go_ends_its_work(app: App) -> None:
    identities = running(app, 12)
    lines = [json.loads(line) for line in app.ended().splitlines() if line.startswith("{")]
    assert [line["msg"] for line in lines if line["msg"] in ("ready", "draining", "drained")] == [
        "ready",
        "draining",
        "drained",
    ]
    assert lines[-1]["left_pending"] == 0
    for identity in identities:
        row = app.workflow(identity)
        assert (row["status"], row["executor_id"], row["recovery_attempts"]) == ("SUCCESS", app.pod, 1)


def test_a_pod_that_is_killed_comes_back_and_goes_on(app: App) -> None:
    identities = running(app, 30)
    said = app.ended("--grace-period=1")
    assert "drained" not in said
    for identity in identities:
        until("recovered", lambda i=identity: app.workflow(i)["status"] == "SUCCESS")
        row = app.workflow(identity)
        assert (row["executor_id"], row["recovery_attempts"]) == (app.pod, 2)


# Without the cluster


def last_words(root: Path, **variables: str) -> dict[str, Any]:
    """How the application ends that cannot launch: the last line of its log."""
    done = subprocess.run(
        [interpreter(root / EXAMPLE / "requirements.txt"), "main.py"],
        cwd=root / EXAMPLE,
        env={"PORT": "0", "PYTHONDONTWRITEBYTECODE": "1", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert line["msg"] == "dbos-app stopped"
    return line


def test_a_schema_that_is_not_there_stops_it_with_one_clear_line(root: Path, platform: Any) -> None:
    admin = platform.database()
    password = urllib.parse.quote(admin["password"], safe="")
    url = f"postgresql://{admin['user']}:{password}@{admin['host']}:5432/postgres?sslmode=verify-full&sslrootcert="
    said = last_words(root, DBOS_SYSTEM_DATABASE_URL=url + admin["sslrootcert"])
    assert "dbos migrate" in said["error"] and password not in said["error"]


def test_a_conductor_key_without_the_licensed_package_stops_it(root: Path) -> None:
    said = last_words(root, DBOS_SYSTEM_DATABASE_URL="postgresql://h/d", DBOS_CONDUCTOR_KEY="key")
    assert "enterprise" in said["error"]


def test_its_own_checks_pass(root: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=root / EXAMPLE, check=True)

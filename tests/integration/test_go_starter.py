"""The sample application against the real PostgreSQL: restricted role, its own version's count, drain and recovery."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from process_kit import free_port, until


@pytest.fixture(scope="module")
def programs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application and the dbos command, as the local images get them."""
    folder = tmp_path_factory.mktemp("go-starter")
    environment = os.environ | {
        "BUILD_CONTEXT": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for what in ("app", "migrate"):
        command = ["sh", "local-context.sh", what]
        subprocess.run(command, cwd=root / "examples/go-starter", env=environment, check=True)
    return folder


@pytest.fixture(scope="module")
def database(platform: Any) -> Iterator[Callable[[str], str]]:
    """A database of this file's own; gives its URL for `owner` or `app`, who may only use what is there."""
    admin = platform.database()
    name = f"test_go_starter_{uuid.uuid4().hex[:6]}"
    users = {"owner": f"{name}_owner", "app": f"{name}_app"}
    connection = psycopg2.connect(**admin)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for user in users.values():
            cursor.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'pä %%/@'")
        cursor.execute(f"GRANT {users['owner']} TO CURRENT_USER WITH SET TRUE, INHERIT TRUE")
        cursor.execute(f"CREATE DATABASE {name} OWNER {users['owner']}")

    def url(who: str) -> str:
        password = urllib.parse.quote("pä %%/@", safe="")
        return (
            f"postgresql://{users[who]}:{password}@{admin['host']}:5432/{name}"
            f"?sslmode=verify-full&sslrootcert={admin['sslrootcert']}"
        )

    yield url
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        for user in users.values():
            cursor.execute(f"DROP ROLE {user}")
    connection.close()


@pytest.fixture(scope="module")
def migrated(programs: Path, database: Callable[[str], str]) -> Callable[[str], str]:
    role = urllib.parse.urlsplit(database("app")).username
    environment = os.environ | {"DBOS_SYSTEM_DATABASE_URL": database("owner")}
    subprocess.run([programs / "dbos", "migrate", "--app-role", str(role)], env=environment, check=True)
    return database


class App:
    """A running application."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port

    def get(self, path: str) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def wait(self, path: str, wanted: Callable[[Any], bool], seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while True:
            try:
                answer = self.get(path)[1]
            except OSError:
                answer = None
            if answer is not None and wanted(answer):
                return answer
            assert self.process.poll() is None, "the application ended"
            assert time.monotonic() < end, f"{path} answers {answer}"
            time.sleep(0.1)

    def stop(self) -> str:
        """SIGTERM as the kubelet sends it; returns the log."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=90)[0]


@pytest.fixture
def start(programs: Path, migrated: Callable[[str], str]) -> Iterator[Any]:
    """Starts the application with the restricted role, as executor 0 of a version."""
    started: list[subprocess.Popen[str]] = []

    @contextmanager
    def run(version: str, **variables: str) -> Iterator[App]:
        port = free_port()
        environment = os.environ | {
            "DBOS_SYSTEM_DATABASE_URL": migrated("app"),
            "DBOS__APPVERSION": version,
            "DBOS__VMID": f"dbos-app-{version}-0",
            "PORT": str(port),
        }
        process = subprocess.Popen(
            [programs / "dbos-app"],
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        app = App(process, port)
        app.wait("/healthz", lambda answer: answer["status"] == "ok")
        yield app

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_counts_the_work_of_its_own_version(start: Any) -> None:
    with start("count1") as first, start("count2") as second:
        ids = [first.get("/enqueue/5")[1]["workflow_id"] for _ in range(3)]
        assert first.get("/metrics/taskQueue") == (200, {"queue_length": 3})
        assert second.get("/metrics/taskQueue") == (200, {"queue_length": 0})
        first.wait(f"/workflow/{ids[1]}", lambda answer: answer["status"] == "PENDING")
        # Two at once: the third waits for one of the first two.
        states = [first.get(f"/workflow/{identity}")[1]["status"] for identity in ids]
        assert states == ["PENDING", "PENDING", "ENQUEUED"]
        first.wait(f"/workflow/{ids[2]}", lambda answer: answer["status"] == "SUCCESS")
        assert first.get(f"/workflow/{ids[2]}")[1]["executor_id"] == "dbos-app-count1-0"
        assert first.get("/metrics/taskQueue") == (200, {"queue_length": 0})
        assert first.get("/metrics/taskqueue") == (404, {"error": 'there is no queue "taskqueue"'})
        assert first.get("/workflow/none")[0] == 404
        assert first.get("/enqueue/soon")[0] == 400


def test_a_drained_pod_ends_its_work_and_takes_no_more(start: Any) -> None:
    with start("drain") as app:
        ids = [app.get("/enqueue/10")[1]["workflow_id"] for _ in range(3)]
        app.wait(f"/workflow/{ids[1]}", lambda answer: answer["status"] == "PENDING")
        log = app.stop()
        assert app.process.returncode == 0, log
        assert '"left_pending":0' in log
    with start("other") as reader:
        states = [reader.get(f"/workflow/{identity}")[1]["status"] for identity in ids]
        assert states == ["SUCCESS", "SUCCESS", "ENQUEUED"]


def asleep(url: str, identity: str) -> bool:
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        cursor.execute("SELECT 1 FROM dbos.operation_outputs WHERE workflow_uuid = %s", (identity,))
        return cursor.fetchone() is not None


def test_what_does_not_end_in_time_is_resumed_by_the_same_executor(start: Any, migrated: Callable[[str], str]) -> None:
    with start("resume", DBOS_DRAIN_SECONDS="0") as app:
        identity = app.get("/enqueue/10")[1]["workflow_id"]
        # PENDING from when it is claimed on, it is running a moment later.
        until("asleep", lambda: asleep(migrated("owner"), identity))
        log = app.stop()
        assert app.process.returncode == 0, log
        assert '"left_pending":1' in log
    with start("resume") as app:
        done = app.wait(f"/workflow/{identity}", lambda answer: answer["status"] == "SUCCESS")
        assert done["attempts"] == 2


def test_a_schema_that_is_not_there_stops_it_with_one_clear_line(programs: Path, platform: Any) -> None:
    admin = platform.database()
    password = urllib.parse.quote(admin["password"], safe="")
    url = f"postgresql://{admin['user']}:{password}@{admin['host']}:5432/postgres?sslmode=verify-full&sslrootcert="
    environment = os.environ | {"DBOS_SYSTEM_DATABASE_URL": url + admin["sslrootcert"], "PORT": "0"}
    done = subprocess.run([programs / "dbos-app"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["msg"] == "dbos-app stopped" and "dbos migrate" in last["error"], last


def test_its_own_checks_pass(root: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for command in (["go", "vet", "./..."], ["go", "test", "./..."]):
        subprocess.run(command, cwd=root / "examples/go-starter", env=environment, check=True)

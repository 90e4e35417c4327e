"""The local platform, as tests use it: started when it is down, shared by all, one namespace per test file."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from process_kit import kill_in
from psycopg2 import sql


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    """An empty AWS account (aws_kit.Aws), which the tests of one file share; reset() empties it again."""
    from aws_kit import serving  # a second of imports, which other files save

    with serving() as account:
        yield account


@dataclass(frozen=True)
class Platform:
    """Where the running local platform keeps what tests need of it."""

    directory: Path
    kubeconfig: Path
    node: str

    def program(self, name: str) -> str:
        """Path of a command line tool that the platform built (kubectl, kubeseal, helm, dbos)."""
        return str(self.directory / "bin" / name)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """What kubectl prints; with C(check=False) also when it fails."""
        done = subprocess.run(
            [self.program("kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}:\n{done.stdout}"
        return done.stdout

    def database(self, name: str = "postgres") -> dict[str, Any]:
        """Connection parameters for psycopg2, as the admin that the platform hands out."""
        return {
            "host": self.node,
            "dbname": name,
            "user": "dbos_admin",
            "password": (self.directory / "postgresql/admin-password").read_text().strip(),
            "sslmode": "verify-full",
            "sslrootcert": str(self.directory / "pki/ca.crt"),
        }

    def forget(self, application: str) -> None:
        """Removes an application's database, roles and credentials (its namespace is the test's own)."""
        name = application.replace("-", "_")
        connection = psycopg2.connect(**self.database())
        connection.autocommit = True
        with closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (f"{name}_owner",))
            if cursor.fetchone():
                self._wait_until_unused(cursor, name)
                # As on RDS the admin is no superuser: it works as the owner, whose role it has granted itself.
                cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(f"{name}_owner")))
                cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
                cursor.execute("RESET ROLE")
            for suffix in ("a", "b", "metrics_b", "metrics", "role", "owner"):
                cursor.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"{name}_{suffix}")))
        shutil.rmtree(self.directory / "credentials" / application, ignore_errors=True)
        (self.directory / "demo" / application).unlink(missing_ok=True)

    @staticmethod
    def _wait_until_unused(cursor: Any, database: str) -> None:
        """KEDA's scaler takes leave a moment after its ScaledObject; only that session's own role could end it."""
        for _ in range(240):
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename IS NOT NULL", (database,)
            )
            if not cursor.fetchone()[0]:
                return
            time.sleep(0.5)


LOCK = Path(tempfile.gettempdir()) / "dbos-kubernetes-tests.lock"


@contextmanager
def turn(kind: int) -> Iterator[None]:
    """Holds the lock between the processes of a test run: LOCK_SH beside others, LOCK_EX alone."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, kind)
        yield


@pytest.fixture(scope="module", autouse=True)
def _in_turn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Files run side by side, but one that changes what all share (C(pytest.mark.alone)) runs while no other does."""
    tests = [item for item in request.session.items if item.path == request.path]
    if not any("platform" in getattr(item, "fixturenames", ()) for item in tests):
        yield
        return
    with turn(fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH):
        yield


@pytest.fixture(scope="session")
def platform(ansible_playbook: Callable[..., Any], root: Path) -> Platform:
    """The local platform with its add-ons, provisioned when it is not there."""
    with (LOCK.with_suffix(".platform")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ansible_playbook("provision.yml", timeout=3600)
    variables = yaml.safe_load((root / "roles/local_platform/defaults/main.yml").read_text())
    directory = Path(variables["local_platform_directory"])
    return Platform(directory, directory / "kubeconfig", variables["local_platform_node_address"])


@pytest.fixture(scope="module")
def namespace_name(request: pytest.FixtureRequest, platform: Platform) -> Iterator[str]:
    """A name for a namespace that no one else uses; what is made under it goes when the file's tests are done."""
    stem = re.sub(r"[^a-z0-9]+", "-", request.path.stem.removeprefix("test_"))
    name = f"test-{stem[:30].strip('-')}-{uuid.uuid4().hex[:6]}"
    yield name
    platform.kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def namespace(platform: Platform, namespace_name: str) -> str:
    """The same, made already."""
    platform.kubectl("create", "namespace", namespace_name)
    return namespace_name


@dataclass(frozen=True)
class Application:
    """An application of a test's own, in its own namespace and database."""

    name: str
    namespace: str

    @property
    def variables(self) -> dict[str, str]:
        """What tells a playbook to work on it; every value a string, as AWX passes them."""
        return {"dbos_app": self.name, "dbos_namespace": self.namespace}


@pytest.fixture(scope="session")
def new_application(platform: Platform) -> Callable[[], AbstractContextManager[Application]]:
    """Names for an application; its namespace, database and roles go when the block is left."""

    @contextmanager
    def make() -> Iterator[Application]:
        name = f"app-{uuid.uuid4().hex[:6]}"
        try:
            yield Application(name, f"test-{name}")
        finally:
            platform.kubectl("delete", "namespace", f"test-{name}", "--ignore-not-found")
            platform.forget(name)

    return make


@pytest.fixture(scope="module")
def application(new_application: Callable[[], AbstractContextManager[Application]]) -> Iterator[Application]:
    """One such application for all tests of a file."""
    with new_application() as one:
        yield one


@pytest.fixture(scope="session")
def converged(
    new_application: Callable[[], AbstractContextManager[Application]], ansible_playbook: Callable[..., Any]
) -> Iterator[Application]:
    """The sample application, deployed once for all of a process's tests that only run playbooks on it again."""
    with new_application() as one:
        ansible_playbook("deploy.yml", extra_vars=one.variables)
        yield one


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder to be a run's TMPDIR, with a short name: Ansible makes a socket below it, whose path may not be long."""
    with tempfile.TemporaryDirectory(prefix="dbos-", dir="/tmp", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture
def kill_all(temporary: Path) -> Callable[[subprocess.Popen[Any]], None]:
    """Kills a run and all that it has started: what has inherited its TMPDIR."""

    def kill(run: subprocess.Popen[Any]) -> None:
        run.kill()
        run.wait()
        kill_in(temporary)

    return kill

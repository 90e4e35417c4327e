# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The platform's PostgreSQL: private, TLS only, and an administrator with no more rights than on RDS."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import secrets
import shutil
import signal
from pathlib import Path
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.certificates import write
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.command import run
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.processes import Component
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import PORTS, Settings

ADMIN = "dbos_admin"
STOP_SIGNAL = signal.SIGINT  # ends sessions; SIGTERM would wait for them
STOP_SECONDS = 20.0
SUPERUSER = "postgres"  # over the Unix socket only, which only root and the server's own user can reach

HBA = f"""\
# Nothing but TLS with SCRAM from the network; the superuser never.
local   all  {SUPERUSER}             peer map=platform
hostssl all  {SUPERUSER}  0.0.0.0/0  reject
hostssl all  all         0.0.0.0/0  scram-sha-256
"""


def configuration(settings: Settings) -> str:
    """postgresql.conf."""
    home = settings.below("postgresql")
    return f"""\
listen_addresses = '{settings.node_address}'
port = {PORTS["postgresql"]}
unix_socket_directories = '{home / "socket"}'
unix_socket_permissions = 0700
hba_file = '{home / "etc" / "pg_hba.conf"}'
ident_file = '{home / "etc" / "pg_ident.conf"}'
ssl = on
ssl_cert_file = '{home / "etc" / "server.crt"}'
ssl_key_file = '{home / "etc" / "server.key"}'
ssl_min_protocol_version = 'TLSv1.2'
password_encryption = 'scram-sha-256'
max_connections = 500
shared_buffers = '128MB'
timezone = 'UTC'
log_timezone = 'UTC'
# A statement can hold a secret, so none is ever logged: neither on errors nor when it is slow.
log_statement = 'none'
log_min_error_statement = 'panic'
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
"""


def configuration_files(settings: Settings) -> dict[str, str]:
    """All that the server reads when it starts."""
    return {
        "postgresql.conf": configuration(settings),
        "pg_hba.conf": HBA,
        "pg_ident.conf": f"platform root {SUPERUSER}\nplatform {settings.instance} {SUPERUSER}\n",
        "server.crt": (settings.pki / "postgresql.crt").read_text(),
        "server.key": (settings.pki / "postgresql.key").read_text(),
    }


def account(settings: Settings) -> tuple[int, int] | None:
    """The numbers of the server's own user and group, or None while there is no such user."""
    try:
        entry = pwd.getpwnam(settings.instance)
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid


def prepare(settings: Settings, server: Path) -> bool:
    """User, programs, data directory and configuration; whether anything changed."""
    changed = False
    if account(settings) is None:
        nowhere = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
        command = ["useradd", "--system", "--user-group", *nowhere, settings.instance]
        run(command, what=f"create PostgreSQL's user {settings.instance}")
        changed = True
    owner = account(settings)
    if owner is None:
        raise DbosError(f"The user {settings.instance} was created, but the system does not find it.")
    home = settings.below("postgresql")
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    changed |= _programs(home / "server", server)
    for folder in ("socket", "etc"):
        (home / folder).mkdir(mode=0o700, exist_ok=True)
        os.chown(home / folder, *owner)
    for name, text in configuration_files(settings).items():
        changed |= write(home / "etc" / name, text, mode=0o600, owner=owner)
    if not (home / "admin-password").exists():
        changed |= write(home / "admin-password", secrets.token_urlsafe(24) + "\n", mode=0o600)
    if not (home / "data").exists():
        _initialise(settings, home, owner)
        changed = True
    return changed


def _programs(target: Path, server: Path) -> bool:
    """The programs, out of a cache that the server's user may not be able to read (it is in root's home)."""
    stamp = target / ".from"
    if stamp.exists() and stamp.read_text() == str(server):
        return False
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(server, target, symlinks=True, copy_function=_link_or_copy)
    stamp.write_text(str(server))
    return True


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _initialise(settings: Settings, home: Path, owner: tuple[int, int]) -> None:
    # Made beside its place and moved there whole: a killed run leaves no half of it.
    fresh = home / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    os.chown(fresh, *owner)
    run(
        [
            "setpriv",
            f"--reuid={settings.instance}",
            f"--regid={settings.instance}",
            "--clear-groups",
            home / "server" / "bin" / "initdb",
            f"--pgdata={fresh}",
            f"--username={SUPERUSER}",
            "--auth=peer",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ],
        what="initialise PostgreSQL's data directory",
    )
    fresh.rename(home / "data")


def component(settings: Settings, server: Path) -> Component:
    """The server's process."""
    home = settings.below("postgresql")
    files = configuration_files(settings)
    fingerprint = hashlib.sha256("\0".join([str(server), *files.values()]).encode()).hexdigest()[:16]
    return Component(
        name="postgresql",
        command=[
            str(home / "server" / "bin" / "postgres"),
            "-D",
            str(home / "data"),
            f"--config_file={home / 'etc' / 'postgresql.conf'}",
        ],
        ready=lambda: _answers(settings),
        fingerprint=fingerprint,
        user=settings.instance,
        environment={"LC_ALL": "C.UTF-8"},
        stale=[home / "data" / "postmaster.pid", home / "socket" / ".s.PGSQL.5432.lock"],
        stop_signal=STOP_SIGNAL,
        stop_seconds=STOP_SECONDS,
    )


def ensure_admin(settings: Settings) -> None:
    """The administrator's role, with the password kept beside the data."""
    from psycopg2 import extensions

    password = _password(settings)
    with contextlib.closing(_superuser(settings)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ADMIN,))
        verb = "ALTER" if cursor.fetchone() else "CREATE"
        verifier = extensions.encrypt_password(password, ADMIN, connection, "scram-sha-256")
        cursor.execute(f"{verb} ROLE {ADMIN} LOGIN NOSUPERUSER CREATEDB CREATEROLE PASSWORD %s", (verifier,))
        # What RDS lets its administrator see and do beside.
        cursor.execute(f"GRANT pg_monitor, pg_signal_backend TO {ADMIN}")
        connection.commit()
    if admin_missing(settings):
        raise DbosError(f"PostgreSQL does not accept the password of {ADMIN} that was just set.")


def admin_missing(settings: Settings) -> bool:
    """Whether the administrator cannot log in over the network, or has other rights than it should."""
    import psycopg2

    if not settings.below("postgresql", "admin-password").exists():
        return True
    try:
        connection = psycopg2.connect(
            host=settings.node_address,
            port=PORTS["postgresql"],
            user=ADMIN,
            password=_password(settings),
            dbname="postgres",
            sslmode="verify-full",
            sslrootcert=str(settings.pki / "ca.crt"),
            connect_timeout=10,
        )
    except psycopg2.OperationalError:
        return True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolcreatedb AND rolcreaterole AND NOT rolsuper AND NOT rolbypassrls AND NOT rolreplication "
            "FROM pg_roles WHERE rolname = current_user"
        )
        return bool(cursor.fetchone() != (True,))


def _password(settings: Settings) -> str:
    return settings.below("postgresql", "admin-password").read_text().strip()


def _superuser(settings: Settings) -> Any:
    import psycopg2

    return psycopg2.connect(
        host=str(settings.below("postgresql", "socket")),
        port=PORTS["postgresql"],
        user=SUPERUSER,
        dbname="postgres",
        connect_timeout=3,
    )


def _answers(settings: Settings) -> bool:
    import psycopg2

    try:
        _superuser(settings).close()
    except psycopg2.OperationalError:
        return False
    return True


def remove_account(settings: Settings) -> None:
    """Remove the server's own user."""
    if account(settings) is not None:
        run(["userdel", settings.instance], what=f"remove the user {settings.instance}")

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL servers of a test's own, of the platform's programs, that can be killed and followed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from process_kit import free_port, until

USER = "nobody"  # PostgreSQL does not run as root
AS_USER: dict[str, Any] = {"user": USER, "env": {"PATH": os.environ["PATH"]}, "cwd": "/"}
SUPERUSER, PASSWORD = "super", "superuser-secret"


class Server:
    """One on loopback, its data in a folder that does not exist yet."""

    def __init__(self, programs: Path, data: Path) -> None:
        self._programs = programs
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def initialise(self) -> None:
        """Make the data."""
        self._data.mkdir(mode=0o700)
        shutil.chown(self._data, USER)
        password = self._data.with_suffix(".password")
        password.write_text(PASSWORD)
        command = [self._programs / "initdb", "-D", self._data, "-U", SUPERUSER, "-A", "scram-sha-256", "--no-sync"]
        command += ["--encoding=UTF8", "--locale=C.UTF-8", f"--pwfile={password}"]
        subprocess.run(command, check=True, capture_output=True, **AS_USER)

    def standby(self, data: Path) -> Server:
        """Another one that follows this one; made while this one is stopped, as pg_basebackup is not at hand."""
        other = Server(self._programs, data)
        subprocess.run(["cp", "-a", self._data, data], check=True)
        primary = f"host=127.0.0.1 port={self.port} user={SUPERUSER} password={PASSWORD}"
        with (data / "postgresql.auto.conf").open("a") as configuration:
            configuration.write(f"primary_conninfo = '{primary}'\n")
        (data / "standby.signal").touch()
        return other

    def start(self, **settings: str) -> None:
        """Start it and wait until it answers."""
        local = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "dynamic_shared_memory_type": "mmap"}
        options = [f"--{name}={value}" for name, value in {**local, "fsync": "off", **settings}.items()]
        command = [self._programs / "postgres", "-D", self._data, "-p", str(self.port), *options]
        with self._data.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, **AS_USER)
        until("answering", self._answers, 30)

    def stop(self) -> None:
        """End it, unless it has ended already."""
        if self._process:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)

    def kill(self) -> None:
        """kill -9; a server that dies so leaves a token of shared memory behind."""
        assert self._process
        self._process.kill()
        self._process.wait()
        self._process = None
        token = (self._data / "postmaster.pid").read_text().splitlines()[6].split()[1]
        subprocess.run(["ipcrm", "-m", token], check=False)

    def url(self, database: str, port: int | None = None) -> str:
        """Of a database, as the superuser; C(port) is that of who forwards to it."""
        return f"postgresql://{SUPERUSER}:{PASSWORD}@127.0.0.1:{port or self.port}/{database}?sslmode=disable"

    def sql(self, text: str, *values: Any, database: str = "postgres") -> list[tuple[Any, ...]]:
        """One statement on this very server."""
        with closing(psycopg2.connect(self.url(database))) as session, session.cursor() as cursor:
            session.autocommit = True
            cursor.execute(text, values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def _answers(self) -> bool:
        assert self._process and self._process.poll() is None, self._data.with_suffix(".log").read_text()
        try:
            self.sql("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

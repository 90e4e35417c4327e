# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults at will: a connection that is pulled, and a process that dies at any of its writes."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

import pytest
import yaml

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client


class Cable:
    """TCP connections from a port of its own to a server; they can be pulled, or lead to another one from now on."""

    def __init__(self, host: str, port: int) -> None:
        self.lead(host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.refused = 0  # connections at whose other end nobody was
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pull()

    def lead(self, host: str, port: int) -> None:
        """Where connections go that are yet to be made."""
        self._target = (host, port)

    def pull(self) -> None:
        """Cut all connections and refuse new ones."""
        for one in (self._listener, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def kubeconfig(self, platform: Any) -> dict[str, Any]:
        """The platform's, for one that leads to its API server."""
        found: dict[str, Any] = yaml.safe_load(platform.kubeconfig.read_text())
        found["clusters"][0]["cluster"] |= {
            "server": f"https://127.0.0.1:{self.port}",
            "tls-server-name": platform.node,
        }
        return found

    def _serve(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            try:
                there = socket.create_connection(self._target)
            except OSError:
                self.refused += 1
                here.close()
                continue
            self._open += [here, there]
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def at_each_write(patch: pytest.MonkeyPatch, act: Callable[[str], None]) -> None:
    """Calls C(act) just before and just after each write of this process to an API server or a database.

    It is told which, such as "before DELETE /api/v1/…" or "after UPDATE …".
    """

    def watched(write: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
            what = name(self, *arguments)
            if what.startswith(("GET", "SELECT", "WITH")):
                return write(self, *arguments, **keywords)
            act(f"before {what}")
            answer = write(self, *arguments, **keywords)
            act(f"after {what}")
            return answer

        return call

    def statement(database: Database, text: Any, *_: Any) -> str:
        return str(text if isinstance(text, str) else text.as_string(database.session)).strip()

    patch.setattr(Client, "send", watched(Client.send, lambda _client, method, path, *_: f"{method} {path}"))
    patch.setattr(Database, "write", watched(Database.write, statement))


def killed_after(writes: int | None, work: Callable[[], object]) -> bool:
    """Does C(work) in a process that is killed by SIGKILL after so many writes and before the next, 0 being before any.

    False when it has ended by itself, which it does with None.
    """

    def mortal() -> None:
        done = itertools.count(1)

        def written(what: str) -> None:
            if writes == 0 or (what.startswith("after") and next(done) == writes):
                os.kill(os.getpid(), signal.SIGKILL)

        at_each_write(pytest.MonkeyPatch(), written)
        work()

    child = multiprocessing.get_context("fork").Process(target=mortal)
    child.start()
    try:
        child.join(300)
        assert child.exitcode in (0, -signal.SIGKILL), (
            f"it ended with {child.exitcode}, to be killed after {writes} writes"
        )
        return child.exitcode != 0
    finally:
        child.kill()

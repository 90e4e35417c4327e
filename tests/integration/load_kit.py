# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients of an application while its versions change: HTTP on kept connections, and work by SQL."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg2
from process_kit import until

ENQUEUE = (
    "SELECT dbos.enqueue_workflow('task', 'taskQueue', positional_args => ARRAY['0'::json], "
    "workflow_id => %s, app_version => %s, application_name => %s)"
)


class Clients:
    """Connections that are kept open, each asking at a fixed rate; what failed, and the longest wait of any request."""

    def __init__(self, host: str, port: int, connections: int = 5, per_second: int = 50) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self.enqueued: list[str] = []
        self.reconnected = 0
        self.longest = 0.0
        self._address = (host, port)
        self._pause = connections / per_second
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(connections)]

    def __enter__(self) -> Clients:
        until("reachable", self._reachable)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def served(self, more: int) -> None:
        """Waits for so many more answers."""
        enough = self.answered + more
        until(f"{more} more answers", lambda: self.failures or self.answered >= enough)
        assert self.failures == [], self.failures[:5]

    def _reachable(self) -> bool:
        """A Service takes a moment to lead to its pods; until then its address may be anybody's beyond the node."""
        connection = http.client.HTTPConnection(*self._address, timeout=5)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            return self._one(connection, "/healthz")[0] == 200
        return False

    def _ask(self, number: int) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=30)
        turn, due = number, time.monotonic()
        while not self._end.is_set():
            # One request in fifty makes work; the others read.
            path = "/enqueue/0" if turn % 50 == 0 else "/healthz"
            # Each begins with a connection; another one follows a lost one.
            if connection.sock is None and turn != number:
                with self._lock:
                    self.reconnected += 1
            turn, due = turn + len(self._threads), due + self._pause
            started = time.monotonic()
            try:
                status, body = self._one(connection, path)
            except (OSError, http.client.HTTPException) as error:
                status, body = 0, repr(error).encode()
                connection.close()
            with self._lock:
                self.longest = max(self.longest, time.monotonic() - started)
                if status != 200:
                    self.failures.append(f"{path}: {status} {body.decode(errors='replace')[:200]}")
                else:
                    self.answered += 1
                    if path != "/healthz":
                        self.enqueued.append(json.loads(body)["workflow_id"])
            self._end.wait(max(due - time.monotonic(), 0))
        connection.close()

    def _one(self, connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


class Enqueuer:
    """Work by SQL, as any client in any language makes it: without a version, and for the version that it names."""

    def __init__(self, url: str, application: str) -> None:
        self.made: dict[str, tuple[str | None, float]] = {}
        self._url, self._application = url, application

    def enqueue(self, session: Any, identity: str, version: str | None) -> None:
        with session.cursor() as cursor:
            cursor.execute(ENQUEUE, (identity, version, self._application))
        self.made[identity] = (version, time.time())

    def session(self) -> Any:
        return psycopg2.connect(self._url)

    @contextmanager
    def steadily(self, versions: Callable[[], list[str | None]], pause: float = 1.0) -> Iterator[None]:
        """One workflow for each of the versions, again and again, beside the block."""
        end = threading.Event()

        def work() -> None:
            with closing(self.session()) as session:
                session.autocommit = True
                turn = 0
                while not end.is_set():
                    for version in versions():
                        self.enqueue(session, f"{version or 'any'}-{turn}", version)
                    turn += 1
                    end.wait(pause)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()

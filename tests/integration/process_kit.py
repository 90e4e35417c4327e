# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts a playbook that goes on while the test does, finds and kills all that it started; finds a port; waits."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def start(
    root: Path, environment: Mapping[str, str], playbook: str, variables: Mapping[str, Any]
) -> subprocess.Popen[str]:
    """A playbook on the local platform, whose output is to be read."""
    return subprocess.Popen(
        ["ansible-playbook", "-i", str(root / "inventories/local"), playbook, "-e", json.dumps(variables)],
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(what: str, condition: Callable[[], Any], timeout: float = 90) -> Any:
    """Waits for a condition, and returns what it gave."""
    end = time.monotonic() + timeout
    while not (seen := condition()):
        assert time.monotonic() < end, f"not {what} within {timeout} s, but {seen!r}"
        time.sleep(0.3)
    return seen


def free_port() -> int:
    """A port on loopback for a server that starts later.

    Below those that the kernel gives to whoever connects or asks for any: one of these may be another's by then.
    """
    while True:
        port = random.randrange(12000, 30000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextmanager
def paused(process: int) -> Iterator[None]:
    """It does nothing meanwhile, and keeps what it has: a run its Lease, for the minute until that lapses."""
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def processes_in(temporary: Path) -> list[int]:
    """All processes that have inherited that TMPDIR."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.fsencode(f"TMPDIR={temporary}") in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def kill_in(temporary: Path) -> None:
    """Kills them, and what they have started meanwhile."""
    while found := processes_in(temporary):
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts a playbook that goes on while the test does, finds and kills all that it started; waits for a condition."""

from __future__ import annotations

import json
import os
import signal
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
    """Kills them."""
    for process in processes_in(temporary):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)

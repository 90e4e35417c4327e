# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits for a condition; finds the processes that a run has started, whoever their parent is by now."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def until(what: str, condition: Callable[[], Any], timeout: float = 90) -> Any:
    """Waits for a condition, and returns what it gave."""
    end = time.monotonic() + timeout
    while not (seen := condition()):
        assert time.monotonic() < end, f"not {what} within {timeout} s, but {seen!r}"
        time.sleep(0.3)
    return seen


def processes_in(temporary: Path) -> list[int]:
    """All processes that have inherited that TMPDIR."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.fsencode(f"TMPDIR={temporary}") in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found

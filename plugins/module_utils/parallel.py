# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls that wait for others, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

WORKERS = 8
Item = TypeVar("Item")
Answer = TypeVar("Answer")


def parallel(function: Callable[[Item], Answer], items: Iterable[Item], workers: int = WORKERS) -> list[Answer]:
    """C(function) over all items, side by side, in order; the first exception is raised after all have ended."""
    given = list(items)
    if len(given) < 2:
        return [function(item) for item in given]
    with ThreadPoolExecutor(max_workers=min(workers, len(given))) as pool:
        futures = [pool.submit(function, item) for item in given]
    return [future.result() for future in futures]


def together(calls: Iterable[Callable[[], Answer]]) -> list[Answer]:
    """The answers to different calls, in order."""
    return parallel(lambda call: call(), calls)

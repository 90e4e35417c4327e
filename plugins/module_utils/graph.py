# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps that wait for one another, the others side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

Action = Callable[[threading.Event], None]


@dataclass(frozen=True)
class Step:
    """Something to do, and the names of the steps that have to be done before."""

    name: str
    action: Action
    after: frozenset[str] = field(default_factory=frozenset)


def order(steps: Iterable[Step]) -> list[str]:
    """The names in an order that respects what waits for what; fails on a circle or an unknown name. Pure."""
    left = {step.name: set(step.after) for step in steps}
    unknown = set().union(*left.values()) - left.keys() if left else set()
    if unknown:
        raise ValueError(f"No step is called {', '.join(sorted(unknown))}")
    done: list[str] = []
    while left:
        free = [name for name, after in left.items() if after <= set(done)]
        if not free:
            raise ValueError(f"These wait for one another: {', '.join(sorted(left))}")
        done += free
        for name in free:
            del left[name]
    return done


def run(steps: Iterable[Step], side_by_side: int = 32) -> None:
    """Do all steps, each as soon as it may; after a failure start no more, tell the others, and raise the first."""
    left = {step.name: step for step in steps}
    order(left.values())
    done: set[str] = set()
    cancelled = threading.Event()
    running: dict[Future[None], str] = {}
    failure: BaseException | None = None
    with ThreadPoolExecutor(side_by_side) as pool:
        while left or running:
            if failure is None:
                for step in [step for step in left.values() if step.after <= done]:
                    running[pool.submit(step.action, cancelled)] = left.pop(step.name).name
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                error = future.exception()
                if error is None:
                    done.add(name)
                else:
                    failure = failure or error
                    cancelled.set()
    if failure is not None:
        raise failure

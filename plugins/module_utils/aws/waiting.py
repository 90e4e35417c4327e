# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits for AWS: several things at once, in AWS' own words, and no longer than until one of them has failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

SHORTEST, LONGEST = 0.5, 15.0  # seconds between two looks
SETTLE = 30.0  # seconds until all of AWS knows what was made
Result = TypeVar("Result")


@dataclass(frozen=True)
class State:
    """How far something is: AWS' status, whether that is what is waited for, and why it will never be."""

    status: str
    reached: bool
    failure: str = ""


def interval(elapsed: float) -> float:
    """Seconds until the next look: a twentieth of the time so far, so that little is lost and few calls are made."""
    return min(max(elapsed / 20, SHORTEST), LONGEST)


def wait_for(targets: Mapping[str, Callable[[], State]], timeout: float, progress: Progress | None = None) -> None:
    """Return once all C(targets) (what a person calls them → how far they are) are reached.

    The first one that fails ends the wait at once, with AWS' reason. C(timeout) is in seconds.
    """
    started = time.monotonic()
    left = dict(targets)
    with (progress or Progress()).step(f"waiting for {', '.join(targets)}") as step:
        while True:
            seen: dict[str, str] = {}
            for name, look in list(left.items()):
                state = look()
                if state.failure:
                    raise AwsError(f"{name[:1].upper()}{name[1:]} is {state.status}: {state.failure}")
                if state.reached:
                    del left[name]
                else:
                    seen[name] = state.status
            if not left:
                return
            elapsed = time.monotonic() - started
            told = ", ".join(f"{name} is {status}" for name, status in seen.items())
            if elapsed >= timeout:
                raise AwsError(f"After {elapsed:.0f} s still {told}. Run again to go on waiting.")
            step.update(told)
            time.sleep(min(interval(elapsed), max(timeout - elapsed, 0.0)))


def settled(
    call: Callable[[], Result],
    passing: Callable[[AwsError], bool] = lambda error: error.absent,
    timeout: float = SETTLE,
    pause: float = 1.0,
) -> Result:
    """The result of a call that AWS refuses for some seconds; C(passing) knows such a refusal.

    By default it is one of what was just made, and is not found everywhere yet. Both times are in seconds.
    """
    give_up = time.monotonic() + timeout
    while True:
        try:
            return call()
        except AwsError as error:
            if not passing(error) or time.monotonic() > give_up:
                raise
        time.sleep(pause)

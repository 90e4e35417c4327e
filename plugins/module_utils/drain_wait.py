# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits until a version is drained, and takes the exit that was asked for when its deadline passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import draining
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database, DatabaseError
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Unreachable
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle_tick import Policy
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress, Step

WAIT, FAIL, FORCE = "wait", "fail", "force"
EXITS = (WAIT, FAIL, draining.CANCEL, draining.FORK, FORCE)
POLL = 2.0
NAMED = 5  # blockers in a message; the result has more
# SQLSTATE classes of a server that stops, starts, or is not there: another attempt may succeed.
_PASSING = ("", "08", "57")

Judge = Callable[["str | None"], str]


@dataclass(frozen=True)
class Request:
    """What the task asks for; C(deadline) in seconds."""

    owner: str
    version: str
    policy: Policy
    deadline: float
    on_deadline: str
    to_version: str | None = None
    children: bool = False
    allow_newer_schema: bool = False


class Drainer:
    """One version. C(judge) makes a fresh look at the executors; C(hold) is the lease's check before a write."""

    def __init__(
        self,
        database: Database,
        request: Request,
        progress: Progress,
        judge: Callable[[], Judge] | None = None,
        hold: Callable[[], None] | None = None,
    ) -> None:
        self._database = database
        self._request = request
        self._progress = progress
        self._judge = judge
        self._hold = hold

    def run(self, *, check: bool) -> dict[str, Any]:
        """The module's result. In check mode one proof is tried and nothing is waited for, nor ended."""
        request = self._request
        evidence = self._prove() if check else self._wait()
        ends = request.on_deadline in (draining.CANCEL, draining.FORK) and not evidence.drained
        settled: dict[str, Any] = {"cancelled": [], "forked": [], "refused": []}
        if ends and not check:
            settled = draining.settle(
                self._database, request.owner, request.version, request.on_deadline, request.to_version,
                children=request.children, allow_newer_schema=request.allow_newer_schema, check=self._hold,
            )  # fmt: skip
            evidence = self._prove()
        blockers = [] if evidence.drained else self._blockers()
        result = {
            "changed": ends if check else bool(settled["cancelled"]),
            "drained": evidence.drained,
            "forced": not evidence.drained and request.on_deadline == FORCE,
            "unfinished": evidence.unfinished,
            "blockers": blockers,
            "evidence": evidence.as_dict(),
            **settled,
        }
        if not evidence.drained and not check and request.on_deadline not in (WAIT, FORCE):
            raise DbosError(self._told(evidence, blockers, settled["refused"]), **result)
        return result

    def _wait(self) -> draining.Evidence:
        request, started, on_primary = self._request, time.monotonic(), False
        with self._progress.step(f"Waiting for the unfinished workflows of {request.version}") as step:
            while True:
                late = time.monotonic() - started >= request.deadline
                try:
                    evidence = self._prove()
                    on_primary = True
                    if evidence.drained or late:
                        return evidence
                    self._tell(step, evidence)
                # What was read before counts for nothing: the proof begins anew.
                except DatabaseError as error:
                    if late or error.code[:2] not in _PASSING:
                        raise
                    step.update(f"the database cannot be read, nothing is proven by that: {error.msg}")
                except draining.OnReplica as error:
                    # Where a primary answered before, the database fails over; else the address is wrong.
                    on_primary = on_primary or error.reads > 0
                    if late or not on_primary:
                        raise
                    step.update(error.msg)
                except Unreachable as error:
                    # It tells who is dead, and has the relay, if there is one.
                    if late:
                        raise
                    step.update(error.msg)
                time.sleep(max(0.0, min(POLL, request.deadline - (time.monotonic() - started))))

    def _prove(self) -> draining.Evidence:
        request = self._request
        return draining.prove(self._database, request.owner, request.version, request.policy, self._progress)

    def _blockers(self, most: int = draining.MOST_BLOCKERS) -> list[dict[str, Any]]:
        judge = self._judge() if self._judge else None
        return draining.blockers(self._database, self._request.owner, self._request.version, judge, most)

    def _tell(self, step: Step, evidence: draining.Evidence) -> None:
        oldest = self._blockers(1)
        step.update(f"{counted(evidence.unfinished)}; {named(oldest[0])}" if oldest else counted(evidence.unfinished))

    def _told(self, evidence: draining.Evidence, blockers: list[dict[str, Any]], refused: list[dict[str, str]]) -> str:
        request = self._request
        names = "; ".join(named(one) for one in blockers[:NAMED])
        more = f"; and {sum(evidence.unfinished.values()) - NAMED} more" if len(blockers) > NAMED else ""
        if refused:
            way = "A parent waits for what was not forked: wait for it, or fork it too with fork_children: true."
        elif request.on_deadline == FAIL:
            way = "They are kept. Wait longer (deadline), or end them (on_deadline: cancel or fork)."
        else:
            way = "They came after the others were ended. Run again."
        return f"Version {request.version} of {request.owner} has {counted(evidence.unfinished)}: {names}{more}. {way}"


def counted(unfinished: dict[str, int]) -> str:
    """Counts for a person."""
    parts = [f"{count} {status}" for status, count in unfinished.items() if count]
    total = sum(unfinished.values())
    return f"{total} unfinished workflow{'' if total == 1 else 's'} ({', '.join(parts)})"


def named(blocker: dict[str, Any]) -> str:
    """One blocker for a person."""
    return f"{blocker['workflow']} {blocker['id']}, {blocker['age']} s old, waits for {blocker['waits_for']}"

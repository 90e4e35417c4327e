# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does what the plan says, kind by kind, and looks again until nothing is left to do.

Nothing is remembered between runs: what a killed run has not done, the next one finds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from functools import partial

from ansible_collections.dbos.kubernetes.plugins.module_utils import graph
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import deletions, network
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import resources as kinds
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.observe import Observer
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.plan import Options, Plan, plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.resources import Key, Resource
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import State, interval, wait_for
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

ROUNDS = 4  # looks at everything; the second one is for log groups that EKS and RDS have made again
LETTING_GO = 300.0  # seconds that AWS' services may take to let go of their network interfaces
CATCHING_UP = 60.0  # seconds that AWS' parts may take to know of one another what is gone


class Executor:
    """One teardown."""

    def __init__(
        self, account: Account, platform: str, options: Options, observer: Observer, timeout: float, progress: Progress
    ) -> None:
        """C(timeout) is in seconds and for each wait."""
        self._account = account
        self._platform = platform
        self._options = options
        self._observer = observer
        self._timeout = timeout
        self._progress = progress
        self._stuck: dict[Key, str] = {}
        self._refused: dict[Key, float] = {}  # since when
        self.deleted: dict[Key, Resource] = {}

    def run(self, first: Plan) -> Plan:
        """Follow the plan, and return the one for what is left then."""
        current = first
        for _round in range(ROUNDS):
            if not current.steps:
                break
            planned = {one.resource.kind for one in current.steps}
            graph.run(
                graph.Step(kind, partial(self._stage, kind), kinds.before(kind) & planned) for kind in sorted(planned)
            )
            current = self._plan(self._observer.observe())
        return current

    def confirm(self) -> list[str]:
        """What AWS' inventory of tags still has, and its services don't, when that had the time to catch up."""
        with self._progress.step("waiting for AWS' inventory of tags to forget what is gone") as step:
            while True:
                found = self._observer.unconfirmed()
                if not found or step.seconds >= min(CATCHING_UP, self._timeout):
                    return found
                step.update(", ".join(found))
                time.sleep(interval(step.seconds))

    def _plan(self, inventory: Iterable[Resource]) -> Plan:
        return plan(inventory, self._options, self._stuck)

    def _stage(self, kind: str, cancelled: threading.Event) -> None:
        """Delete all of one kind, and return when AWS has them no more."""
        asked: set[Key] = set()

        def look() -> State:
            while True:
                if cancelled.is_set():
                    raise AwsError("Another step has failed.")
                todo = self._plan(self._observer.again(kind)).of(kind)
                # What was asked for is mostly done at once, so that the next look follows without a pause.
                if not [one for one in todo if self._advance(one, asked)]:
                    told = ", ".join(f"{one.name or one.id} {one.status}".strip() for one in todo)
                    return State(told, not todo)

        wait_for({f"each {kind} to be gone": look}, self._timeout, self._progress)

    def _advance(self, one: Resource, asked: set[Key]) -> bool:
        """Bring one resource nearer to its end; whether something was done."""
        if one.key in asked or one.detail.get("deleting"):
            if one.failure:
                raise AwsError(f"{one.title[:1].upper()}{one.title[1:]} is {one.status}: {one.failure}.")
            return False
        if one.detail.get("busy"):
            return self._give_up(one, "", []) if one.kind == kinds.INTERFACE else False
        if one.key not in self._refused:
            self._progress.say(f"deleting {one.title}")
        try:
            done = deletions.delete(self._account, self._platform, one, self._options)
        except AwsError as error:
            if error.code not in deletions.IN_USE:
                raise
            return self._give_up(one, error.msg, network.blockers(self._account, self._platform, one))
        self.deleted[one.key] = one
        if done:
            asked.add(one.key)
        return done

    def _give_up(self, one: Resource, refusal: str, blockers: list[tuple[str, bool]]) -> bool:
        """Leave what AWS does not delete as something uses it, unless that may still go by itself."""
        since = self._refused.setdefault(one.key, time.monotonic())
        foreign = [told for told, passing in blockers if not passing]
        patience = LETTING_GO if blockers or not refusal else CATCHING_UP
        if not foreign and time.monotonic() - since < min(patience, self._timeout):
            return False
        users = "; ".join(foreign or [told for told, _passing in blockers])
        self._stuck[one.key] = f"in use: {users}" if users else refusal or f"still {one.status} after {patience:.0f} s"
        return True

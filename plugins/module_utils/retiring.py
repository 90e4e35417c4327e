# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One tick: every version of an application is taken one legal step further.

What lifecycle decides from a fresh look is done; what takes something away is decided again from a look that is taken
after the proof, right before it is done. A tick that is killed leaves a state from which the next one goes on.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Iterable
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import (
    compacting,
    executor_state,
    lifecycle,
    promoting,
    reviving,
    taking_down,
    version_objects,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import repair, work


class Ticker:
    """The application C(app) in C(namespace), C(owner) in DBOS; C(lease) is None where nothing is written."""

    def __init__(
        self,
        client: Client,
        database: Database,
        app: str,
        namespace: str,
        owner: str,
        policy: lifecycle.Policy,
        lease: Lease | None,
    ) -> None:
        self.client = client
        self.database = database
        self.app = app
        self.namespace = namespace
        self.owner = owner
        self.policy = policy
        self.lease = lease
        self.progress = Progress()
        self.objects = version_objects.Objects(app, namespace, [], [], [], [], None)
        self.seen: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Actions with their reasons, conditions per version, and the evidence of what was proven."""
        evidence: dict[str, dict[str, Any]] = {}
        tick, observed = self._decide({})
        asked = [action.version for action in tick.actions if action.verb == "prove"]
        if asked:
            evidence = self._prove(asked)
            tick, observed = self._decide({version: _proof(found) for version, found in evidence.items()})
        for version, said in tick.conditions.items():
            for condition in said:
                if condition.type != "Retired":
                    self.progress.say(f"{version} is {condition.type}: {condition.message}")
        for action in tick.actions:
            self.progress.say(f"{action.verb} {action.version}: {action.reason}")
            if self.lease:
                self._act(action, evidence, self.lease)
        return {
            "changed": any(action.verb != "prove" for action in tick.actions),
            "actions": [dataclasses.asdict(action) for action in tick.actions],
            "conditions": {
                version: [dataclasses.asdict(condition) for condition in said]
                for version, said in tick.conditions.items()
            },
            "promoted": observed.selected,
            "evidence": {version: {**found, **_times(found)} for version, found in evidence.items()},
        }

    def _decide(self, proofs: dict[str, lifecycle.Proof]) -> tuple[lifecycle.Tick, lifecycle.Observed]:
        observed = dataclasses.replace(self.observe(), proofs=proofs)
        return lifecycle.tick(observed, self.owner, self.policy, time.time()), observed

    def observe(self) -> lifecycle.Observed:
        """Pods first, work second: what a pod left behind before it was gone is seen."""
        self.objects = version_objects.read(self.client, self.app, self.namespace)
        seen = self._read()
        return dataclasses.replace(
            self.objects.observed(),
            registrations=tuple(
                lifecycle.Registration(row["version"], row["timestamp"], self.owner) for row in seen["registered"]
            ),
            work=self._work(seen),
            read_at=time.time(),
        )

    def _read(self) -> dict[str, Any]:
        seen = work.read(self.database, self.owner)
        if seen is None:
            raise DbosError(
                f"Database {self.database.name} has no DBOS schema: nothing is retired on missing data. "
                "Check database_url, or deploy the application first (deploy.yml)."
            )
        if seen["replica"]:
            raise DbosError(
                f"Database {self.database.name} is a replica, which may not show all work yet: nothing is retired on "
                "what it says. Give the primary in database_url."
            )
        self.seen = seen
        return seen

    def _work(self, seen: dict[str, Any]) -> dict[str | None, lifecycle.Work]:
        found = work.per_version(seen)
        view = executor_state.view(self.objects)
        for row in seen["work"]:
            if row["status"] == "PENDING" and executor_state.judge(row["executor"], *view) == executor_state.DEAD:
                of = found[row["version"]]
                found[row["version"]] = dataclasses.replace(of, stranded=of.stranded + row["count"])
        selected = self.objects.observed().selected
        for workload in self.objects.workloads:
            version, name = version_objects.version_of(workload), workload["metadata"]["name"]
            if version in found:
                found[version] = dataclasses.replace(found[version], needed=self._needed(version))
            drains = version != selected and (seen["level"] or 0) >= repair.NEEDED
            if drains and compacting.sparse(seen["work"], version, name):
                of = found[version]
                found[version] = dataclasses.replace(
                    of, parked=compacting.parked(self.database, self.owner, version, of.unfinished)
                )
        return found

    def _prove(self, versions: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Reads in a row, of all these versions at once; those without unfinished work in any of them are proven."""
        stopped = {version: not self._pods(version) for version in versions}
        since, level = time.time(), 0
        pause = self.policy.seconds / max(self.policy.reads - 1, 1)
        with self.progress.step(f"looking for unfinished work of {', '.join(sorted(stopped))}"):
            for number in range(self.policy.reads):
                time.sleep(pause if number else 0)
                seen = self._read()
                level = seen["level"]
                busy = {version for version, found in work.per_version(seen).items() if found.unfinished}
                stopped = {version: gone for version, gone in stopped.items() if version not in busy}
        until = max(time.time(), since + self.policy.seconds)
        common = {"reads": self.policy.reads, "since": since, "until": until, "seconds": round(until - since, 3)}
        about = {"database": self.database.name, "schema_level": level, "pending": 0, "enqueued": 0, "delayed": 0}
        return {version: {**common, **about, "stopped": gone} for version, gone in stopped.items()}

    def _pods(self, version: str) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self.objects.pods
            if version_objects.version_of(pod) == version
            and (pod.get("status") or {}).get("phase") not in version_objects.ENDED
        ]

    def _act(self, action: lifecycle.Action, evidence: dict[str, dict[str, Any]], lease: Lease) -> None:
        version = action.version
        if action.verb == "promote":
            port = promoting.recorded_port(self.objects, version)
            promoting.promote(self.client, self.database, lease, self.objects, self.owner, version, port)
        elif action.verb == "revive":
            reviving.revive(self.client, self.objects, version, self._needed(version), lease)
        elif action.verb == "compact":
            self._compact(version, lease)
        elif action.verb == "stop":
            taking_down.stop(self.client, self.objects, version, lease)
        elif action.verb == "retire":
            found = {**evidence[version], **_times(evidence[version])}
            taking_down.retire(self.client, self.objects, version, found, lease)
            self.progress.say(f"evidence of {version}: {json.dumps(found)}")

    def _compact(self, version: str, lease: Lease) -> None:
        workload = self.objects.workload(version)
        if workload is None or not compacting.kept(workload):
            keep = work.per_version(self.seen)[version].pending
            compacting.begin(self.client, self.objects, version, keep, lease)
            return
        requeued = compacting.finish(self.client, self.database, self.objects, self.owner, version, lease)
        if requeued:
            self.progress.say(f"{version}: requeued for the pods that are left: {', '.join(requeued)}")

    def _needed(self, version: str) -> int:
        """A StatefulSet's pods recover the work of their own name: those up to the highest busy ordinal are needed."""
        record = self.objects.record(version)
        name = record["data"]["documents"][-1]["metadata"]["name"] if record else ""
        ordinals = [
            int(found[1])
            for row in self.seen["work"]
            if row["version"] == version and (found := re.fullmatch(rf"{name}-(\d{{1,4}})", row["executor"] or ""))
        ]
        return 1 + max(ordinals, default=0)


def unfinished(found: dict[str, Any]) -> bool:
    """Whether another tick is needed: this one did something, or a version still drains. Pure."""
    said = [condition["type"] for conditions in found["conditions"].values() for condition in conditions]
    return found["changed"] or "Draining" in said or "Drained" in said


def joined(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The result of two ticks as one. Pure."""
    return {
        **after,
        "changed": before["changed"] or after["changed"],
        "actions": [*before["actions"], *after["actions"]],
        "evidence": {**before["evidence"], **after["evidence"]},
    }


def _proof(found: dict[str, Any]) -> lifecycle.Proof:
    return lifecycle.Proof(found["reads"], found["since"], found["until"], found["stopped"])


def _times(found: dict[str, Any]) -> dict[str, Any]:
    """For people and the ledger: RFC 3339."""
    return {name: work.timestamp(int(found[name] * 1000)) for name in ("since", "until")}

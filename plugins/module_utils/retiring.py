# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One tick: every version of an application is taken one legal step further.

What lifecycle_tick decides from a fresh look is done; what takes something away is decided again from a look that is
taken after the proof, right before it is done. A tick that is killed leaves a state from which the next one goes on.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import (
    compacting,
    draining,
    executor_state,
    lifecycle,
    lifecycle_tick,
    promoting,
    reviving,
    taking_down,
    version_objects,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
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
        policy: lifecycle_tick.Policy,
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
            proofs, evidence = self._prove(asked)
            tick, observed = self._decide(proofs)
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
            "evidence": evidence,
        }

    def _decide(self, proofs: dict[str, lifecycle.Proof]) -> tuple[lifecycle_tick.Tick, lifecycle.Observed]:
        observed = dataclasses.replace(self.observe(), proofs=proofs)
        return lifecycle_tick.tick(observed, self.owner, self.policy, time.time()), observed

    def observe(self) -> lifecycle.Observed:
        """Pods first, work second: what a pod left behind before it was gone is seen."""
        self.objects = version_objects.read(self.client, self.app, self.namespace)
        self.seen = seen = draining.read(self.database, self.owner)
        return dataclasses.replace(
            self.objects.observed(),
            registrations=tuple(
                lifecycle.Registration(row["version"], row["timestamp"], self.owner) for row in seen["registered"]
            ),
            work=self._work(seen),
            read_at=time.time(),
        )

    def _work(self, seen: dict[str, Any]) -> dict[str | None, lifecycle.Work]:
        found = work.per_version(seen)
        view = executor_state.view(self.objects)
        for row in seen["work"]:
            if row["status"] == "PENDING" and view.judge(row["executor"]) == executor_state.DEAD:
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

    def _prove(self, versions: list[str]) -> tuple[dict[str, lifecycle.Proof], dict[str, dict[str, Any]]]:
        """For the decision and for the ledger, of those that have no unfinished work."""
        stopped = {version: not self._pods(version) for version in versions}
        found = draining.prove_all(self.database, self.owner, versions, self.policy, self.progress).values()
        proven = [one for one in found if one.drained]
        return (
            {one.version: lifecycle.Proof(one.reads, one.since, one.until, stopped[one.version]) for one in proven},
            {one.version: {**one.as_dict(), "stopped": stopped[one.version]} for one in proven},
        )

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
            taking_down.retire(self.client, self.objects, version, evidence[version], lease)
            self.progress.say(f"evidence of {version}: {json.dumps(evidence[version])}")

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

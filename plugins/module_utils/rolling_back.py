# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Goes back to a version: revives it if need be, promotes it, and accounts for what the version that is left has made.

The order makes it safe to stop anywhere: pods first, then the mark in the ledger, which decides what the next run does,
then the promotion, and the unfinished work last.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import (
    draining,
    executors,
    ledger,
    lifecycle,
    naming,
    promoting,
    reviving,
    rollback_plan,
    rollback_report,
    version_objects,
    workload,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import ApplyResult, apply_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import Target, wait
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.status import parse_time
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import account, versions

DRAIN = "drain"


@dataclasses.dataclass(frozen=True)
class Request:
    """What the task asks for. C(policy) is drain, cancel or fork; C(timeout) in seconds; C(owner) the name in DBOS."""

    app: str
    namespace: str
    owner: str
    version: str | None
    policy: str
    replicas: int
    timeout: float
    allow_newer_schema: bool = False


class Rollback:
    """One run."""

    def __init__(self, client: Client, database: Database, request: Request, lease: Lease) -> None:
        self.client = client
        self.database = database
        self.request = request
        self.lease = lease
        self.progress = Progress()

    def run(self, *, check: bool) -> dict[str, Any]:
        """Roll back, or tell what would be done."""
        objects = version_objects.read(self.client, self.request.app, self.request.namespace)
        observed = dataclasses.replace(objects.observed(), registrations=versions.registrations(self.database))
        choice = rollback_plan.choose(observed, self.request.version)
        steps = self._steps(observed, choice)
        for step in steps:
            self.progress.say(step)
        applied = ApplyResult()
        if not choice.done:
            applied = self._bring_back(objects, observed, choice, check)
        made, settled = self._account(objects, choice, check)
        changed = bool(steps) or applied.changed or any(settled.get(kind) for kind in ("cancelled", "forked"))
        result = {
            "changed": changed,
            "diff": applied.diff,
            "version": choice.to,
            "from_version": choice.bad,
            "policy": self.request.policy,
            "steps": steps,
            "account": made,
            "settled": settled,
        }
        return {**result, "table": rollback_report.text(self.request.app, result, check=check)}

    def _steps(self, observed: lifecycle.Observed, choice: rollback_plan.Choice) -> list[str]:
        if choice.done:
            return []
        found = observed.workload(choice.to)
        alive = found is not None and found.replicas > 0
        return [
            *([] if alive else [f"revive {choice.to}: its pods are gone"]),
            f"promote {choice.to}: takes over again from {choice.bad}",
        ]

    def _bring_back(
        self, objects: version_objects.Objects, observed: lifecycle.Observed, choice: rollback_plan.Choice, check: bool
    ) -> ApplyResult:
        record = objects.record(choice.to)
        if record is None or choice.bad is None:  # choose() has seen to it
            return ApplyResult()
        if check:
            return apply_all(self.client, record["data"]["documents"], check=True)
        if observed.registration(choice.to) is None:
            self.lease.check()
            versions.register_ahead(self.database, choice.to)
        applied = self._revive(objects, choice.to, record)
        self._mark(objects, choice)
        port = promoting.recorded_port(objects, choice.to)
        promoting.promote(self.client, self.database, self.lease, objects, self.request.owner, choice.to, port)
        return applied

    def _revive(self, objects: version_objects.Objects, version: str, record: Object) -> ApplyResult:
        """Its pods as they were recorded, at least one of them and all ready."""
        applied = reviving.revive(self.client, objects, version, self.request.replicas, self.lease)
        pods = applied.objects[-1]
        self._wake(objects, pods)
        app, namespace = self.request.app, self.request.namespace
        target = Target("apps/v1", pods["kind"], pods["metadata"]["name"], namespace)
        template = (workload.TEMPLATE, record["data"]["template"])
        judge = executors.judge_pods(self.client, namespace, naming.selector(app, version), template)
        wait(self.client, [target], self.request.timeout, judge=judge, progress=self.progress)
        return applied

    def _wake(self, objects: version_objects.Objects, pods: Object) -> None:
        """An autoscaler keeps a draining version without work at no pod, and would again: from now on at one."""
        name = pods["metadata"]["name"]
        owned = (pods["kind"], name) in objects.scalers
        if not owned or pods["spec"].get("replicas", 1) > 0:
            return
        self.lease.check()
        for scaler in objects.autoscalers:
            if scaler["kind"] == "ScaledObject" and scaler["spec"]["scaleTargetRef"].get("name") == name:
                least = {"spec": {"minReplicaCount": 1}}
                metadata = scaler["metadata"]
                self.client.patch("keda.sh/v1alpha1", "ScaledObject", metadata["name"], metadata["namespace"], least)
        body = {"spec": {"replicas": 1}}
        self.client.patch("apps/v1", pods["kind"], name, self.request.namespace, body, subresource="scale")

    def _mark(self, objects: version_objects.Objects, choice: rollback_plan.Choice) -> None:
        """Before the promotion: after a stop in it, the version that is left must not be taken for the previous."""
        record = objects.record(str(choice.bad))
        if record is None:
            return
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.lease.check()
        version_objects.annotate(self.client, record, {ledger.ROLLED_BACK_ANNOTATION: f"{now} {choice.to}"})

    def _account(
        self, objects: version_objects.Objects, choice: rollback_plan.Choice, check: bool
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """What the version that is left has made, and what became of its unfinished work."""
        if choice.bad is None:
            return None, {}
        made = account.read(self.database, self.request.owner, choice.bad, since(objects, choice.bad))
        if check or self.request.policy == DRAIN or not made["workflows"]:
            return made, {}
        settled = draining.settle(
            self.database,
            self.request.owner,
            choice.bad,
            self.request.policy,
            choice.to,
            allow_newer_schema=self.request.allow_newer_schema,
            check=self.lease.check,
        )
        return made, settled


def since(objects: version_objects.Objects, version: str) -> float:
    """From when on a version's work is the rollback's concern (epoch seconds): its first pod, or its last promotion."""
    records = [obj for obj in objects.records if obj["data"]["version"] == version]
    promotions = max((ledger.parse(obj).promotions for obj in records), key=len, default=())
    if len(promotions) > 1:
        return parse_time(promotions[-1]).timestamp()
    created = [parse_time(obj["metadata"]["creationTimestamp"]).timestamp() for obj in records]
    return min(created, default=0.0)

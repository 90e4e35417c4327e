# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out what lifecycle decides for one version: reads, plans, writes in the safe order, and proves the result."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import (
    capacity,
    conductor,
    executors,
    ledger,
    lifecycle,
    naming,
    promoting,
    release_tags,
    sdks,
    version_objects,
    workload,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import ApplyResult, apply_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import Failed, Target, wait
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import together
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import schema, versions, work

# A pod registers while it launches.
REGISTRATION_SECONDS = 15.0


@dataclasses.dataclass(frozen=True)
class Request:
    """What the task asks for beside the version's documents; C(timeout) in seconds.

    C(newer_schema) confirms writes to a schema that is newer than the tested ones. C(registry) is the platform's.
    """

    kind: str
    replicas: int
    max_replicas: int
    promoted: bool
    timeout: float
    most_live: int
    sdk: str | None = None
    newer_schema: bool = False
    registry: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Releaser:
    """One run for one version; C(database) is None where it cannot be read yet, which only check mode accepts."""

    def __init__(self, client: Client, database: Database | None, spec: workload.Spec, request: Request, lease: Lease):
        self.client = client
        self.database = database
        self.spec = spec
        self.request = request
        self.lease = lease
        self.progress = Progress()
        self.objects = version_objects.Objects(spec.app, spec.namespace, [], [], [], [], None)
        self.warnings: list[str] = []

    def observe(self) -> lifecycle.Observed:
        """Everything the decision needs, read side by side."""
        spec = self.spec
        self.objects = version_objects.read(
            self.client, spec.app, spec.namespace, pods=False, named={spec.name: spec.version}
        )
        registrations = versions.registrations(self.database) if self.database else None
        observed = dataclasses.replace(self.objects.observed(), registrations=registrations)
        if self.database and len(observed.workloads) >= self.request.most_live:
            # Only to tell what keeps each of the versions, should one more be too many.
            seen = work.read(self.database, spec.owner)
            observed = dataclasses.replace(observed, work=work.per_version(seen) if seen else None)
        return observed

    def run(self, *, check: bool) -> dict[str, Any]:
        """Bring the version to what is asked for, or tell what would be done."""
        observed = self.observe()
        if observed.registrations is None and not check:
            raise DbosError(
                "The system database has no DBOS schema yet, and the application may not create one. "
                "Run role migration first."
            )
        with_conductor = self.spec.conductor is not None
        kind, reason = lifecycle.choose_kind(self.request.kind, with_conductor, observed, self.spec.version)
        self.spec = dataclasses.replace(self.spec, kind=kind)
        if kind == lifecycle.DEPLOYMENT and not with_conductor:
            self.warnings.append(
                "A Deployment without Conductor: the work of a pod that is replaced stays PENDING for ever, as no "
                "executor has its name again. Leave release_kind at auto."
            )
        wanted = lifecycle.Wanted(
            version=self.spec.version,
            owner=self.spec.owner,
            identity=workload.identity(self.spec),
            template=workload.fingerprint(self.spec),
            kind=kind,
            replicas=self.request.replicas,
            strategy=self.spec.strategy,
            promoted=self.request.promoted,
            most_live=self.request.most_live,
        )
        plan = lifecycle.plan(observed, wanted)
        if plan.refusal:
            raise DbosError(plan.refusal)
        if self.database and any(action.verb in ("register", "promote") for action in plan.actions):
            schema.check_writable(schema.level(self.database), self.request.newer_schema)
        for action in plan.actions:
            self.progress.say(f"{action.verb} {action.version}: {action.reason}")
        # Before it is recorded: what a record names can be pulled as long as the record is there.
        tagged, warnings = release_tags.keep(ledger.record(self.spec, 0), self.request.registry, check=check)
        self.warnings += warnings
        applied = self._carry_out(plan, observed, wanted, check)
        if tagged:
            applied.changed = True
            applied.after["tags of images"] = tagged
        return self._result(plan, applied, observed, reason)

    def _carry_out(
        self, plan: lifecycle.Plan, observed: lifecycle.Observed, wanted: lifecycle.Wanted, check: bool
    ) -> ApplyResult:
        verbs = {action.verb for action in plan.actions}
        if not check:
            if "record" in verbs:
                self._record(observed)
            version_objects.unretire(self.client, self.objects.record(self.spec.version))
            for action in plan.actions:
                if action.verb == "register":
                    versions.register_ahead(self._session(), action.version)
        applied = apply_all(self.client, workload.documents(self.spec), check=check)
        if applied.changed:
            self._warn_of_capacity()
        if check:
            return applied
        self._scale(applied.objects[-1])
        try:
            self._wait()
            if applied.changed or not lifecycle.agree(observed, wanted.owner, wanted.version):
                observed = self._verify_registration(observed, wanted)
        except DbosError as error:
            error.msg += self._give_back(observed, wanted.owner)
            raise
        if applied.changed or self.request.sdk:
            self._remember_sdk()
        record = observed.record(wanted.version)
        if self.spec.conductor and (applied.changed or not (record and record.conductor)):
            self._prove_conductor()
        promoted = [action.version for action in plan.actions if action.verb == "promote"]
        selected = promoted[-1] if promoted else observed.selected
        if promoted:
            port = self._port(promoted[-1])
            promoting.promote(self.client, self._session(), self.lease, self.objects, wanted.owner, promoted[-1], port)
        elif selected == wanted.version:
            # Heals what others changed on it, such as its port.
            service = workload.service(self.spec.app, self.spec.namespace, self.spec.port, selected)
            healed = apply_all(self.client, [service], check=False)
            applied.changed = applied.changed or healed.changed
        return applied

    def _session(self) -> Database:
        if self.database is None:
            raise DbosError("The system database cannot be read, so no version can be released.")
        return self.database

    def _record(self, observed: lifecycle.Observed) -> None:
        newest = observed.record(self.spec.version)
        record = ledger.record(self.spec, newest.revision + 1 if newest else 1)
        before = self.objects.record(self.spec.version)
        annotations = dict(before["metadata"].get("annotations") or {}) if before else {}
        record["metadata"]["annotations"] = annotations
        self.lease.check()
        try:
            self.client.create(record)
        except KubeError as error:
            if error.reason != "AlreadyExists":
                raise
            # The version was like this before: only its place in the order changes, as with a StatefulSet's own.
            version_objects.annotate(self.client, record, annotations, record["revision"])
        self.objects = dataclasses.replace(self.objects, records=[*self.objects.records, record])

    def _scale(self, obj: Object) -> None:
        """Through the scale subresource only: a number in the applied document would fight with an autoscaler."""
        spec = self.spec
        if (spec.kind, spec.name) in self.objects.scalers or obj["spec"].get("replicas", 1) == self.request.replicas:
            return
        body = {"spec": {"replicas": self.request.replicas}}
        self.client.patch("apps/v1", spec.kind, spec.name, spec.namespace, body, subresource="scale")

    def _wait(self) -> None:
        spec = self.spec
        target = Target("apps/v1", spec.kind, spec.name, spec.namespace)
        judge = executors.judge(self.client, spec)
        try:
            wait(self.client, [target], self.request.timeout, judge=judge, progress=self.progress)
        except Failed as error:
            hint = conductor.enterprise_hint(error.msg) if spec.conductor else ""
            raise Failed(f"{error.msg}\n{hint}".strip(), **error.result) from error

    def _verify_registration(self, before: lifecycle.Observed, wanted: lifecycle.Wanted) -> lifecycle.Observed:
        deadline = time.monotonic() + REGISTRATION_SECONDS
        while True:
            after = dataclasses.replace(before, registrations=versions.registrations(self._session()))
            problem = lifecycle.registered_as_asked(before, after, wanted)
            if problem is None:
                return after
            # Another latest version is nobody else's doing, and every moment of it counts.
            if after.latest(wanted.owner) != before.latest(wanted.owner) or time.monotonic() > deadline:
                raise DbosError(problem)
            time.sleep(0.5)

    def _give_back(self, before: lifecycle.Observed, owner: str) -> str:
        """A version that pods registered on their own is the latest: it gets the work that the promoted one should."""
        try:
            after = dataclasses.replace(before, registrations=versions.registrations(self._session()))
            version = lifecycle.displaced(after, owner)
            if version is None:
                return ""
            schema.check_writable(schema.level(self._session()), self.request.newer_schema)
            self.lease.check()
            given = versions.promote(self._session(), owner, version)
        except DbosError:
            # What went wrong first is what to mend; that Service and DBOS disagree is told by every tick.
            return ""
        return f"\nDBOS took {after.latest(owner)} for the latest version; now it is {version} again." if given else ""

    def _remember_sdk(self) -> None:
        """The preflight of a later release asks what this version is made of, when no log says so any more."""
        told = self.request.sdk
        if told is None:
            namespace = self.spec.namespace
            selector = executors.labels(naming.selector(self.spec.app, self.spec.version))
            pods = [pod["metadata"]["name"] for pod in self.client.list("v1", "Pod", namespace, selector)]
            logs = (self.client.logs(namespace, pod, workload.CONTAINER, 1000) for pod in pods)
            told = next((str(sdk) for sdk in map(sdks.logged, logs) if sdk), None)
        known = self.objects.record(self.spec.version) or {"metadata": {}}
        if told and (known["metadata"].get("annotations") or {}).get(sdks.KEY) != told:
            version_objects.annotate(self.client, ledger.record(self.spec, 0), {sdks.KEY: told})

    def _prove_conductor(self) -> None:
        spec = self.spec
        selector = executors.labels(naming.selector(spec.app, spec.version))
        conductor.prove(self.client, spec.namespace, selector, self.progress)
        record = ledger.record(spec, 0)
        version_objects.annotate(self.client, record, {ledger.CONDUCTOR_ANNOTATION: "connected"})

    def _port(self, version: str) -> int:
        return self.spec.port if version == self.spec.version else promoting.recorded_port(self.objects, version)

    def _warn_of_capacity(self) -> None:
        """Only when something changes: it reads all pods of the cluster."""
        running = "status.phase!=Succeeded,status.phase!=Failed"
        reads: list[Callable[[], list[Object]]] = [
            lambda: self.client.list("v1", "Node"),
            lambda: self.client.list("v1", "Pod", field_selector=running),
        ]
        try:
            nodes, pods = together(reads)
        except KubeError:
            # Not everybody may read nodes; it is only a warning.
            return
        own = naming.selector(self.spec.app, self.spec.version)
        replicas = max(self.request.max_replicas, self.request.replicas)
        warning = capacity.shortage(nodes, pods, self.spec.resources, replicas, own)
        if warning:
            self.warnings.append(warning)

    def _result(
        self, plan: lifecycle.Plan, applied: ApplyResult, observed: lifecycle.Observed, reason: str
    ) -> dict[str, Any]:
        promoted = any(action.verb == "promote" and action.version == self.spec.version for action in plan.actions)
        obj = applied.objects[-1]
        return {
            "changed": bool(plan.actions) or applied.changed,
            "diff": applied.diff,
            "version": self.spec.version,
            "image": self.spec.image,
            "kind": self.spec.kind,
            "kind_reason": reason,
            "workload": self.spec.name,
            "replicas": obj["spec"].get("replicas", self.request.replicas),
            "promoted": promoted or observed.selected == self.spec.version,
            "actions": [dataclasses.asdict(action) for action in plan.actions],
        }

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Kubernetes holds of an application's versions, in a constant number of requests, as the decisions see it."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import ledger, lifecycle, naming
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import together

PROMOTING = "dbos.kubernetes/promoting"
# On a workload whose pods above that number are being taken in.
COMPACTING = "dbos.kubernetes/compacting"
VERSION = "app.kubernetes.io/version"
KINDS = (lifecycle.STATEFUL_SET, lifecycle.DEPLOYMENT)
ENDED = ("Succeeded", "Failed")


@dataclasses.dataclass(frozen=True)
class Objects:
    """The workloads of all versions, their pods, ledger records and autoscalers, and the Service that clients use."""

    app: str
    namespace: str
    workloads: list[Object]
    pods: list[Object]
    records: list[Object]
    autoscalers: list[Object]
    service: Object | None
    named: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def scalers(self) -> dict[tuple[str, str], str]:
        """(kind, name) of each workload whose replicas an autoscaler owns, with the autoscaler's name."""
        found = {}
        for obj in self.autoscalers:
            target: Mapping[str, Any] = obj["spec"].get("scaleTargetRef") or {}
            # KEDA takes a Deployment when no kind is given.
            found[(target.get("kind", "Deployment"), target.get("name", ""))] = (
                f"{obj['kind']} {obj['metadata']['name']}"
            )
        return found

    @property
    def executors(self) -> dict[str, str]:
        """Version by name of its workload."""
        return {obj["metadata"]["name"]: version_of(obj) for obj in self.workloads}

    def workload(self, version: str) -> Object | None:
        """The version's workload."""
        return next((obj for obj in self.workloads if version_of(obj) == version), None)

    def record(self, version: str) -> Object | None:
        """The version's newest ledger record."""
        found = [obj for obj in self.records if obj["data"]["version"] == version]
        return max(found, key=lambda obj: int(obj["revision"]), default=None)

    def observed(self) -> lifecycle.Observed:
        """Kubernetes' part of what the decisions need."""
        live = Counter(version_of(pod) for pod in self.pods if (pod.get("status") or {}).get("phase") not in ENDED)
        service = self.service or {"spec": {}, "metadata": {}}
        return lifecycle.Observed(
            workloads=tuple(self._workload(obj, live) for obj in self.workloads),
            records=tuple(ledger.parse(record) for record in self.records),
            selected=(service["spec"].get("selector") or {}).get(VERSION),
            promoting=(service["metadata"].get("annotations") or {}).get(PROMOTING),
        )

    def _workload(self, obj: Object, live: Mapping[str, int]) -> lifecycle.Workload:
        version = self.named.get(obj["metadata"]["name"]) or version_of(obj)
        return lifecycle.Workload(
            version=version,
            kind=obj["kind"],
            replicas=obj["spec"].get("replicas", 1),
            scaler=self.scalers.get((obj["kind"], obj["metadata"]["name"])),
            ours=not owner_of(obj),
            owner=owner_of(obj),
            pods=live.get(version, 0),
            compacting=COMPACTING in (obj["metadata"].get("annotations") or {}),
        )


# Marks of those who would undo our changes, or whose changes we would; the value names theirs. Helm's are the last:
# whoever has it make a release is the one to ask.
_OTHERS = {
    "helm.toolkit.fluxcd.io/name": "Flux' HelmRelease",
    "kustomize.toolkit.fluxcd.io/name": "Flux' Kustomization",
    "argocd.argoproj.io/tracking-id": "Argo CD's",
    "argocd.argoproj.io/instance": "Argo CD's application",
    "meta.helm.sh/release-name": "Helm's release",
}


def owner_of(obj: Object) -> str:
    """Who else manages the object; empty when it is this collection's alone."""
    metadata = obj["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    marks = {**labels, **annotations}
    for key, name in _OTHERS.items():
        if key in marks:
            return f"{name} {marks[key]}"
    owners = metadata.get("ownerReferences") or []
    if owners:
        return f"{owners[0]['kind']} {owners[0]['name']}"
    manager = labels.get("app.kubernetes.io/managed-by", "")
    return "" if manager == naming.MANAGER else manager or "another"


def version_of(obj: Object) -> str:
    """What its label says."""
    return str((obj["metadata"].get("labels") or {}).get(VERSION, ""))


def annotate(client: Client, record: Object, changes: Mapping[str, str | None], revision: int | None = None) -> None:
    """Writes to a ledger record what may change: its annotations and its place in the order.

    Replaces, never patches: a patch reorders the data's keys, which the API server takes for a change of it.
    """
    metadata = record["metadata"]
    for _attempt in range(5):
        there = client.get("apps/v1", "ControllerRevision", metadata["name"], metadata["namespace"])
        if there is None:
            raise DbosError(f"The ledger record {metadata['name']} is gone: another writer interferes. Run again.")
        annotations = {**(there["metadata"].get("annotations") or {}), **changes}
        there["metadata"]["annotations"] = {key: value for key, value in annotations.items() if value is not None}
        there["revision"] = revision or there["revision"]
        try:
            client.replace(there)
            return
        except KubeError as error:
            if error.reason != "Conflict":
                raise
    raise DbosError(f"The ledger record {metadata['name']} changes too fast: another writer interferes. Run again.")


def unretire(client: Client, record: Object | None) -> None:
    """A version that gets a workload again is retired no more; the proof stays until the next."""
    if record and ledger.RETIRED_ANNOTATION in (record["metadata"].get("annotations") or {}):
        annotate(client, record, {ledger.RETIRED_ANNOTATION: None})


def read(
    client: Client, app: str, namespace: str, *, pods: bool = True, named: Mapping[str, str] | None = None
) -> Objects:
    """Everything side by side. C(named) is a workload's name with the version that it shall be, whatever its labels."""
    mine = f"app.kubernetes.io/name={app}"
    executors = f"{mine},app.kubernetes.io/component=executor"
    reads: list[Callable[[], Any]] = [
        lambda: client.list("apps/v1", "StatefulSet", namespace, mine),
        lambda: client.list("apps/v1", "Deployment", namespace, mine),
        lambda: client.list("apps/v1", "ControllerRevision", namespace, ledger.selector(app)),
        lambda: client.list("autoscaling/v2", "HorizontalPodAutoscaler", namespace),
        lambda: client.list("keda.sh/v1alpha1", "ScaledObject", namespace),
        lambda: client.get("v1", "Service", app, namespace),
        lambda: client.list("dbos.dev/v1alpha1", "DBOSApplication", namespace),
    ]
    if pods:
        reads.append(lambda: client.list("v1", "Pod", namespace, executors))
    for name in named or {}:
        reads += [functools.partial(client.get, "apps/v1", kind, name, namespace) for kind in KINDS]
    sets, deployments, records, autoscalers, scaled, service, others, *rest = together(reads)
    found = rest.pop(0) if pods else []
    workloads = {obj["metadata"]["uid"]: obj for obj in [*sets, *deployments, *rest] if obj}
    refuse_others(app, namespace, service, others)
    return Objects(app, namespace, [*workloads.values()], found, records, autoscalers + scaled, service, named or {})


def refuse_others(app: str, namespace: str, service: Object | None, applications: list[Object]) -> None:
    """Two that deploy one application would undo each other's work, and retire each other's versions."""
    for found in applications:
        name = found["metadata"]["name"]
        if app in (name, (found.get("spec") or {}).get("appName")):
            raise DbosError(
                f"DBOSApplication {namespace}/{name} exists: DBOS' operator deploys this application. Remove it there "
                "first, or choose another name (dbos_app)."
            )
    owner = owner_of(service) if service else ""
    if owner:
        raise DbosError(
            f"Service {namespace}/{app} exists and was not made by this collection: it is {owner}'s. "
            "Rename the application (dbos_app), or remove the Service."
        )

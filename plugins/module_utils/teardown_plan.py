# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a namespace goes with an application, in which order, and what is left to others; from metadata alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import naming, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.table import columns

Object = dict[str, Any]

NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
RUN = "dbos.kubernetes/run"
AUTOSCALING, WORKLOADS, NETWORK, VOLUMES, CONFIGURATION, LEDGER, LEASE = (
    "autoscaling", "workloads", "network", "volumes", "configuration", "ledger", "lease",
)  # fmt: skip
# What brings pods back goes before them, and what finds the rest again on the next run goes last.
STAGES: Mapping[str, tuple[str, ...]] = {
    AUTOSCALING: ("ScaledObject", "ScaledJob", "HorizontalPodAutoscaler", "TriggerAuthentication"),
    WORKLOADS: ("CronJob", "StatefulSet", "Deployment", "DaemonSet", "ReplicaSet", "Job", "Pod"),
    NETWORK: ("Ingress", "Service", "EndpointSlice", "NetworkPolicy"),
    VOLUMES: ("PersistentVolumeClaim",),
    CONFIGURATION: (),
    LEDGER: ("ControllerRevision",),
    LEASE: ("Lease",),
}
# In every namespace, and gone with it.
_KUBERNETES = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


@dataclasses.dataclass(frozen=True)
class Kept:
    """Something that is left, and why."""

    kind: str
    namespace: str | None
    name: str
    why: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """The application's objects by stage, those of nobody else in the namespace that go with its last application,
    and what is left. C(namespace_goes) when nothing of others is in it.
    """

    app: str
    namespace: str
    stages: Mapping[str, list[Object]]
    shared: list[Object]
    kept: list[Kept]
    namespace_goes: bool

    @property
    def objects(self) -> list[Object]:
        """All that is the application's."""
        return [obj for stage in self.stages.values() for obj in stage]

    @property
    def going(self) -> list[Object]:
        """All that goes, in order; last the namespace."""
        space = [_namespace(self.namespace)] if self.namespace_goes else []
        return [*self.objects, *self.shared, *space]

    @property
    def runs(self) -> bool:
        """Whether anything of it may work."""
        return bool(self.stages[WORKLOADS] or self.stages[AUTOSCALING])


def plan(
    app: str,
    namespace: str,
    space: Object | None,
    found: Sequence[Object],
    unread: Sequence[str] = (),
    run: str = "",
) -> Plan:
    """Sort what was C(found) in the namespace C(space), None when there is none; C(run) has relays that it ends itself.

    The application's is what carries its name and was made by this collection, and what that has made in turn.
    """
    found = [obj for obj in found if obj["kind"] != "Endpoints"]  # a Service's, whose labels they repeat
    mine = _closure([obj for obj in found if _is_of(obj, app)], found)
    own = [obj for obj in found if obj["metadata"]["uid"] in mine and not (run and _label(obj, RUN) == run)]
    stages: dict[str, list[Object]] = {stage: [] for stage in STAGES}
    for obj in own:
        stages[stage_of(obj["kind"])].append(obj)
    for stage, kinds in STAGES.items():
        stages[stage].sort(key=lambda obj: (kinds.index(obj["kind"]) if kinds else 0, obj["kind"], _name(obj)))
    rest = [obj for obj in found if obj["metadata"]["uid"] not in mine and (obj["kind"], _name(obj)) not in _KUBERNETES]
    ours = [obj for obj in rest if not version_objects.owner_of(obj)]
    others = {name for obj in ours if (name := _label(obj, NAME))}
    theirs = _closure([obj for obj in ours if _label(obj, NAME)], rest)
    shared = [obj for obj in ours if not _label(obj, NAME)]
    foreign = [obj for obj in rest if obj["metadata"]["uid"] not in theirs and obj not in shared]
    kept = [Kept("Application", namespace, name, "it is not taken down") for name in sorted(others)]
    if others:
        kept += [Kept(obj["kind"], namespace, _name(obj), "other applications use it") for obj in shared]
        shared = []
    kept += [Kept(obj["kind"], namespace, _name(obj), _whose(obj)) for obj in foreign]
    kept += [Kept("(not read)", namespace, text.split(":")[0], text.split(": ", 1)[-1]) for text in unread]
    managed = space is not None and not version_objects.owner_of(space)
    if space is not None and (kept or not managed):
        why = "it is not empty" if managed else "it was not made by this collection"
        kept.append(Kept("Namespace", None, namespace, why))
    return Plan(app, namespace, stages, shared, kept, bool(managed and not kept))


def stage_of(kind: str) -> str:
    """Where a kind goes."""
    return next((stage for stage, kinds in STAGES.items() if kind in kinds), CONFIGURATION)


def _is_of(obj: Object, app: str) -> bool:
    if _label(obj, NAME) != app:
        return False
    # A StatefulSet's claims carry its selector's labels alone, and have no owner.
    claim = obj["kind"] == "PersistentVolumeClaim" and _label(obj, COMPONENT) == "executor"
    return claim or not version_objects.owner_of(obj)


def _closure(roots: Iterable[Object], found: Sequence[Object]) -> set[str]:
    """Uids of the roots and of everything that they own."""
    uids = {obj["metadata"]["uid"] for obj in roots}
    while True:
        more = {
            obj["metadata"]["uid"]
            for obj in found
            if any(owner["uid"] in uids for owner in obj["metadata"].get("ownerReferences") or [])
        }
        if more <= uids:
            return uids
        uids |= more


def _whose(obj: Object) -> str:
    owner = version_objects.owner_of(obj)
    return f"it is {owner}'s" if owner and owner != "another" else "it was not made by this collection"


def _label(obj: Object, name: str) -> str:
    return str((obj["metadata"].get("labels") or {}).get(name, ""))


def _name(obj: Object) -> str:
    return str(obj["metadata"]["name"])


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def rows(found: Plan) -> list[tuple[str | None, ...]]:
    """Lines of a table: what goes and what is kept. Who is owned by something that goes is not repeated."""
    uids = {obj["metadata"].get("uid") for obj in found.objects}
    going = [
        ("delete", obj["kind"], obj["metadata"].get("namespace"), _name(obj), None)
        for obj in found.going
        if not any(owner["uid"] in uids for owner in obj["metadata"].get("ownerReferences") or [])
    ]
    return [*going, *[("keep", one.kind, one.namespace, one.name, one.why) for one in found.kept]]


def text(head: str, lines: Sequence[tuple[str | None, ...]]) -> str:
    """The table for a person."""
    return "\n".join([head, *columns(("ACTION", "KIND", "NAMESPACE", "NAME", "WHY"), lines)])


def applications(objects: Iterable[Object]) -> set[tuple[str, str]]:
    """(name, namespace) of every application that these objects of ours belong to."""
    return {
        (_label(obj, NAME), str(obj["metadata"]["namespace"]))
        for obj in objects
        if _label(obj, NAME) and _label(obj, "app.kubernetes.io/managed-by") == naming.MANAGER
    }

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts a version under KEDA's control, and takes it out again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.dbos.kubernetes.plugins.module_utils import naming, scaling, scaling_draining
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube import documents
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import apply_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import State, Target, Timeout, ready, wait
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

Outcome = tuple[dict[str, Any], list[str]]
# Assumed in check mode, before there is a cluster to ask.
KINDS = ("StatefulSet", "Deployment")


def spec_of(params: Mapping[str, Any]) -> scaling.Spec:
    """What the task asks for; the workload's kind is looked up later."""
    found, metrics = params["database"], params["metrics"]
    spec = scaling.Spec(
        app=params["name"],
        namespace=params["namespace"],
        version=params["version"] or "",
        strategy=params["strategy"],
        kind=KINDS[0],
        owner=params["application_name"] or params["name"],
        minimum=params["min_replicas"],
        maximum=params["max_replicas"],
        concurrency=params["concurrency"],
        interval=params["polling_interval"],
        scale_in_delay=params["scale_in_delay"],
        trigger=_database(found) if found else scaling.MetricsTrigger(**metrics),
        zero_confirmed=params["scale_to_zero"],
    )
    naming.check_application(spec.app)
    if spec.version:
        naming.check_version(spec.app, spec.version, spec.strategy)
    scaling.check(spec)
    return spec


def _database(given: Mapping[str, Any]) -> scaling.DatabaseTrigger:
    return scaling.DatabaseTrigger(
        host=given["host"],
        port=given["port"],
        database=given["name"],
        user=given["user"],
        secret=given["secret"],
        sslmode=given["sslmode"],
    )


def named(client: Client, spec: scaling.Spec) -> scaling.Spec:
    """The same for the promoted version when it names none."""
    if spec.version:
        return spec
    return dataclasses.replace(spec, version=scaling_draining.promoted(client, spec.app, spec.namespace))


def present(client: Client, spec: scaling.Spec, *, check: bool, timeout: float, draining: int | None = None) -> Outcome:
    """Apply the documents and wait until KEDA serves the metric; limit draining versions to C(draining) pods."""
    version, *found = parallel(
        lambda read: read(),
        [client.version, *[_reader(client, spec, kind) for kind in KINDS]],
    )
    kind = next((kind for kind, there in zip(KINDS, found, strict=True) if there), None)
    if kind is None and not check:
        raise DbosError(f"There is no workload {spec.namespace}/{spec.name} to scale: run role release first.")
    server = scaling.server_version(str(version))
    wanted = scaling.documents(scaling.with_kind(spec, kind or KINDS[0]), server)
    applied = apply_all(client, wanted, check=check)
    if not check:
        _wait(client, spec, timeout, prove=applied.changed)
    warnings = [text for text in (scaling.limited(spec, server), scaling.unverified(spec)) if text]
    result = {"changed": applied.changed, "changes": applied.changes, "diff": applied.diff, "scaled_object": spec.name}
    if draining is not None:
        others = scaling_draining.apply(client, spec, draining, server, check=check)
        result["changed"] |= others["changed"]
        result["changes"] = [*applied.changes, *others["changes"]]
        result["diff"] = {side: {**applied.diff[side], **others["diff"][side]} for side in ("before", "after")}
    return result, warnings


def absent(client: Client, spec: scaling.Spec, *, check: bool, timeout: float) -> Outcome:
    """Delete the documents; KEDA removes its HorizontalPodAutoscaler and leaves the replicas as they are."""
    result = documents.absent(client, scaling.documents(spec, (0, 0)), check=check, timeout=timeout)
    return {**result, "scaled_object": spec.name}, []


def _reader(client: Client, spec: scaling.Spec, kind: str) -> Any:
    return lambda: client.get("apps/v1", kind, spec.name, spec.namespace)


def _wait(client: Client, spec: scaling.Spec, timeout: float, *, prove: bool) -> None:
    """Wait until KEDA says that it is ready and, after a change, until it answers with a number.

    Its condition has no generation: it may still speak of what was there before.
    """
    target = Target("keda.sh/v1alpha1", "ScaledObject", spec.name, spec.namespace)

    def judge(obj: Object) -> State:
        state = ready(obj)
        return served(client, obj) if state.done and prove else state

    try:
        wait(client, [target], timeout, judge=judge)
    except Timeout as error:
        raise DbosError(f"{error.msg} {_why(client, spec)}".strip()) from error


def served(client: Client, obj: Object) -> State:
    """Whether KEDA answers for each of the ScaledObject's metrics; being asked, it reads the database."""
    metadata, names = obj["metadata"], obj["status"].get("externalMetricNames") or []
    selector = quote(f"scaledobject.keda.sh/name={metadata['name']}")
    root = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{metadata['namespace']}"
    for name in names:
        status, _data = client.raw("GET", f"{root}/{quote(name)}?labelSelector={selector}")
        if status != 200:
            return State(False, f"KEDA does not serve its metric {name} yet")
    return State(bool(names), "KEDA has not named its metric yet")


def _why(client: Client, spec: scaling.Spec) -> str:
    """KEDA's own last complaint: its condition only says that a trigger is not right."""
    selector = f"involvedObject.kind=ScaledObject,involvedObject.name={spec.name},type=Warning"
    try:
        events = client.list("v1", "Event", spec.namespace, field_selector=selector)
    except KubeError:
        return ""
    newest = max(events, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "", default=None)
    return f"KEDA says: {newest['message']}" if newest else ""

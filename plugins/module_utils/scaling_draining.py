# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limits of versions that drain: they fall to no pod by themselves, and come back when work of theirs is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import lifecycle, naming, scaling, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube import documents
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import apply_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client


def promoted(client: Client, app: str, namespace: str) -> str:
    """The version that clients are sent to; raises DbosError when there is none."""
    service = client.get("v1", "Service", app, namespace) or {"spec": {}}
    version = (service["spec"].get("selector") or {}).get(version_objects.VERSION)
    if not version:
        raise DbosError(f"No version of {app} is promoted in namespace {namespace}: deploy one, or name the version.")
    return str(version)


def draining(objects: version_objects.Objects, spec: scaling.Spec, maximum: int) -> list[scaling.Spec]:
    """What the versions get that were promoted once and no longer are, beside the one of C(spec)."""
    observed = objects.observed()
    return [
        replace(
            spec,
            version=workload.version,
            kind=workload.kind,
            strategy=_strategy(objects, workload.version),
            minimum=0,
            maximum=maximum,
            zero_confirmed=True,
        )
        for workload in observed.workloads
        if _drains(observed, workload, spec)
    ]


def _drains(observed: lifecycle.Observed, workload: lifecycle.Workload, spec: scaling.Spec) -> bool:
    elsewhere = workload.version not in (spec.version, observed.selected)
    return elsewhere and workload.ours and not observed.staged(workload.version)


def _strategy(objects: version_objects.Objects, version: str) -> str:
    workload = objects.workload(version)
    return naming.PATCHING if workload and workload["metadata"]["name"] == objects.app else "versions"


def apply(
    client: Client, spec: scaling.Spec, maximum: int, server: tuple[int, int], *, check: bool
) -> Mapping[str, Any]:
    """Limit them, all at once; KEDA takes it up by itself.

    A metric of the application's own comes from the promoted version's pods and says nothing about the work of others:
    these are scaled by nobody then, until the tick stops them.
    """
    objects = version_objects.read(client, spec.app, spec.namespace, pods=False)
    found = [document for one in draining(objects, spec, maximum) for document in scaling.documents(one, server)]
    if isinstance(spec.trigger, scaling.MetricsTrigger):
        return documents.absent(client, found, check=check, timeout=None)
    result = apply_all(client, found, check=check)
    return {"changed": result.changed, "changes": result.changes, "diff": result.diff}

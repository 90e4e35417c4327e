# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Retires one named version in one go, by the rules of the tick: proof, no pods, proof again, and the ledger stays."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import (
    draining,
    lifecycle,
    lifecycle_tick,
    reviving,
    taking_down,
    version_objects,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress


@dataclasses.dataclass(frozen=True)
class Version:
    """What is to be retired; C(owner) is the application's name in DBOS."""

    app: str
    namespace: str
    version: str
    owner: str


def retire(
    client: Client, database: Database, lease: Lease, wanted: Version, timeout: float, *, check: bool
) -> list[lifecycle.Action]:
    """The actions; none when the version is retired already. C(timeout) in seconds is for its pods to end."""
    objects = version_objects.read(client, wanted.app, wanted.namespace)
    observed = objects.observed()
    _refuse(observed, wanted.version)
    workload = observed.workload(wanted.version)
    if workload is None:
        return []
    found = _proof(database, wanted)
    seen = f"no unfinished work in {found.reads} reads over {found.seconds:.0f} s"
    actions = [lifecycle.Action("stop", wanted.version, seen), lifecycle.Action("retire", wanted.version, seen)]
    if check:
        return actions
    taking_down.stop(client, objects, wanted.version, lease)
    _without_pods(client, wanted, timeout)
    try:
        found = _proof(database, wanted)
    except DbosError:
        # What appeared meanwhile needs its executors.
        reviving.revive(client, objects, wanted.version, max(workload.replicas, 1), lease)
        raise
    # The last look: what was stopped has settled meanwhile, and nobody else may have touched it since.
    objects = _without_pods(client, wanted, timeout)
    _refuse(objects.observed(), wanted.version)
    taking_down.retire(client, objects, wanted.version, found.as_dict(), lease)
    return actions


def _refuse(observed: lifecycle.Observed, version: str) -> None:
    workload = observed.workload(version)
    if observed.promoting:
        raise DbosError(f"The promotion of {observed.promoting} is half done: finish it first, with deploy.yml.")
    if observed.selected == version:
        raise DbosError(f"Version {version} is promoted: clients are sent to it. Promote another one first.")
    if workload and not workload.ours:
        raise DbosError(f"The {workload.kind} of version {version} was not made by this collection, so it is left.")
    if workload is None and observed.record(version) is None:
        raise DbosError(f"There is no version {version}: neither a workload nor a record in the ledger.")


def _proof(database: Database, wanted: Version) -> draining.Evidence:
    found = draining.prove(database, wanted.owner, wanted.version, lifecycle_tick.Policy(), Progress())
    if found.pending or found.enqueued or found.delayed:
        ids = [row["id"] for row in draining.blockers(database, wanted.owner, wanted.version)]
        raise DbosError(
            f"Version {wanted.version} is not retired: {found.pending} pending, {found.enqueued} enqueued and "
            f"{found.delayed} delayed workflows are unfinished ({', '.join(ids)}). Let it drain, cancel or fork them."
        )
    return found


def _without_pods(client: Client, wanted: Version, timeout: float) -> version_objects.Objects:
    deadline = time.monotonic() + timeout
    with Progress().step(f"waiting for the pods of version {wanted.version} to end"):
        while True:
            objects = version_objects.read(client, wanted.app, wanted.namespace)
            workload = objects.observed().workload(wanted.version)
            if workload is None or not workload.pods:
                return objects
            if time.monotonic() > deadline:
                raise DbosError(
                    f"{workload.pods} pods of version {wanted.version} had not ended after {timeout:.0f} s. Run again."
                )
            time.sleep(0.5)


def result(wanted: Version, actions: list[lifecycle.Action]) -> dict[str, Any]:
    """What module release answers."""
    told = [dataclasses.asdict(action) for action in actions]
    return {"changed": bool(actions), "version": wanted.version, "promoted": False, "actions": told}

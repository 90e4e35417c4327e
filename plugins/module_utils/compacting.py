# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parked is not busy: a draining version's workflows that sleep for long move to few pods.

A StatefulSet keeps every pod below its highest busy ordinal, so one sleeper on ordinal 9 costs ten pods. The pods above
are taken in first, which leaves their rows PENDING; only when they are gone are these requeued, as the SDK's own
recovery does, and a pod that is left takes them up where they were. A note on the workload lets the next tick go on.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import recovering, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.executor_state import UNKNOWN
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import blockers
from ansible_collections.dbos.kubernetes.plugins.module_utils.taking_down import KEDA, scaled_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.waiting import waits_for

PAUSED = "autoscaling.keda.sh/paused-replicas"
# A sleep that ends sooner is not worth a restart.
LONG = 600.0
# Each move counts as one more time that the workflow was taken, of the 100 after which SDKs give it up.
MOST_TAKEN = 20


def ordinal(name: str | None, workload: str) -> int | None:
    """The ordinal of a StatefulSet's pod; None for any other name. Pure."""
    found = re.fullmatch(rf"{re.escape(workload)}-(0|[1-9][0-9]{{0,5}})", name or "")
    return int(found[1]) if found else None


def sparse(rows: Sequence[Mapping[str, Any]], version: str, workload: str) -> bool:
    """Whether few running workflows hold many pods, by work.read()'s rows: a look that costs nothing. Pure."""
    mine = [row for row in rows if row["version"] == version and row["status"] == "PENDING"]
    ordinals = [found for row in mine if (found := ordinal(row["executor"], workload)) is not None]
    return bool(mine) and len(ordinals) == len(mine) and max(ordinals) >= sum(row["count"] for row in mine)


def parked(database: Database, owner: str, version: str, most: int) -> int:
    """How many of the version's running workflows sleep for long and may be moved; one statement."""
    rows = blockers.rows(database, owner, version, most)
    found = 0
    for row in rows:
        _words, until = waits_for(row, UNKNOWN, {})
        long = until is not None and until - row["now"] > LONG * 1000
        found += row["status"] == "PENDING" and long and row["attempts"] <= MOST_TAKEN
    return found


def begin(client: Client, objects: version_objects.Objects, version: str, keep: int, lease: Lease) -> None:
    """Take the pods above C(keep) in; an autoscaler of ours pauses at that number."""
    workload = objects.workload(version)
    if workload is None:
        return
    _note(client, workload, str(keep), lease)
    scaled = scaled_objects(objects, version)
    for obj in scaled:
        _pause(client, obj, str(keep), lease)
    if not scaled:
        lease.check()
        kind, name = workload["kind"], workload["metadata"]["name"]
        client.patch("apps/v1", kind, name, objects.namespace, {"spec": {"replicas": keep}}, subresource="scale")


def finish(
    client: Client, database: Database, objects: version_objects.Objects, owner: str, version: str, lease: Lease
) -> list[str] | None:
    """Requeue what the pods that are gone have left, and let the autoscaler go on; None while one is still there.

    Returns the ids of what was requeued. Also after whatever a killed tick left: nothing is requeued twice.
    """
    workload = objects.workload(version)
    if workload is None:
        return []
    name, keep = workload["metadata"]["name"], kept(workload)
    pods = [ordinal(pod["metadata"]["name"], name) for pod in objects.pods]
    if any(found is not None and found >= keep for found in pods):
        if not _told(objects, version, workload):
            # A killed tick got no further than its note; what sleeps by now is decided anew.
            _note(client, workload, None, lease)
        return None
    seen = recovering.see(database, owner, lambda: version_objects.read(client, objects.app, objects.namespace))
    gone = [one for one in seen.running if one.version == version and (ordinal(one.executor, name) or 0) >= keep]
    repairer = recovering.Repairer(client, database, lease, owner, attempts=MOST_TAKEN + 1)
    requeued: list[str] = repairer.requeue(dataclasses.replace(seen, running=gone))["requeued"] if gone else []
    for obj in scaled_objects(objects, version):
        _pause(client, obj, None, lease)
    _note(client, workload, None, lease)
    return requeued


def kept(workload: Object) -> int:
    """The pods that a tick left to the version; 0 when it took none in. Pure."""
    return int((workload["metadata"].get("annotations") or {}).get(version_objects.COMPACTING, 0))


def _told(objects: version_objects.Objects, version: str, workload: Object) -> bool:
    """Whether the pods above were told to go. Pure."""
    scaled = scaled_objects(objects, version)
    if scaled:
        return all(PAUSED in (obj["metadata"].get("annotations") or {}) for obj in scaled)
    return bool(workload["spec"].get("replicas", 1) <= kept(workload))


def _note(client: Client, workload: Object, value: str | None, lease: Lease) -> None:
    lease.check()
    body = {"metadata": {"annotations": {version_objects.COMPACTING: value}}}
    metadata = workload["metadata"]
    client.patch("apps/v1", workload["kind"], metadata["name"], metadata["namespace"], body)


def _pause(client: Client, scaled: Object, value: str | None, lease: Lease) -> None:
    lease.check()
    body = {"metadata": {"annotations": {PAUSED: value}}}
    client.patch(KEDA, "ScaledObject", scaled["metadata"]["name"], scaled["metadata"]["namespace"], body)

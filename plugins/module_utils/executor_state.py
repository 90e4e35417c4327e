# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether an executor that DBOS names still runs: alive, dead, or unknown, which nobody may take for dead."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import DEPLOYMENT, STATEFUL_SET
from ansible_collections.dbos.kubernetes.plugins.module_utils.version_objects import ENDED, KINDS, Objects

ALIVE, DEAD, UNKNOWN = "alive", "dead", "unknown"

# How the controllers name pods; those of a ReplicaSet use no vowels, so that no word comes up.
_POD = {
    STATEFUL_SET: re.compile(r"(.+)-(?:0|[1-9][0-9]*)"),
    DEPLOYMENT: re.compile(r"(.+)-[bcdfghjklmnpqrstvwxz2456789]{1,10}-[a-z0-9]{5}"),
}
_CONDUCTOR_KEY = "DBOS_CONDUCTOR_KEY"


class View(NamedTuple):
    """What tells: kinds of workloads by name, phases of pods by name, names of workloads that run with Conductor."""

    workloads: Mapping[str, str]
    pods: Mapping[str, str]
    conductor: Collection[str]

    def judge(self, executor_id: str | None) -> str:
        """One executor.

        A pod that exists is alive unless it has ended: NotReady, Terminating and an unknown phase are. One that is gone
        is dead if its name is that of a pod of ours, and not one that Conductor may have given another name meanwhile.
        """
        name = executor_id or ""
        if name in self.pods and self.pods[name] not in ENDED:
            return ALIVE
        matches = {kind: pattern.fullmatch(name) for kind, pattern in _POD.items()}
        owners = {found[1] for kind, found in matches.items() if found and self.workloads.get(found[1]) == kind}
        return DEAD if owners and not owners & set(self.conductor) else UNKNOWN


def view(objects: Objects) -> View:
    """The application's workloads, those that only the ledger still knows too, and its pods."""
    recorded = [document for record in objects.records for document in record["data"]["documents"]]
    found = [document for document in [*recorded, *objects.workloads] if document["kind"] in KINDS]
    return View(
        {document["metadata"]["name"]: document["kind"] for document in found},
        {pod["metadata"]["name"]: (pod.get("status") or {}).get("phase", "Unknown") for pod in objects.pods},
        {document["metadata"]["name"] for document in found if _with_conductor(document)},
    )


def _with_conductor(workload: Object) -> bool:
    containers = workload["spec"]["template"]["spec"]["containers"]
    return any(entry["name"] == _CONDUCTOR_KEY for container in containers for entry in container.get("env") or [])

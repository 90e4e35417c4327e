# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes a version down that was proven to have no work: its pods first, all else once they are gone.

The ledger stays, with the proof, and has all that it takes to revive the version.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import ledger, naming, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease

KEDA = "keda.sh/v1alpha1"


def stop(client: Client, objects: version_objects.Objects, version: str, lease: Lease) -> None:
    """Scale to zero. An autoscaler of ours may bring the pods back when there is work, and not before."""
    for scaled in scaled_objects(objects, version):
        lease.check()
        body = {"spec": {"minReplicaCount": 0}}
        client.patch(KEDA, "ScaledObject", scaled["metadata"]["name"], objects.namespace, body)
    workload = objects.workload(version)
    if workload:
        lease.check()
        kind, name = workload["kind"], workload["metadata"]["name"]
        client.patch("apps/v1", kind, name, objects.namespace, {"spec": {"replicas": 0}}, subresource="scale")


def retire(
    client: Client, objects: version_objects.Objects, version: str, evidence: Mapping[str, Any], lease: Lease
) -> None:
    """Delete what C(objects) saw of the version, and write down when and on what proof.

    What brings pods back goes first; then the workload, if nobody has touched it since it was read. A run that is
    killed in between is finished by the next: the version is not recorded as retired yet.
    """
    for scaled in scaled_objects(objects, version):
        name = scaled["metadata"]["name"]
        lease.check()
        client.delete(KEDA, "ScaledObject", name, objects.namespace, uid=scaled["metadata"]["uid"])
    workload = objects.workload(version)
    if workload:
        lease.check()
        _delete_untouched(client, workload, version)
    for document in _leftovers(objects, version):
        _delete(client, lease, document)
    record = objects.record(version)
    if record:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        lease.check()
        proof = json.dumps(evidence, sort_keys=True)
        version_objects.annotate(client, record, {ledger.RETIRED_ANNOTATION: now, ledger.EVIDENCE_ANNOTATION: proof})


def scaled_objects(objects: version_objects.Objects, version: str) -> list[Object]:
    """The version's, of our making."""
    return [
        obj
        for obj in objects.autoscalers
        if obj["kind"] == "ScaledObject" and version_objects.version_of(obj) == version and _ours(obj, objects.app)
    ]


def _ours(obj: Object, app: str) -> bool:
    labels = obj["metadata"].get("labels") or {}
    wanted = naming.labels(app)
    return all(labels.get(key) == value for key, value in wanted.items())


def _delete_untouched(client: Client, workload: Object, version: str) -> None:
    """Nobody may have changed what it is meant to be; its controller goes on telling how it is."""
    metadata = workload["metadata"]
    where = (workload["apiVersion"], workload["kind"], metadata["name"], metadata["namespace"])
    there: Object | None = workload
    while there and _meant(there) == _meant(workload):
        try:
            client.delete(*where, uid=metadata["uid"], resource_version=there["metadata"]["resourceVersion"])
            return
        except KubeError as error:
            if error.reason != "Conflict":
                raise
        there = client.get(*where)
    if there:
        raise DbosError(
            f"The {workload['kind']} of version {version} was changed while it was being retired, so it was left as "
            "it is. The next tick looks again."
        )


def _meant(workload: Object) -> list[Any]:
    """All of it but its status; the generation counts changes of its specification."""
    return [workload["metadata"].get(key) for key in ("uid", "generation", "labels", "annotations")]


def _leftovers(objects: version_objects.Objects, version: str) -> Iterable[Object]:
    """What the ledger says the version was made of, but its workload and what a live version needs as well."""
    live = {version_objects.version_of(obj) for obj in objects.workloads} - {version}
    needed = _made_of(objects, live)
    return [document for key, document in _made_of(objects, {version}).items() if key not in needed]


def _made_of(objects: version_objects.Objects, versions: set[str]) -> dict[tuple[str, str], Object]:
    """By kind and name; in place of a workload, which comes last in a record, the login that autoscales it."""
    found: dict[tuple[str, str], Object] = {}
    for record in objects.records:
        if record["data"]["version"] in versions:
            *documents, workload = record["data"]["documents"]
            login = {"apiVersion": KEDA, "kind": "TriggerAuthentication", "metadata": workload["metadata"]}
            found |= {(document["kind"], document["metadata"]["name"]): document for document in [*documents, login]}
    return found


def _delete(client: Client, lease: Lease, document: Object) -> None:
    """Unless it is gone, or somebody else's."""
    metadata = document["metadata"]
    where = (document["apiVersion"], document["kind"], metadata["name"], metadata["namespace"])
    there = client.get(*where)
    if there and (there["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == naming.MANAGER:
        lease.check()
        client.delete(*where, uid=there["metadata"]["uid"])

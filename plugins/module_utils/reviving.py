# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings a version's pods back as the ledger recorded them, never as today's template would make them."""

from __future__ import annotations

from ansible_collections.dbos.kubernetes.plugins.module_utils import version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import ApplyResult, apply_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease


def revive(client: Client, objects: version_objects.Objects, version: str, replicas: int, lease: Lease) -> ApplyResult:
    """Apply the version's newest record and give it at least that many pods, unless an autoscaler owns their number.

    Returns what changed, the workload last in C(objects). Credentials are Secrets of stable names, so they are today's.
    """
    record = objects.record(version)
    if record is None:
        raise DbosError(
            f"Version {version} of {objects.app} cannot be revived: the ledger in namespace {objects.namespace} has no "
            "record of it. Deploy it again with its image and configuration."
        )
    lease.check()
    version_objects.unretire(client, record)
    result = apply_all(client, record["data"]["documents"], check=False)
    workload = result.objects[-1]
    kind, name = workload["kind"], workload["metadata"]["name"]
    if (kind, name) not in objects.scalers and workload["spec"].get("replicas", 1) < replicas:
        lease.check()
        body = {"spec": {"replicas": replicas}}
        client.patch("apps/v1", kind, name, objects.namespace, body, subresource="scale")
        result.changed = True
        result.changes.append(f"scale {kind} {objects.namespace}/{name} to {replicas}")
    return result

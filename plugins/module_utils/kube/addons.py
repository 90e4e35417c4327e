# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An add-on in a cluster: apply, remove what an older version left, wait until it really serves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.addons import (
    DEFINITION,
    Object,
    by_removal,
    dropped,
    record,
    recorded,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.documents import absent, present, target
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.sealing_controller import (
    fetch_certificate,
    find_controller,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import Failed, Target, Timeout, wait
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.status import why_pod_is_not_ready

Probe = Callable[[Client, str], None]


def install(client: Client, name: str, namespace: str, documents: Sequence[Object], *, check: bool) -> dict[str, Any]:
    """Apply the documents and their record; remove what the record holds beyond them."""
    wanted = [_placed(client, document, namespace) for document in documents]
    if namespace != "kube-system" and not any(one["kind"] == "Namespace" for one in wanted):
        wanted.insert(0, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    note = record(name, namespace, wanted)
    previous = client.get("v1", "ConfigMap", note["metadata"]["name"], namespace)
    result = present(client, [*wanted, note], check=check, timeout=None)
    leftovers = dropped(previous, wanted)
    if leftovers:
        gone = absent(client, leftovers, check=check, timeout=None)
        result["changed"] |= gone["changed"]
        result["changes"] += gone["changes"]
        result["diff"]["before"] |= gone["diff"]["before"]
    result["targets"] = [target(document) for document in wanted]
    return result


def remove(client: Client, name: str, namespace: str, *, check: bool, timeout: float) -> dict[str, Any]:
    """Delete what the record holds, unless it is in use. Namespaces stay: others may have something in them."""
    note = client.get("v1", "ConfigMap", record(name, namespace, [])["metadata"]["name"], namespace)
    found = recorded(note)
    used = [text for one in found if one["kind"] == DEFINITION and (text := _users(client, one["metadata"]["name"]))]
    if used:
        raise DbosError(f"Add-on {name} is in use, so it was not removed: {'; '.join(used)}. Remove these first.")
    going = [one for one in by_removal(found) if one["kind"] != "Namespace"]
    # Deleted from the end of the list: the record last, so that a killed run is finished by the next.
    result = absent(client, [*([note] if note else []), *reversed(going)], check=check, timeout=timeout)
    return {**result, "targets": []}


def _users(client: Client, definition: str) -> str:
    """Objects of a kind that the add-on has defined, in words."""
    found = client.get("apiextensions.k8s.io/v1", DEFINITION, definition)
    if found is None:
        return ""
    spec = found["spec"]
    version = next(one["name"] for one in spec["versions"] if one["served"])
    there = client.list(f"{spec['group']}/{version}", spec["names"]["kind"])
    names = [f"{one['metadata'].get('namespace', '')}/{one['metadata']['name']}".lstrip("/") for one in there]
    return f"{spec['names']['kind']} {', '.join(names[:3])}{', …' if len(names) > 3 else ''}" if names else ""


def _placed(client: Client, document: Object, namespace: str) -> Object:
    """The document with its namespace written out, as server-side apply wants it."""
    if document["metadata"].get("namespace"):
        return document
    try:
        namespaced = client.resource(document["apiVersion"], document["kind"]).namespaced
    except KubeError as error:
        if error.status != 404:
            raise
        namespaced = False
    return {**document, "metadata": {**document["metadata"], "namespace": namespace}} if namespaced else document


def wait_serving(client: Client, targets: Sequence[Target], probes: Sequence[tuple[str, str]], timeout: float) -> None:
    """Wait for every object, then ask each probe (name, namespace) until it is answered."""
    deadline = time.monotonic() + timeout
    try:
        wait(client, targets, timeout)
    except (Timeout, Failed) as error:
        raise type(error)(f"{error.msg} {_why(client, targets)}".strip()) from error
    for name, namespace in probes:
        with Progress().step(f"waiting for the {name} to answer") as step:
            while True:
                try:
                    PROBES[name](client, namespace)
                    break
                except DbosError as error:
                    if time.monotonic() > deadline:
                        raise Timeout(f"After {timeout:.0f} s the {name} does not answer: {error.msg}") from error
                    step.update(error.msg)
                time.sleep(1)


def _why(client: Client, targets: Sequence[Target]) -> str:
    """What keeps the pods in the namespaces of the add-ons' Deployments."""
    namespaces = sorted({one.namespace for one in targets if one.kind == "Deployment" and one.namespace})
    pods = [pod for namespace in namespaces for pod in client.list("v1", "Pod", namespace)]
    reasons = [(pod["metadata"]["name"], why_pod_is_not_ready(pod)) for pod in pods]
    return " ".join(f"Pod {name}: {reason}." for name, reason in reasons if reason)


def _sealing_certificate(client: Client, namespace: str) -> None:
    fetch_certificate(client, find_controller(client, namespace, None))


def _keda_webhook(client: Client, _namespace: str) -> None:
    """KEDA's webhook refuses two triggers of one name; without an answer the API server would let them pass."""
    trigger = {
        "name": "twice",
        "type": "cron",
        "metadata": {"timezone": "UTC", "start": "0 0 * * *", "end": "1 0 * * *"},
    }
    probe = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "dbos-webhook-probe", "namespace": "default"},
        "spec": {"scaleTargetRef": {"name": "dbos-webhook-probe"}, "triggers": [trigger, trigger]},
    }
    try:
        client.apply(probe, dry_run=True)
    except KubeError as error:
        if "admission webhook" in error.msg:
            return
        raise
    raise DbosError("the API server gets no answer from it yet")


PROBES: dict[str, Probe] = {"sealing-certificate": _sealing_certificate, "keda-webhook": _keda_webhook}

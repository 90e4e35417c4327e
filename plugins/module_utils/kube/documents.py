# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documents present or absent, as one step with one result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import (
    apply_all,
    content,
    hide,
    identity,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import (
    Target,
    Timeout,
    wait,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel


def check_documents(documents: Sequence[Any]) -> list[Object]:
    """The documents, refused with the place of the first that is no Kubernetes object."""
    for number, document in enumerate(documents, 1):
        metadata = document.get("metadata")
        missing = [key for key in ("apiVersion", "kind") if not isinstance(document.get(key), str)]
        if not isinstance(metadata, dict) or not metadata.get("name"):
            missing.append("metadata.name")
        if missing:
            raise DbosError(f"Document {number} of resources is no Kubernetes object: {', '.join(missing)} is missing.")
    return list(documents)


def target(document: Object) -> Target:
    """What to wait for."""
    metadata = document["metadata"]
    return Target(
        document["apiVersion"],
        document["kind"],
        metadata["name"],
        metadata.get("namespace"),
    )


def present(client: Client, documents: Sequence[Any], *, check: bool, timeout: float | None) -> dict[str, Any]:
    """Apply all; wait until all are ready unless C(timeout) is None."""
    wanted = check_documents(documents)
    result = apply_all(client, wanted, check=check)
    if timeout is not None and not check:
        wait(client, [target(document) for document in wanted], timeout)
    return {"changed": result.changed, "changes": result.changes, "diff": result.diff}


def absent(client: Client, documents: Sequence[Any], *, check: bool, timeout: float | None) -> dict[str, Any]:
    """Delete all, last first; wait until all are gone unless C(timeout) is None."""
    wanted = [target(document) for document in reversed(check_documents(documents))]
    found = parallel(
        lambda item: client.get(item.api_version, item.kind, item.name, item.namespace),
        wanted,
    )
    there = [(item, obj) for item, obj in zip(wanted, found, strict=True) if obj]
    before = {identity(obj): hide(content(obj), None)[0] for _item, obj in there}
    if not check:
        for item, obj in there:
            uid = obj["metadata"]["uid"]
            client.delete(item.api_version, item.kind, item.name, item.namespace, uid=uid)
        if timeout is not None:
            for item, obj in there:
                wait_gone(client, item, obj["metadata"]["uid"], timeout)
    return {
        "changed": bool(there),
        "changes": [f"delete {identity(obj)}" for _item, obj in there],
        "diff": {"before": before, "after": {}},
    }


def wait_gone(client: Client, item: Target, uid: str, timeout: float) -> None:
    """Watch until the object with that uid is gone."""
    deadline = time.monotonic() + timeout
    while True:
        obj = client.get(item.api_version, item.kind, item.name, item.namespace)
        if obj is None or obj["metadata"]["uid"] != uid:
            return
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            finalizers = ", ".join(obj["metadata"].get("finalizers") or []) or "none"
            raise Timeout(f"{item} is not gone after {timeout:.0f} s; its finalizers: {finalizers}.")
        for kind, _found in client.watch(
            item.api_version,
            item.kind,
            item.namespace,
            name=item.name,
            resource_version=obj["metadata"]["resourceVersion"],
            timeout=min(remaining, 10.0),
        ):
            if kind == "DELETED":
                break

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Add-ons as documents: what to leave out, what to merge in, and what an older version left behind. Pure."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import parse

Object = dict[str, Any]
Identity = tuple[str, str, str, str]  # apiVersion, kind, namespace, name

DEFINITION = "CustomResourceDefinition"
# Deleting one of these would take its users' objects along.
_NEVER_PRUNED = ("Namespace", DEFINITION)
_WORKLOADS = ("CronJob", "DaemonSet", "Deployment", "Job", "Pod", "ReplicaSet", "StatefulSet")
_HOOK = "helm.sh/hook"


def identity(document: Object) -> Identity:
    """What makes an object the same one."""
    metadata = document["metadata"]
    return document["apiVersion"], document["kind"], metadata.get("namespace", ""), metadata["name"]


def without_hooks(documents: Iterable[Object]) -> list[Object]:
    """A chart's documents without tests and other hooks: they belong to helm's own life cycle."""
    return [one for one in documents if _HOOK not in (one["metadata"].get("annotations") or {})]


def overlaid(documents: Sequence[Object], overlays: Sequence[Object]) -> list[Object]:
    """The documents with partial objects merged into those of their kind and name."""
    result = list(documents)
    for overlay in overlays:
        key = (overlay["kind"], overlay["metadata"]["name"])
        places = [index for index, one in enumerate(result) if (one["kind"], one["metadata"]["name"]) == key]
        if not places:
            raise DbosError(f"There is no {key[0]} {key[1]} among the add-on's documents to merge the overlay into.")
        for index in places:
            result[index] = merged(result[index], overlay)
    return result


def merged(base: Any, patch: Any) -> Any:
    """Dictionaries are merged, lists of named things by name, anything else is replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return {**base, **{key: merged(base.get(key), value) for key, value in patch.items()}}
    if _named(base) and _named(patch):
        theirs = {entry["name"]: entry for entry in patch}
        kept = [merged(entry, theirs.pop(entry["name"], entry)) for entry in base]
        return kept + copy.deepcopy(list(theirs.values()))
    return copy.deepcopy(patch)


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "name" in one for one in value)


def with_images(documents: Sequence[Object], images: Mapping[str, str], addon: str) -> list[Object]:
    """The documents with other images in their pods, where nodes can't reach those that the documents name."""
    known = {str(parse(name)): instead for name, instead in images.items()}
    result = [copy.deepcopy(document) for document in documents]
    for document in result:
        for container in _containers(document):
            name = container.get("image", "")
            instead = known.get(str(parse(name)))
            if instead is None:
                raise DbosError(
                    f"The add-on {addon} runs the image {name}, for which no other is given: add it to "
                    "ecr_mirror_images (or addons_images)."
                )
            container["image"] = instead
    return result


def _containers(document: Object) -> list[Object]:
    """The containers of a workload, or of a pod."""
    if document["kind"] not in _WORKLOADS:
        return []
    spec = document["spec"]
    for key in ("jobTemplate", "spec", "template", "spec"):  # a CronJob has all of them, a Pod none
        spec = spec.get(key, spec)
    return [one for key in ("initContainers", "containers") for one in spec.get(key) or []]


def record(name: str, namespace: str, documents: Sequence[Object]) -> Object:
    """A ConfigMap that remembers what the add-on consists of, so that a later version can remove what it dropped."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"addon-{name}",
            "namespace": namespace,
            "labels": {
                "app.kubernetes.io/managed-by": "dbos.kubernetes",
                "app.kubernetes.io/component": "addon-record",
            },
        },
        "data": {"objects": json.dumps(sorted(identity(one) for one in documents), separators=(",", ":"))},
    }


def recorded(note: Object | None) -> list[Object]:
    """All that the record holds, as objects to delete."""
    try:
        known = json.loads(note["data"]["objects"]) if note else []
        return [
            {
                "apiVersion": version,
                "kind": kind,
                "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
            }
            for version, kind, namespace, name in known
        ]
    except (KeyError, TypeError, ValueError):
        return []


def dropped(previous: Object | None, documents: Sequence[Object]) -> list[Object]:
    """What the record holds and the documents don't, as objects to delete."""
    # A kind may move to a newer API version without being another object.
    current = {identity(one)[1:] for one in documents}
    return [one for one in recorded(previous) if identity(one)[1:] not in current and one["kind"] not in _NEVER_PRUNED]


def by_removal(objects: Sequence[Object]) -> list[Object]:
    """In the order in which they can go: what answers for the API server first, or it would wait for what is gone."""
    first = ("APIService", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", DEFINITION)
    return sorted(objects, key=lambda one: first.index(one["kind"]) if one["kind"] in first else len(first))

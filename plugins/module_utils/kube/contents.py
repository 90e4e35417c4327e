# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a namespace holds, of every kind that the API server knows; metadata alone, so no Secret's value travels."""

from __future__ import annotations

import json
from typing import NamedTuple
from urllib.parse import quote

from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import (
    Client,
    KubeError,
    Object,
    Unreachable,
    error_from,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
# What is measured of pods is no object, and events tell of objects.
_MEASURES = ("metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io", "events.k8s.io")


class Kind(NamedTuple):
    """A kind of objects in namespaces."""

    api_version: str
    name: str
    plural: str


def kinds(client: Client) -> list[Kind]:
    """Every kind that can be listed in a namespace, in two requests."""
    found = []
    for root in ("/api", "/apis"):
        answer = client.send("GET", root, headers={"Accept": _DISCOVERY})
        if answer.status >= 400:
            raise error_from(answer.status, answer.data, f"GET {root}")
        for group in json.loads(answer.data).get("items", []):
            name = group["metadata"].get("name", "")
            for version in group["versions"][:1] if name not in _MEASURES else ():
                found += [
                    Kind(f"{name}/{version['version']}".lstrip("/"), one["responseKind"]["kind"], one["resource"])
                    for one in version.get("resources", [])
                    if one["scope"] == "Namespaced" and {"list", "delete"} <= {*one["verbs"]}
                ]
    return [kind for kind in found if kind.name != "Event"]


def contents(client: Client, namespace: str) -> tuple[list[Object], list[str]]:
    """Its objects, each with apiVersion, kind and metadata, and what could not be read, in words."""

    def read(kind: Kind) -> list[Object] | str:
        try:
            return _listed(client, kind, namespace)
        except Unreachable:
            raise
        except KubeError as error:
            return f"{kind.plural}: {error.msg}"

    found = parallel(read, kinds(client))
    return [obj for one in found if not isinstance(one, str) for obj in one], [
        one for one in found if isinstance(one, str)
    ]


def _listed(client: Client, kind: Kind, namespace: str) -> list[Object]:
    root = f"/apis/{kind.api_version}" if "/" in kind.api_version else f"/api/{kind.api_version}"
    path = f"{root}/namespaces/{quote(namespace)}/{kind.plural}"
    answer = client.send("GET", path, headers={"Accept": _METADATA})
    if answer.status == 404:
        return []
    if answer.status >= 400:
        raise error_from(answer.status, answer.data, f"GET {path}")
    items = json.loads(answer.data)["items"] or []
    return [{"apiVersion": kind.api_version, "kind": kind.name, "metadata": item["metadata"]} for item in items]

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which pods run on Secrets or ConfigMaps that have changed since they started. Pure.

Times are the API server's own, RFC 3339 to the second, so they compare as text. Nothing is hashed and nothing is
remembered elsewhere: a pod that was made for any reason, such as a version's revival, is as new as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Object = dict[str, Any]

# On a pod template: the change that its pods were restarted for.
RESTARTED = "dbos.kubernetes/restarted-for"
# The time of a change that is yet to come: later than any other.
COMING = "coming"


class Source(NamedTuple):
    """A Secret or ConfigMap of the pod's namespace."""

    kind: str
    name: str


class Change(NamedTuple):
    """When the data of a source was written last; the newest one is the greatest."""

    time: str
    source: Source

    def __str__(self) -> str:
        when = "changes" if self.time == COMING else f"changed at {self.time}"
        return f"{self.source.kind} {self.source.name} {when}"


def sources(pod: Object) -> set[Source]:
    """What the pod's programs were given when they started, by environment or as files."""
    spec = pod["spec"]
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    found = {source for container in containers for source in _environment(container)}
    for volume in spec.get("volumes") or []:
        found |= set(_volume(volume))
    return found


def changed(obj: Object) -> Change:
    """When a Secret's or ConfigMap's data was written last, as the API server keeps it for each writer."""
    metadata = obj["metadata"]
    written = [
        entry["time"]
        for entry in metadata.get("managedFields") or []
        if entry.get("time") and {"f:data", "f:binaryData"} & set(entry.get("fieldsV1") or {})
    ]
    return Change(max([metadata["creationTimestamp"], *written]), Source(obj["kind"], metadata["name"]))


def missed(pod: Object, changes: Mapping[Source, Change]) -> Change | None:
    """The newest change of the pod's sources that it may have started before; within the same second nobody knows."""
    metadata = pod["metadata"]
    started = metadata["creationTimestamp"]
    restarted = (metadata.get("annotations") or {}).get(RESTARTED, "")
    newest = max((changes[source] for source in sources(pod) if source in changes), default=None)
    return newest if newest and newest.time >= started and newest.time > restarted else None


def _environment(container: Object) -> Iterator[Source]:
    for entry in container.get("env") or []:
        given = entry.get("valueFrom") or {}
        yield from _references(given, "secretKeyRef", "configMapKeyRef")
    for entry in container.get("envFrom") or []:
        yield from _references(entry, "secretRef", "configMapRef")


def _volume(volume: Object) -> Iterator[Source]:
    if "secret" in volume:
        yield Source("Secret", volume["secret"]["secretName"])
    yield from _references(volume, "", "configMap")
    for entry in (volume.get("projected") or {}).get("sources") or []:
        yield from _references(entry, "secret", "configMap")


def _references(given: Mapping[str, Any], secret: str, config_map: str) -> Iterator[Source]:
    for key, kind in ((secret, "Secret"), (config_map, "ConfigMap")):
        if key in given:
            yield Source(kind, given[key]["name"])

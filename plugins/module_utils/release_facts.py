# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what the preflight of a release judges: versions and ledger, system database, images. Writes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import rollback_plan, sdks, version_objects, workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import parse
from ansible_collections.dbos.kubernetes.plugins.module_utils.images import client_of
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel
from ansible_collections.dbos.kubernetes.plugins.module_utils.release_preflight import (
    Connections,
    Facts,
    Queue,
    Version,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.sdks import Sdk
from ansible_collections.dbos.kubernetes.plugins.module_utils.status import parse_time
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import hazards


@dataclasses.dataclass(frozen=True)
class Request:
    """What is going to be released; C(version) is None for the one that a rollback goes back to.

    C(image) is empty for what the ledger has; C(replicas) are the most there may be.

    C(migrates) tells that a migration comes before, C(migration_level) and C(migration_image) where it leads.
    """

    app: str
    namespace: str
    owner: str
    version: str | None
    image: str
    sdk: str
    replicas: int
    pool: int | None
    metrics_role: str | None
    registry: Mapping[str, Any]
    migrates: bool = False
    migration_level: int | None = None
    migration_image: str = ""


@dataclasses.dataclass(frozen=True)
class Image:
    """What the registry knows of one: whether it is there (None: it could not be asked), and its SDK by its label."""

    there: bool | None
    sdk: Sdk | None = None
    error: str = ""


def gather(client: Client, database: Database | None, request: Request) -> Facts:
    """All facts; C(database) is None where it cannot be read yet."""
    objects = version_objects.read(client, request.app, request.namespace, pods=False)
    name = request.version or rollback_plan.choose(objects.observed(), None).to
    record = objects.record(name)
    if not request.image and record is None:
        raise DbosError(f"The ledger has no version {name} of {request.app}, so its image is not known.")
    image = request.image or (record or {})["data"]["identity"]["image"]
    seen = hazards.read(database, request.owner, request.metrics_role) if database else {}
    work = _by_version(seen.get("work") or [])
    live = {version_objects.version_of(obj) for obj in objects.workloads} | {other for other in work if other}
    recorded = {other: found for other in live - {name} if (found := objects.record(other))}
    pictures = {other: found["data"]["identity"]["image"] for other, found in recorded.items()}
    pictures[name] = image
    # Another image may have another SDK, so then the record says nothing of it.
    known = record if record and record["data"]["identity"]["image"] == image else None
    told = sdks.parse(request.sdk) if request.sdk else _remembered(known)
    silent = {pictures[other] for other, found in recorded.items() if _remembered(found) is None}
    silent |= set() if told else {image}
    level = seen.get("level")
    # Where it leads matters only while there is somewhere to go.
    migration = {request.migration_image} if (level or 0) < sdks.NEWEST else set()
    images = _ask(request, {*pictures.values(), *migration}, silent | migration)
    sdk = told or images[image].sdk
    pool = request.pool or sdks.pool(sdk)
    wanted = Version(name, image, sdk, request.replicas, pool, **_counts(work, name))
    others = [
        _other(objects, other, recorded.get(other), images.get(pictures.get(other, "")), work)
        for other in sorted(live - {name})
    ]
    target = _target(request, level, images.get(request.migration_image))
    return Facts(
        wanted,
        tuple(others),
        (objects.service or {"spec": {}})["spec"].get("selector", {}).get(version_objects.VERSION),
        level,
        target,
        sum(row["unfinished"] - row["inline"] for row in seen.get("work") or [] if row["version"] is None),
        _queues(seen),
        Connections(**seen["connections"]) if "connections" in seen else None,
        _astray(request, image, objects.records, seen.get("registered") or []),
        tuple(version for version in (wanted, *others) if version.image and images[version.image].there is False),
        tuple(_unknown(wanted, others, seen, target, images.values())),
    )


def _ask(request: Request, names: Collection[str], silent: Collection[str]) -> dict[str, Image]:
    """All images side by side, and the labels of those whose SDK nothing else tells (registries count such reads).

    What has no digest yet (in check mode) cannot be gone.
    """

    def one(name: str) -> Image:
        if "@" not in name:
            return Image(there=None)
        reference = parse(name)
        try:
            registry = client_of(reference, dict(request.registry))
            if name not in silent:
                return Image(there=registry.digest(reference) is not None)
            labels = registry.labels(reference)
        except DbosError as error:
            return Image(there=None, error=error.msg)
        said = (labels or {}).get(sdks.KEY)
        return Image(there=labels is not None, sdk=sdks.parse(said) if said else None)

    unique = sorted(names)
    return dict(zip(unique, parallel(one, unique), strict=True))


def _by_version(rows: Iterable[Mapping[str, Any]]) -> dict[str | None, dict[str, int]]:
    found: dict[str | None, dict[str, int]] = {}
    for row in rows:
        counts = found.setdefault(row["version"], {"unfinished": 0, "local": 0, "inline": 0})
        for key in counts:
            counts[key] += row[key]
    return found


def _counts(work: Mapping[str | None, dict[str, int]], name: str) -> dict[str, int]:
    return work.get(name, {})


def _remembered(record: Object | None) -> Sdk | None:
    text = ((record or {"metadata": {}})["metadata"].get("annotations") or {}).get(sdks.KEY)
    return sdks.parse(text) if text else None


def _other(
    objects: version_objects.Objects,
    name: str,
    record: Object | None,
    image: Image | None,
    work: Mapping[str | None, dict[str, int]],
) -> Version:
    obj = objects.workload(name)
    sdk = _remembered(record) or (image.sdk if image else None)
    return Version(
        name,
        record["data"]["identity"]["image"] if record else "",
        sdk,
        obj["spec"].get("replicas", 1) if obj else 0,
        (_pool_of(obj) if obj else None) or sdks.pool(sdk),
        **_counts(work, name),
    )


def _pool_of(obj: Object) -> int | None:
    """What the version's own pods were given."""
    for container in obj["spec"]["template"]["spec"]["containers"]:
        for variable in container.get("env") or []:
            if variable["name"] == workload.POOL_SIZE and str(variable.get("value", "")).isdecimal():
                return int(variable["value"])
    return None


def _target(request: Request, level: int | None, image: Image | None) -> int | None:
    if not request.migrates or image is None:
        return level
    leads = request.migration_level or (image.sdk.level if image.sdk else None)
    return None if leads is None else max(leads, level or 0)


def _queues(seen: Mapping[str, Any]) -> tuple[Queue, ...]:
    limits: dict[str, int] = seen.get("limits") or {}
    return tuple(
        Queue(name, limit, {row["version"]: row["running"] for row in seen["work"] if row["queue"] == name})
        for name, limit in sorted(limits.items())
    )


def _astray(
    request: Request, image: str, records: Iterable[Object], registered: Iterable[Mapping[str, Any]]
) -> tuple[str, str] | None:
    """A version of this very image that no pod ever registered, and what its pods seem to have registered instead."""
    ledger = {record["data"]["version"]: record for record in records}
    claimed = {row["version"]: row["created"] for row in registered if row["owner"] == request.owner}
    for name, record in sorted(ledger.items()):
        if name in claimed or record["data"]["identity"]["image"] != image:
            continue
        since = parse_time(record["metadata"]["creationTimestamp"]).timestamp() * 1000
        later = [other for other, created in claimed.items() if other not in ledger and created >= since]
        if later:
            return name, min(later, key=lambda other: claimed[other])
    return None


def _unknown(
    wanted: Version,
    others: Iterable[Version],
    seen: Mapping[str, Any],
    target: int | None,
    images: Iterable[Image],
) -> Iterable[str]:
    if not seen:
        yield "The system database cannot be read yet: nothing is known of its hazards."
    elif "work" not in seen and seen.get("level") is not None:
        yield f"The schema (level {seen['level']}) is too old to tell more of its hazards than its level."
    nameless = [version.name for version in (wanted, *others) if version.sdk is None and not version.inline]
    if nameless:
        yield (
            f"The SDK of {', '.join(nameless)} is not known: set release_sdk, or give the image the label {sdks.KEY}."
        )
    needed = wanted.sdk.level if wanted.sdk else None
    if target is None and needed and needed > (seen.get("level") or 0) and seen:
        yield f"SDK {wanted.sdk} needs schema level {needed}; whether the migration leads there is not known."
    yield from sorted({image.error for image in images if image.error})

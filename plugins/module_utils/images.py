# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module images: builds what is asked for, resolves the rest, and answers in digests."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError, PlatformAbsent
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_build import build_and_push, find_builder
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_context import build_tag
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import Reference, parse
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.registry import Registry

_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?")


def ensure(
    builds: list[dict[str, Any]], references: list[str], registry: dict[str, Any], *, check: bool
) -> dict[str, Any]:
    """The digests of all images, by the names they were asked for; builds what the registry does not have."""
    for build in builds:
        for platform in build["platforms"]:
            if not _PLATFORM.fullmatch(platform):
                raise DbosError(f"{platform!r} of the image {build['name']} is no platform, such as linux/amd64.")
    if builds and not registry.get("host"):
        raise PlatformAbsent("There is no registry to push to yet: its host is not known.", digests={}, built=[])
    targets = {build["name"]: parse(f"{registry['host']}/{build['name']}:{build_tag(build)}") for build in builds}
    wanted = {text: parse(text) for text in references}
    # Each call has its own client: tokens are given per repository.
    with ThreadPoolExecutor(max_workers=8) as pool:
        there = pool.map(lambda target: client_of(target, registry).digest(target), targets.values())
        resolved = pool.map(lambda reference: _resolve(reference, registry), wanted.values())
        found = dict(zip(targets, there, strict=True))
        digests = dict(zip(wanted, resolved, strict=True))
    missing = [build for build in builds if found[build["name"]] is None]
    if missing and not check:
        found.update(_build(missing, targets, registry))
    digests.update({name: targets[name].pinned(digest) for name, digest in found.items() if digest})
    built = [build["name"] for build in missing]
    lines = "".join(f"build {targets[name]}\n" for name in built)
    return {"changed": bool(built), "digests": digests, "built": built, "diff": {"before": "", "after": lines}}


def _build(
    missing: list[dict[str, Any]], targets: dict[str, Reference], registry: dict[str, Any]
) -> dict[str, str | None]:
    tool = find_builder()
    progress = Progress()

    def one(build: dict[str, Any]) -> str:
        target = targets[build["name"]]
        return build_and_push(tool, build, target, client_of(target, registry), progress)

    with ThreadPoolExecutor(max_workers=2) as pool:
        digests = pool.map(one, missing)
        return {build["name"]: digest for build, digest in zip(missing, digests, strict=True)}


def _resolve(reference: Reference, registry: dict[str, Any]) -> str:
    if reference.digest:
        return str(reference)
    digest = client_of(reference, registry).digest(reference)
    if digest is None:
        raise DbosError(
            f"There is no image {reference.repository}:{reference.tag} in the registry {reference.registry}: "
            "push it, or correct its name or tag."
        )
    return reference.pinned(digest)


def client_of(reference: Reference, registry: dict[str, Any]) -> Registry:
    """The CA and the credentials belong to the platform's registry; others are read as anyone may."""
    if reference.registry != registry.get("host"):
        return Registry(reference.registry)
    ca_file = registry.get("ca_file")
    if ca_file and not Path(ca_file).is_file():
        raise PlatformAbsent(
            f"The CA file {ca_file} of the registry {reference.registry} does not exist.", digests={}, built=[]
        )
    return Registry(reference.registry, ca_file, registry.get("username"), registry.get("password"))

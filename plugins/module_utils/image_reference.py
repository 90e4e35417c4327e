# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of container images, read as docker, podman and Kubernetes read them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

DOCKER_HUB = "docker.io"

_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """A registry, a repository in it, and a tag or a digest (which wins when both are given)."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        name = f"{self.registry}/{self.repository}"
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag}"

    def pinned(self, digest: str) -> str:
        """The same image by digest, as a pod names it."""
        return f"{self.registry}/{self.repository}@{digest}"


def parse(text: str) -> Reference:
    """Read a reference; without a registry it is Docker Hub's, without tag and digest it is C(latest)."""
    name, at, digest = text.partition("@")
    tag = None
    if ":" in name.rpartition("/")[2]:
        name, _colon, tag = name.rpartition(":")
    first, slash, rest = name.partition("/")
    # What cannot be a repository's first part is a registry's host, as in docker.
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, repository = first, rest
    else:
        registry, repository = DOCKER_HUB, name
    if registry in (DOCKER_HUB, f"index.{DOCKER_HUB}"):
        registry = DOCKER_HUB
        repository = repository if "/" in repository else f"library/{repository}"
    for part, pattern, wrong in (
        (registry, _HOST, "the registry's host"),
        (repository, _REPOSITORY, "the repository (lower-case letters, digits and . _ - /)"),
        (tag, _TAG, "the tag"),
        (digest if at else None, _DIGEST, "the digest (sha256: and 64 hexadecimal digits)"),
    ):
        if part is not None and not pattern.fullmatch(part):
            raise DbosError(f"{text!r} is no image reference: {wrong} is not valid.")
    if at:
        return Reference(registry, repository, None, digest)
    return Reference(registry, repository, tag or "latest")

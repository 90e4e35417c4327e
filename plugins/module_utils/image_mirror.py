# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies images from registry to registry as they are, so that a copy has the digest of what was copied.

A manifest is stored only when all that it names is there: a copy that was interrupted has no tag, and goes on.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import Reference
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel
from ansible_collections.dbos.kubernetes.plugins.module_utils.registry import Registry

Json = dict[str, Any]
ATTEMPTS = 3  # at a layer, whose connection may break
_WORKERS = 4


def mirrored(source: Reference, registry: str, prefix: str) -> Reference:
    """The name of an image's copy: registry/prefix/the source's whole name, so that C(registry/prefix/) goes before it.

    An image that is named by its digest gets a tag made of that, as what has no tag is cleaned up some day.
    """
    host = source.registry.replace(":", "-")
    tag = source.tag or (source.digest or "").replace(":", "-")
    return Reference(registry, f"{prefix}/{host}/{source.repository}", tag)


@dataclass
class Copy:
    """One image on its way."""

    source: Reference
    target: Reference
    origin: Registry
    registry: Registry
    platforms: Sequence[str] = ()  # linux/arm64; none: all that there are

    def there(self) -> str | None:
        """The digest of the copy; None when it is yet to be made."""
        return self.registry.digest(self.target)

    def make(self) -> str:
        """Copy; the digest of the copy, which is the source's when all its platforms are copied."""
        found = self.origin.manifest(self.source)
        if found is None:
            raise DbosError(f"There is no image {self.source} to copy: correct its name, tag or digest.")
        body, kind = found
        _verify(self.source, body, self.source.digest)
        listing: Json = json.loads(body)
        if "manifests" in listing:
            body = self._members(listing, body)
        else:
            self._layers(listing)
        return self.registry.put_manifest(self.target, body, kind)

    def _members(self, listing: Json, body: bytes) -> bytes:
        """Copy the images of a list, all or those of the platforms; the list of these."""
        members = listing["manifests"]
        if self.platforms:
            members = [one for one in members if _platform(one) in self.platforms]
            missing = sorted(set(self.platforms) - {_platform(one) for one in members})
            if missing:
                raise DbosError(f"There is no {', '.join(missing)} of the image {self.source}.")
        for member in members:
            one = replace(self.source, digest=member["digest"])
            found = self.origin.manifest(one)
            if found is None:
                raise DbosError(f"The registry {self.source.registry} lacks {one}, a part of the image {self.source}.")
            _verify(one, found[0], member["digest"])
            self._layers(json.loads(found[0]))
            self.registry.put_manifest(replace(self.target, tag=None), *found)
        if len(members) == len(listing["manifests"]):
            return body
        return json.dumps({**listing, "manifests": members}, sort_keys=True).encode()

    def _layers(self, manifest: Json) -> None:
        """Copy what an image consists of."""
        parts = [manifest["config"], *manifest["layers"]]
        digests = dict.fromkeys(part["digest"] for part in parts if not part.get("urls"))  # those have their own place
        parallel(self._blob, digests, _WORKERS)

    def _blob(self, digest: str) -> None:
        if self.registry.has_blob(self.target.repository, digest):
            return
        for attempt in range(1, ATTEMPTS + 1):
            with tempfile.TemporaryFile() as content:
                try:
                    self.origin.get_blob(self.source.repository, digest, content)
                    size = content.tell()
                    content.seek(0)
                    if f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}" != digest:
                        raise DbosError(f"The registry {self.source.registry} sent another content than {digest}.")
                    self.registry.put_blob(self.target.repository, digest, content, size)
                    return
                except DbosError:
                    if attempt == ATTEMPTS:
                        raise


def _platform(member: Json) -> str:
    told = member.get("platform") or {}
    return "/".join(told[key] for key in ("os", "architecture", "variant") if told.get(key))


def _verify(reference: Reference, body: bytes, digest: str | None) -> None:
    if digest and f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
        raise DbosError(f"The registry {reference.registry} sent another manifest than {reference}: nothing is copied.")

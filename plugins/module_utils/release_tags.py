# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tags that keep the images of recorded versions in the platform's registry, which forgets other builds after a while.

A tag's name is of one version of one application and of one image: it never has to be moved, which registries with
immutable tags refuse, and nobody else's is removed with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import Reference, parse
from ansible_collections.dbos.kubernetes.plugins.module_utils.images import client_of

Object = dict[str, Any]


def tags(record: Object, host: str | None) -> dict[Reference, Reference]:
    """The images of a ledger record that are in the registry C(host), each with the tag that keeps it. Pure."""
    found = {}
    metadata, data = record["metadata"], record["data"]
    pod = data["documents"][-1]["spec"]["template"]["spec"]
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        image = parse(container["image"])
        if image.registry == host and image.digest:
            app = metadata["labels"]["app.kubernetes.io/name"]
            whole = f"{metadata['namespace']}/{app}/{data['version']}@{image.digest}"
            unique = hashlib.sha256(whole.encode()).hexdigest()[:12]
            found[image] = replace(image, digest=None, tag=f"release-{data['version']}-{unique}")
    return found


def keep(record: Object, registry: Mapping[str, Any], *, check: bool) -> tuple[list[str], list[str]]:
    """Tag a record's images: what has got a tag, or would, and what could not be tagged.

    A version can be released without it: a registry that forbids it, or that forgets nothing, must not stop that.
    """
    done, warnings = [], []
    for image, tagged in tags(record, registry.get("host")).items():
        try:
            client = client_of(image, dict(registry))
            if client.digest(tagged) != image.digest:
                if not check:
                    client.tag(image, tagged)
                done.append(str(tagged))
        except DbosError as error:
            warnings.append(f"The image {image} has not got the tag {tagged.tag}, which keeps it: {error.msg}")
    return done, warnings


def forget(records: Iterable[Object], registry: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Remove the tags of records that are gone: what was removed, and what a registry refused that removes tags."""
    done, warnings = [], []
    gone = {tagged: image for record in records for image, tagged in tags(record, registry.get("host")).items()}
    for tagged, image in gone.items():
        try:
            if client_of(image, dict(registry)).delete_tag(tagged):
                done.append(str(tagged))
        except DbosError as error:
            warnings.append(f"The image {image} still has the tag {tagged.tag}, which keeps it: {error.msg}")
    return done, warnings

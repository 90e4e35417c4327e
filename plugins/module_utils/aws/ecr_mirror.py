# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of other registries' images in a platform's repositories in Amazon ECR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.ecr import Repositories
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_mirror import Copy, mirrored
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import parse
from ansible_collections.dbos.kubernetes.plugins.module_utils.images import client_of
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

Json = dict[str, Any]
_WORKERS = 3


def ensure(
    account: Account,
    images: Sequence[str],
    registry: Json,
    prefix: str,
    platforms: Sequence[str],
    repositories: Mapping[str, Any],
    *,
    check: bool,
) -> Json:
    """Make repositories and copies; what has a copy is not looked at again. C(repositories): as for Repositories."""
    sources = {text: parse(text) for text in images}
    targets = {text: mirrored(source, registry["host"], prefix) for text, source in sources.items()}
    names = sorted({target.repository for target in targets.values()})
    result = Repositories(account, {**repositories, "repositories": names}, check=check).present()
    copies = {
        # Tokens are given per repository, so each image has its own clients.
        text: Copy(source, targets[text], client_of(source, {}), client_of(targets[text], registry), platforms)
        for text, source in sources.items()
    }
    there = dict(zip(copies, parallel(Copy.there, copies.values(), _WORKERS), strict=True))
    missing = [text for text, digest in there.items() if digest is None]
    if not check:
        there.update(zip(missing, parallel(_copy, [copies[text] for text in missing], _WORKERS), strict=True))
    lines = "".join(f"copy {copies[text].source} to {targets[text]}\n" for text in missing)
    diff = result["diff"] if result["changed"] else {"before": {}, "after": {}}
    return {
        "changed": bool(missing) or result["changed"],
        "images": {
            text: targets[text].pinned(digest) if digest else str(targets[text]) for text, digest in there.items()
        },
        "copied": missing,
        "diff": [diff, {"before": "", "after": lines}],
    }


def _copy(copy: Copy) -> str:
    progress = Progress()
    with progress.step(f"copying image {copy.source}") as step:
        digest = copy.make()
        progress.say(f"image {copy.source}: copied in {step.seconds:.0f} s to {copy.target}")
    return digest

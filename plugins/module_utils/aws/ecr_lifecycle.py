# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which images a repository in ECR may forget, and what ECR makes of such a policy. Pure.

An image of a recorded version carries a tag that begins with C(release-), see release_tags. ECR's rules, as its user
guide describes them: a rule selects tagged images by prefixes, all of which some tag of the image must have; an image
that a rule selects is never touched by a rule of lower priority, whether the first expires it or not; and an image in a
manifest list stays as long as the list does. So a first rule, which expires nothing as it keeps more images than a
repository holds, keeps what carries a release tag from the others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

BUILD, RELEASE = "build-", "release-"
# AWS' quota of images in a repository: nobody has more.
ALL = 100_000


@dataclass(frozen=True)
class Image:
    """An image, by what rules go by: its age in days, and the digests of those it consists of if it is a list."""

    digest: str
    tags: tuple[str, ...]
    age: float
    members: tuple[str, ...] = ()


def policy(days: int) -> Json:
    """Untagged images, and builds that were never released, go after so many days."""

    def rule(priority: int, description: str, **selection: Any) -> Json:
        action = {"type": "expire"}
        return {"rulePriority": priority, "description": description, "selection": selection, "action": action}

    old: Json = {"countType": "sinceImagePushed", "countUnit": "days", "countNumber": days}
    return {
        "rules": [
            rule(
                1,
                "Keep what a recorded version runs: this expires nothing, and no later rule touches what it selects.",
                tagStatus="tagged",
                tagPrefixList=[RELEASE],
                countType="imageCountMoreThan",
                countNumber=ALL,
            ),
            rule(2, "Builds that were not released", tagStatus="tagged", tagPrefixList=[BUILD], **old),
            rule(3, "What no tag names any more", tagStatus="untagged", **old),
        ]
    }


def same(text: str | None, wanted: Json) -> bool:
    """Whether a repository's policy is the wanted one."""
    return text is not None and json.loads(text) == wanted


def expired(rules: Json, images: Sequence[Image]) -> set[str]:
    """The digests of the images that ECR deletes under a policy."""
    taken: set[str] = set()  # selected by a rule of higher priority
    marked: set[str] = set()
    for rule in sorted(rules["rules"], key=lambda rule: int(rule["rulePriority"])):
        selection = rule["selection"]
        # Younger ones first; what was marked before counts as if it were there.
        selected = sorted((image for image in images if _selects(selection, image)), key=lambda image: image.age)
        if selection["countType"] == "imageCountMoreThan":
            over = selected[selection["countNumber"] :]
        else:
            over = [image for image in selected if image.age > selection["countNumber"]]
        marked |= {image.digest for image in over} - taken
        taken |= {image.digest for image in selected}
    # A list's images can't go before it; lists may be in lists.
    while held := {digest for image in images if image.digest not in marked for digest in image.members} & marked:
        marked -= held
    return marked


def _selects(selection: Json, image: Image) -> bool:
    status = selection["tagStatus"]
    if status == "any":
        return True
    if status == "untagged":
        return not image.tags
    return bool(image.tags) and all(
        any(tag.startswith(prefix) for tag in image.tags) for prefix in selection["tagPrefixList"]
    )

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to change, as data: shown in a diff, named in the result, and sent to AWS as it stands. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags as tagging

Json = dict[str, Any]
UNMADE = "(to be made)"  # what check mode gives for ids that AWS has not made yet


@dataclass(frozen=True)
class Change:
    """One thing that differs, and the call that puts it right."""

    what: str
    before: Any
    after: Any
    operation: str = ""
    arguments: Json = field(default_factory=dict)


def made(after: Any) -> Change:
    """The thing is not there yet."""
    return Change("made", None, after)


def deleted(before: Any) -> Change:
    """The thing goes."""
    return Change("deleted", before, None)


def tags(have: Mapping[str, str], want: Mapping[str, str], arn: str) -> list[Change]:
    """Tags of whatever EKS and CloudWatch tag by ARN."""
    found = []
    if setting := tagging.missing(have, want):
        before = {key: have.get(key) for key in setting}
        found.append(Change("tags", before, setting, "tag_resource", {"resourceArn": arn, "tags": setting}))
    if leaving := tagging.surplus(have, want):
        before = {key: have[key] for key in leaving}
        found.append(Change("tags removed", before, None, "untag_resource", {"resourceArn": arn, "tagKeys": leaving}))
    return found


def result(changes: Mapping[str, Iterable[Change]]) -> Json:
    """The part of a module's result that tells what has changed, or would; C(changes) by what a person calls it."""
    listed = {thing: some for thing, given in changes.items() if (some := list(given))}
    return {
        "changed": bool(listed),
        "changes": [f"{thing}: {change.what}" for thing, some in listed.items() for change in some],
        "diff": {
            "before": {
                thing: {change.what: change.before for change in some} for thing, some in listed.items() if some
            },
            "after": {thing: {change.what: change.after for change in some} for thing, some in listed.items()},
        },
    }

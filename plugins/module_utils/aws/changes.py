# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to change, as data: shown in a diff, named in the result, and sent to AWS as it stands. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags as tagging

Json = dict[str, Any]
UNMADE = "(to be made)"  # what check mode gives for ids that AWS has not made yet


@dataclass(frozen=True)
class Change:
    """Something that differs, and the call that puts it right."""

    before: Json  # by option
    after: Json
    operation: str = ""
    arguments: Json = field(default_factory=dict)
    what: str = ""  # for a person, when the options' names don't say it

    def __str__(self) -> str:
        return self.what or ", ".join(self.after)


def made(after: Json) -> Change:
    """The thing is not there yet."""
    return Change({}, after, what="made")


def deleted(before: Json) -> Change:
    """The thing goes."""
    return Change(before, {}, what="deleted")


def tags(have: Mapping[str, str], want: Mapping[str, str], arn: str) -> list[Change]:
    """Tags of whatever EKS and CloudWatch tag by ARN."""
    return retagged(have, want, {"resourceArn": arn}, ("tag_resource", "tags", dict), ("untag_resource", "tagKeys"))


def retagged(
    have: Mapping[str, str],
    want: Mapping[str, str],
    named: Mapping[str, Any],
    put: tuple[str, str, Callable[[Mapping[str, str]], Any]],
    drop: tuple[str, str],
) -> list[Change]:
    """Tags of what a service knows by C(named).

    C(put) is the operation that sets some, its argument and that argument's form; C(drop) what removes some by key.
    """
    found = []
    operation, argument, form = put
    if setting := tagging.missing(have, want):
        before = {key: have.get(key) for key in setting}
        arguments = {**named, argument: form(setting)}
        found.append(Change({"tags": before}, {"tags": setting}, operation, arguments))
    operation, argument = drop
    if leaving := tagging.surplus(have, want):
        before = {key: have[key] for key in leaving}
        found.append(Change({"other tags": before}, {"other tags": {}}, operation, {**named, argument: leaving}))
    return found


def result(changes: Mapping[str, Iterable[Change]]) -> Json:
    """The part of a module's result that tells what has changed, or would; C(changes) by what a person calls it."""
    listed = {thing: some for thing, given in changes.items() if (some := list(given))}
    before: Json = {}
    after: Json = {}
    for thing, some in listed.items():
        before[thing], after[thing] = {}, {}
        for change in some:
            before[thing] = {**change.before, **before[thing]}  # of several steps the first
            after[thing] |= change.after  # and the last
    return {
        "changed": bool(listed),
        "changes": [f"{thing}: {change}" for thing, some in listed.items() for change in some],
        "diff": {"before": before, "after": after},
    }

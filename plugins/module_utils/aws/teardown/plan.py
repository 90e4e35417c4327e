# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of every resource of a platform, in which order, and why. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import resources as kinds
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.resources import Key, Resource, closure
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

NONE = "none"  # C(final_snapshot) when there is to be none
_SNAPSHOT_NAME = re.compile(r"[A-Za-z](-?[A-Za-z0-9]){0,254}")
# What RDS says of a database that it can't take a snapshot of any more.
_BEYOND_SNAPSHOT = re.compile(r"failed|incompatible-(restore|network|credentials|option-group)|inaccessible-.*")

DELETE, ALONG, SCHEDULED = "delete", "goes along", "scheduled"
KEEP, LEAVE, FOREIGN = "keep", "leave", "not ours"
ORDER = {kind: place for place, kind in enumerate(kinds.AFTER)}


@dataclass(frozen=True)
class Options:
    """What the user has decided."""

    final_snapshot: str = ""  # a name, or C(none)
    keep: frozenset[str] = frozenset()  # keys of resources.KEEPABLE
    delete_snapshots: bool = False
    keep_backups: bool = False
    delete_images: bool = False
    key_window: int = 7  # days
    secret_recovery: int = 7  # days; 0 is at once

    def __post_init__(self) -> None:
        if self.final_snapshot and not _SNAPSHOT_NAME.fullmatch(self.final_snapshot):
            raise DbosError(
                f"'{self.final_snapshot}' can't be the name of a database snapshot (teardown_final_snapshot): it "
                "starts with a letter and has letters, digits and single hyphens, 255 at most."
            )

    @property
    def snapshot(self) -> str:
        """Name of the final snapshot, if there is to be one."""
        return "" if self.final_snapshot == NONE else self.final_snapshot


@dataclass(frozen=True)
class Decision:
    """What becomes of one resource."""

    resource: Resource
    action: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """All decisions, in the order in which things go; and what the user has still to decide."""

    decisions: tuple[Decision, ...]
    undecided: tuple[str, ...] = ()

    def having(self, *actions: str) -> list[Decision]:
        """The decisions for some actions."""
        return [one for one in self.decisions if one.action in actions]

    @property
    def steps(self) -> list[Decision]:
        """What is to be deleted, in order."""
        return self.having(DELETE)

    def of(self, kind: str) -> list[Resource]:
        """What is to be deleted of one kind."""
        return [one.resource for one in self.steps if one.resource.kind == kind]


def plan(inventory: Iterable[Resource], options: Options, stuck: Mapping[Key, str] | None = None) -> Plan:
    """The plan for what there is. C(stuck) has what AWS has refused to delete, with the reason."""
    there = {one.key: one for one in inventory}
    stuck = {key: reason for key, reason in (stuck or {}).items() if key in there}
    ours = {key: one for key, one in there.items() if one.ours and not one.scheduled}
    kept = _kept(ours, options)
    left = _in_the_way(there, ours, kept, stuck)
    decided: dict[Key, Decision] = {}

    def decide(one: Resource) -> Decision:
        if one.key not in decided:
            decided[one.key] = Decision(one, *judge(one))
        return decided[one.key]

    def judge(one: Resource) -> tuple[str, str]:
        if not one.ours:
            return FOREIGN, one.why
        if one.scheduled:
            return SCHEDULED, f"AWS deletes it on {one.scheduled}"
        if one.key in kept:
            return KEEP, kept[one.key]
        if one.key in left:
            return LEAVE, left[one.key]
        parent = there.get(one.goes_with) if one.goes_with else None
        if parent and decide(parent).action in (DELETE, ALONG):
            return ALONG, f"with {parent.kind} {parent.name or parent.id}"
        if one.kind not in kinds.AFTER:
            return LEAVE, f"{one.why}, but this collection makes no such thing: delete it by hand, or remove its tag"
        return DELETE, _how(one, options)

    ordered = sorted(there.values(), key=lambda one: (ORDER.get(one.kind, len(ORDER)), one.kind, one.id))
    decisions = tuple(decide(one) for one in ordered)
    return Plan(decisions, tuple(_undecided(decisions, there, options)))


def _kept(ours: Mapping[Key, Resource], options: Options) -> dict[Key, str]:
    """What the user keeps, what can't be without it, and snapshots; with the reason."""
    wanted = {kinds.KEEPABLE[name]: name for name in options.keep}
    kept: dict[Key, str] = {}
    for key, one in ours.items():
        if one.kind == kinds.SNAPSHOT and (not options.delete_snapshots or one.id == options.snapshot):
            kept[key] = "final snapshot" if one.id == options.snapshot else "snapshots are kept"
        elif one.kind == kinds.BACKUP and options.keep_backups:
            kept[key] = "automated backups are kept until they expire"
        elif one.kind in wanted and one.goes_with not in ours:
            kept[key] = f"teardown_keep: {wanted[one.kind]}"
    # The snapshot that is going to be made, and backups that outlive the database, can't be read without its key.
    for one in ours.values():
        if one.kind == kinds.DATABASE and one.key not in kept and (options.snapshot or options.keep_backups):
            encrypting = [key for key in one.needs if key in ours and key[0] == kinds.KEY]
            kept.update(
                {key: "what is kept of the database is encrypted with it" for key in encrypting if key not in kept}
            )
    while more := _kept_too(ours, kept):
        kept.update(more)
    return kept


def _kept_too(ours: Mapping[Key, Resource], kept: Mapping[Key, str]) -> dict[Key, str]:
    """What stays as something is kept that needs it, takes it along, or is called by it."""
    more: dict[Key, str] = {}
    for key, by in closure([ours[key] for key in kept], ours).items():
        more[key] = f"needed by {by.kind} {by.name or by.id}, which is kept"
    for key, one in ours.items():
        if one.goes_with in kept and one.goes_with:
            more[key] = f"with {one.goes_with[0]} {one.goes_with[1]}, which is kept"
        elif one.kind == kinds.ALIAS and one.needs & kept.keys():
            more[key] = "its key is kept"
    return {key: reason for key, reason in more.items() if key not in kept}


def _in_the_way(
    there: Mapping[Key, Resource], ours: Mapping[Key, Resource], kept: Mapping[Key, str], stuck: Mapping[Key, str]
) -> dict[Key, str]:
    """What can't be deleted, as something that stays is in it; with the reason, which names that."""
    left = dict(stuck)
    staying = [
        one
        for one in there.values()
        if not one.ours or one.key in stuck or (one.kind not in kinds.AFTER and one.key not in kept)
    ]
    while staying:
        for one in staying:
            whom = one.title if one.ours else f"{one.title}, which is not ours,"
            for key in closure([one], ours):
                left.setdefault(key, f"{whom} is in it or uses it")
        # What would have gone along stays as well, and what that needs.
        staying = [one for key, one in ours.items() if one.goes_with in left and key not in left]
        left.update({one.key: f"with {one.goes_with[0]} {one.goes_with[1]}" for one in staying if one.goes_with})
    return left


def _how(one: Resource, options: Options) -> str:
    """Why and how something is deleted."""
    if one.kind == kinds.DATABASE and not one.detail.get("deleting"):
        return f"after final snapshot {options.snapshot}" if options.snapshot else "without a final snapshot"
    if one.kind == kinds.KEY:
        return f"in {options.key_window} days: AWS deletes no key at once"
    if one.kind == kinds.SECRET:
        return f"recoverable for {options.secret_recovery} days" if options.secret_recovery else "at once, for good"
    if one.kind == kinds.REPOSITORY and one.detail.get("images"):
        return f"with {one.detail['images']} images"
    return one.why


def _undecided(decisions: Iterable[Decision], there: Mapping[Key, Resource], options: Options) -> Iterator[str]:
    """What the user has to decide, or to decide otherwise, before anything is deleted."""
    for decision in decisions:
        one = decision.resource
        if decision.action != DELETE:
            continue
        if one.kind == kinds.DATABASE and not one.detail.get("deleting"):
            yield from _undecided_snapshot(one, there, options)
        if one.kind == kinds.REPOSITORY and one.detail.get("images") and not options.delete_images:
            yield (
                f"Repository {one.id} holds {one.detail['images']} images: set teardown_delete_images: true, or keep "
                "it (teardown_keep: [repositories])."
            )


def _undecided_snapshot(database: Resource, there: Mapping[Key, Resource], options: Options) -> Iterator[str]:
    if not options.final_snapshot:
        yield (
            f"Database {database.id} is to be deleted: give the name of a final snapshot (teardown_final_snapshot), "
            "say that there is to be none (teardown_final_snapshot: none), or keep it (teardown_keep: [database])."
        )
    elif options.snapshot and _BEYOND_SNAPSHOT.fullmatch(database.status):
        yield (
            f"Database {database.id} is {database.status}, so AWS can make no final snapshot of it: mend it, or set "
            "teardown_final_snapshot: none."
        )
    elif options.snapshot and (kinds.SNAPSHOT, options.snapshot) in there:
        yield (f"There is a database snapshot {options.snapshot} already: give another name (teardown_final_snapshot).")

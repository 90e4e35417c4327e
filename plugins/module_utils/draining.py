# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Draining: the proof that a version has no unfinished work, what keeps it, and the ways to end that.

No data is no proof: an error of a read is raised, and a replica, which may not show yet what is there, is refused.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import waiting
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import Work
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle_tick import Policy
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import blockers as rows
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import repair, schema, work

CANCEL, FORK = "cancel", "fork"
MOST_BLOCKERS = 100

Seen = dict[str, Any]  # see work.read


class OnReplica(DbosError):
    """What a replica says is no proof; C(reads) before it were on a primary."""

    def __init__(self, msg: str, reads: int) -> None:
        super().__init__(msg)
        self.reads = reads


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Reads in a row on a primary, C(since) to C(until) in epoch seconds, and what the last one counted."""

    version: str
    database: str
    schema_version: int
    reads: int
    since: float
    until: float
    pending: int
    enqueued: int
    delayed: int

    @property
    def seconds(self) -> float:
        """What the reads span."""
        return round(self.until - self.since, 1)

    @property
    def unfinished(self) -> dict[str, int]:
        """What the last read counted."""
        return {"pending": self.pending, "enqueued": self.enqueued, "delayed": self.delayed}

    @property
    def drained(self) -> bool:
        """Whether it is a proof."""
        return not any(self.unfinished.values())

    def as_dict(self) -> dict[str, Any]:
        """For a module's result, or a ledger record; times are RFC 3339."""
        times = {name: work.timestamp(int(getattr(self, name) * 1000)) for name in ("since", "until")}
        return {**dataclasses.asdict(self), **times, "seconds": self.seconds, "drained": self.drained}


def prove(
    database: Database,
    owner: str,
    version: str,
    policy: Policy,
    progress: Progress,
    pause: Callable[[float], None] = time.sleep,
) -> Evidence:
    """The proof of one version, see prove_all; raises DbosError also for the latest, and for one that nobody knows."""

    def demand(seen: Seen) -> None:
        _demand_drainable(seen, database, owner, version)

    return prove_all(database, owner, [version], policy, progress, pause, demand)[version]


def prove_all(
    database: Database,
    owner: str,
    versions: Iterable[str],
    policy: Policy,
    progress: Progress,
    pause: Callable[[float], None] = time.sleep,
    demand: Callable[[Seen], None] = lambda _seen: None,
) -> dict[str, Evidence]:
    """Read all these versions at once, until C(policy.reads) reads over C(policy.seconds) found nothing.

    A version is done with the first read that finds something of it. Raises DbosError for a replica, for every read
    that fails, and for what C(demand) refuses to take from one.
    """
    started, since = time.monotonic(), time.time()
    gap = policy.seconds / max(policy.reads - 1, 1)
    left, found, reads = set(versions), dict[str, Evidence](), 0
    while left:
        seen = read(database, owner, reads)
        demand(seen)
        reads += 1
        elapsed = time.monotonic() - started
        enough = reads >= policy.reads and elapsed >= policy.seconds
        counted = work.per_version(seen)
        for version in left:
            of = counted.get(version, Work())
            if of.unfinished or enough:
                found[version] = Evidence(
                    version, database.name, seen["level"], reads, since, since + elapsed,
                    of.pending, of.enqueued, of.delayed,
                )  # fmt: skip
        left -= found.keys()
        if left:
            progress.say(f"No unfinished workflow of {', '.join(sorted(left))} in read {reads} of {policy.reads}")
            pause(gap)
    return found


def read(database: Database, owner: str, reads: int = 0) -> Seen:
    """What work.read sees on a primary; no other answer proves anything. C(reads) were made before it."""
    seen = work.read(database, owner)
    if seen is None:
        raise DbosError(
            f"Database {database.name} has no DBOS schema: nothing is proven or retired on missing data. "
            "Check database_url, or deploy the application first (deploy.yml)."
        )
    if seen["replica"]:
        raise OnReplica(
            f"Database {database.name} is a replica, which may not show all work yet: nothing is proven or retired on "
            "what it says. Give the primary's address in database_url.",
            reads,
        )
    return seen


def _demand_drainable(seen: Seen, database: Database, owner: str, version: str) -> None:
    registered = {row["version"]: row["timestamp"] for row in seen["registered"]}
    if version in registered and registered[version] >= max(registered.values()):
        raise DbosError(
            f"Version {version} is the latest of {owner}: work without a version goes to it, so it is never drained. "
            "Promote another one first."
        )
    if version not in registered and not work.per_version(seen).get(version, Work()).unfinished:
        raise DbosError(
            f"Application {owner} has no version {version} in database {database.name}; "
            f"registered are {', '.join(sorted(registered)) or 'none'}."
        )


def blockers(
    database: Database,
    owner: str,
    version: str | None,
    judge: Callable[[str | None], str] | None = None,
    most: int = MOST_BLOCKERS,
) -> list[dict[str, Any]]:
    """The oldest unfinished workflows, each with what it waits for; C(judge) tells alive, dead or unknown executors.

    {id, workflow, status, version, queue, partition, executor, executor_state, created_at, age, waits_for, until}:
    C(age) in seconds, times RFC 3339, C(until) None where nobody knows.
    """
    found = rows.rows(database, owner, version, most)
    queues = rows.queues(database, sorted({row["queue"] for row in found if row["queue"]}))
    return [waiting.described(row, version, queues, judge) for row in found]


def settle(
    database: Database,
    owner: str,
    version: str | None,
    how: str,
    to_version: str | None = None,
    *,
    children: bool = False,
    untaken: Mapping[str, int] | None = None,
    allow_newer_schema: bool = False,
    check: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """End all unfinished workflows of a version: cancel them, or cancel each and fork it to C(to_version).

    All or nothing. C(version) None means those of no version. C(children) forks also those that an unfinished parent
    waits for, which then ends with an error unless it is forked along. C(untaken) names just these ({id: attempts}),
    unless an executor took them since. C(check) is the lease's.
    Returns {cancelled: [id], forked: [{from, to}], refused: [{id, why}]}.
    """
    check_writes(database, allow_newer_schema)
    if how == FORK:
        _check_target(database, owner, version, to_version)
    listed = repair.unfinished(database, owner, version) if untaken is None else untaken
    if check:
        check()
    refused: dict[str, str] = {}
    forked: dict[str, str] = {}
    with database.transaction():
        ids = repair.lock(database, listed) if untaken is None else repair.lock_untaken(database, listed)
        if how == FORK and not children:
            refused = repair.awaited(database, ids)
            ids = [one for one in ids if one not in refused]
        if how == FORK:
            # Nobody sees a fork before its original is cancelled: both happen at the transaction's end.
            forked = repair.fork(database, owner, ids, str(to_version))
        cancelled = repair.cancel(database, ids)
    return {
        "cancelled": sorted(cancelled),
        "forked": [{"from": old, "to": new} for old, new in sorted(forked.items())],
        "refused": [{"id": one, "why": f"workflow {parent} waits for it"} for one, parent in sorted(refused.items())],
    }


def check_writes(database: Database, allow_newer_schema: bool) -> None:
    """Refuse schema levels that cancelling, forking and requeueing were not tested with."""
    level = schema.level(database)
    schema.check_writable(level, allow_newer_schema)
    repair.check_level(level)


def _check_target(database: Database, owner: str, version: str | None, to_version: str | None) -> None:
    """Work of a version that does not exist would never be run."""
    seen = work.read(database, owner)
    known = {row["version"] for row in seen["registered"]} if seen else set()
    if to_version is None or to_version == version or to_version not in known:
        others = ", ".join(sorted(known - {version})) or "none"
        raise DbosError(
            f"Workflows of {version} cannot be forked to version {to_version or '(none given)'}: give another "
            f"registered version of {owner} ({others})."
        )

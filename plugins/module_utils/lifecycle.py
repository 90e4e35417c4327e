# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions about versions: what is observed and what is wanted in, the next legal actions and their reasons out.

Here is what can be observed, and what a release does; lifecycle_tick has what happens to versions by themselves.
Neither reads or writes anything, so every decision can be tested with thousands of histories.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.naming import PATCHING

STATEFUL_SET = "StatefulSet"
DEPLOYMENT = "Deployment"
# The timestamp of a version that was registered before its first pod: older than any that launched by itself.
AHEAD = 1


@dataclass(frozen=True)
class Registration:
    """A row of DBOS' application_versions: C(owner) is the application that claimed it, None while nobody did."""

    version: str
    timestamp: int
    owner: str | None


@dataclass(frozen=True)
class Workload:
    """A version's StatefulSet or Deployment; C(scaler) names what owns its replicas.

    C(owner) tells whose it is when it is not C(ours). C(compacting) while a tick that moves its parked work to fewer
    pods is half done.
    """

    version: str
    kind: str
    replicas: int
    scaler: str | None = None
    ours: bool = True
    pods: int = 0
    owner: str = ""
    compacting: bool = False


@dataclass(frozen=True)
class RolledBack:
    """When (RFC 3339) and to which version it was decided to leave a promoted version."""

    at: str
    to: str


@dataclass(frozen=True)
class Record:
    """A ledger entry: the C(identity) is what makes it this version, the C(template) all that its pods are made of.

    C(promotions) are the times of its promotions (RFC 3339, the newest last), C(retired) that of its last retirement;
    C(rolled_back) holds until it is promoted again.
    """

    version: str
    revision: int
    identity: Mapping[str, Any]
    template: str
    conductor: bool = False
    promotions: tuple[str, ...] = ()
    retired: str | None = None
    rolled_back: RolledBack | None = None


@dataclass(frozen=True)
class Work:
    """A version's unfinished workflows at one moment; C(oldest) is the creation of the oldest in epoch seconds.

    C(stranded) of the pending ones belong to executors that are dead; C(parked) of them sleep for long on pods of which
    there need not be so many. C(needed) pods take all of it up: a StatefulSet's recover the work of their own names.
    """

    pending: int = 0
    enqueued: int = 0
    delayed: int = 0
    oldest: float | None = None
    stranded: int = 0
    parked: int = 0
    needed: int = 1

    @property
    def unfinished(self) -> int:
        """Rows that keep the version."""
        return self.pending + self.enqueued + self.delayed


@dataclass(frozen=True)
class Proof:
    """Reads in a row that found no unfinished work; C(stopped) when no pod was left that could have made some."""

    reads: int
    since: float
    until: float
    stopped: bool = False


@dataclass(frozen=True)
class Observed:
    """What is there. C(registrations) is None while the system database cannot be read (not created, not migrated).

    C(work) is None when it was not read, or not on a primary; C(read_at) is when it was, in epoch seconds.
    """

    registrations: tuple[Registration, ...] | None = ()
    workloads: tuple[Workload, ...] = ()
    records: tuple[Record, ...] = ()
    selected: str | None = None
    promoting: str | None = None
    work: Mapping[str | None, Work] | None = None
    read_at: float = 0.0
    proofs: Mapping[str, Proof] = field(default_factory=dict)

    def workload(self, version: str) -> Workload | None:
        """The version's workload."""
        return next((found for found in self.workloads if found.version == version), None)

    def registration(self, version: str) -> Registration | None:
        """The version's row."""
        return next((found for found in self.registrations or () if found.version == version), None)

    def record(self, version: str) -> Record | None:
        """The version's newest ledger entry."""
        found = [record for record in self.records if record.version == version]
        return max(found, key=lambda record: record.revision, default=None)

    def latest(self, owner: str) -> str | None:
        """What DBOS takes for the application's latest version: unclaimed rows count for every application."""
        rows = [row for row in self.registrations or () if row.owner in (owner, None)]
        newest = max(rows, key=lambda row: row.timestamp, default=None)
        return newest.version if newest else None

    def unfinished(self, version: str) -> int:
        """The version's unfinished workflows, as far as they were read."""
        return (self.work or {}).get(version, Work()).unfinished

    def staged(self, version: str) -> bool:
        """Whether the version has a workload and was never promoted."""
        record, row = self.record(version), self.registration(version)
        promoted = bool(record and record.promotions) or bool(row and row.owner and row.timestamp > AHEAD)
        return self.workload(version) is not None and self.selected != version and not promoted


@dataclass(frozen=True)
class Wanted:
    """What is asked for; C(owner) is the name the application gives itself in DBOS."""

    version: str
    owner: str
    identity: Mapping[str, Any]
    template: str
    kind: str
    replicas: int
    strategy: str = "versions"
    promoted: bool = True
    most_live: int | None = None


@dataclass(frozen=True)
class Action:
    """One legal step. C(verb) is record, register, apply, scale or promote; of a tick: promote, revive, prove,
    compact, stop or retire.
    """

    verb: str
    version: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """Actions in order, or the refusal that stops all of them."""

    actions: tuple[Action, ...] = ()
    refusal: str | None = None


def choose_kind(asked: str, conductor: bool, observed: Observed, version: str) -> tuple[str, str]:
    """The workload's kind and why.

    Without Conductor only an executor of the same name recovers a dead one's work, and only a StatefulSet's pods come
    back under their names. Conductor hands out random names and recovers by itself, but must have been seen to do so.
    """
    existing = observed.workload(version)
    if existing and asked == "auto":
        return existing.kind, "a version keeps its kind"
    if asked == "deployment":
        return DEPLOYMENT, "asked for"
    if asked == "statefulset":
        return STATEFUL_SET, "asked for"
    if conductor and any(record.conductor for record in observed.records):
        return DEPLOYMENT, "Conductor recovers the work of lost pods: an earlier version was seen connected"
    if conductor:
        return STATEFUL_SET, "Conductor was not yet seen connected"
    return STATEFUL_SET, "pods that come back under their names recover their own work"


def plan(observed: Observed, wanted: Wanted) -> Plan:
    """The steps from what is observed to the wanted version."""
    refusal = next(_refusals(observed, wanted), None)
    if refusal:
        return Plan(refusal=refusal)
    version = wanted.version
    workload, record = observed.workload(version), observed.record(version)
    actions = []
    if record is None or record.template != wanted.template:
        reason = f"rolled in place: {_rolled(record, wanted)}" if record else "a new version"
        actions.append(Action("record", version, reason))
    actions += _registrations(observed, wanted)
    if workload is None:
        actions.append(Action("apply", version, f"the version has no {wanted.kind} yet"))
    elif record is None or record.template != wanted.template:
        actions.append(Action("apply", version, "its pods are not made of what was asked for"))
    if workload and workload.scaler is None and workload.replicas != wanted.replicas:
        actions.append(Action("scale", version, f"{workload.replicas} to {wanted.replicas} replicas"))
    if wanted.promoted:
        actions += _promotion(observed, wanted, version)
    elif observed.promoting:
        # A killed run left this half done; nothing else may go on while Service and latest version can disagree.
        actions += _promotion(observed, wanted, observed.promoting)
    return Plan(tuple(actions))


def registered_as_asked(before: Observed, after: Observed, wanted: Wanted) -> str | None:
    """None when the ready pods registered the version that was asked for, else what they did instead."""
    row = after.registration(wanted.version)
    if row and row.owner == wanted.owner:
        return None
    known = {found.version for found in before.registrations or ()} | {wanted.version}
    mine = {found.version for found in after.registrations or () if found.owner in (wanted.owner, None)}
    others = sorted(mine - known)
    if others:
        return (
            f"The pods registered version {', '.join(others)} instead of {wanted.version}: the application's code sets "
            "its own version, which wins over DBOS__APPVERSION. Remove application_version from its configuration."
        )
    if row and row.owner:
        return (
            f"Version {wanted.version} belongs to application '{row.owner}' in this database, not to '{wanted.owner}'. "
            "Set release_application_name to the name the application gives itself, or choose another version name."
        )
    return (
        f"The pods are ready, but none of them registered version {wanted.version}: the application's code sets "
        "another version that was registered before, or DBOS is not launched when the health check answers. Remove "
        "application_version from its configuration, and launch DBOS before serving."
    )


def displaced(observed: Observed, owner: str) -> str | None:
    """The promoted version when DBOS takes another for the latest, and no promotion is under way."""
    if observed.promoting or observed.latest(owner) == observed.selected:
        return None
    return observed.selected


def agree(observed: Observed, owner: str, version: str) -> bool:
    """Whether Service and DBOS both take this version for the promoted one."""
    return observed.selected == version and observed.latest(owner) == version and observed.promoting is None


def _refusals(observed: Observed, wanted: Wanted) -> Iterator[str]:
    version = wanted.version
    workload, record, row = observed.workload(version), observed.record(version), observed.registration(version)
    if workload and not workload.ours:
        yield (
            f"A {workload.kind} for version {version} exists and was not made by this collection: it is "
            f"{workload.owner or 'another'}'s. "
            "Choose another version name, or remove it first."
        )
    if workload and workload.kind != wanted.kind:
        yield (
            f"Version {version} runs as a {workload.kind} and cannot become a {wanted.kind}: its executors would "
            "change names under their work. Release a new version, or leave release_kind as it was."
        )
    if wanted.strategy == PATCHING:
        return
    live = [found.version for found in observed.workloads if found.version != version and found.ours]
    if workload is None and wanted.most_live is not None and len(live) >= wanted.most_live:
        yield (
            f"{len(live)} versions are live, and release_max_live_versions is {wanted.most_live}: "
            f"{', '.join(_blocker(observed, found) for found in sorted(live))}. Let them drain and run retire.yml, "
            "end or fork their work, or raise the limit."
        )
    if row and row.owner not in (None, wanted.owner):
        yield (
            f"Version {version} is already registered by application '{row.owner}' in this database; version names are "
            "unique in one. Put the application's name into release_version."
        )
    changed = changes(record.identity, wanted.identity) if record else []
    # Until a pod of it registered, a version is only an attempt: mending it under its name loses nothing.
    launched = observed.registrations is None or (row is not None and row.owner is not None)
    if changed and launched:
        yield (
            f"Version {version} was released with another {', '.join(changed)}; its unfinished workflows rely on it. "
            "Give release_version a new name for a new version, or set it back."
        )


def _blocker(observed: Observed, version: str) -> str:
    if version == observed.selected:
        return f"{version} (promoted)"
    if observed.staged(version):
        return f"{version} (staged)"
    if observed.work is None:
        return f"{version} (draining)"
    return f"{version} (draining, {observed.unfinished(version)} unfinished)"


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Names of the parts that differ."""
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key))


def _rolled(record: Record, wanted: Wanted) -> str:
    changed = changes(record.identity, wanted.identity)
    return f"new {', '.join(changed)}" if changed else "same code and configuration, other settings"


def _registrations(observed: Observed, wanted: Wanted) -> list[Action]:
    """A first version registers by itself and is the latest; any other must not become it before its promotion."""
    rows = [row for row in observed.registrations or () if row.owner in (wanted.owner, None)]
    # One that never came up may still launch one day, and would be the latest then.
    late = sorted(found.version for found in observed.workloads if found.version != wanted.version and found.ours)
    actions = [
        Action("register", version, "registered ahead, as it may launch after the version that is wanted now")
        for version in late
        if observed.registrations is not None and observed.registration(version) is None
    ]
    if any(row.version != wanted.version for row in rows) and observed.registration(wanted.version) is None:
        reason = "registered ahead, so that its first pod does not make it the latest version"
        actions.append(Action("register", wanted.version, reason))
    return actions


def _promotion(observed: Observed, wanted: Wanted, version: str) -> list[Action]:
    if agree(observed, wanted.owner, version):
        return []
    if observed.selected is None:
        return [Action("promote", version, "the first promoted version")]
    if observed.promoting == version:
        return [Action("promote", version, "an earlier run was stopped half-way")]
    if observed.selected == version:
        latest = observed.latest(wanted.owner)
        return [Action("promote", version, f"the Service selects it, but DBOS takes {latest} for the latest")]
    return [Action("promote", version, f"takes over from {observed.selected}")]

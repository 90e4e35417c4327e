# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What speaks against releasing a version, or going back to one: facts in, hazards out, each with its way out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.dbos.kubernetes.plugins.module_utils import sdks
from ansible_collections.dbos.kubernetes.plugins.module_utils.sdks import Sdk

# This run's own sessions, and those of a migration.
OWN_CONNECTIONS = 3


@dataclass(frozen=True)
class Version:
    """A version that has pods, work or both. C(replicas) are the most it may get while the wanted one is released.

    C(local) counts the running workflows of executor 'local'; C(inline) those whose payload is where only SDKs below
    schema level 109 put it. C(pool) is the most connections that one pod opens.
    """

    name: str
    image: str = ""
    sdk: Sdk | None = None
    replicas: int = 0
    pool: int = 20
    unfinished: int = 0
    local: int = 0
    inline: int = 0

    @property
    def old_payloads(self) -> bool:
        """Whether its SDK cannot read what newer ones write."""
        return not self.sdk.splits_payloads if self.sdk else self.inline > 0


@dataclass(frozen=True)
class Queue:
    """A queue with a global concurrency, and how many workflows of each version run in it."""

    name: str
    concurrency: int
    running: Mapping[str | None, int]


@dataclass(frozen=True)
class Connections:
    """What PostgreSQL accepts and keeps for superusers, sessions on other databases, and the metrics login's limit."""

    maximum: int
    reserved: int
    elsewhere: int
    metrics: int | None = None

    @property
    def usable(self) -> int:
        """Sessions for those who are no superusers."""
        return self.maximum - self.reserved


@dataclass(frozen=True)
class Facts:
    """What is known before the release of C(wanted).

    C(level) is the schema's now, C(target) what a migration before the release will lead to: the same when there is
    none, None when that is not known. C(astray) is what an earlier version of the same image registered instead of its
    own name. C(missing) are versions whose image is gone, C(unknown) sentences on what could not be found out.
    """

    wanted: Version
    others: tuple[Version, ...] = ()
    promoted: str | None = None
    level: int | None = None
    target: int | None = None
    versionless: int = 0
    queues: tuple[Queue, ...] = ()
    connections: Connections | None = None
    astray: tuple[str, str] | None = None
    missing: tuple[Version, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One hazard: the fact, and the way out. The user may skip it by its name."""

    hazard: str
    message: str
    way_out: str


@dataclass(frozen=True)
class Verdict:
    """What stops the release, and what the user has decided to accept."""

    refused: tuple[Finding, ...] = ()
    accepted: tuple[Finding, ...] = ()


def judge(facts: Facts, skip: Collection[str]) -> Verdict:
    """All findings at once, parted by the user's word."""
    found = [finding for name, check in HAZARDS.items() for finding in check(name, facts)]
    return Verdict(
        tuple(finding for finding in found if finding.hazard not in skip),
        tuple(finding for finding in found if finding.hazard in skip),
    )


def refusal(verdict: Verdict) -> str:
    """The error: every fact with its way out, and how to go on all the same."""
    lines = [f"{finding.message} {finding.way_out} [{finding.hazard}]" for finding in verdict.refused]
    names = ", ".join(sorted({finding.hazard for finding in verdict.refused}))
    return (
        f"{len(lines)} {'hazard' if len(lines) == 1 else 'hazards'} found before the release:\n"
        + "\n".join(f"- {line}" for line in lines)
        + f"\nNothing was released. To accept this: release_preflight_skip: [{names}]"
    )


def _go_shutdown(name: str, facts: Facts) -> Iterator[Finding]:
    sdk = facts.wanted.sdk
    if sdk and sdk.cancels_on_shutdown:
        yield Finding(
            name,
            f"Version {facts.wanted.name} has SDK {sdk}, which ends running workflows as CANCELLED when a pod is told "
            "to go: each rollout and each scale-in would lose work.",
            "Build it with Go SDK 1.1.0 or newer.",
        )


def _executor_ids(name: str, facts: Facts) -> Iterator[Finding]:
    """The wanted version is judged by its predecessors, too: the same code likely names its executors alike."""
    seen = [version for version in (facts.wanted, *facts.others) if version.local]
    for version in seen:
        replicas = max(version.replicas, facts.wanted.replicas)
        if replicas > 1:
            yield Finding(
                name,
                f"{_workflows(version.local)} of version {version.name} run on executor 'local', but up to {replicas} "
                "pods run at once: with one name for all of them each pod that starts takes over what others run.",
                "Take executor_id (or DBOS__VMID) out of the application's code and image, so that each pod has the "
                "name it is given, or run a single replica.",
            )


def _registered_version(name: str, facts: Facts) -> Iterator[Finding]:
    if facts.astray:
        asked, registered = facts.astray
        yield Finding(
            name,
            f"Version {asked} of the same image registered as {registered}: its code sets its own version, which wins "
            "over DBOS__APPVERSION, so this release could not be verified either.",
            "Take application_version out of the application's configuration, and build the image again.",
        )


def _schema_behind(name: str, facts: Facts) -> Iterator[Finding]:
    needed = facts.wanted.sdk.level if facts.wanted.sdk else None
    # Below the shared numbering a level says nothing across languages; None is a migration's unknown end.
    if needed is None or needed < sdks.SHARED or facts.target is None or facts.target >= needed:
        return
    how = f"the migration leads to {facts.target}" if facts.target != facts.level else f"it is at {facts.target}"
    yield Finding(
        name,
        f"SDK {facts.wanted.sdk} of version {facts.wanted.name} needs schema level {needed}, but {how}: its pods would "
        "not launch.",
        "Migrate with an image of that SDK's version or a newer one (migration_image, migration_expected_version).",
    )


def _payload_format(name: str, facts: Facts) -> Iterator[Finding]:
    wanted, reached = facts.wanted, facts.target or facts.level or 0
    if wanted.old_payloads:
        yield from _going_back(name, facts, reached)
    elif wanted.sdk.splits_payloads if wanted.sdk else reached >= sdks.SPLIT_PAYLOADS:
        for version in facts.others:
            if version.old_payloads:
                work = f"has {_workflows(version.unfinished)} unfinished" if version.unfinished else "is there"
                yield Finding(
                    name,
                    f"Version {version.name} ({_sdk(version)}) still {work}, and cannot read what version "
                    f"{wanted.name} ({_sdk(wanted)}) enqueues from schema level {sdks.SPLIT_PAYLOADS} on: what reaches "
                    "it by name, by a schedule or without a version before the promotion would stay PENDING for ever.",
                    "Stop schedules and producers, wait until its work has ended, then release; retire.yml removes it.",
                )


def _going_back(name: str, facts: Facts, reached: int) -> Iterator[Finding]:
    newer = [version.name for version in facts.others if version.sdk and version.sdk.splits_payloads]
    if reached >= sdks.SPLIT_PAYLOADS and (newer or facts.versionless):
        source = f"version {newer[0]}" if newer else "a newer SDK"
        waiting = (
            f" {_workflows(facts.versionless)} without a version wait for what is promoted."
            if facts.versionless
            else ""
        )
        yield Finding(
            name,
            f"Version {facts.wanted.name} ({_sdk(facts.wanted)}) cannot read what {source} enqueues (the schema is at "
            f"level {reached}, the change came with {sdks.SPLIT_PAYLOADS}): such work would stay PENDING for ever."
            f"{waiting}",
            "Wait until that work has ended, or release a version with a newer SDK.",
        )


def crowded(facts: Facts) -> str | None:
    """A warning when other databases' sessions of this moment leave too little: they come and go, so no hazard."""
    found = facts.connections
    if found is None or sum(_demand(facts, found).values()) + found.elsewhere <= found.usable:
        return None
    return (
        f"Other databases of this server have {found.elsewhere} sessions now, of {found.usable} that it accepts: when "
        f"all versions use the {sum(_demand(facts, found).values())} that they may open, some will be refused."
    )


def _demand(facts: Facts, limits: Connections) -> dict[str, int]:
    """What may be opened at most, by whom."""
    live = [version for version in (*facts.others, facts.wanted) if version.replicas]
    pools = {f"{one.name} ({one.replicas} pods x {one.pool})": one.replicas * one.pool for one in live}
    # KEDA reads for each version that scales, and what else reads metrics shares its login.
    metrics = len(live) if limits.metrics is None else limits.metrics
    return {**pools, "metrics and KEDA": metrics, "this run": OWN_CONNECTIONS}


def _connections(name: str, facts: Facts) -> Iterator[Finding]:
    if facts.connections is None:
        return
    demand = _demand(facts, facts.connections)
    if sum(demand.values()) > facts.connections.usable:
        parts = ", ".join(f"{who}: {count}" for who, count in demand.items())
        yield Finding(
            name,
            f"The versions may open {sum(demand.values())} connections ({parts}), but PostgreSQL accepts "
            f"{facts.connections.usable}.",
            "Lower autoscaling_max_replicas, or the pools in the application and with them release_pool_size, retire "
            "versions, or raise max_connections.",
        )


def _queue_concurrency(name: str, facts: Facts) -> Iterator[Finding]:
    """What is promoted now is not draining yet: that it is busy is no hazard."""
    draining = {version.name for version in facts.others} - {facts.promoted}
    for queue in facts.queues:
        holding = {version: count for version, count in queue.running.items() if version in draining and count}
        held = sum(holding.values())
        if held * 2 > queue.concurrency:
            names = ", ".join(f"{version}: {count}" for version, count in sorted(holding.items(), key=str))
            yield Finding(
                name,
                f"Draining versions hold {held} of the {queue.concurrency} workflows that queue {queue.name} runs at "
                f"once ({names}): little is left for version {facts.wanted.name}.",
                "Let them end, cancel or fork them (retire.yml), or raise the queue's concurrency.",
            )


def _missing_images(name: str, facts: Facts) -> Iterator[Finding]:
    for version in facts.missing:
        yield Finding(
            name,
            f"The image of version {version.name}, {version.image}, is not in its registry any more: a pod of it "
            "that has to start on another node could not.",
            "Push the image again under this digest, keep images of live versions, or end that version's work.",
        )


HAZARDS: dict[str, Callable[[str, Facts], Iterator[Finding]]] = {
    "go_shutdown": _go_shutdown,
    "executor_ids": _executor_ids,
    "registered_version": _registered_version,
    "schema_behind": _schema_behind,
    "payload_format": _payload_format,
    "connections": _connections,
    "queue_concurrency": _queue_concurrency,
    "missing_images": _missing_images,
}


def _sdk(version: Version) -> str:
    if version.sdk:
        return f"SDK {version.sdk}"
    return "an SDK of before that, as its rows show" if version.inline else "its SDK is not known"


def _workflows(count: int) -> str:
    return f"{count} workflow{'' if count == 1 else 's'}"

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The decisions of a tick: the next legal step of every version of an application, and what is true of each.

Like lifecycle it reads and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import Action, Observed, Proof, Work


@dataclass(frozen=True)
class Policy:
    """How versions are retired, in seconds: proofs and reads older than C(max_age) count for nothing; work that is
    older than C(deadline) blocks loudly. C(reads) in a row over C(seconds) make a proof. C(abandoned) names staged
    versions that are given up.
    """

    reads: int = 3
    seconds: float = 5.0
    max_age: float = 60.0
    deadline: float | None = None
    abandoned: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Condition:
    """What is true of a version: Staged, Promoted, Draining, DrainBlocked, Drained, Retired, Stranded or Degraded."""

    type: str
    message: str


@dataclass(frozen=True)
class Tick:
    """The next legal steps of all versions, and what is true of each."""

    actions: tuple[Action, ...] = ()
    conditions: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)


def tick(observed: Observed, owner: str, policy: Policy, now: float) -> Tick:
    """Takes every version one legal step further. Without a fresh read of a primary nothing is ever stopped."""
    trouble = _not_now(observed, owner, policy, now)
    there = [found.version for found in observed.workloads] + [found.version for found in observed.records]
    versions = sorted({*there, *_unfinished(observed)})
    conditions = {version: tuple(_conditions(observed, version, owner, policy, now)) for version in versions}
    if trouble == "":
        found = [_step(observed, version, policy, now) for version in versions]
        return Tick(tuple(action for action in found if action), conditions)
    finish = _finish(observed) if observed.registrations is not None else None
    if finish:
        return Tick((finish,), conditions)
    stuck = Condition("Degraded", trouble)
    return Tick((), {version: (*said, stuck) for version, said in conditions.items()})


def _not_now(observed: Observed, owner: str, policy: Policy, now: float) -> str:
    """Why no version may be stopped or retired; empty when nothing speaks against it."""
    latest = observed.latest(owner)
    if observed.promoting:
        return f"The promotion of {observed.promoting} is half done."
    if observed.work is None or observed.registrations is None:
        return "The system database could not be read: nothing is retired on missing data."
    if now - observed.read_at > policy.max_age:
        return f"The work was read {now - observed.read_at:.0f} s ago: nothing is retired on old data."
    if observed.selected is None:
        return "No version is promoted: nothing is retired before one is."
    if latest != observed.selected:
        return f"The Service selects {observed.selected}, but DBOS takes {latest} for the latest: deploy or roll back."
    return ""


def _finish(observed: Observed) -> Action | None:
    """What ends a promotion that is half done; None when there is none, or no version that could take over."""
    version = observed.promoting
    if version and observed.workload(version):
        return Action("promote", version, "an earlier run was stopped half-way")
    if version and observed.selected and observed.workload(observed.selected):
        return Action("promote", observed.selected, f"the promotion of {version} was begun, but its workload is gone")
    return None


def _unfinished(observed: Observed) -> list[str]:
    """Versions with unfinished work; that without a version is the latest's."""
    return [version for version, work in (observed.work or {}).items() if version is not None and work.unfinished]


def _step(observed: Observed, version: str, policy: Policy, now: float) -> Action | None:
    workload, record, count = observed.workload(version), observed.record(version), observed.unfinished(version)
    if workload and workload.compacting:
        return Action("compact", version, "an earlier tick took pods in, whose work is to go on elsewhere")
    asleep = workload is not None and workload.ours and workload.replicas == 0 and workload.scaler is None
    wake = Action("revive", version, f"{count} unfinished workflows and no pod that runs them")
    if version == observed.selected:
        return wake if count and asleep else None
    if workload is None:
        if count:
            reason = f"{count} unfinished workflows and nothing that runs them"
            return Action("revive", version, reason) if record else None
        # Somebody deleted it, or an earlier run was stopped half-way: what is left of it goes too.
        if record and not record.retired and (record.promotions or version in policy.abandoned):
            return _towards_the_end(observed, version, policy, now)
        return None
    if not workload.ours or _waits(observed, version, policy):
        return None
    if count and asleep:
        return wake
    if count:
        work = (observed.work or {})[version]
        if workload.scaler is None and workload.replicas < work.needed:
            reason = f"its running workflows need {work.needed} pods, and it has {workload.replicas}"
            return Action("revive", version, reason)
        if work.parked and work.parked == work.pending and not work.enqueued:
            return Action("compact", version, f"{work.parked} workflows that sleep for long keep {workload.pods} pods")
        return None
    return _towards_the_end(observed, version, policy, now)


def _towards_the_end(observed: Observed, version: str, policy: Policy, now: float) -> Action | None:
    """The next step of a version without unfinished work."""
    workload, proof = observed.workload(version), observed.proofs.get(version)
    if proof is None or now - proof.until > policy.max_age or not _enough(proof, policy):
        return Action("prove", version, "no unfinished work was seen")
    seen = f"no unfinished work in {proof.reads} reads over {proof.until - proof.since:.0f} s"
    if workload and workload.replicas:
        return Action("stop", version, seen)
    if workload and workload.pods:
        # They have been told to go, and may still write.
        return None
    if not proof.stopped:
        return Action("prove", version, "its last pod is gone")
    return Action("retire", version, f"{seen}, after its last pod was gone")


def _enough(proof: Proof, policy: Policy) -> bool:
    return proof.reads >= policy.reads and proof.until - proof.since >= policy.seconds


def _waits(observed: Observed, version: str, policy: Policy) -> bool:
    """Whether it is a staged version that may still be promoted."""
    return observed.staged(version) and version not in policy.abandoned


def _conditions(observed: Observed, version: str, owner: str, policy: Policy, now: float) -> Iterator[Condition]:
    workload = observed.workload(version)
    work = (observed.work or {}).get(version, Work())
    if version == observed.selected:
        yield from _promoted(observed, version)
    elif workload is None:
        yield from _without_workload(observed, version, work)
    elif _waits(observed, version, policy):
        yield Condition("Staged", "gets only work that names it")
    elif observed.work is None:
        yield Condition("Draining", "its unfinished work is not known")
    elif work.unfinished:
        counts = f"{work.pending} pending, {work.enqueued} enqueued, {work.delayed} delayed"
        yield Condition("Draining", counts)
        age = now - work.oldest if work.oldest else 0.0
        if policy.deadline is not None and age > policy.deadline:
            yield Condition("DrainBlocked", f"its oldest unfinished workflow is {age:.0f} s old: {counts}")
    else:
        yield Condition("Drained", "no unfinished work was seen")
    if workload and not workload.ours:
        yield Condition("Degraded", f"Its {workload.kind} was not made by this collection: nothing of it is touched.")
    if workload and work.stranded:
        yield Condition(
            "Stranded",
            f"{work.stranded} workflows belong to executors that are gone. Unless pods of these names come back "
            "(autoscaling brings them), repair them with module workflow_recovery.",
        )


def _promoted(observed: Observed, version: str) -> Iterator[Condition]:
    workload, record = observed.workload(version), observed.record(version)
    yield Condition("Promoted", f"promoted {record.promotions[-1]}" if record and record.promotions else "promoted")
    if workload is None:
        yield Condition("Degraded", "Clients are sent to this version, but it has no workload: deploy it.")
    elif workload.replicas and not workload.pods:
        yield Condition("Degraded", "Clients are sent to this version, but it has no pod: see status.yml.")


def _without_workload(observed: Observed, version: str, work: Work) -> Iterator[Condition]:
    record = observed.record(version)
    if work.unfinished:
        way_out = "the next tick revives it" if record else "deploy it again, or fork its work to another version"
        yield Condition("Stranded", f"{work.unfinished} unfinished workflows and no workload: {way_out}.")
    elif record and observed.work is not None:
        yield Condition("Retired", f"retired {record.retired}" if record.retired else "has no workload")

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work that no live executor will take, and its repair. What a live or an unknown executor has is never touched.

The order of the reads is what makes that true: first what runs, with how often each was taken, then the pods. Whoever
is seen dead had died after it took what was listed; and what another took meanwhile has another count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import draining, executor_state, reviving
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.executor_state import DEAD
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import blockers, repair, schema, work
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.repair import Running
from ansible_collections.dbos.kubernetes.plugins.module_utils.version_objects import ENDED, Objects, version_of

NONE, REQUEUE, FORK, REVIVE = "none", "requeue", "fork", "revive"
REPAIRS = (NONE, REQUEUE, FORK, REVIVE)

EXECUTOR, VERSION, LATEST, QUEUE = "dead_executor", "version_without_pods", "latest_without_pods", "blocked_queue"
REPAIRED_BY = {REQUEUE: (EXECUTOR,), FORK: (EXECUTOR, VERSION), REVIVE: (VERSION, LATEST)}


@dataclass(frozen=True)
class Seen:
    """What the database told, and then Kubernetes. C(latest) is the version that takes work without one."""

    running: Sequence[Running]
    work: Mapping[str | None, Any]
    queues: Mapping[str, Mapping[str, Any]]
    latest: str | None
    objects: Objects

    def judge(self) -> Callable[[str | None], str]:
        """Tells alive, dead or unknown."""
        return executor_state.view(self.objects).judge

    def dead(self) -> list[Running]:
        """What dead executors have left running."""
        judge = self.judge()
        return [one for one in self.running if one.version is not None and judge(one.executor) == DEAD]

    def pods(self) -> Counter[str]:
        """How many pods of each version have not ended."""
        phases = [(version_of(pod), (pod.get("status") or {}).get("phase")) for pod in self.objects.pods]
        return Counter(version for version, phase in phases if phase not in ENDED)

    def abandoned(self) -> list[str]:
        """Versions with unfinished work that has neither a pod nor anything that would make one."""
        pods, workloads = self.pods(), {found.version: found for found in self.objects.observed().workloads}
        judge = self.judge()
        # Someone who is not known may run the version elsewhere.
        strangers = {one.version for one in self.running if judge(one.executor) != DEAD}
        return [
            version
            for version, counted in sorted(self.work.items(), key=lambda item: item[0] or "")
            if version is not None
            and counted.unfinished
            and not pods[version]
            and version not in strangers
            and not (version in workloads and (workloads[version].replicas or workloads[version].scaler))
        ]


def see(database: Database, owner: str, objects: Callable[[], Objects]) -> Seen:
    """Read; C(objects) is called last. Refuses a replica, and a schema whose rows do not say whose they are."""
    repair.check_level(schema.level(database))
    running = repair.running(database, owner)
    seen = work.read(database, owner)
    if seen is None or seen["replica"]:
        raise DbosError(
            f"Database {database.name} is {'a replica' if seen else 'without DBOS schema'}: nothing can be concluded "
            "from it. Give the primary's address in database_url."
        )
    names = sorted({one.queue for one in running if one.queue})
    latest = max(seen["registered"], key=lambda row: row["timestamp"], default={"version": None})["version"]
    return Seen(running, work.per_version(seen), blockers.queues(database, names), latest, objects())


def stranded(seen: Seen) -> Iterator[dict[str, Any]]:
    """What no live executor will take: {kind, version, executor, queue, workflows, why}."""
    dead = seen.dead()
    for (version, executor), count in sorted(Counter((one.version, one.executor) for one in dead).items(), key=str):
        why = f"executor {executor} is dead, and its work is its own until it is requeued"
        yield _entry(EXECUTOR, count, why, version=version, executor=executor)
    for version in seen.abandoned():
        recorded = "revive it" if seen.objects.record(version) else "fork its work to another version"
        why = f"version {version} has no pod, and nothing makes one: {recorded}"
        yield _entry(VERSION, seen.work[version].unfinished, why, version=version)
    unversioned, latest = seen.work.get(None), seen.latest
    workloads = {found.version: found for found in seen.objects.observed().workloads}
    wakes = latest in workloads and (workloads[latest].replicas or workloads[latest].scaler)
    if unversioned and unversioned.unfinished and latest and not seen.pods()[latest] and not wakes:
        why = f"work without a version is for the latest, {latest}, which has no pod"
        yield _entry(LATEST, unversioned.unfinished, why, version=latest)
    for queue, count in sorted(Counter(one.queue for one in dead if one.queue).items()):
        limits = seen.queues.get(str(queue), {})
        if limits.get("limit") is not None and limits["running"] >= limits["limit"]:
            why = f"queue {queue} runs {limits['limit']} at once, and {count} of these are of dead executors"
            yield _entry(QUEUE, count, why, queue=queue)


def executors(seen: Seen) -> list[dict[str, Any]]:
    """Who has taken workflows: {id, version, pending, state}."""
    judge = seen.judge()
    counts = Counter((one.version, one.executor) for one in seen.running)
    return [
        {"id": executor, "version": version, "pending": count, "state": judge(executor)}
        for (version, executor), count in sorted(counts.items(), key=str)
    ]


def _entry(kind: str, workflows: int, why: str, **names: str | None) -> dict[str, Any]:
    return {"kind": kind, "version": None, "executor": None, "queue": None, "workflows": workflows, "why": why} | names


@dataclass(frozen=True)
class Repairer:
    """Repairs what was seen, under the lease. C(attempts) is the most that a workflow may have been taken."""

    client: Client
    database: Database
    lease: Lease
    owner: str
    attempts: int
    allow_newer_schema: bool = False

    def requeue(self, seen: Seen) -> dict[str, Any]:
        """Put what dead executors have left back into its queue, as the SDKs' own recovery does."""
        dead = seen.dead()
        tired = [one for one in dead if one.attempts > self.attempts]
        listed = {one.id: one.attempts for one in dead if one not in tired}
        draining.check_writes(self.database, self.allow_newer_schema)
        self.lease.check()
        with self.database.transaction():
            requeued = repair.requeue(self.database, repair.lock_untaken(self.database, listed))
        why = f"it was taken more than {self.attempts} times and never ended"
        return {"requeued": sorted(requeued), "refused": [{"id": one.id, "why": why} for one in tired]}

    def fork(self, seen: Seen, to_version: str | None, children: bool) -> dict[str, Any]:
        """Fork what no live executor will take to another version."""
        listed: dict[str, dict[str, int]] = {}
        for one in seen.dead():
            listed.setdefault(str(one.version), {})[one.id] = one.attempts
        for version in seen.abandoned():
            listed[version] = repair.unfinished(self.database, self.owner, version)
        result: dict[str, Any] = {"forked": [], "refused": []}
        for version, untaken in sorted(listed.items()):
            settled = draining.settle(
                self.database, self.owner, version, draining.FORK, to_version, children=children, untaken=untaken,
                allow_newer_schema=self.allow_newer_schema, check=self.lease.check,
            )  # fmt: skip
            for key, entries in result.items():
                entries.extend(settled[key])
        return result

    def revive(self, seen: Seen, replicas: int) -> dict[str, Any]:
        """Bring the versions back that have work and no pod, as the ledger recorded them."""
        wanted = {entry["version"] for entry in stranded(seen) if entry["kind"] in (VERSION, LATEST)}
        found = sorted(version for version in wanted if seen.objects.record(version))
        for version in found:
            reviving.revive(self.client, seen.objects, version, replicas, self.lease)
        why = "the ledger has no record of it: deploy it again, or fork its work"
        return {"revived": found, "refused": [{"id": one, "why": why} for one in sorted(wanted - set(found))]}

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes one application down: no new work, then what the policy says of the unfinished, then everything, in order.

Each step looks at what is there, so a run that was killed at any of them is finished by the next. What tells that
something is left, the ledger and the Lease, goes last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import (
    application_database,
    counting,
    draining,
    ledger,
    naming,
    release_tags,
    teardown_plan,
    unfinished_work,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database, DatabaseAbsent, Server
from ansible_collections.dbos.kubernetes.plugins.module_utils.drain_wait import NAMED, counted, named
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import identity
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.contents import contents
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.documents import target, wait_gone
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.relay import run_id, stop_run
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle_tick import Policy as Proof
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import schedules, work
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.roles import Wanted
from ansible_collections.dbos.kubernetes.plugins.module_utils.teardown_plan import Kept, Plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.unfinished_work import Count, Policy

# In the selector of the Service that clients use, in place of the executors': it leads nowhere then.
STOPPED = "stopped"
POLL = 2.0


@dataclasses.dataclass(frozen=True)
class Request:
    """What the task asks for, times in seconds; C(drop) the database that C(wanted) describes."""

    application: counting.Application
    policy: Policy
    wanted: Wanted
    drop: bool
    server_goes: bool
    drain_deadline: float
    timeout: float
    allow_newer_schema: bool = False
    registry: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Outcome:
    """What was done, or would be."""

    changes: list[str] = dataclasses.field(default_factory=list)
    cancelled: list[str] = dataclasses.field(default_factory=list)
    dropped: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    untagged: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)


def look(client: Client, application: counting.Application) -> Plan:
    """What there is of an application in its namespace."""
    namespace = application.namespace
    space = client.get("v1", "Namespace", namespace)
    found, unread = contents(client, namespace) if space else ([], [])
    return teardown_plan.plan(application.name, namespace, space, found, unread, run_id())


class Teardown:
    """One application. C(reach) opens a way to the database's server, None where there is no server."""

    def __init__(
        self,
        client: Client,
        request: Request,
        lease: Lease,
        reach: Callable[[], AbstractContextManager[Server | None]],
    ) -> None:
        self.client = client
        self.request = request
        self.lease = lease
        self.outcome = Outcome()
        self.progress = Progress()
        self._reach = reach

    @property
    def app(self) -> str:
        """Its name."""
        return self.request.application.name

    def planned(self) -> dict[str, Any]:
        """What would be done."""
        found = look(self.client, self.request.application)
        self.outcome.changes = [f"delete {identity(obj)}" for obj in found.going]
        self._untag(found, check=True)
        if self.request.drop:
            with self._server() as server:
                self._drop(server, check=True)
        return self._result(found, f"{self.app} would be taken down:")

    def idle(self) -> dict[str, Any]:
        """No new work from outside, and nothing unfinished but what the policy gives up."""
        found = look(self.client, self.request.application)
        if found.objects:
            with self.lease, self._server() as server:
                self._settle(server)
        result = self._result(found, "")
        del result["table"]  # nothing goes yet
        return result

    def absent(self) -> dict[str, Any]:
        """Everything of it, and proof that nothing is left."""
        found = look(self.client, self.request.application)
        with contextlib.ExitStack() as stack:
            if found.objects:
                stack.enter_context(self.lease)
            server = stack.enter_context(self._server()) if found.objects or self.request.drop else None
            if found.objects:
                self._settle(server)
                self._delete(found.stages[teardown_plan.AUTOSCALING])
                self._without_pods(found, server)
                for stage in (teardown_plan.WORKLOADS, teardown_plan.NETWORK, teardown_plan.VOLUMES):
                    self._delete(found.stages[stage])
                self._wait_volumes(found)
            elif server:
                self._judge(server)
            self._drop(server, check=False)
            self._untag(found, check=False)
            for stage in (teardown_plan.CONFIGURATION, teardown_plan.LEDGER):
                self._delete(found.stages[stage])
        # The Lease is renewed no more: it may go, and the namespace with it.
        self._leave(found)
        return self._result(self._inventory(found), f"{self.app} was taken down:", found)

    # What is unfinished

    def _settle(self, server: Server | None) -> None:
        """Stop new work, and carry the policy out; when that is refused, clients are let in again."""
        stopped = self._select(STOPPED, "executor")
        try:
            with self._session(server) as session:
                if session and self.request.policy.how == unfinished_work.DRAIN:
                    self._drain(session)
                elif session and self.request.policy.how == unfinished_work.CANCEL:
                    self._cancel(session)
            self._judge(server)
        except DbosError:
            if stopped:
                self._select("executor", STOPPED)
            raise
        self.outcome.changes += [f"stop Service {self.request.application.namespace}/{name}" for name in stopped]

    def _select(self, wanted: str, instead_of: str) -> list[str]:
        """Turn the Services that lead to executors; the names of those that were turned."""
        turned = []
        namespace = self.request.application.namespace
        for name in (self.app, naming.preview_name(self.app)):
            service = self.client.get("v1", "Service", name, namespace)
            selector = ((service or {}).get("spec") or {}).get("selector") or {}
            ours = selector.get(teardown_plan.NAME) == self.app
            if ours and selector.get(teardown_plan.COMPONENT) == instead_of:
                self.lease.check()
                body = {"spec": {"selector": {teardown_plan.COMPONENT: wanted}}}
                self.client.patch("v1", "Service", name, namespace, body)
                turned.append(name)
        return turned

    def _judge(self, server: Server | None) -> None:
        """A fresh count: what was drained or cancelled must be none, and of what is given up some may have ended."""
        policy = self.request.policy
        if policy.how != unfinished_work.ABANDON:
            policy = dataclasses.replace(policy, how=unfinished_work.REFUSE)
        one = [self.request.application]
        found = counting.count_applications(server, one, whole=self.request.drop) if server else []
        warnings = unfinished_work.judge(found, policy, most=True)
        self.outcome.warnings = list(dict.fromkeys([*self.outcome.warnings, *warnings]))

    def _drain(self, session: Database) -> None:
        owner, proof = self.request.application.owner, Proof()
        until = time.monotonic() + self.request.drain_deadline
        clean, since = 0, 0.0
        with self.progress.step(f"waiting for the unfinished workflows of {self.app}") as step:
            while True:
                now = time.monotonic()
                left = counting.unfinished(session, owner)
                if left.unfinished and now >= until:
                    raise unfinished_work.Refused(self._undrained(session, left), unfinished=left.unfinished)
                since = since if clean else now
                clean = 0 if left.unfinished else clean + 1
                if clean >= proof.reads and now - since >= proof.seconds:
                    return
                step.update(f"{left.unfinished} left")
                time.sleep(POLL if left.unfinished else proof.seconds / (proof.reads - 1))

    def _undrained(self, session: Database, left: Any) -> str:
        owner = self.request.application.owner
        seen = work.read(session, owner)
        versions = {row["version"] for row in seen["work"]} if seen else set()
        oldest = sorted(
            (one for version in versions for one in draining.blockers(session, owner, version, most=NAMED)),
            key=lambda one: -int(one["age"]),
        )
        found = {"pending": left.pending, "enqueued": left.enqueued, "delayed": left.delayed}
        return (
            f"{unfinished_work.UNTOUCHED}: after {self.request.drain_deadline:.0f} s {self.app} has {counted(found)}: "
            f"{'; '.join(named(one) for one in oldest[:NAMED])}. Wait longer (teardown_drain_deadline), or cancel or "
            f"abandon them (teardown_policy).{_making(schedules.active(session, owner))}"
        )

    def _cancel(self, session: Database) -> None:
        owner = self.request.application.owner
        seen = work.read(session, owner)
        for version in {row["version"] for row in seen["work"]} if seen else ():
            done = draining.settle(
                session, owner, version, draining.CANCEL,
                allow_newer_schema=self.request.allow_newer_schema, check=self.lease.check,
            )  # fmt: skip
            self.outcome.cancelled += done["cancelled"]

    def _without_pods(self, found: Plan, server: Server | None) -> None:
        """Scale to zero, and look once more: what a pod began last is seen. If that is refused, pods come back."""
        replicas = {}
        for obj in found.stages[teardown_plan.WORKLOADS]:
            if obj["kind"] in ("StatefulSet", "Deployment"):
                there = self.client.get(obj["apiVersion"], obj["kind"], *_where(obj))
                replicas[identity(obj)] = there["spec"].get("replicas", 1) if there else 0
        scaled = [obj for obj in found.stages[teardown_plan.WORKLOADS] if replicas.get(identity(obj))]
        for obj in scaled:
            self._scale(obj, 0)
        selector = f"{teardown_plan.NAME}={self.app},{teardown_plan.COMPONENT}=executor"
        self._wait(self._pods(selector))
        try:
            with self._session(server) as session:
                if session and self.request.policy.how == unfinished_work.CANCEL:
                    self._cancel(session)
            self._judge(server)
        except DbosError as error:
            for obj in scaled:
                self._scale(obj, replicas[identity(obj)])
            self._select("executor", STOPPED)
            raise unfinished_work.Refused(
                f"{error.msg} It came while the pods were being stopped; they are back, but for their autoscaling, "
                "which deploy.yml brings back.",
                **error.result,
            ) from error

    def _pods(self, selector: str) -> list[Object]:
        return self.client.list("v1", "Pod", self.request.application.namespace, selector)

    def _scale(self, obj: Object, replicas: int) -> None:
        self.lease.check()
        body = {"spec": {"replicas": replicas}}
        self.client.patch(obj["apiVersion"], obj["kind"], *_where(obj), body, subresource="scale")

    # The database

    @contextlib.contextmanager
    def _server(self) -> Iterator[Server | None]:
        """None where there is none, and where it cannot be reached and that is given up."""
        with contextlib.ExitStack() as stack:
            server = None
            try:
                server = stack.enter_context(self._reach())
            except DbosError as error:
                self._give_up(error)
            yield server

    @contextlib.contextmanager
    def _session(self, server: Server | None) -> Iterator[Database | None]:
        with contextlib.ExitStack() as stack:
            session = None
            if server:
                try:
                    session = stack.enter_context(server.connect(database=self.request.application.database))
                except DatabaseAbsent:
                    pass
                except DbosError as error:
                    self._give_up(error)
            yield session

    def _give_up(self, error: DbosError) -> None:
        one = self.request.application
        count = Count(one.name, one.database, error=error.msg)
        warnings = unfinished_work.judge([count], self.request.policy, most=True)
        self.outcome.warnings = list(dict.fromkeys([*self.outcome.warnings, *warnings]))

    def _drop(self, server: Server | None, *, check: bool) -> None:
        """As role database does with database_state=absent."""
        if not (self.request.drop and server):
            return
        done = application_database.remove(server, self.request.wanted, check=check)
        dropped = [str(name) for name in done["diff"]["before"]]  # role shop_owner, database shop
        self.outcome.dropped = [(kind.capitalize(), name) for kind, name in (key.split(" ", 1) for key in dropped)]
        self.outcome.changes += [f"drop {name}" for name in dropped]

    def _untag(self, found: Plan, *, check: bool) -> None:
        """The images of the recorded versions: the registry may forget them now."""
        if not found.stages[teardown_plan.LEDGER]:
            return
        selector = ledger.selector(self.app)
        records = self.client.list("apps/v1", "ControllerRevision", self.request.application.namespace, selector)
        host = self.request.registry.get("host")
        if check:
            self.outcome.untagged = sorted(
                {str(tag) for one in records for tag in release_tags.tags(one, host).values()}
            )
        else:
            self.lease.check()
            self.outcome.untagged, warnings = release_tags.forget(records, self.request.registry)
            self.outcome.warnings += warnings
        self.outcome.changes += [f"remove tag {tag}" for tag in self.outcome.untagged]

    # Kubernetes

    def _delete(self, objects: Sequence[Object]) -> None:
        """Delete, and wait until all of them are gone, with their finalizers."""
        uids = {obj["metadata"]["uid"] for obj in objects}
        roots = [
            obj
            for obj in objects
            if not any(owner["uid"] in uids for owner in obj["metadata"].get("ownerReferences") or [])
        ]
        if roots:
            self.lease.check()

        def delete(obj: Object) -> bool:
            try:
                return self.client.delete(obj["apiVersion"], obj["kind"], *_where(obj), uid=obj["metadata"]["uid"])
            except KubeError as error:
                if error.reason != "Conflict":  # another object has its name by now: the inventory tells
                    raise
                return False

        for obj, there in zip(roots, parallel(delete, roots), strict=True):
            self.outcome.changes += [f"delete {identity(obj)}"] if there else []
        self._wait(objects)

    def _wait(self, objects: Sequence[Object]) -> None:
        if not objects:
            return
        names = ", ".join(identity(obj) for obj in objects[:3]) + (", …" if len(objects) > 3 else "")
        with self.progress.step(f"waiting until {names} are gone"):
            parallel(
                lambda obj: wait_gone(self.client, target(obj), obj["metadata"]["uid"], self.request.timeout), objects
            )

    def _wait_volumes(self, found: Plan) -> None:
        """What was behind the claims, unless it is to be retained."""
        self._wait([volume for volume in self._volumes(found) if not _retained(volume)])

    def _volumes(self, found: Plan) -> list[Object]:
        """Volumes of the application's claims, and of claims in its namespace that are gone already."""
        namespace = found.namespace
        claims = {obj["metadata"]["uid"] for obj in found.stages[teardown_plan.VOLUMES]}
        bound = [
            volume
            for volume in self.client.list("v1", "PersistentVolume")
            if (volume["spec"].get("claimRef") or {}).get("namespace") == namespace
        ]
        return [
            volume
            for volume in bound
            if volume["spec"]["claimRef"].get("uid") in claims or volume.get("status", {}).get("phase") == "Released"
        ]

    def _leave(self, found: Plan) -> None:
        """The relays of this run, the Lease, and the namespace when nothing of others is in it."""
        namespace = found.namespace
        stop_run(self.client, namespace, self.app)
        if found.objects:
            self.lease.release()
            for obj in found.stages[teardown_plan.LEASE]:
                self.client.delete(obj["apiVersion"], obj["kind"], *_where(obj), uid=obj["metadata"]["uid"])
        now = look(self.client, self.request.application)
        self._delete_all([*now.objects, *now.shared])
        space = self.client.get("v1", "Namespace", namespace) if now.namespace_goes else None
        if space:
            self._delete_all([space])

    def _delete_all(self, objects: Sequence[Object]) -> None:
        """Without the Lease."""
        for obj in objects:
            if self.client.delete(obj["apiVersion"], obj["kind"], *_where(obj), uid=obj["metadata"]["uid"]):
                self.outcome.changes.append(f"delete {identity(obj)}")
        self._wait(objects)

    def _inventory(self, found: Plan) -> Plan:
        now = look(self.client, self.request.application)
        if now.objects:
            left = "; ".join(
                f"{identity(obj)} ({', '.join(obj['metadata'].get('finalizers') or []) or 'made anew'})"
                for obj in now.objects
            )
            raise DbosError(f"Of application {self.app} is left: {left}. Run again, or look for who holds or makes it.")
        volumes = [volume for volume in self._volumes(found) if _retained(volume)]
        kept = [
            Kept("PersistentVolume", None, one["metadata"]["name"], "its reclaim policy is Retain") for one in volumes
        ]
        return dataclasses.replace(now, kept=[*now.kept, *kept])

    def _result(self, now: Plan, head: str, before: Plan | None = None) -> dict[str, Any]:
        """The module's; C(before) has what went where that is not there C(now)."""
        lines = teardown_plan.rows(dataclasses.replace(now, **_going(before)) if before else now)
        lines += [("drop", kind, None, name, None) for kind, name in self.outcome.dropped]
        lines += [("remove", "Tag", None, tag, None) for tag in self.outcome.untagged]
        database = self.request.application.database
        if self.outcome.changes and self.request.server_goes:
            lines.append(("delete", "Database", None, database, "it goes with its server"))
        elif self.outcome.changes and not self.request.drop:
            lines.append(("keep", "Database", None, database, "with all its data; teardown_database=drop drops it"))
        if not self.outcome.changes:
            head = f"Nothing is there of {self.app} to be taken down:"
        return {
            "changed": bool(self.outcome.changes or self.outcome.cancelled),
            "changes": self.outcome.changes,
            "cancelled": sorted(self.outcome.cancelled),
            "kept": [dataclasses.asdict(one) for one in now.kept],
            "diff": {"before": "".join(f"{line}\n" for line in self.outcome.changes), "after": ""},
            "table": teardown_plan.text(head, lines),
        }


def _going(before: Plan) -> dict[str, Any]:
    return {"stages": before.stages, "shared": before.shared, "namespace_goes": before.namespace_goes}


def _making(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (
        f" Schedules make new work meanwhile: {', '.join(names[:NAMED])}{more}. Pause them in the application; "
        "its pods heed that within a minute."
    )


def _retained(volume: Object) -> bool:
    return bool(volume["spec"].get("persistentVolumeReclaimPolicy") == "Retain")


def _where(obj: Object) -> tuple[str, str | None]:
    return obj["metadata"]["name"], obj["metadata"].get("namespace")

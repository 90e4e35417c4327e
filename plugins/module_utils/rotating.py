# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finishes a rotation: restarts what was started with older credentials, proves it, and disables the logins of before.

What is to be done follows from what is there: which login the Secrets name, which may log in, and how old the pods are.
So a run that was killed is finished by the next.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import (
    autoscaling,
    conductor,
    executors,
    freshness,
    ledger,
    naming,
    version_objects,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database, Server, parse_url
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.freshness import Change, Source
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import State, Target, ready, wait
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import logins

# Seconds until a pod that is ready has its connections, and one that has ended has lost them.
SESSION_SECONDS = 30.0


@dataclass(frozen=True)
class Turns:
    """Logins that take turns, and the name of the Secret that tells whose turn it is."""

    logins: tuple[str, ...]
    secret: str


@dataclass(frozen=True)
class Request:
    """What the task asks for. C(timeout): seconds that a pod may take to be ready, beyond its own grace.

    C(changing): Secrets and ConfigMaps that earlier steps would change; only check mode needs to be told.
    """

    app: str
    namespace: str
    application: Turns
    metrics: Turns
    timeout: float
    changing: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Seen:
    """The application's objects and live pods, the change that each pod missed, and who else missed a new password."""

    objects: version_objects.Objects
    live: list[Object]
    missed: Mapping[str, Change]
    others: list[str]

    def versions(self) -> dict[str, Change]:
        """Versions with a pod that missed a change, and the newest that one did. The promoted version is the last:
        whatever is wrong with new credentials shows on those that clients are not sent to.
        """
        found: dict[str, Change] = {}
        for pod in self.live:
            change = self.missed.get(pod["metadata"]["name"])
            if change:
                version = version_objects.version_of(pod)
                found[version] = max(found.get(version, change), change)
        selected = self.objects.observed().selected
        return dict(sorted(found.items(), key=lambda item: (item[0] == selected, item[0])))


@dataclass
class Rotation:
    """One run; C(server) is None where the database cannot be read yet, which only check mode accepts."""

    client: Client
    server: Server | None
    request: Request
    lease: Lease
    progress: Progress = field(default_factory=Progress)
    warnings: list[str] = field(default_factory=list)

    def run(self, *, check: bool) -> dict[str, Any]:
        """Finish, or tell what would be done."""
        turns = (self.request.application, self.request.metrics)
        current = {one: self._current(one) for one in turns}
        former = {one: self._former(one, current[one]) for one in turns}
        seen = self.observe(check=check)
        versions = seen.versions()
        disabled = [name for names in former.values() for name in names]
        ended = 0
        if not check:
            for version, change in versions.items():
                self._restart(seen.objects, version, change)
            if disabled:
                ended = self._disable(current, former)
            if disabled or versions:
                self._prove_scaling(current[self.request.metrics])
        was = {f"pods of {version}": f"started before {change}" for version, change in versions.items()}
        return {
            "changed": bool(versions or disabled),
            "diff": {
                "before": was | {f"login {name}": "enabled" for name in disabled},
                "after": dict.fromkeys(was, "restarted") | {f"login {name}": "disabled" for name in disabled},
            },
            "login": current[self.request.application],
            "metrics_login": current[self.request.metrics],
            "restarted": list(versions),
            "disabled": disabled,
            "ended_sessions": ended,
        }

    def observe(self, *, check: bool = False) -> Seen:
        """All pods of the namespace and what they were started with."""
        request = self.request
        objects = version_objects.read(self.client, request.app, request.namespace)
        pods = self.client.list("v1", "Pod", request.namespace)
        live = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in version_objects.ENDED]
        changes = self._changes(live, check=check)
        missed = {pod["metadata"]["name"]: freshness.missed(pod, changes) for pod in live}
        mine = {pod["metadata"]["name"] for pod in objects.pods}
        secret = Source("Secret", request.application.secret)
        others = [pod["metadata"]["name"] for pod in live if secret in freshness.sources(pod)]
        return Seen(
            objects=objects,
            live=[pod for pod in live if pod["metadata"]["name"] in mine],
            missed={name: change for name, change in missed.items() if change},
            others=[name for name in others if missed[name] and name not in mine],
        )

    def _changes(self, pods: list[Object], *, check: bool) -> dict[Source, Change]:
        found = sorted({source for pod in pods for source in freshness.sources(pod)})
        read = parallel(lambda one: self.client.get("v1", one.kind, one.name, self.request.namespace), found)
        changes = {source: freshness.changed(obj) for source, obj in zip(found, read, strict=True) if obj}
        if check:
            would = {source for source in found if source.name in self.request.changing}
            changes |= {source: Change(freshness.COMING, source) for source in would}
        return changes

    def _current(self, turns: Turns) -> str:
        """The login that a Secret names; the password beside it is not looked at."""
        namespace = self.request.namespace
        secret = self.client.get("v1", "Secret", turns.secret, namespace)
        data = {key: base64.b64decode(value).decode() for key, value in ((secret or {}).get("data") or {}).items()}
        name = data.get("username") or (parse_url(data["database-url"])["user"] if "database-url" in data else None)
        if name is None:
            raise DbosError(
                f"There is no Secret {namespace}/{turns.secret} with a username or database-url: run deploy.yml first."
            )
        if name not in turns.logins:
            raise DbosError(
                f"Secret {namespace}/{turns.secret} names login {name}, which is none of {', '.join(turns.logins)}: "
                "nothing is disabled on a guess. Set the names of the logins as role database has them."
            )
        return name

    def _former(self, turns: Turns, current: str) -> list[str]:
        """The others that may still log in."""
        if self.server is None:
            return []
        with self.server.connect() as admin:
            able = logins.enabled(admin, turns.logins)
        if current not in able:
            raise DbosError(
                f"Secret {self.request.namespace}/{turns.secret} names the login {current}, which may not log in: run "
                "roles database and secrets first, as deploy.yml and rotate.yml do."
            )
        return sorted(able - {current})

    def _restart(self, objects: version_objects.Objects, version: str, change: Change) -> None:
        """One pod after the other, by the workload's own controller, which goes on when this run is killed."""
        workload = objects.workload(version)
        if workload is None:
            raise DbosError(f"The pods of version {version} have no workload that would replace them: retire it first.")
        metadata, spec = workload["metadata"], workload["spec"]
        replicas, grace = spec.get("replicas", 1), spec["template"]["spec"].get("terminationGracePeriodSeconds", 30)
        self.progress.say(f"restart {version}: {change}")
        self.lease.check()
        # A merge patch: the next release applies its documents without this annotation, and so leaves it alone.
        patch = {"spec": {"template": {"metadata": {"annotations": {freshness.RESTARTED: change.time}}}}}
        self.client.patch("apps/v1", workload["kind"], metadata["name"], metadata["namespace"], patch)
        selector = naming.selector(self.request.app, version)
        pods_ready = executors.judge_pods(
            self.client, metadata["namespace"], selector, (freshness.RESTARTED, change.time)
        )

        def judge(obj: Object) -> State:
            state = pods_ready(obj)
            old = self.observe().versions().get(version) if state.done else None
            return State(False, f"a pod of before is still ending ({old})") if old else state

        target = Target("apps/v1", workload["kind"], metadata["name"], metadata["namespace"])
        limit = max(replicas, 1) * (grace + self.request.timeout)
        wait(self.client, [target], limit, judge=judge, progress=self.progress)
        record = objects.record(version)
        if record and ledger.parse(record).conductor:
            conductor.prove(self.client, metadata["namespace"], executors.labels(selector), self.progress)

    def _disable(self, current: Mapping[Turns, str], former: Mapping[Turns, list[str]]) -> int:
        """Only when nothing runs on the former logins; returns how many sessions nobody knew of were ended."""
        application = self.request.application
        seen = self.observe()
        if former[application] and (seen.versions() or seen.others):
            left = ", ".join([*seen.versions(), *(f"pod {name}" for name in seen.others)])
            raise DbosError(
                f"Login {former[application][0]} stays enabled: {left} was started before Secret "
                f"{application.secret} changed. Restart what this collection did not make, and run again."
            )
        ended = 0
        with self._admin() as admin:
            if former[application]:
                self._prove_sessions(admin, current[application], former[application], seen.live)
            for turns, names in former.items():
                for name in names:
                    self.lease.check()
                    count = logins.disable(admin, name)
                    # KEDA keeps its session until it is ended, and takes the new login for the next.
                    if count and turns is application:
                        self.warnings.append(f"{count} sessions of the former login {name} were ended: not by a pod's.")
                        ended += count
        return ended

    def _admin(self) -> Any:
        if self.server is None:
            raise DbosError("The database cannot be read, so no login is disabled.")
        return self.server.connect()

    def _prove_sessions(self, admin: Database, current: str, former: list[str], pods: list[Object]) -> None:
        """Every pod has a session as the new login; those of pods that have ended are gone, or are nobody's."""

        def settled() -> bool:
            return not strangers(logins.sessions(admin, current), pods) and not any(
                logins.sessions(admin, name) for name in former
            )

        if self._until(settled, "waiting for the sessions of the new login"):
            return
        left = strangers(logins.sessions(admin, current), pods)
        if left:
            raise DbosError(
                f"Without a session as the new login {current}: {', '.join(left)}. Login {', '.join(former)} stays "
                "enabled. See the pods' logs, and run again."
            )

    def _prove_scaling(self, login: str) -> None:
        """Each autoscaler is asked, which makes KEDA connect anew, and KEDA must be seen as the new login."""
        objects = version_objects.read(self.client, self.request.app, self.request.namespace, pods=False)
        found = [obj for obj in objects.autoscalers if self._asks_the_database(obj)]
        if not found:
            return
        targets = [
            Target("keda.sh/v1alpha1", "ScaledObject", obj["metadata"]["name"], obj["metadata"]["namespace"])
            for obj in found
        ]

        def judge(obj: Object) -> State:
            state = ready(obj)
            return autoscaling.served(self.client, obj) if state.done else state

        wait(self.client, targets, self.request.timeout, judge=judge, progress=self.progress)
        with self._admin() as admin:
            if not self._until(lambda: bool(logins.sessions(admin, login)), "waiting for KEDA's session"):
                raise DbosError(
                    f"KEDA has no session as {login}, so it keeps the replicas as they are. Its events tell why: "
                    f"kubectl -n {self.request.namespace} get events"
                )

    def _asks_the_database(self, obj: Object) -> bool:
        mine = (obj["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == self.request.app
        triggers = obj["spec"].get("triggers") or []
        return obj["kind"] == "ScaledObject" and mine and any(one["type"] == "postgresql" for one in triggers)

    def _until(self, condition: Callable[[], bool], what: str) -> bool:
        """Whether it came true in time."""
        deadline = time.monotonic() + SESSION_SECONDS
        with self.progress.step(what):
            while not condition():
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.5)
        return True


def strangers(addresses: Sequence[str | None], pods: Sequence[Object]) -> list[str]:
    """Pods without a session among those of C(addresses).

    Where no pod is known by its address (it is translated on the way, or hidden from the admin), their number counts.
    """
    names = {pod["metadata"]["name"]: (pod.get("status") or {}).get("podIP") for pod in pods}
    unknown = [name for name, address in names.items() if address not in addresses]
    if len(unknown) == len(names) and len(addresses) >= len(names):
        return []
    return unknown

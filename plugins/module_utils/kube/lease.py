# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One writer per application: a coordination.k8s.io Lease held by a run of Ansible.

The holder is the run (host, process and boot, or the AWX job), not the module: all modules of a run share it.
A holder on this machine that is dead is taken over at once, one elsewhere after C(DURATION) seconds without renewal.
"""

from __future__ import annotations

import datetime
import json
import os
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Object

VARIABLE = "DBOS_KUBERNETES_RUN"
DURATION = 60
RENEW_AFTER = 10
FROZEN = "dbos.kubernetes/frozen"  # annotation: JSON {by, reason}


@dataclass(frozen=True)
class Holder:
    """Who runs: host name, process id and its start time in clock ticks, boot id, AWX job number (or empty)."""

    host: str
    pid: int
    start: str
    boot: str
    job: str = ""

    def __str__(self) -> str:
        return f"awx-job-{self.job}" if self.job else f"{self.host}/{self.pid}/{self.start}/{self.boot}"

    def describe(self) -> str:
        """For a person."""
        return f"AWX job {self.job}" if self.job else f"process {self.pid} on {self.host}"


def parse(identity: str) -> Holder:
    """The holder from a Lease's holderIdentity; a foreign one becomes a host that is never local."""
    if identity.startswith("awx-job-"):
        return Holder("", 0, "", "", identity[len("awx-job-") :])
    parts = identity.rsplit("/", 3)
    if len(parts) == 4 and parts[1].isdigit():
        return Holder(parts[0], int(parts[1]), parts[2], parts[3])
    return Holder(identity, 0, "", "")


def current() -> Holder:
    """This run, as the action plugin names it; a module run without it stands for itself."""
    text = os.environ.get(VARIABLE)
    if text:
        run: dict[str, Any] = json.loads(text)
        return Holder(
            run["host"],
            int(run["pid"]),
            str(run["start"]),
            run["boot"],
            str(run.get("job") or ""),
        )
    return Holder(socket.gethostname(), os.getpid(), _start(os.getpid()) or "", _boot())


def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            fields = stream.read().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] == "Z" else fields[19]


def dead(holder: Holder) -> bool:
    """Whether the holder ran on this machine and is gone for certain; False when that cannot be known."""
    if holder.job or not holder.host or holder.host != socket.gethostname() or not holder.boot:
        return False
    return holder.boot != _boot() or _start(holder.pid) != holder.start


def age(spec: Object, now: datetime.datetime) -> float:
    """Seconds since the last renewal; infinite when there was none."""
    renewed = spec.get("renewTime")
    if not renewed:
        return float("inf")
    return (now - datetime.datetime.fromisoformat(renewed)).total_seconds()


class Held(DbosError):
    """Another run holds the application."""


class Frozen(DbosError):
    """Somebody has stopped every change of the application."""


def frozen_by(lease: Object | None) -> dict[str, str] | None:
    """Who froze the application and why: {by, reason}."""
    text = ((lease or {}).get("metadata", {}).get("annotations") or {}).get(FROZEN)
    return dict(json.loads(text)) if text else None


class Lease:
    """The Lease C(dbos-<application>) in the application's namespace.

    As a context manager it is held while the block runs, with a thread that renews it; it is released by the
    playbook's last task, not by each module.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        application: str,
        holder: Holder | None = None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = f"dbos-{application}"
        self._application = application
        self._holder = holder or current()
        self._stop = threading.Event()
        self._lost: DbosError | None = None

    @classmethod
    def from_params(cls, client: Client, params: Mapping[str, Any]) -> Lease:
        """That of the options C(namespace) and C(lease), by default the application's of C(name)."""
        return cls(client, params["namespace"], params["lease"] or params["name"])

    def hold(self) -> bool:
        """Take or renew the Lease. True when it was newly taken. Raises Held naming the holder and its age."""
        for _attempt in range(5):
            lease = self._client.get("coordination.k8s.io/v1", "Lease", self._name, self._namespace)
            self._refuse_frozen(lease)
            try:
                if lease is None:
                    self._client.create(self._object({}))
                    return True
                spec = lease.get("spec", {})
                mine = spec.get("holderIdentity") == str(self._holder)
                elapsed = age(spec, self._now())
                if mine and elapsed < RENEW_AFTER:
                    return False
                if not mine and spec.get("holderIdentity"):
                    self._refuse_unless_gone(parse(spec["holderIdentity"]), elapsed)
                self._client.replace(self._object(lease))
                return not mine
            except KubeError as error:
                # Somebody was faster: look again at what is there now.
                if error.reason not in ("AlreadyExists", "Conflict"):
                    raise
        raise Held(f"The lease of application {self._application} changes hands too fast; run again.")

    def frozen(self) -> dict[str, str] | None:
        """Who froze the application and why: {by, reason}; None while it is not."""
        return frozen_by(self._client.get("coordination.k8s.io/v1", "Lease", self._name, self._namespace))

    def freeze(self, by: str, reason: str) -> bool:
        """Stop every change until thaw(), that of a run that holds the Lease now too. False when it is so already."""
        return self._annotate(json.dumps({"by": by, "reason": reason}, sort_keys=True))

    def thaw(self) -> bool:
        """Allow changes again. False when they were."""
        return self._annotate(None)

    def _annotate(self, text: str | None) -> bool:
        for _attempt in range(5):
            lease = self._client.get("coordination.k8s.io/v1", "Lease", self._name, self._namespace)
            there = ((lease or {}).get("metadata", {}).get("annotations") or {}).get(FROZEN)
            if there == text:
                return False
            try:
                if lease is None:
                    lease = self._object({})
                    lease["spec"] = {}
                    lease["metadata"]["annotations"] = {FROZEN: text}
                    self._client.create(lease)
                elif text is None and not lease.get("spec", {}).get("holderIdentity"):
                    version = lease["metadata"]["resourceVersion"]
                    self._client.delete(
                        "coordination.k8s.io/v1", "Lease", self._name, self._namespace, resource_version=version
                    )
                else:
                    annotations = {**(lease["metadata"].get("annotations") or {}), FROZEN: text}
                    lease["metadata"]["annotations"] = {k: v for k, v in annotations.items() if v is not None}
                    self._client.replace(lease)
                return True
            except KubeError as error:
                if error.reason not in ("AlreadyExists", "Conflict"):
                    raise
        raise Held(f"The lease of application {self._application} changes hands too fast; run again.")

    def _refuse_frozen(self, lease: Object | None) -> None:
        found = frozen_by(lease)
        if found:
            raise Frozen(
                f"Application {self._application} in namespace {self._namespace} is frozen by {found['by']}: "
                f"{found['reason']}. Nothing was changed; lift it with module lease, state=thawed.",
                frozen=found,
            )

    def _refuse_unless_gone(self, other: Holder, elapsed: float) -> None:
        if dead(other) or elapsed >= DURATION:
            return
        raise Held(
            f"Another run is changing application {self._application} in namespace {self._namespace}: "
            f"{other.describe()}, seen {elapsed:.0f} s ago. Wait for it to end; if it died elsewhere, "
            f"its hold lapses {DURATION - elapsed:.0f} s from now.",
            holder=str(other),
        )

    def check(self) -> None:
        """Raise when another run has taken the Lease since; call before a write that follows a long wait."""
        if self._lost:
            raise self._lost
        self.hold()

    def release(self) -> bool:
        """Give the Lease up if this run holds it."""
        lease = self._client.get("coordination.k8s.io/v1", "Lease", self._name, self._namespace)
        if lease is None or lease.get("spec", {}).get("holderIdentity") != str(self._holder):
            return False
        if frozen_by(lease):
            lease["spec"] = {}
            self._client.replace(lease)
            return True
        return self._client.delete(
            "coordination.k8s.io/v1",
            "Lease",
            self._name,
            self._namespace,
            resource_version=lease["metadata"]["resourceVersion"],
        )

    def __enter__(self) -> Self:
        self.hold()
        self._renewal = threading.Thread(target=self._renew, daemon=True)
        self._renewal.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._renewal.join()  # else it might take again what is released next

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_AFTER + 5):
            try:
                self.hold()
            except Held as error:
                self._lost = error
                return
            except DbosError:
                # The API server may be gone for a moment; the next write tells.
                continue

    @staticmethod
    def _now() -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)

    def _object(self, previous: Object) -> Object:
        now = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = previous.get("spec", {})
        same = spec.get("holderIdentity") == str(self._holder)
        metadata: Object = {
            "name": self._name,
            "namespace": self._namespace,
            "labels": {
                "app.kubernetes.io/name": self._application,
                "app.kubernetes.io/component": "lease",
                "app.kubernetes.io/managed-by": "dbos.kubernetes",
            },
        }
        if previous:
            metadata["resourceVersion"] = previous["metadata"]["resourceVersion"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": str(self._holder),
                "leaseDurationSeconds": DURATION,
                "acquireTime": spec.get("acquireTime") if same else now,
                "renewTime": now,
                "leaseTransitions": spec.get("leaseTransitions", 0) + (0 if same or not previous else 1),
            },
        }

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for objects: pure judgements per kind, and one loop that watches instead of polling."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress


class State(NamedTuple):
    """A judgement: done, or failed for good, and the reason in words."""

    done: bool
    reason: str
    failed: bool = False


class Target(NamedTuple):
    """What to wait for."""

    api_version: str
    kind: str
    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"


Judge = Callable[[Object], State]


def condition(obj: Object, kind: str) -> Object:
    """The condition of that type, or an empty one."""
    conditions: list[Object] = obj.get("status", {}).get("conditions") or []
    return next((entry for entry in conditions if entry.get("type") == kind), {})


def ready(obj: Object) -> State:
    """Whether an object serves its purpose; kinds without a notion of readiness are done when they exist."""
    judge = _JUDGES.get(obj["kind"])
    return judge(obj) if judge else State(True, "exists")


def _observed(obj: Object) -> bool:
    return bool(obj.get("status", {}).get("observedGeneration", 0) >= obj["metadata"].get("generation", 0))


def _workload(obj: Object) -> State:
    spec, status = obj["spec"], obj.get("status", {})
    wanted = spec.get("replicas", 1)
    if not _observed(obj):
        return State(False, "not yet seen by its controller")
    progressing = condition(obj, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return State(False, progressing.get("message", "progress deadline exceeded"), failed=True)
    updated = status.get("updatedReplicas", 0)
    if obj["kind"] == "StatefulSet" and status.get("currentRevision") == status.get("updateRevision"):
        updated = status.get("currentReplicas", updated)
    available = status.get("availableReplicas", 0) if obj["kind"] == "Deployment" else status.get("readyReplicas", 0)
    done = updated >= wanted and available >= wanted and status.get("replicas", 0) == wanted
    return State(done, f"{available} of {wanted} pods ready")


def _daemon_set(obj: Object) -> State:
    status = obj.get("status", {})
    wanted, available = (
        status.get("desiredNumberScheduled", 0),
        status.get("numberReady", 0),
    )
    return State(_observed(obj) and available >= wanted, f"{available} of {wanted} pods ready")


def _job(obj: Object) -> State:
    failed = condition(obj, "Failed")
    if failed.get("status") == "True":
        return State(
            False,
            failed.get("message") or failed.get("reason") or "failed",
            failed=True,
        )
    done = condition(obj, "Complete").get("status") == "True"
    status = obj.get("status", {})
    return State(done, f"{status.get('active', 0)} pod active, {status.get('failed', 0)} failed")


def _pod(obj: Object) -> State:
    phase = obj.get("status", {}).get("phase", "Pending")
    if phase == "Failed":
        return State(False, obj["status"].get("message") or "failed", failed=True)
    return State(phase == "Succeeded" or condition(obj, "Ready").get("status") == "True", phase)


def _sealed_secret(obj: Object) -> State:
    if not _observed(obj):
        return State(False, "not yet seen by the controller")
    synced = condition(obj, "Synced")
    # A refusal may still be mended (the controller retries), so the waiter decides how long to believe it.
    return State(
        synced.get("status") == "True",
        synced.get("message") or f"Synced={synced.get('status', 'unknown')}",
    )


def _by_condition(kind: str) -> Judge:
    def judge(obj: Object) -> State:
        found = condition(obj, kind)
        return State(
            found.get("status") == "True",
            found.get("message") or f"{kind}={found.get('status', 'unknown')}",
        )

    return judge


def _namespace(obj: Object) -> State:
    phase = obj.get("status", {}).get("phase", "Active")
    return State(phase == "Active", phase)


_JUDGES: dict[str, Judge] = {
    "Deployment": _workload,
    "StatefulSet": _workload,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "Pod": _pod,
    "SealedSecret": _sealed_secret,
    "ScaledObject": _by_condition("Ready"),
    "CustomResourceDefinition": _by_condition("Established"),
    "APIService": _by_condition("Available"),
    "Node": _by_condition("Ready"),
    "Namespace": _namespace,
}


class Timeout(DbosError):
    """What was waited for did not come about in time."""


class Failed(DbosError):
    """What was waited for has failed for good."""


def wait(
    client: Client,
    targets: Sequence[Target],
    timeout: float,
    *,
    judge: Judge = ready,
    progress: Progress | None = None,
) -> dict[Target, Object]:
    """Watch all targets side by side until each is done; returns them as last seen.

    Raises Failed as soon as one has failed for good, Timeout (in seconds) naming each that is not done and why.
    """
    deadline = time.monotonic() + timeout
    seen: dict[Target, Object] = {}
    states: dict[Target, State] = {target: State(False, "does not exist") for target in targets}
    errors: list[DbosError] = []
    stop = threading.Event()

    def follow(target: Target) -> None:
        try:
            _follow(client, target, judge, deadline, stop, seen, states)
        except DbosError as error:
            errors.append(error)
        if states[target].failed or errors:
            stop.set()

    threads = [threading.Thread(target=follow, args=(target,), daemon=True) for target in targets]
    what = str(targets[0]) if len(targets) == 1 else f"{len(targets)} objects"
    with (progress or Progress()).step(f"waiting for {what}") as step:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and not stop.is_set():
            step.update(_open(states))
            next(thread for thread in threads if thread.is_alive() or thread is threads[-1]).join(0.2)
    if errors:
        raise errors[0]
    for target, state in states.items():
        if state.failed:
            raise Failed(f"{target} has failed: {state.reason}")
    if not all(state.done for state in states.values()):
        raise Timeout(f"Not ready after {timeout:.0f} s: {_open(states)}.")
    return seen


def _open(states: dict[Target, State]) -> str:
    return "; ".join(f"{target}: {state.reason}" for target, state in states.items() if not state.done)


def _follow(
    client: Client,
    target: Target,
    judge: Judge,
    deadline: float,
    stop: threading.Event,
    seen: dict[Target, Object],
    states: dict[Target, State],
) -> None:
    while not stop.is_set():
        obj = client.get(target.api_version, target.kind, target.name, target.namespace)
        if obj is not None:
            seen[target], states[target] = obj, judge(obj)
        remaining = deadline - time.monotonic()
        if states[target].done or states[target].failed or remaining <= 0:
            return
        version = obj["metadata"]["resourceVersion"] if obj else None
        # Slices, so that another target's failure ends this wait too.
        events = client.watch(
            target.api_version,
            target.kind,
            target.namespace,
            name=target.name,
            resource_version=version,
            timeout=min(remaining, 5.0),
        )
        for kind, found in events:
            if kind == "DELETED":
                states[target] = State(False, "was deleted")
                continue
            seen[target], states[target] = found, judge(found)
            if states[target].done or states[target].failed or stop.is_set():
                return

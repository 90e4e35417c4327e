# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a version's pods do not become ready, early and in words: with their own last lines where they have any."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import NamedTuple

from ansible_collections.dbos.kubernetes.plugins.module_utils import naming, workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube import pods
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import Judge, State, condition, ready

# The first crash may be a dependency that was not up yet; the kubelet restarts the container at once.
CRASHES = 2
# A Secret may still be on its way through its controller, a registry may not have answered once.
PATIENCE = 20.0
DOUBTFUL = ("CreateContainerConfigError", "ErrImagePull")
LINES = 20

# DBOS Conductor takes its key in the URL's path.
_KEY = re.compile(r"(wss?://\S*?/websocket/[^/\s\"']+/)[^\s\"']+")
_PASSWORD = re.compile(r"(://[^:/@\s]+):[^@\s]+@")


class Trouble(NamedTuple):
    """What is wrong with a pod, and whose lines tell why: C(container) is empty when nothing ever ran."""

    pod: str
    text: str
    hopeless: bool = False
    container: str = ""
    previous: bool = False


def redact(text: str) -> str:
    """The text without passwords in URLs and without the Conductor key."""
    return _PASSWORD.sub(r"\1:***@", _KEY.sub(r"\1***", text))


def trouble(pod: Object, now: datetime.datetime) -> Trouble | None:
    """What keeps the pod from being ready, None when nothing speaks against it."""
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return None
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    crash = next((found for found in (_crash(name, entry) for entry in containers) if found), None)
    if crash:
        return crash
    found = pods.trouble(pod)
    if found is None:
        return None
    doubtful = found.reason.startswith(DOUBTFUL) and _age(status, now) > PATIENCE
    return Trouble(name, found.reason, found.hopeless or doubtful)


def _age(status: Object, now: datetime.datetime) -> float:
    started = status.get("startTime")
    return (now - datetime.datetime.fromisoformat(started)).total_seconds() if started else 0.0


def _crash(pod: str, entry: Object) -> Trouble | None:
    state = entry.get("state") or {}
    ended = state.get("terminated") or (entry.get("lastState") or {}).get("terminated") or {}
    if not ended.get("exitCode") or entry.get("ready"):
        return None
    times = entry.get("restartCount", 0) + (0 if "running" in state else 1)
    why = f"{ended.get('reason', 'Error')}, exit code {ended['exitCode']}"
    text = f"container {entry['name']} ended {times} time{'s' if times > 1 else ''} ({why})"
    return Trouble(pod, text, times >= CRASHES, entry["name"], previous="running" in state)


def last_lines(client: Client, namespace: str, found: Trouble) -> str:
    """The container's last lines, without secrets; empty when there are none."""
    if not found.container:
        return ""
    return redact(client.logs(namespace, found.pod, found.container, LINES, previous=found.previous)).strip()


def judge(client: Client, spec: workload.Spec) -> Judge:
    """Judges a workload ready as usual, and failed as soon as one of its pods of this template cannot start."""
    annotation = (workload.TEMPLATE, workload.fingerprint(spec))
    return judge_pods(client, spec.namespace, naming.selector(spec.app, spec.version), annotation)


def judge_pods(client: Client, namespace: str, selector: Mapping[str, str], annotation: tuple[str, str]) -> Judge:
    """The same for the pods that carry an annotation (name, value) of their template."""
    wanted, (name, value) = labels(selector), annotation

    def judgement(obj: Object) -> State:
        state = ready(obj)
        if state.done or state.failed:
            return state
        now = datetime.datetime.now(datetime.UTC)
        found = client.list("v1", "Pod", namespace, label_selector=wanted)
        # A rolling change may start from broken pods of the template before it; those are none of its failures.
        current = [pod for pod in found if pod["metadata"].get("annotations", {}).get(name) == value]
        problems = [problem for problem in (trouble(pod, now) for pod in current) if problem]
        if not current:
            return _without_pods(client, obj, state)
        if not problems:
            return state
        worst = max(problems, key=lambda problem: problem.hopeless)
        text = f"{state.reason}; pod {worst.pod}: {worst.text}"
        if not worst.hopeless:
            return State(False, text)
        lines = last_lines(client, namespace, worst)
        return State(False, f"{text}. Its last lines:\n{lines}" if lines else text, failed=True)

    return judgement


def labels(selector: Mapping[str, str]) -> str:
    """A label selector as the API takes it."""
    return ",".join(f"{key}={value}" for key, value in selector.items())


def _without_pods(client: Client, obj: Object, state: State) -> State:
    """Pods that are never made: the namespace's rules, a quota or a missing ServiceAccount refuse them."""
    message = condition(obj, "ReplicaFailure").get("message", "")
    if not message and obj["kind"] == "StatefulSet":
        # A StatefulSet has no condition for it.
        message = pods.refusal(client, obj)
    if not message:
        return state
    return State(False, f"{state.reason}; its pods are refused: {message}", failed="forbidden" in message)

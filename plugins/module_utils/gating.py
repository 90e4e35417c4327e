# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a staged version has to pass before it is promoted: it answers, and it runs a workflow."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import executors, naming, workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import gate

# A Service takes a moment to find its pods.
ENDPOINT_SECONDS = 30.0
# How much of an answer or an error a person wants to read, and how many ids.
EXCERPT = 300
IDS = 50

Object = dict[str, Any]


class NotPassed(DbosError):
    """The version must not be promoted."""


@dataclass(frozen=True)
class Http:
    """A GET through the preview Service: the path, the wanted status, and what the body must contain."""

    path: str
    status: int = 200
    contains: str = ""


@dataclass(frozen=True)
class Workflow:
    """A workflow to enqueue on the version; C(timeout) in seconds is from the enqueueing to its end."""

    name: str
    queue: str
    inputs: Sequence[Any] = ()
    class_name: str | None = None
    timeout: float = 60.0


@dataclass(frozen=True)
class Subject:
    """The version that is gated; C(owner) is the application's name in DBOS."""

    app: str
    namespace: str
    version: str
    owner: str
    port: int


def preview(subject: Subject) -> Object:
    """The Service that leads to the gated version only."""
    document = workload.service(subject.app, subject.namespace, subject.port, subject.version)
    document["metadata"] |= {
        "name": naming.preview_name(subject.app),
        "labels": naming.labels(subject.app, component="preview"),
    }
    return document


def proxy(subject: Subject, path: str) -> str:
    """The API server's path to the preview Service."""
    name = naming.preview_name(subject.app)
    return f"/api/v1/namespaces/{subject.namespace}/services/{name}:http/proxy/{path.removeprefix('/')}"


def unanswered(status: int, body: bytes) -> bool:
    """Whether the API server says that it reached no pod, which is not an answer of the application.

    It may not know a Service yet (404) that was made a moment ago.
    """
    if status not in (404, 500, 502, 503, 504):
        return False
    try:
        found = json.loads(body)
    except ValueError:
        return body.startswith(b"error trying to reach service")
    return isinstance(found, dict) and found.get("kind") == "Status" and found.get("apiVersion") == "v1"


def wrong(wanted: Http, status: int, body: bytes) -> str | None:
    """What is wrong with an answer, None when it is as wanted."""
    text = executors.redact(" ".join(body.decode(errors="replace").split()))[:EXCERPT]
    if status != wanted.status:
        return f"GET {wanted.path} answered {status} instead of {wanted.status}: {text}"
    if wanted.contains not in body.decode(errors="replace"):
        return f"GET {wanted.path} answered without '{wanted.contains}': {text}"
    return None


def get(client: Client, subject: Subject, wanted: Http) -> None:
    """Ask once; only for as long as no pod can be reached, ask again. Raises NotPassed."""
    deadline = time.monotonic() + ENDPOINT_SECONDS
    while True:
        status, body = client.raw("GET", proxy(subject, wanted.path))
        if not unanswered(status, body):
            break
        if time.monotonic() > deadline:
            raise NotPassed(
                f"GET {wanted.path} reached no pod of version {subject.version} within {ENDPOINT_SECONDS:.0f} s: "
                "none of its pods is ready."
            )
        time.sleep(0.5)
    problem = wrong(wanted, status, body)
    if problem:
        raise NotPassed(problem)


def run_workflow(database: Database, subject: Subject, wanted: Workflow, progress: Progress) -> str:
    """Enqueue the workflow on the version and wait for its success; its id. Raises NotPassed.

    Attempts are numbered, so that a run after a killed one waits for that one's workflow instead of another.
    """
    attempt, found = 1, gate.state(database, _id(subject, 1))
    while found and found[0] not in ("ENQUEUED", "PENDING"):
        attempt += 1
        found = gate.state(database, _id(subject, attempt))
    id_ = _id(subject, attempt)
    gate.enqueue(
        database, subject.owner, subject.version, id_, wanted.name, wanted.queue, wanted.inputs, wanted.class_name
    )
    deadline = time.monotonic() + wanted.timeout
    with progress.step(f"waiting for workflow {wanted.name} on version {subject.version}") as step:
        while True:
            status, error = gate.state(database, id_) or ("gone", "")
            step.update(status)
            if status not in ("ENQUEUED", "PENDING"):
                break
            if time.monotonic() > deadline:
                gate.cancel(database, id_)
                hint = f"does a worker of it serve queue {wanted.queue}?" if status == "ENQUEUED" else "it was running."
                raise NotPassed(
                    f"Workflow {wanted.name} ({id_}) was still {status} after {wanted.timeout:.0f} s and was "
                    f"cancelled: {hint}"
                )
            time.sleep(0.3)
    if status != "SUCCESS":
        why = executors.redact(" ".join(error.split()))[:EXCERPT]
        raise NotPassed(f"Workflow {wanted.name} ({id_}) ended as {status}" + (f": {why}" if why else "."))
    return id_


def _id(subject: Subject, attempt: int) -> str:
    return f"{subject.owner}-{subject.version}-gate-{attempt}"


def account(made: Sequence[Mapping[str, str]]) -> str:
    """What the version has made, in words."""
    if not made:
        return "It made no workflow."
    counts = Counter(row["status"] for row in made)
    ids = ", ".join(row["id"] for row in made[:IDS]) + (", …" if len(made) > IDS else "")
    states = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return f"It made {len(made)} workflow{'s' if len(made) > 1 else ''} ({states}): {ids}."


def verdict(problem: str, subject: Subject, serving: str | None, made: Sequence[Mapping[str, str]]) -> str:
    """The whole message of a gate that was not passed."""
    left = f"{serving} goes on serving" if serving else "no version serves yet"
    return (
        f"Version {subject.version} of {subject.app} is not promoted: {problem.rstrip('.')}. {account(made)} "
        f"It stays staged, and {left}. Run again once the cause is mended, or release another version."
    )

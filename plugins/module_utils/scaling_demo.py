# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives an application work and watches its replicas rise and fall, all through the API server."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

POLL = 1.0


@dataclass
class Course:
    """The course of the replicas; pure, so that rise and fall can be judged without a cluster."""

    started: int
    samples: list[dict[str, Any]] = field(default_factory=list)
    unfinished: int = 0

    def add(self, seconds: float, replicas: int, unfinished: int | None) -> bool:
        """Keeps a sample if it tells something new, and says whether it does. None: no answer this time."""
        self.unfinished = self.unfinished if unfinished is None else unfinished
        sample = {"seconds": round(seconds), "replicas": replicas, "unfinished": self.unfinished}
        last = self.samples[-1] if self.samples else {}
        if all(last.get(key) == sample[key] for key in ("replicas", "unfinished")):
            return False
        self.samples.append(sample)
        return True

    @property
    def peak(self) -> int:
        return max((sample["replicas"] for sample in self.samples), default=self.started)

    @property
    def over(self) -> bool:
        """Risen, all work done, and back to no more than it began with."""
        return self.peak > self.started and self.unfinished == 0 and self.samples[-1]["replicas"] <= self.started


def run(client: Client, namespace: str, application: str, *, workflows: int, seconds: int, timeout: int) -> Course:
    service = client.get("v1", "Service", application, namespace)
    if service is None:
        raise DbosError(f"There is no Service {application} in namespace {namespace}: deploy first (deploy.yml).")
    version = service["spec"]["selector"].get("app.kubernetes.io/version")
    path = _proxy(namespace, application, service["spec"]["ports"][0]["port"])
    progress, began = Progress(), time.monotonic()
    course = Course(started=_replicas(client, namespace, application, version))
    course.add(0, course.started, _unfinished(client, path))
    progress.say(f"{course.started} replicas; enqueuing {workflows} workflows of {seconds} s")
    for _number in range(workflows):
        status, body = client.raw("POST", f"{path}/enqueue/{seconds}")
        if status != 200:
            answer = body.decode(errors="replace").strip()[:300]
            raise DbosError(f"/enqueue/{seconds} of {application} answered {status}: {answer}")
    while (elapsed := time.monotonic() - began) < timeout:
        if course.add(elapsed, _replicas(client, namespace, application, version), _unfinished(client, path)):
            replicas = course.samples[-1]["replicas"]
            drawn = "#" * replicas
            progress.say(f"{elapsed:4.0f} s  {course.unfinished:3d} unfinished  {replicas:2d} replicas {drawn}")
        if course.over:
            return course
        time.sleep(POLL)
    raise DbosError(
        f"After {timeout} s {application} has {course.samples[-1]['replicas']} replicas for {course.unfinished} "
        f"unfinished workflows; it began with {course.started} and had {course.peak} at most. Look at status.yml "
        f"and at kubectl describe scaledobject -n {namespace}.",
        samples=course.samples,
    )


def _proxy(namespace: str, service: str, port: int) -> str:
    return f"/api/v1/namespaces/{quote(namespace)}/services/{quote(service)}:{port}/proxy"


def _unfinished(client: Client, path: str) -> int | None:
    status, body = client.raw("GET", f"{path}/metrics/taskQueue")
    # A pod that is being scaled in may refuse the request it just got.
    return int(json.loads(body)["queue_length"]) if status == 200 else None


def _replicas(client: Client, namespace: str, application: str, version: str | None) -> int:
    labels = f"app.kubernetes.io/name={application},app.kubernetes.io/component=executor"
    if version is not None:
        labels += f",app.kubernetes.io/version={version}"
    found = [one for kind in ("StatefulSet", "Deployment") for one in client.list("apps/v1", kind, namespace, labels)]
    return sum(int(workload.get("status", {}).get("replicas") or 0) for workload in found)

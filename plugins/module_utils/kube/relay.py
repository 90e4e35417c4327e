# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A TCP path to a private database, through the Kubernetes API server.

A Job runs a relay (socat's two arguments) that listens on its pod's loopback only, so nothing in the cluster can use it
as a proxy; the API server's port-forward reaches it, and Bridge offers it on a port of 127.0.0.1 here.
One relay serves all modules of a run of Ansible; it ends with the play, or by its deadline when the run was killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ansible_collections.dbos.kubernetes.plugins.module_utils import naming
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.pods import (
    RESTRICTED_CONTAINER,
    RESTRICTED_POD,
    by_a_rule,
    phase,
    refusal,
    trouble,
)

PORT = 5432
CHUNK = 65536
START_TIMEOUT = 120.0
DOUBT = 15.0  # seconds that a reason which may heal is watched
LABEL = "dbos.kubernetes/relay"
RUN_LABEL = "dbos.kubernetes/run"
RUN = "DBOS_KUBERNETES_RUN"


def run_id() -> str:
    """A label value for the run of Ansible that this module belongs to."""
    run = os.environ.get(RUN) or f"pid {os.getpid()}"
    return hashlib.sha256(run.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Spec:
    """Which relay: where it runs, and the one address that it connects to."""

    namespace: str
    image: str
    application: str
    host: str
    port: int
    deadline: int = 1800

    @property
    def name(self) -> str:
        """Unique per application, run and target; a module outside the action plugin is a run of its own."""
        digest = hashlib.sha256(f"{run_id()}|{self.host}|{self.port}|{self.image}".encode()).hexdigest()
        return f"{self.application[:40].rstrip('-')}-relay-{digest[:10]}"

    @property
    def of_a_run(self) -> bool:
        """Whether other modules of the same run will use it too."""
        return bool(os.environ.get(RUN))


def job(spec: Spec) -> Object:
    """The relay's Job."""
    labels = {
        **naming.labels(spec.application, component="relay"),
        LABEL: spec.name,
        RUN_LABEL: run_id(),
    }
    target = f"[{spec.host}]" if ":" in spec.host else spec.host
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": spec.name, "namespace": spec.namespace, "labels": labels},
        "spec": {
            "activeDeadlineSeconds": spec.deadline,
            "ttlSecondsAfterFinished": 10,
            "backoffLimit": 3,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 0,
                    "securityContext": RESTRICTED_POD,
                    "containers": [
                        {
                            "name": "relay",
                            "image": spec.image,
                            # A tag may mean another image by now, such as after an upgrade of the local platform.
                            "imagePullPolicy": "IfNotPresent" if "@sha256:" in spec.image else "Always",
                            "args": [
                                f"TCP-LISTEN:{PORT},bind=127.0.0.1,fork,reuseaddr",
                                f"TCP:{target}:{spec.port},connect-timeout=10",
                            ],
                            "securityContext": RESTRICTED_CONTAINER,
                            "resources": {
                                "requests": {"cpu": "10m", "memory": "16Mi"},
                                "limits": {"memory": "64Mi"},
                            },
                        }
                    ],
                },
            },
        },
    }


class Relay:
    """One relay: started when it is first needed, found again by the run's other modules."""

    def __init__(self, client: Client, spec: Spec) -> None:
        self.client = client
        self.spec = spec
        self.created = False

    def start(self) -> None:
        """Create the Job unless it is there; a finished one is replaced. Does not wait for its pod."""
        for _attempt in range(3):
            try:
                self.client.create(job(self.spec))
                self.created = True
                return
            except KubeError as error:
                if error.reason == "AlreadyExists":
                    if not self._remove_finished():
                        return
                elif error.status == 404:
                    raise NamespaceAbsent(
                        f"Namespace {self.spec.namespace} does not exist, so no relay to the database can run in it. "
                        "Deploy the application first (role release makes its namespace)."
                    ) from error
                else:
                    raise KubeError(
                        f"The relay to the database could not be started: {error.msg}", error.status, error.reason
                    ) from error

    def _remove_finished(self) -> bool:
        found = self._job()
        if found is None:
            return True
        if not _over(found):
            return False
        self.client.delete("batch/v1", "Job", self.spec.name, self.spec.namespace, uid=found["metadata"]["uid"])
        time.sleep(0.5)
        return True

    def _job(self) -> Object | None:
        return self.client.get("batch/v1", "Job", self.spec.name, self.spec.namespace)

    def stop(self) -> bool:
        """Delete the Job and its pod; False when there was none."""
        return self.client.delete("batch/v1", "Job", self.spec.name, self.spec.namespace)

    def pod(self) -> str:
        """Name of the running pod; starts the relay when there is none."""
        pods = self._pods()
        running = _running(pods)
        if running:
            return running
        if not pods:
            self.start()
        return self._wait()

    def _pods(self) -> list[Object]:
        """Its pods but those that are going: a relay before it may have had the same name."""
        pods = self.client.list("v1", "Pod", self.spec.namespace, f"{LABEL}={self.spec.name}")
        return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]

    def _wait(self) -> str:
        deadline = time.monotonic() + START_TIMEOUT
        doubted: float | None = None
        reason = "its pod was not created"
        while (now := time.monotonic()) < deadline:
            pods = self._pods()
            running = _running(pods)
            if running:
                return running
            problems = [(pod, found) for pod in pods if (found := trouble(pod))]
            for pod, found in problems:
                reason = found.reason
                doubted = doubted or now
                # A pod that failed before may have been evicted: then the Job makes another.
                if found.hopeless or (phase(pod) == "Failed" and self.created) or now - doubted > DOUBT:
                    why = self._explain(pod, reason)  # before its log goes with it
                    self.stop()
                    raise DbosError(f"The relay to the database cannot run: {why}")
            if not pods:
                owner = self._job()
                if owner is None or _over(owner):
                    self.start()  # the one that was found has ended just then
                    continue
                reason = refusal(self.client, owner) or reason
                if by_a_rule(reason):
                    self.stop()
                    raise DbosError(f"The relay to the database cannot run: {reason}")
            for _event, pod in self.client.watch(
                "v1", "Pod", self.spec.namespace, label_selector=f"{LABEL}={self.spec.name}", timeout=2.0
            ):
                if phase(pod) == "Running" or trouble(pod):
                    break
        self.stop()
        raise DbosError(f"The relay to the database did not start within {START_TIMEOUT:.0f} s: {reason}")

    def _explain(self, pod: Object, reason: str) -> str:
        last = self.last_words(pod["metadata"]["name"])
        return f"{reason}. Its last line: {last}" if last else reason

    def last_words(self, pod: str) -> str:
        """The last line of the relay's log: what it could not resolve, or who refused it."""
        lines = self.client.logs(self.spec.namespace, pod, tail=1).strip().splitlines()
        return lines[-1] if lines else ""

    @contextlib.contextmanager
    def open(self, *, keep: bool) -> Iterator[Bridge]:
        """The relay's port, here. With C(keep) the relay stays for the other modules of the run, if there is a run."""
        try:
            with Bridge(self) as bridge:
                yield bridge
        finally:
            if self.created and not (keep and self.spec.of_a_run):
                # It ends by its deadline anyway: no reason to hide what happened inside the block.
                with contextlib.suppress(KubeError):
                    self.stop()


def stop_run(client: Client, namespace: str, application: str) -> int:
    """Stop every relay that this run has for the application; says how many there were."""
    selector = ",".join(
        f"{key}={value}"
        for key, value in {**naming.labels(application, component="relay"), RUN_LABEL: run_id()}.items()
    )
    jobs = client.list("batch/v1", "Job", namespace, selector)
    return sum(client.delete("batch/v1", "Job", job["metadata"]["name"], namespace) for job in jobs)


class NamespaceAbsent(DbosError):
    """There is no namespace to run a relay in."""


class Bridge:
    """A listener on 127.0.0.1 whose connections are carried to the relay's pod, one port-forward each."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.pod = relay.pod()
        self.error = ""  # why the last connection could not be carried
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        self._excepthook = threading.excepthook

    def __enter__(self) -> Bridge:
        threading.excepthook = self._thread_ended
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.close()
        threading.excepthook = self._excepthook

    def _thread_ended(self, how: threading.ExceptHookArgs) -> None:
        """The library's thread breaks when the API server hangs up while it sends: _return tells why already."""
        broken = how.exc_type is not None and issubclass(how.exc_type, OSError)
        if not (broken and how.thread and how.thread.name.startswith("Kubernetes port forward")):
            self._excepthook(how)

    def renew(self) -> None:
        """Look for the pod again: after a broken stream it may be another one, or have to be started."""
        self.pod = self._relay.pod()
        self.error = ""

    @property
    def may_recover(self) -> bool:
        """Whether the last connection failed on the way to the relay: it does not listen yet, or a kubelet restarts."""
        return "refused" in self.error or "port-forward" in self.error

    def last_words(self) -> str:
        """What the relay said last."""
        return self._relay.last_words(self.pod)

    def _accept(self) -> None:
        while True:
            try:
                here, _address = self._listener.accept()
            except OSError:
                return  # closed: the module has ended
            threading.Thread(target=self._carry, args=(here,), daemon=True).start()

    def _carry(self, here: socket.socket) -> None:
        spec, client = self._relay.spec, self._relay.client
        try:
            forward = port_forward(client, spec.namespace, self.pod)
        except Exception as error:
            self.error = f"port-forward to pod {self.pod} failed: {handshake_error(error)}"
            here.close()
            return
        there = forward.socket(PORT)
        threading.Thread(target=self._return, args=(forward, there, here), daemon=True).start()
        with contextlib.suppress(OSError):
            while data := here.recv(CHUNK):
                there.sendall(data)
        _end(there, socket.SHUT_WR)

    def _return(self, forward: Any, there: Any, here: socket.socket) -> None:
        # Read to the end whether or not libpq still listens: the library's thread breaks when nobody reads.
        with contextlib.suppress(OSError):
            while data := there.recv(CHUNK):
                with contextlib.suppress(OSError):
                    here.sendall(data)
        # Said before libpq notices the end, so that its error can be explained.
        self.error = forward.error(PORT) or self.error
        _end(here, socket.SHUT_RDWR)


def port_forward(client: Client, namespace: str, pod: str) -> Any:
    """One stream to the relay's port, by the library's websocket client."""
    from kubernetes.stream.ws_client import portforward_call

    path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/portforward"
    settings = client.configuration.auth_settings().values()
    return portforward_call(
        client.configuration,
        "GET",
        client.host + path,
        query_params=[("ports", str(PORT))],
        headers={entry["key"]: entry["value"] for entry in settings if entry["in"] == "header" and entry["value"]},
    )


def handshake_error(error: Exception) -> str:
    """The server's own words out of the websocket library's, which hold all headers."""
    found = re.search(r'"message":"((?:[^"\\]|\\.)*)"', str(error))
    return json.loads(f'"{found[1]}"') if found else " ".join(str(error).split())[:300]


def _end(side: Any, how: int) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(how)


def _over(job: Object) -> bool:
    return bool(job.get("status", {}).get("conditions") or job["metadata"].get("deletionTimestamp"))


def _running(pods: list[Object]) -> str | None:
    for pod in pods:
        if phase(pod) == "Running":
            return str(pod["metadata"]["name"])
    return None

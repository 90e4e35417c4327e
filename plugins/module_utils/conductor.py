# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DBOS Conductor: which URLs are safe to use, and what an application's log says about the connection."""

from __future__ import annotations

import re
import time
from urllib.parse import urlsplit

from ansible_collections.dbos.kubernetes.plugins.module_utils import workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.executors import redact
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

# A pod connects just after it is launched.
SECONDS = 30.0
# The same sentence in every SDK (Python, TypeScript, Go, Java, Rust).
_CONNECTED = re.compile(r"connected to DBOS conductor", re.IGNORECASE)
_ABOUT = re.compile(r"conductor|dbos.enterprise|websocket", re.IGNORECASE)
_ENTERPRISE = re.compile(r"requires \S*dbos.enterprise|dbos\[enterprise\]|dbos-enterprise", re.IGNORECASE)


def check_url(url: str) -> None:
    """Refuse a URL that would carry the key in the clear, or that is none; empty is the managed Conductor."""
    if not url:
        return
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise DbosError(
            f"release_conductor_url is '{redact(url)}', but must be ws://… (inside the cluster) or wss://…; "
            "leave it empty for DBOS' managed Conductor."
        )
    if parts.scheme == "ws" and not in_cluster(parts.hostname):
        raise DbosError(
            f"release_conductor_url uses ws:// to {parts.hostname}, which is not in the cluster: the key would cross "
            "the network readable. Use wss://, or the Service's name, such as conductor.dbos.svc.cluster.local."
        )


def in_cluster(host: str) -> bool:
    """Whether a name is a Service's: name, name.namespace.svc or name.namespace.svc.<cluster's domain>."""
    labels = host.split(".")
    return len(labels) == 1 or (len(labels) >= 3 and labels[2] == "svc")


def connected(log: str) -> bool:
    """Whether the application says that it reached Conductor."""
    return bool(_CONNECTED.search(log))


def why_not(log: str) -> str:
    """The application's own last words about Conductor, with the way out where it is known."""
    lines = [redact(line).strip() for line in log.splitlines() if _ABOUT.search(line)]
    said = (
        "It says: " + " | ".join(lines[-3:])
        if lines
        else "It says nothing about Conductor: its code must pass the key on."
    )
    return f"{said} {enterprise_hint(log)}".strip()


def enterprise_hint(log: str) -> str:
    """The way out when the SDK misses its enterprise package; empty when that is not what happened."""
    if not _ENTERPRISE.search(log):
        return ""
    return (
        "This SDK needs DBOS' enterprise package to connect: add it to the image "
        "(Python 'dbos[enterprise]', Go 'go.dbos.dev/dbos-enterprise-go', TypeScript '@dbos-inc/dbos-enterprise'), "
        "or set release_conductor to false."
    )


def prove(client: Client, namespace: str, labels: str, progress: Progress) -> None:
    """Waits until each of the pods says that it is connected, or fails with what it says instead."""
    deadline = time.monotonic() + SECONDS
    with progress.step("waiting for the connection to Conductor"):
        while True:
            names = [pod["metadata"]["name"] for pod in client.list("v1", "Pod", namespace, labels)]
            logs = {name: client.logs(namespace, name, workload.CONTAINER, 2000) for name in names}
            silent = [name for name, log in logs.items() if not connected(log)]
            if not silent:
                return
            if time.monotonic() > deadline:
                raise DbosError(f"Pod {silent[0]} did not connect to Conductor. {why_not(logs[silent[0]])}")
            time.sleep(1)

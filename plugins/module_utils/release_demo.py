# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clients of the sample application that ask without a pause while its versions change: a Pod in its namespace."""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

from ansible_collections.dbos.kubernetes.plugins.module_utils import naming
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.pods import RESTRICTED_CONTAINER, RESTRICTED_POD
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import Target, wait

COMPONENT = "demo-clients"
CONTAINER = "clients"
# Should nobody stop them, they stop by themselves.
DEADLINE = 1800
# One request in fifty enqueues a workflow of a second; a line tells the count every ten requests. (A static busybox'
# own `wget -T` crashes.)
_ASK = """
n=0; f=0
while :; do
  n=$((n+1)); path=healthz
  [ $((n % 50)) = 1 ] && path=enqueue/1
  timeout 10 wget -q -O /dev/null "http://$SERVICE/$path" || f=$((f+1))
  [ $((n % 10)) = 0 ] && echo "asked $n failed $f"
  usleep 20000
done
"""
_COUNT = re.compile(r"asked (\d+) failed (\d+)")


class Count(NamedTuple):
    """Requests that were made, and those of them that were not answered with success."""

    asked: int
    unanswered: int


def pod(app: str, namespace: str, image: str, port: int, name: str) -> Object:
    """The clients' Pod; C(image) has busybox' sh, wget and usleep."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": naming.labels(app, component=COMPONENT)},
        "spec": {
            "activeDeadlineSeconds": DEADLINE,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {**RESTRICTED_POD, "runAsUser": 65532},
            "containers": [
                {
                    "name": CONTAINER,
                    "image": image,
                    "command": ["sh", "-c", _ASK],
                    "env": [{"name": "SERVICE", "value": f"{app}:{port}"}],
                    "securityContext": RESTRICTED_CONTAINER,
                    "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}},
                }
            ],
        },
    }


def count(log: str) -> Count:
    """What the clients said last. Pure."""
    said = _COUNT.findall(log)
    return Count(*map(int, said[-1])) if said else Count(0, 0)


def start(client: Client, app: str, namespace: str, image: str, timeout: float) -> None:
    """Start the clients, in place of any that were left, and wait until they run."""
    service = client.get("v1", "Service", app, namespace)
    if service is None:
        raise DbosError(f"There is no Service {app} in namespace {namespace}: deploy first (deploy.yml).")
    for left in _pods(client, app, namespace):
        client.delete("v1", "Pod", left, namespace)
    name = f"{app[:40]}-{COMPONENT}-{secrets.token_hex(3)}"
    client.create(pod(app, namespace, image, service["spec"]["ports"][0]["port"], name))
    wait(client, [Target("v1", "Pod", name, namespace)], timeout)


def stop(client: Client, app: str, namespace: str) -> Count:
    """Stop the clients, and tell what they have seen."""
    names = _pods(client, app, namespace)
    if not names:
        raise DbosError(f"No clients run in namespace {namespace}: they were not started, or have ended by themselves.")
    seen = count(client.logs(namespace, names[0], CONTAINER, 1))
    client.delete("v1", "Pod", names[0], namespace)
    return seen


def _pods(client: Client, app: str, namespace: str) -> list[str]:
    selector = ",".join(f"{key}={value}" for key, value in naming.labels(app, component=COMPONENT).items())
    return [found["metadata"]["name"] for found in client.list("v1", "Pod", namespace, selector)]

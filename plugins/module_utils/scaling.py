# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""KEDA's documents for one version: scaling by the work in the system database, or by the application's own metric."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import naming
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.scaling import replicas_wanted

Object = dict[str, Any]

# From 11 replicas on "one more" is less than the 10 % that an HPA ignores; since 1.35 that can be told to it.
TOLERANCE_SINCE = (1, 35)
MOST_WITHOUT_TOLERANCE = 10
# Failed reads in a row before KEDA takes the fallback, which is to change nothing.
FAILURES = 3


@dataclass(frozen=True)
class DatabaseTrigger:
    """Where KEDA asks for the replicas wanted; the Secret has the password and, unless it is C(user), the username."""

    host: str
    port: int
    database: str
    user: str
    secret: str
    sslmode: str = "verify-full"


@dataclass(frozen=True)
class MetricsTrigger:
    """The application's own endpoint, through its Service."""

    path: str
    port: int
    value: str = "queue_length"


@dataclass(frozen=True)
class Spec:
    """One version's scaling; C(interval) and C(scale_in_delay) in seconds, C(concurrency) in workflows per executor."""

    app: str
    namespace: str
    version: str
    strategy: str
    kind: str
    owner: str
    minimum: int
    maximum: int
    concurrency: int
    interval: int
    scale_in_delay: int
    trigger: DatabaseTrigger | MetricsTrigger
    zero_confirmed: bool = False

    @property
    def name(self) -> str:
        """ScaledObject and TriggerAuthentication are named as the workload."""
        return naming.workload_name(self.app, self.version, self.strategy)


def check(spec: Spec) -> None:
    """Refuse limits that cannot work, or that stop the application without being asked for."""
    if spec.maximum < max(spec.minimum, 1) or spec.minimum < 0:
        raise DbosError(
            f"autoscaling_min_replicas {spec.minimum} and autoscaling_max_replicas {spec.maximum} contradict "
            "each other."
        )
    if spec.concurrency < 1:
        raise DbosError("autoscaling_concurrency is the number of workflows one executor runs at once, at least 1.")
    if spec.minimum > 0:
        return
    if isinstance(spec.trigger, MetricsTrigger):
        raise DbosError(
            "autoscaling_min_replicas must be 1 or more with autoscaling_trigger metrics_api: the metric comes from "
            "the application itself, so without a pod nothing would ever start one. Use the trigger database for 0."
        )
    if not spec.zero_confirmed:
        raise DbosError(
            "autoscaling_min_replicas 0 stops the application while it has no work: no HTTP is served and no schedule "
            "fires then. Confirm it with autoscaling_scale_to_zero: true, or keep 1."
        )


def server_version(text: str) -> tuple[int, int]:
    """Major and minor of a version such as v1.36.3-eks-1."""
    found = re.match(r"v?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def limited(spec: Spec, server: tuple[int, int]) -> str | None:
    """Why this cluster cannot scale to the maximum one by one, None when it can."""
    if isinstance(spec.trigger, MetricsTrigger) or server >= TOLERANCE_SINCE or spec.maximum <= MOST_WITHOUT_TOLERANCE:
        return None
    return (
        f"Kubernetes {server[0]}.{server[1]} ignores a change under 10 %, so one workflow more than "
        f"{MOST_WITHOUT_TOLERANCE} executors can take would wait: at most {MOST_WITHOUT_TOLERANCE} replicas are used "
        f"instead of {spec.maximum}. Kubernetes {TOLERANCE_SINCE[0]}.{TOLERANCE_SINCE[1]} has no such limit."
    )


def unverified(spec: Spec) -> str | None:
    """A warning when KEDA does not check who it sends the metrics login's password to."""
    if not isinstance(spec.trigger, DatabaseTrigger) or spec.trigger.sslmode == "verify-full":
        return None
    return (
        "KEDA reaches the database with sslmode=require: encrypted, but whoever answers is believed. "
        "Give KEDA the database's CA (role addons does) and set autoscaling_sslmode to verify-full."
    )


def with_kind(spec: Spec, kind: str) -> Spec:
    """The same for a workload of that kind."""
    return replace(spec, kind=kind)


def documents(spec: Spec, server: tuple[int, int]) -> list[Object]:
    """TriggerAuthentication (for the database) and ScaledObject."""
    found = [_scaled_object(spec, server)]
    if isinstance(spec.trigger, DatabaseTrigger):
        found.insert(0, _authentication(spec, spec.trigger))
    return found


def _metadata(spec: Spec) -> Object:
    labels = naming.labels(spec.app, spec.version, "autoscaling")
    return {"name": spec.name, "namespace": spec.namespace, "labels": labels}


def _authentication(spec: Spec, trigger: DatabaseTrigger) -> Object:
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": _metadata(spec),
        "spec": {
            "secretTargetRef": [
                # Both from one place: a rotation changes them together. A Secret without username leaves the trigger's.
                {"parameter": "userName", "name": trigger.secret, "key": "username"},
                {"parameter": "password", "name": trigger.secret, "key": "password"},
            ]
        },
    }


def _scaled_object(spec: Spec, server: tuple[int, int]) -> Object:
    maximum = min(spec.maximum, MOST_WITHOUT_TOLERANCE) if limited(spec, server) else spec.maximum
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": _metadata(spec),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": spec.kind, "name": spec.name},
            "pollingInterval": spec.interval,
            # KEDA's own delay concerns the last step to 0 only.
            "cooldownPeriod": spec.scale_in_delay,
            "minReplicaCount": spec.minimum,
            "maxReplicaCount": maximum,
            # An unreachable database says nothing about the work: keep what is there.
            "fallback": {
                "failureThreshold": FAILURES,
                "replicas": max(spec.minimum, 1),
                "behavior": "currentReplicas",
            },
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(spec, server, maximum)}},
            "triggers": [_trigger(spec)],
        },
    }


def _behavior(spec: Spec, server: tuple[int, int], maximum: int) -> Object:
    up: Object = {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": maximum, "periodSeconds": 15}],
    }
    if server >= TOLERANCE_SINCE:
        up["tolerance"] = "0"
    return {
        "scaleUp": up,
        "scaleDown": {
            "stabilizationWindowSeconds": spec.scale_in_delay,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        },
    }


def _trigger(spec: Spec) -> Object:
    trigger = spec.trigger
    if isinstance(trigger, MetricsTrigger):
        url = f"http://{spec.app}.{spec.namespace}.svc:{trigger.port}{trigger.path}"
        metadata = {"url": url, "valueLocation": trigger.value, "targetValue": str(spec.concurrency)}
        return {"type": "metrics-api", "metadata": metadata}
    return {
        "type": "postgresql",
        "metricType": "AverageValue",
        "metadata": {
            "host": trigger.host,
            "port": str(trigger.port),
            "userName": trigger.user,
            "dbName": trigger.database,
            "sslmode": trigger.sslmode,
            "query": replicas_wanted(spec.owner, spec.version, spec.name, spec.concurrency),
            # The query returns replicas, not work: one per replica is always on target.
            "targetQueryValue": "1",
        },
        "authenticationRef": {"name": spec.name},
    }

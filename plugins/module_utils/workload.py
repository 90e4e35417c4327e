# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes documents of one version of an application, built from values alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import naming
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

Object = dict[str, Any]

CONTAINER = "app"
TEMPLATE = "dbos.kubernetes/template"
CA_CONFIG_MAP = "dbos-database-ca"
CA_DIRECTORY = "/etc/dbos/database-ca"
CONDUCTOR_CERTS = "/etc/dbos/conductor-ca"
CONDUCTOR_SECRET = "conductor-api-key"  # noqa: S105 - a name
# What the seed's init container extends; the image that runs it must have it.
SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
SPREAD_OVER = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
# An application may need a moment to notice that its workflows have ended, and to close its connections.
GRACE_MARGIN = 10

# What the preflight counts connections by.
POOL_SIZE = "DBOS_POOL_SIZE"

RESERVED = (
    "DBOS_SYSTEM_DATABASE_URL",
    "DBOS__APPVERSION",
    "DBOS__VMID",
    "DBOS_APPLICATION_NAME",
    "DBOS_CONDUCTOR_KEY",
    "DBOS_CONDUCTOR_URL",
    "DBOS_DRAIN_SECONDS",
    POOL_SIZE,
    "PORT",
)


@dataclass(frozen=True)
class Conductor:
    """How the application reaches DBOS Conductor; an empty URL means the managed one."""

    url: str = ""
    ca_secret: str = ""
    ca_image: str = ""


@dataclass(frozen=True)
class Spec:
    """Everything a version's documents are made of, in the user's units (seconds, bytes as Kubernetes writes them)."""

    app: str
    namespace: str
    version: str
    image: str
    kind: str
    owner: str
    strategy: str = "versions"
    port: int = 8080
    health_path: str = "/healthz"
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    files_path: str = "/etc/dbos/app"
    resources: Mapping[str, Any] = field(default_factory=dict)
    drain_seconds: int = 20
    pool_size: int | None = None
    startup_seconds: int = 120
    run_as_user: int | None = None
    pull_secret: str = ""
    database_secret: str = "dbos-app-db"  # noqa: S105 - a name
    database_ca: bool = True
    conductor: Conductor | None = None

    @property
    def name(self) -> str:
        """The workload's name."""
        return naming.workload_name(self.app, self.version, self.strategy)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the version's objects."""
        return naming.labels(self.app, self.version, "executor")


def check(spec: Spec) -> None:
    """Refuse what would contradict the documents' own settings."""
    taken = sorted({*spec.env, *spec.secret_env} & set(RESERVED))
    if taken:
        raise DbosError(f"release_env must not set {', '.join(taken)}: the role sets it on every pod.")
    both = sorted({*spec.env} & {*spec.secret_env})
    if both:
        raise DbosError(f"{', '.join(both)} is in release_env and in release_secret_env; leave it in one.")
    incomplete = sorted(name for name, ref in spec.secret_env.items() if set(ref) != {"secret", "key"})
    if incomplete:
        raise DbosError(f"release_secret_env.{incomplete[0]} needs exactly 'secret' and 'key'.")
    if spec.conductor and spec.conductor.ca_secret and not spec.conductor.ca_image:
        raise DbosError(
            "release_conductor_ca_secret needs release_conductor_ca_image: an image with a shell and a CA bundle "
            "for the init container that adds the certificate."
        )


def identity(spec: Spec) -> Object:
    """What makes a version this version: its code and its own configuration, never credentials or capacity."""
    return {
        "image": spec.image,
        "command": [*spec.command],
        "args": [*spec.args],
        "env": dict(spec.env),
        "files": dict(spec.files),
    }


def documents(spec: Spec) -> list[Object]:
    """Everything of the version but the Service that clients use, which belongs to promotion.

    The workload comes last and has no replicas: who owns that number is decided elsewhere.
    """
    found = [_headless(spec), _disruption_budget(spec)]
    if spec.files:
        found.insert(0, _files(spec))
    return [*found, workload(spec)]


def service(app: str, namespace: str, port: int, version: str) -> Object:
    """The Service that clients use: it selects the promoted version."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": app, "namespace": namespace, "labels": naming.labels(app)},
        "spec": {
            "selector": naming.selector(app, version),
            "ports": [{"name": "http", "port": port, "targetPort": "http"}],
        },
    }


def workload(spec: Spec) -> Object:
    """The StatefulSet or Deployment."""
    selector = {"matchLabels": naming.selector(spec.app, spec.version)}
    metadata = {"labels": spec.labels, "annotations": {TEMPLATE: fingerprint(spec)}}
    template = {"metadata": metadata, "spec": _pod(spec)}
    body: Object = {"selector": selector, "template": template, "revisionHistoryLimit": 3}
    if spec.kind == "StatefulSet":
        body |= {"serviceName": _headless_name(spec), "podManagementPolicy": "Parallel"}
    else:
        # Never fewer executors than asked for while a change rolls through.
        body |= {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}}
    return {"apiVersion": "apps/v1", "kind": spec.kind, "metadata": _metadata(spec, spec.name), "spec": body}


def fingerprint(spec: Spec) -> str:
    """Tells two pod templates apart, in the ledger and on the pods."""
    text = json.dumps([spec.kind, spec.labels, _pod(spec)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def files_name(spec: Spec) -> str:
    """The ConfigMap's name carries a hash of its content: a version keeps its own, whatever is released later."""
    digest = hashlib.sha256()
    for name, text in sorted(spec.files.items()):
        digest.update(f"{len(name)}:{name}{len(text)}:{text}".encode())
    return f"{spec.app}-files-{digest.hexdigest()[:10]}"


def _metadata(spec: Spec, name: str) -> Object:
    return {"name": name, "namespace": spec.namespace, "labels": spec.labels}


def _files(spec: Spec) -> Object:
    metadata = {"name": files_name(spec), "namespace": spec.namespace, "labels": naming.labels(spec.app)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, "data": dict(spec.files)}


def _headless_name(spec: Spec) -> str:
    # With one workload for all versions its own name is taken by the Service that clients use.
    return spec.name if spec.name != spec.app else f"{spec.app}-pods"


def _headless(spec: Spec) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(spec, _headless_name(spec)),
        "spec": {
            "clusterIP": "None",
            "selector": naming.selector(spec.app, spec.version),
            "ports": [{"name": "http", "port": spec.port, "targetPort": "http"}],
        },
    }


def _disruption_budget(spec: Spec) -> Object:
    selector = {"matchLabels": naming.selector(spec.app, spec.version)}
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": _metadata(spec, spec.name),
        # Else a version's only pod, while it is not ready, could not be evicted, and would hold up a node's upgrade.
        "spec": {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": selector},
    }


def _pod(spec: Spec) -> Object:
    security: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if spec.run_as_user is not None:
        security |= {"runAsUser": spec.run_as_user, "fsGroup": spec.run_as_user}
    pod: Object = {
        "serviceAccountName": spec.app,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security,
        "terminationGracePeriodSeconds": spec.drain_seconds + GRACE_MARGIN,
        "topologySpreadConstraints": [_spread(spec, key) for key in SPREAD_OVER],
        "containers": [_container(spec)],
        "volumes": [volume for volume, _mount in _mounts(spec)],
    }
    if spec.pull_secret:
        pod["imagePullSecrets"] = [{"name": spec.pull_secret}]
    if spec.conductor and spec.conductor.ca_secret:
        pod["initContainers"] = [_trust_conductor(spec.conductor)]
        pod["volumes"] += _conductor_volumes(spec.conductor)
    return pod


def _spread(spec: Spec, key: str) -> Object:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": naming.selector(spec.app, spec.version)},
    }


def _container(spec: Spec) -> Object:
    probe = {"httpGet": {"path": spec.health_path, "port": "http"}}
    mounts = [mount for _volume, mount in _mounts(spec)]
    if spec.conductor and spec.conductor.ca_secret:
        mounts.append({"name": "conductor-certs", "mountPath": CONDUCTOR_CERTS, "readOnly": True})
    container: Object = {
        "name": CONTAINER,
        "image": spec.image,
        "ports": [{"name": "http", "containerPort": spec.port}],
        "env": _env(spec),
        "resources": dict(spec.resources),
        # Launching may take long (a slow database, many recovered workflows) without the later checks being lax.
        "startupProbe": {**probe, "periodSeconds": 1, "failureThreshold": spec.startup_seconds},
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**probe, "periodSeconds": 10, "failureThreshold": 6},
        "securityContext": _confined(),
        "volumeMounts": mounts,
    }
    if spec.command:
        container["command"] = [*spec.command]
    if spec.args:
        container["args"] = [*spec.args]
    return container


def _confined() -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _env(spec: Spec) -> list[Object]:
    found = [
        _from_secret("DBOS_SYSTEM_DATABASE_URL", spec.database_secret, "database-url"),
        {"name": "DBOS_APPLICATION_NAME", "value": spec.owner},
        {"name": "DBOS__APPVERSION", "value": spec.version},
        {"name": "DBOS__VMID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "DBOS_DRAIN_SECONDS", "value": str(spec.drain_seconds)},
        {"name": "PORT", "value": str(spec.port)},
    ]
    if spec.pool_size:
        found.append({"name": POOL_SIZE, "value": str(spec.pool_size)})
    if spec.conductor:
        found.append(_from_secret("DBOS_CONDUCTOR_KEY", CONDUCTOR_SECRET, "api-key"))
        if spec.conductor.url:
            found.append({"name": "DBOS_CONDUCTOR_URL", "value": spec.conductor.url})
        if spec.conductor.ca_secret:
            found.append({"name": "SSL_CERT_FILE", "value": f"{CONDUCTOR_CERTS}/ca-certificates.crt"})
    found += [{"name": name, "value": value} for name, value in sorted(spec.env.items())]
    found += [_from_secret(name, ref["secret"], ref["key"]) for name, ref in sorted(spec.secret_env.items())]
    return found


def _from_secret(name: str, secret: str, key: str) -> Object:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def _mounts(spec: Spec) -> list[tuple[Object, Object]]:
    """Volumes with where the application sees them."""
    scratch = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - the pod's own
    found: list[tuple[Object, Object]] = [({"name": "tmp", "emptyDir": {}}, scratch)]
    if spec.database_ca:
        # A stable name, so that a changed CA reaches every live version.
        volume: Object = {"name": "database-ca", "configMap": {"name": CA_CONFIG_MAP}}
        found.append((volume, {"name": "database-ca", "mountPath": CA_DIRECTORY, "readOnly": True}))
    if spec.files:
        volume = {"name": "files", "configMap": {"name": files_name(spec)}}
        found.append((volume, {"name": "files", "mountPath": spec.files_path, "readOnly": True}))
    return found


def _conductor_volumes(conductor: Conductor) -> list[Object]:
    items = [{"key": "tls.crt", "path": "tls.crt"}]
    return [
        {"name": "conductor-tls", "secret": {"secretName": conductor.ca_secret, "items": items}},
        {"name": "conductor-certs", "emptyDir": {}},
    ]


def _trust_conductor(conductor: Conductor) -> Object:
    """Adds a private Conductor's certificate to a copy of the system's bundle, as the seed does."""
    target = f"{CONDUCTOR_CERTS}/ca-certificates.crt"
    return {
        "name": "trust-conductor",
        "image": conductor.ca_image,
        "command": ["sh", "-c", f"cat {SYSTEM_BUNDLE} /tls/tls.crt > {target}"],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": _confined(),
        "volumeMounts": [
            {"name": "conductor-tls", "mountPath": "/tls", "readOnly": True},
            {"name": "conductor-certs", "mountPath": CONDUCTOR_CERTS},
        ],
    }

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads everything status.report judges. Reads only; what can't be read is noted, not skipped."""

from __future__ import annotations

import base64
import socket
import ssl
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import draining, executor_state, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database as Session
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import derived_forms, open_server
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.sealing_controller import (
    fetch_certificate,
    find_controller,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel, together
from ansible_collections.dbos.kubernetes.plugins.module_utils.status import (
    Certificate,
    Database,
    Observation,
    label,
    parse_time,
    why_pod_is_not_ready,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import ages, schema, work

T = TypeVar("T")
RELAY_SECONDS = 1800
MOST_BLOCKERS = 20  # of each version


class Reader:
    """Collects reads that may fail: a failure is kept with what it was about."""

    def __init__(self) -> None:
        self.unreadable: dict[str, str] = {}

    def read(self, what: str, function: Callable[[], T]) -> T | None:
        """What the function returns, or None when it couldn't be read."""
        try:
            return function()
        except DbosError as error:
            self.unreadable[what] = error.msg
            return None


def objects(client: Client, namespace: str, application: str) -> tuple[version_objects.Objects, dict[str, Any]]:
    """All of an application's Kubernetes objects, read side by side; as an Observation keeps them, too."""
    reads: list[Callable[[], Any]] = [
        lambda: version_objects.read(client, application, namespace),
        lambda: client.list("bitnami.com/v1alpha1", "SealedSecret", namespace),
        lambda: client.list("v1", "Secret", namespace),
        lambda: Lease(client, namespace, application).frozen(),
    ]
    found, sealed, secrets, frozen = together(reads)
    scaled = [one for one in found.autoscalers if one["kind"] == "ScaledObject" and label(one, "name") == application]
    return found, {
        "workloads": found.workloads,
        "pods": found.pods,
        "service": found.service,
        "records": found.records,
        "scaled_objects": scaled,
        "sealed_secrets": sealed,
        "secrets": [{"name": one["metadata"]["name"], "keys": sorted(one.get("data") or {})} for one in secrets],
        "frozen": frozen,
    }


def health(client: Client, namespace: str, pods: list[Object]) -> dict[str, str | None]:
    """Asks every ready pod's own readiness path through the API server: pod -> what is wrong, or None."""
    asked = [(pod, probe) for pod in pods if why_pod_is_not_ready(pod) is None and (probe := _probe(pod))]

    def ask(item: tuple[Object, tuple[str, str]]) -> tuple[str, str | None]:
        pod, (port, path) = item
        name = pod["metadata"]["name"]
        status, body = client.raw("GET", f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}:{port}/proxy{path}")
        if 200 <= status < 400:
            return name, None
        return name, f"GET {path} answered {status}: {body.decode(errors='replace').strip()[:200]}"

    return dict(parallel(ask, asked))


def _probe(pod: Object) -> tuple[str, str] | None:
    for container in pod["spec"]["containers"]:
        http = container.get("readinessProbe", {}).get("httpGet")
        if http:
            ports = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
            return str(ports.get(http["port"], http["port"])), http.get("path", "/")
    return None


def earliest(name: str, pem: str) -> list[Certificate]:
    """The certificate of a PEM bundle that expires first: it speaks for the bundle."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise DbosError(f"it is no PEM certificate: {error}") from error
    return [Certificate(name, min(certificate.not_valid_after_utc for certificate in found))]


def server_certificate(host: str, endpoint: tuple[str, int], ca: str | None) -> list[Certificate]:
    """PostgreSQL's own certificate, as its server shows it after an SSLRequest; none when it isn't verified anyway."""
    if not ca:
        return []
    context = ssl.create_default_context(cadata=ca)
    try:
        with socket.create_connection(endpoint, timeout=10) as plain:
            plain.sendall(struct.pack("!ii", 8, 80877103))
            if plain.recv(1) != b"S":
                return []
            with context.wrap_socket(plain, server_hostname=host) as secured:
                shown = secured.getpeercert() or {}
    except OSError as error:
        raise DbosError(f"its certificate could not be checked: {error}") from error
    return [Certificate("database server", parse_time(str(shown["notAfter"])))]


class Observer:
    """Looks at one application as often as asked."""

    def __init__(self, client: Client, module: AnsibleModule) -> None:
        self._client = client
        self._module = module
        self._params: dict[str, Any] = module.params

    def observe(self) -> Observation:
        """Everything at one moment. A namespace that isn't there has no objects; an API that isn't there is noted."""
        client, application, namespace = self._client, self._params["application"], self._params["namespace"]
        reader, certificates = Reader(), list[Certificate]()
        seen: dict[str, Any] = {}
        there = reader.read("Kubernetes", lambda: objects(client, namespace, application))
        if there:
            versions, seen = there
            seen["health"] = reader.read("Health", lambda: health(client, namespace, seen["pods"])) or {}
            certificates += reader.read("The sealing certificate", self._sealing_certificates) or []
            ca = reader.read("The database's CA", self._database_ca)
            if ca:
                certificates += reader.read("The database's CA", lambda: earliest("database CA", ca)) or []
            found = reader.read("The database", lambda: self._database(ca, versions))
            if found:
                seen["database"] = found[0]
                certificates += found[1]
        return Observation(
            application,
            namespace,
            datetime.now(UTC),
            certificates=certificates,
            unreadable=reader.unreadable,
            deadline=self._params["drain_deadline"],
            **seen,
        )

    def _sealing_certificates(self) -> list[Certificate]:
        controller = find_controller(self._client, None, None)
        return earliest("sealing", fetch_certificate(self._client, controller).decode())

    def _database_ca(self) -> str | None:
        found = self._client.get("v1", "ConfigMap", "dbos-database-ca", self._params["namespace"])
        return None if found is None else found.get("data", {}).get("ca.crt")

    def _database(self, ca: str | None, there: version_objects.Objects) -> tuple[Database, list[Certificate]]:
        params = {**self._params, "database_url": self._url(), "ca": ca, "relay": self._relay()}
        with open_server(params) as server, server.connect() as database:
            self._module.no_log_values |= derived_forms(server.settings.get("password"))
            owner = self._params["application_name"] or self._params["application"]
            seen = work.read(database, owner)
            certificates = server_certificate(server.settings["host"], server.endpoint, ca)
            if seen is None:
                return Database(None, [], []), certificates
            registered = {row["version"]: row["timestamp"] for row in seen["registered"]}
            rows = work.summary(seen["registered"], seen["work"])
            versions = [
                {**row, "registered": row["version"] in registered, "timestamp": registered.get(row["version"])}
                for row in rows
            ]
            found = Database(
                seen["level"],
                versions,
                schema.table_sizes(database),
                work=work.per_version(seen),
                ages=ages.read(database, owner, seen["level"]),
                blockers=self._blockers(database, owner, there, seen),
            )
            return found, certificates

    @staticmethod
    def _blockers(
        database: Session, owner: str, there: version_objects.Objects, seen: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """The oldest unfinished workflows of every version that is not promoted."""
        view = executor_state.view(there)
        promoted = there.observed().selected
        versions = [version for version in work.per_version(seen) if version not in (None, promoted)]
        return [
            one
            for version in sorted(map(str, versions))
            for one in draining.blockers(database, owner, version, view.judge, MOST_BLOCKERS)
        ]

    def _relay(self) -> dict[str, Any] | None:
        if not self._params["relay_image"]:
            return None
        return {
            "namespace": self._params["namespace"],
            "application": self._params["application"],
            "image": self._params["relay_image"],
            "deadline": RELAY_SECONDS,
        }

    def _url(self) -> str:
        name, namespace = self._params["database_secret"], self._params["namespace"]
        secret = self._client.get("v1", "Secret", name, namespace)
        try:
            return base64.b64decode((secret or {})["data"]["database-url"]).decode()
        except KeyError as error:
            raise DbosError(
                f"Secret {name} in namespace {namespace} has no database-url: deploy the application first (deploy.yml)"
            ) from error

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Sealed Secrets controller, as seen through the API server: where it is, its certificate, its sealing keys."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealing import SealingError, parse_certificate

# The Helm chart labels and names its Service so; the plain manifest only names it.
SELECTOR = "app.kubernetes.io/name=sealed-secrets"
USUAL_NAMES = ("sealed-secrets", "sealed-secrets-controller")
KEY_LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key"
DEFAULT_NAMESPACE = "kube-system"


@dataclass(frozen=True)
class Controller:
    """The controller's Service; its port is addressed by name, which may be empty."""

    namespace: str
    name: str
    port: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def path(self, endpoint: str) -> str:
        """URL path of an endpoint behind the API server's proxy."""
        service = f"http:{self.name}:{self.port}"
        return f"/api/v1/namespaces/{self.namespace}/services/{service}/proxy/{endpoint}"


class ControllerAbsent(DbosError):
    """There is no controller where it was looked for."""


@dataclass(frozen=True)
class SealingKey:
    """One sealing key pair's public side."""

    name: str
    fingerprint: str
    not_before: datetime
    not_after: datetime
    active: bool


def find_controller(client: Client, namespace: str | None, name: str | None) -> Controller:
    """The controller's Service: the one named, or the only one with the chart's label or the manifest's name."""
    if name:
        service = client.get("v1", "Service", name, namespace or DEFAULT_NAMESPACE)
        if service is not None:
            return _controller(service)
        where = f"There is no Service {namespace or DEFAULT_NAMESPACE}/{name}"
        raise ControllerAbsent(f"{where}, the Sealed Secrets controller asked for. {_elsewhere(client)}")
    found = _candidates(client, namespace)
    if len(found) == 1:
        return found[0]
    if not found:
        where = f" in namespace {namespace}" if namespace else ""
        hint = _elsewhere(client) if namespace else "Run provision.yml (role addons), or install it by its Helm chart."
        raise ControllerAbsent(f"There is no Sealed Secrets controller{where} at {client.host}. {hint}")
    names = ", ".join(sorted(str(one) for one in found))
    raise ControllerAbsent(
        f"There are several Sealed Secrets controllers: {names}. Choose with controller_namespace and controller_name."
    )


def _candidates(client: Client, namespace: str | None) -> list[Controller]:
    """Controllers of one namespace, or of all; where Services may not be listed, by the names that are usual."""
    services, forbidden = [], None
    try:
        services = client.list("v1", "Service", namespace, label_selector=SELECTOR)
    except KubeError as error:
        forbidden = _forbidden(error)
    found = [service for service in services if _port(service) is not None]
    for name in USUAL_NAMES if not found else ():
        try:
            service = client.get("v1", "Service", name, namespace or DEFAULT_NAMESPACE)
        except KubeError as error:
            forbidden = _forbidden(error)
            continue
        found += [service] if service else []
    if forbidden and not found:
        raise forbidden
    return [_controller(service) for service in found]


def _forbidden(error: KubeError) -> KubeError:
    """The error, explained, if it is about rights; any other is raised."""
    if error.status != 403:
        raise error
    hint = "Allow 'get' on the controller's Service, name it, or give the certificate as a file."
    return KubeError(f"The Sealed Secrets controller cannot be looked for. {error.msg} {hint}", 403, error.reason)


def _elsewhere(client: Client) -> str:
    try:
        found = _candidates(client, None)
    except KubeError:
        found = []
    if found:
        return (
            f"There is one at {', '.join(str(one) for one in found)}: set controller_namespace and controller_name so."
        )
    return "Nor is there one elsewhere: run provision.yml (role addons), or install it by its Helm chart."


def _port(service: Object) -> str | None:
    """The name of the API's port; None for the Service of its metrics."""
    names = [port.get("name") or "" for port in service["spec"].get("ports") or []]
    return next((name for name in names if name != "metrics"), None)


def _controller(service: Object) -> Controller:
    metadata = service["metadata"]
    return Controller(metadata["namespace"], metadata["name"], _port(service) or "")


def fetch_certificate(client: Client, controller: Controller) -> bytes:
    """The PEM text of the controller's current certificate."""
    accept = {"Accept": "application/x-pem-file, */*"}
    status, data = client.raw("GET", controller.path("v1/cert.pem"), headers=accept)
    if status == 200:
        return data
    if status == 403:
        what = "you may not read it: allow 'get' on services/proxy there, or give the certificate as a file"
    elif status == 503:
        what = "none of its pods is ready, or the API server cannot reach them: see 'kubectl describe' of its pods"
    else:
        what = f"its answer was HTTP {status}: {data.decode(errors='replace').strip()[:200]}"
    raise DbosError(f"The Sealed Secrets controller {controller} did not give its certificate: {what}.")


def key_secrets(client: Client, namespace: str) -> list[Object]:
    """The Secrets that hold the sealing keys, private ones included; oldest first."""
    found = client.list("v1", "Secret", namespace, label_selector=KEY_LABEL)
    return sorted(found, key=lambda secret: (secret["metadata"]["creationTimestamp"], secret["metadata"]["name"]))


def sealing_keys(client: Client, namespace: str) -> list[SealingKey]:
    """The public side of every sealing key; raises KubeError when Secrets may not be read there."""
    keys = []
    for secret in key_secrets(client, namespace):
        metadata = secret["metadata"]
        try:
            certificate = parse_certificate(base64.b64decode(secret["data"]["tls.crt"]))
        except (KeyError, ValueError, SealingError):
            continue  # the controller ignores such a Secret as well
        keys.append(
            SealingKey(
                metadata["name"],
                certificate.fingerprint,
                certificate.not_before,
                certificate.not_after,
                metadata["labels"].get(KEY_LABEL) == "active",
            )
        )
    return keys

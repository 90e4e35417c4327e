# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small client of the Kubernetes API: JSON in, JSON out, exact API versions, no typed models.

The C(kubernetes) library reads the configuration (kubeconfig, exec plugins, certificates, tokens, proxies);
requests go through its connection pool. Typed calls and discovery are left out because they cost most of the time
(docs/performance.md).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.kubeconfig import Bearer
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import (
    DbosError,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube import configuration
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.resources import (
    Resource,
    known,
)

FIELD_MANAGER = "dbos.kubernetes"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
ATTEMPTS = 4

Object = dict[str, Any]


class KubeError(DbosError):
    """The API server answered with an error; C(status) is the HTTP status, C(reason) Kubernetes' reason."""

    def __init__(self, msg: str, status: int = 0, reason: str = "", **result: Any) -> None:
        super().__init__(msg, **result)
        self.status = status
        self.reason = reason


class Unreachable(KubeError):
    """No answer from the API server."""


class Client:
    """One connection pool to one API server; safe to share between threads."""

    def __init__(self, settings: Any, bearer: Bearer | None = None) -> None:
        """With C(bearer) the token is renewed while the client is used."""
        from kubernetes.client.rest import RESTClientObject

        if bearer:
            settings.refresh_api_key_hook = bearer
        self._bearer = bearer
        settings.connection_pool_maxsize = 16
        self.configuration = settings
        self.pool = RESTClientObject(settings).pool_manager
        self.host = settings.host.rstrip("/")
        self._discovered: dict[tuple[str, str], Resource] = {}

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Client:
        """A client from the module's connection options; raises PlatformAbsent when there is no cluster yet."""
        return cls(*configuration.load(params))

    def _headers(self) -> dict[str, str]:
        # Read at each request: exec and token files are renewed while a module runs.
        headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER}
        for setting in self.configuration.auth_settings().values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        return headers

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        stream: bool = False,
        read_timeout: float = 60.0,
    ) -> Any:
        """One HTTP request (a urllib3 response). Throttling and lost connections are retried where that is safe."""
        import urllib3

        safe = method in ("GET", "DELETE") or (headers or {}).get("Content-Type") in (
            APPLY,
            MERGE,
        )
        renewed = False
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = self.pool.request(
                    method,
                    self.host + path,
                    body=body,
                    headers={**self._headers(), **(headers or {})},
                    preload_content=not stream,
                    retries=False,
                    timeout=urllib3.Timeout(connect=10.0, read=read_timeout),
                )
            except urllib3.exceptions.HTTPError as error:
                if isinstance(error, urllib3.exceptions.SSLError) or not safe or attempt == ATTEMPTS:
                    raise Unreachable(
                        f"The Kubernetes API at {self.host} does not answer: {error}. "
                        "Check that the platform is up and reachable from here, then run again."
                    ) from error
                time.sleep(0.4 * attempt)
                continue
            if response.status == 429 and attempt < ATTEMPTS:
                time.sleep(min(float(response.headers.get("Retry-After", "1")), 10.0))
                continue
            if response.status == 401 and self._bearer and attempt < ATTEMPTS:
                response.drain_conn()
                if renewed:
                    raise KubeError(self._bearer.refused(), status=401, reason="Unauthorized")
                self._bearer.renew()
                renewed = True
                continue
            return response
        raise AssertionError("unreachable")

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Status and bytes of any path, such as a Service's proxy; error statuses do not raise."""
        response = self.send(method, path, body, headers)
        return response.status, response.data

    def json(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        """A JSON request; raises KubeError for error statuses."""
        data = None if body is None else json.dumps(body).encode()
        response = self.send(
            method,
            path,
            data,
            {"Content-Type": content_type} if data is not None else None,
        )
        if response.status >= 400:
            raise error_from(response.status, response.data, f"{method} {path.split('?', maxsplit=1)[0]}")
        result: Object = json.loads(response.data)
        return result

    def resource(self, api_version: str, kind: str) -> Resource:
        """Plural and scope of a kind: from the table, else asked from the API server once."""
        resource = known(api_version, kind) or self._discovered.get((api_version, kind))
        if resource:
            return resource
        root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        try:
            found = self.json("GET", root)
        except KubeError as error:
            if error.status != 404:
                raise
            found = {}
        for item in found.get("resources", []):
            if item["kind"] == kind and "/" not in item["name"]:
                resource = Resource(item["name"], item["namespaced"])
                self._discovered[(api_version, kind)] = resource
                return resource
        raise KubeError(
            f"The cluster at {self.host} does not know {kind} of {api_version}: its definition is not installed. "
            "Run the platform's add-ons first (provision.yml).",
            status=404,
            reason="NoKind",
        )

    def path(
        self,
        api_version: str,
        kind: str,
        name: str | None = None,
        namespace: str | None = None,
    ) -> str:
        """The URL path of an object, or of a kind's collection when C(name) is not given."""
        resource = self.resource(api_version, kind)
        path = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
        if resource.namespaced and namespace:
            path += f"/namespaces/{quote(namespace)}"
        path += f"/{resource.plural}"
        return f"{path}/{quote(name)}" if name else path

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """The object, or None when it (or its kind) does not exist."""
        try:
            return self.json("GET", self.path(api_version, kind, name, namespace))
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def list(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> list[Object]:
        """All objects that match; an unknown kind has none. Items carry their apiVersion and kind."""
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        suffix = urlencode({key: value for key, value in query.items() if value})
        try:
            found = self.json(
                "GET",
                self.path(api_version, kind, None, namespace) + (f"?{suffix}" if suffix else ""),
            )
        except KubeError as error:
            if error.status == 404:
                return []
            raise
        return [{"apiVersion": api_version, "kind": kind, **item} for item in found["items"]]

    def apply(self, obj: Object, *, dry_run: bool = False, force: bool = True) -> Object:
        """Server-side apply with our field manager; returns the object as stored (or as it would be)."""
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        return self.json("PATCH", f"{self._object_path(obj)}?{urlencode(query)}", obj, APPLY)

    def create(self, obj: Object) -> Object:
        """Create; a KubeError with reason AlreadyExists when it is there."""
        metadata = obj["metadata"]
        path = self.path(obj["apiVersion"], obj["kind"], None, metadata.get("namespace"))
        return self.json("POST", f"{path}?fieldManager={FIELD_MANAGER}", obj)

    def replace(self, obj: Object) -> Object:
        """Replace; with metadata.resourceVersion a KubeError with reason Conflict tells that somebody was faster."""
        return self.json("PUT", f"{self._object_path(obj)}?fieldManager={FIELD_MANAGER}", obj)

    def patch(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None,
        patch: Object,
        subresource: str | None = None,
    ) -> Object:
        """JSON merge patch of an object or of one of its subresources."""
        path = self.path(api_version, kind, name, namespace) + (f"/{subresource}" if subresource else "")
        return self.json("PATCH", f"{path}?fieldManager={FIELD_MANAGER}", patch, MERGE)

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        propagation: str = "Background",
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> bool:
        """Delete; False when it was not there. With uid or resource_version only that very object (else Conflict)."""
        conditions = {"uid": uid, "resourceVersion": resource_version}
        body: Object = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
        }
        if any(conditions.values()):
            body["preconditions"] = {key: value for key, value in conditions.items() if value}
        try:
            self.json("DELETE", self.path(api_version, kind, name, namespace), body)
        except KubeError as error:
            if error.status == 404:
                return False
            raise
        return True

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        *,
        name: str | None = None,
        label_selector: str | None = None,
        resource_version: str | None = None,
        timeout: float = 60.0,
    ) -> Iterator[tuple[str, Object]]:
        """Events (type, object) for at most C(timeout) seconds; ends early when the server ends the watch."""
        query = {
            "watch": "true",
            "timeoutSeconds": str(max(1, int(timeout))),
            "fieldSelector": f"metadata.name={name}" if name else None,
            "labelSelector": label_selector,
            "resourceVersion": resource_version,
        }
        suffix = urlencode({key: value for key, value in query.items() if value})
        path = f"{self.path(api_version, kind, None, namespace)}?{suffix}"
        response = self.send("GET", path, stream=True, read_timeout=timeout + 10)
        try:
            if response.status >= 400:
                raise error_from(response.status, response.read(), f"watch {kind}")
            for line in lines(response):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    # 410 Gone: the version is too old; the caller lists again.
                    return
                yield event["type"], event["object"]
        except _stream_errors():
            return
        finally:
            response.close()
            response.release_conn()

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str | None = None,
        tail: int = 50,
        *,
        previous: bool = False,
    ) -> str:
        """The last lines of a container's log; empty when there is none."""
        query = {
            "tailLines": str(tail),
            "container": container,
            "previous": "true" if previous else None,
        }
        suffix = urlencode({key: value for key, value in query.items() if value})
        status, data = self.raw(
            "GET",
            f"{self.path('v1', 'Pod', pod, namespace)}/log?{suffix}",
            headers={"Accept": "*/*"},
        )
        return data.decode(errors="replace") if status == 200 else ""

    def version(self) -> str:
        """The server's version, such as v1.36.3."""
        return str(self.json("GET", "/version")["gitVersion"])

    def _object_path(self, obj: Object) -> str:
        metadata = obj["metadata"]
        return self.path(obj["apiVersion"], obj["kind"], metadata["name"], metadata.get("namespace"))


def lines(response: Any) -> Iterator[bytes]:
    """Whole lines of a streamed response."""
    buffer = b""
    while chunk := response.read1(65536) if hasattr(response, "read1") else response.read(1024):
        *complete, buffer = (buffer + chunk).split(b"\n")
        yield from (line for line in complete if line.strip())


def _stream_errors() -> tuple[type[Exception], ...]:
    import urllib3

    # A watch that breaks off is no error: the caller reads the state again.
    return (urllib3.exceptions.HTTPError, OSError)


def error_from(status: int, data: bytes, what: str) -> KubeError:
    """A KubeError from a Status object: the server's message and its causes."""
    try:
        answer = json.loads(data)
    except ValueError:
        answer = {"message": data.decode(errors="replace").strip()[:500]}
    if not isinstance(answer, dict):
        answer = {"message": str(answer)}
    causes = [
        f"{cause.get('field', '')}: {cause.get('message', '')}".strip(": ")
        for cause in (answer.get("details") or {}).get("causes") or []
    ]
    message = answer.get("message") or f"HTTP status {status}"
    extra = [cause for cause in causes if cause.split(": ")[-1] not in message]
    text = f"Kubernetes refused {what}: {message}" + (f" ({'; '.join(extra)})" if extra else "")
    return KubeError(text, status=status, reason=str(answer.get("reason") or ""))

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container registry's HTTP API (OCI distribution): resolves tags to digests and takes images."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, replace
from email.message import Message
from typing import IO, Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import DOCKER_HUB, Reference

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
# Lists first: the digest of a list lets every node pull what fits its architecture.
_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        LIST,
        "application/vnd.oci.image.manifest.v1+json",
        MANIFEST,
    )
)
_BUSY = (429, 502, 503, 504)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Answer:
    """What the registry answered; errors of the connection are raised instead."""

    status: int
    headers: Message
    body: bytes


class Registry:
    """One registry with its CA and credentials. TLS always, but for a registry on loopback, as in docker."""

    def __init__(
        self, host: str, ca_file: str | None = None, username: str | None = None, password: str | None = None
    ) -> None:
        self.host = host
        self._credentials = f"{username}:{password}" if username and password else None
        self._user = username or "anonymous users"
        self._authorization: str | None = None
        server = f"registry-1.{DOCKER_HUB}" if host == DOCKER_HUB else host
        name = urllib.parse.urlsplit(f"//{server}").hostname or ""
        scheme = "http" if name in {"localhost", "::1"} or name.startswith("127.") else "https"
        self._base = f"{scheme}://{server}"
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise DbosError(f"The CA file {ca_file} of the registry {host} cannot be read: {error}.") from error
        # Python 3.13 became stricter than the tools that pull: many private CAs lack the key usage extension.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        # No other schemes: a registry says where to go on, and must not point at a local file.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def digest(self, reference: Reference) -> str | None:
        """The digest of a tag's manifest (or list of manifests), None if there is no such image."""
        path = f"/v2/{reference.repository}/manifests/{reference.digest or reference.tag}"
        answer = self._call("HEAD", path, {"Accept": _ACCEPT})
        if answer.status == 404:
            return None
        digest = answer.headers.get("Docker-Content-Digest")
        if answer.status == 200 and digest:
            return str(digest)
        # The header is optional, and some registries know no HEAD.
        answer = self._call("GET", path, {"Accept": _ACCEPT})
        if answer.status == 404:
            return None
        self._expect(answer, 200, f"read {reference}")
        return f"sha256:{hashlib.sha256(answer.body).hexdigest()}"

    def labels(self, reference: Reference) -> dict[str, str] | None:
        """What an image says of itself in its configuration, None if there is no such image.

        Of a list the first image speaks: what is built of one source for several platforms has the same labels.
        """
        manifest = self._manifest(reference)
        if manifest and manifest.get("manifests"):
            manifest = self._manifest(replace(reference, digest=manifest["manifests"][0]["digest"]))
        if manifest is None:
            return None
        if "config" not in manifest:
            return {}
        answer = self._call("GET", f"/v2/{reference.repository}/blobs/{manifest['config']['digest']}")
        self._expect(answer, 200, f"read the configuration of {reference}")
        return dict((json.loads(answer.body).get("config") or {}).get("Labels") or {})

    def manifest(self, reference: Reference) -> tuple[bytes, str] | None:
        """A manifest, or list of manifests, as it is stored, and its media type; None if there is none."""
        path = f"/v2/{reference.repository}/manifests/{reference.digest or reference.tag}"
        answer = self._call("GET", path, {"Accept": _ACCEPT})
        if answer.status == 404:
            return None
        self._expect(answer, 200, f"read {reference}")
        return answer.body, answer.headers.get("Content-Type", MANIFEST)

    def _manifest(self, reference: Reference) -> dict[str, Any] | None:
        found = self.manifest(reference)
        return dict(json.loads(found[0])) if found else None

    def get_blob(self, repository: str, digest: str, into: IO[bytes]) -> None:
        """Download a layer or configuration."""
        answer = self._call("GET", f"/v2/{repository}/blobs/{digest}", into=into)
        self._expect(answer, 200, f"read a layer of {repository}")

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether a layer or configuration is there already."""
        return self._call("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200

    def put_blob(self, repository: str, digest: str, content: IO[bytes], size: int) -> None:
        """Upload a layer or configuration, in one piece."""
        started = self._call("POST", f"/v2/{repository}/blobs/uploads/", {"Content-Length": "0"})
        if started.status == 404:
            raise DbosError(
                f"The registry {self.host} has no repository {repository}, and makes none by itself: make it first (in "
                "Amazon ECR, name it in ecr_repositories and run provision.yml)."
            )
        self._expect(started, 202, f"write to {repository}")
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        sent = self._call("PATCH", self._location(started), headers, content)
        self._expect(sent, 202, f"upload a layer of {repository}")
        place = self._location(sent)
        place += ("&" if "?" in place else "?") + urllib.parse.urlencode({"digest": digest})
        self._expect(self._call("PUT", place, {"Content-Length": "0"}), 201, f"store a layer of {repository}")

    def put_manifest(self, reference: Reference, manifest: bytes, kind: str = MANIFEST) -> str:
        """Store a manifest under the reference's tag, or without one; returns the digest that the tag names.

        Where tags can't be moved, that is what another run has stored under it meanwhile.
        """
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        path = f"/v2/{reference.repository}/manifests/{reference.tag or digest}"
        answer = self._call("PUT", path, {"Content-Type": kind}, manifest)
        if answer.status == 201:
            return digest
        there = self.digest(reference) if reference.tag and answer.status in (400, 409) else None
        if there is None:
            raise self._unexpected(answer, f"store {reference}")
        return there

    def tag(self, image: Reference, tagged: Reference) -> None:
        """Give an image, which is named by its digest, another tag."""
        answer = self._call("GET", f"/v2/{image.repository}/manifests/{image.digest}", {"Accept": _ACCEPT})
        self._expect(answer, 200, f"read {image}")
        named = self.put_manifest(tagged, answer.body, answer.headers.get("Content-Type", MANIFEST))
        if named != image.digest:
            raise DbosError(f"In the registry {self.host}, {tagged} is another image already, {named}.")

    def delete_tag(self, reference: Reference) -> bool:
        """Remove a tag, and not the image, which its other tags and lists still name.

        False for older registries, which can't: they delete whole images only, and forget none by themselves.
        """
        answer = self._call("DELETE", f"/v2/{reference.repository}/manifests/{reference.tag}")
        unable = answer.status == 405 or b"DIGEST_INVALID" in answer.body or b"UNSUPPORTED" in answer.body
        if answer.status not in (200, 202, 404) and not unable:
            raise self._unexpected(answer, f"remove {reference}")
        return not unable

    def _location(self, answer: Answer) -> str:
        return urllib.parse.urljoin(self._base, answer.headers.get("Location", ""))

    def _call(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | IO[bytes] | None = None,
        into: IO[bytes] | None = None,
    ) -> Answer:
        """Send a request; answers a challenge once, and tries a busy registry again. C(into) takes a large answer."""
        url = urllib.parse.urljoin(self._base, path)
        answer = self._send(method, url, headers or {}, body, into)
        if answer.status == 401:
            self._authorize(answer)
            answer = self._send(method, url, headers or {}, body, into)
        for pause in (1, 3):
            # A layer that another run is just storing is there to be asked for, but not yet to be referred to.
            if answer.status not in _BUSY and b"MANIFEST_BLOB_UNKNOWN" not in answer.body:
                break
            time.sleep(pause)
            answer = self._send(method, url, headers or {}, body, into)
        if answer.status in (401, 403):
            repository = path.partition("/v2/")[2].partition("/manifests/")[0].partition("/blobs/")[0]
            raise DbosError(
                f"The registry {self.host} does not let {self._user} use {repository}: "
                "give the credentials that may, or correct the name."
            )
        return answer

    def _send(
        self, method: str, url: str, headers: dict[str, str], body: bytes | IO[bytes] | None, into: IO[bytes] | None
    ) -> Answer:
        if body is not None and not isinstance(body, bytes):
            body.seek(0)
        request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310 - the opener knows no file:
        if self._authorization and url.startswith(self._base + "/"):
            # A redirect to a storage service must not carry it on.
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            with self._opener.open(request, timeout=30) as response:
                if into is None:
                    return Answer(response.status, response.headers, response.read())
                shutil.copyfileobj(response, into, 1 << 20)
                return Answer(response.status, response.headers, b"")
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())
        except (OSError, http.client.HTTPException) as error:
            raise DbosError(self._unreachable(error)) from error

    def _unreachable(self, error: Exception) -> str:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            return (
                f"The certificate of the registry {self.host} is not trusted ({reason.verify_message}): "
                "give the CA that signed it as the registry's ca_file."
            )
        if isinstance(reason, socket.gaierror):
            return f"The registry's name {self.host} does not resolve: correct it, or the machine's DNS."
        return f"The registry {self.host} cannot be reached from here: {reason}."

    def _authorize(self, answer: Answer) -> None:
        """Get what the registry's challenge asks for: a token of its token service, or the credentials themselves."""
        challenge = answer.headers.get("WWW-Authenticate", "")
        kind = challenge.partition(" ")[0].lower()
        basic = base64.b64encode(self._credentials.encode()).decode() if self._credentials else None
        if kind == "basic":
            self._authorization = f"Basic {basic}" if basic else None
            return
        fields = dict(_CHALLENGE.findall(challenge))
        realm = fields.pop("realm", "")
        if kind != "bearer" or urllib.parse.urlsplit(realm).scheme not in ("http", "https"):
            raise DbosError(f"The registry {self.host} asks for an unknown way to log in: {challenge!r}.")
        if self._base.startswith("https:") and not realm.startswith("https:"):
            raise DbosError(f"The registry {self.host} sends credentials to {realm} without TLS: refused.")
        query = urllib.parse.urlencode({key: fields[key] for key in ("service", "scope") if key in fields})
        self._authorization = None
        request = urllib.request.Request(f"{realm}?{query}")  # noqa: S310 - checked above
        if basic:
            request.add_unredirected_header("Authorization", f"Basic {basic}")
        try:
            with self._opener.open(request, timeout=30) as response:
                granted = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                raise DbosError(
                    f"The registry {self.host} refuses the credentials of {self._user} ({error.code}): correct them."
                ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DbosError(f"The token service {realm} of the registry {self.host} fails: {error}.") from error
        self._authorization = f"Bearer {granted.get('token') or granted.get('access_token')}"

    def _expect(self, answer: Answer, status: int, what: str) -> None:
        if answer.status != status:
            raise self._unexpected(answer, what)

    def _unexpected(self, answer: Answer, what: str) -> DbosError:
        text = answer.body.decode(errors="replace").strip()
        return DbosError(f"The registry {self.host} answers {answer.status} to the request to {what}: {text[:500]}")

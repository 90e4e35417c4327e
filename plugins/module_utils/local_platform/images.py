# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of single programs, built without any tool and pushed to the platform's registry."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import ssl
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

USER = "65532:65532"  # numeric: the kubelet cannot tell whether a name is root
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
# Not compressed: it never leaves the machine, and compressing takes far longer than reading it.
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)


@dataclass(frozen=True)
class Image:
    """An image: its name and tag in the registry, the files in it (path inside → path here), and what it starts."""

    name: str
    tag: str
    files: Mapping[str, Path]
    entrypoint: Sequence[str]
    links: Mapping[str, str] = field(default_factory=dict)
    user: str = USER

    @property
    def reference(self) -> str:
        """Name and tag."""
        return f"{self.name}:{self.tag}"

    @property
    def content_key(self) -> str:
        """Changes with what is in it, without reading it: the cache names programs by their content."""
        parts = [f"{inside}={path}:{path.stat().st_size}" for inside, path in sorted(self.files.items())]
        parts += [f"{inside}>{target}" for inside, target in sorted(self.links.items())]
        return hashlib.sha256("\n".join([*parts, *self.entrypoint, self.user, *ENVIRONMENT]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Blob:
    """Bytes with their digest."""

    data: bytes

    @property
    def digest(self) -> str:
        """As in a manifest."""
        return "sha256:" + hashlib.sha256(self.data).hexdigest()

    def descriptor(self, media_type: str) -> dict[str, Any]:
        """As in a manifest."""
        return {"mediaType": media_type, "digest": self.digest, "size": len(self.data)}


def layer(image: Image) -> Blob:
    """The image's files as a tar archive, the same for the same files whenever it is made."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in _folders([*image.files, *image.links]):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(entry)
        for inside, path in sorted(image.files.items()):
            entry = tarfile.TarInfo(inside)
            entry.size = path.stat().st_size
            entry.mode = 0o755 if path.stat().st_mode & 0o111 else 0o644
            with path.open("rb") as content:
                archive.addfile(entry, content)
        for inside, target in sorted(image.links.items()):
            entry = tarfile.TarInfo(inside)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return Blob(stream.getvalue())


def manifest(image: Image, content: Blob) -> tuple[Blob, Blob]:
    """The image's configuration and its manifest."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": image.user,
            "Entrypoint": list(image.entrypoint),
            "Env": list(ENVIRONMENT),
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [content.digest]},
        "history": [{"created_by": "dbos.kubernetes"}],
    }
    configuration = Blob(json.dumps(config, sort_keys=True).encode())
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": configuration.descriptor(CONFIG_TYPE),
        "layers": [content.descriptor(LAYER_TYPE)],
    }
    return configuration, Blob(json.dumps(document, sort_keys=True).encode())


class Registry:
    """The little of the registry's HTTP API that pushing takes."""

    def __init__(self, host: str, ca: Path) -> None:
        self._host = host
        self._context = ssl.create_default_context(cafile=str(ca))

    def digest(self, image: Image) -> str | None:
        """The digest of what the registry has under the image's tag."""
        status, headers, _body = self._request(
            "HEAD", f"/v2/{image.name}/manifests/{image.tag}", headers={"Accept": MANIFEST_TYPE}
        )
        return headers.get("docker-content-digest") if status == 200 else None

    def push(self, image: Image) -> str:
        """Push an image, what the registry has already left out; its digest."""
        content = layer(image)
        configuration, document = manifest(image, content)
        for blob in (content, configuration):
            self._push_blob(image.name, blob)
        self._expect(
            201, "PUT", f"/v2/{image.name}/manifests/{image.tag}", document.data, {"Content-Type": MANIFEST_TYPE}
        )
        return document.digest

    def _push_blob(self, name: str, blob: Blob) -> None:
        if self._request("HEAD", f"/v2/{name}/blobs/{blob.digest}")[0] == 200:
            return
        headers = self._expect(202, "POST", f"/v2/{name}/blobs/uploads/")
        where = urlsplit(headers["location"])
        path = f"{where.path}?{where.query}&digest={blob.digest}"
        self._expect(201, "PUT", path, blob.data, {"Content-Type": "application/octet-stream"})

    def _expect(
        self, wanted: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        status, answered, text = self._request(method, path, body, headers)
        if status != wanted:
            raise DbosError(
                f"The registry {self._host} answered {method} {path.partition('?')[0]} with status {status}: "
                f"{text[:300].decode(errors='replace')}"
            )
        return answered

    def _request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPSConnection(self._host, timeout=60, context=self._context)
        try:
            connection.request(method, path, body=body or None, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()
        except OSError as error:
            raise DbosError(f"The registry {self._host} does not answer: {error}") from error
        finally:
            connection.close()


def _folders(paths: Sequence[str]) -> list[str]:
    """All folders above these paths, the upper ones first, and one for temporary files."""
    found = {"tmp"}
    for path in paths:
        parts = path.split("/")[:-1]
        found.update("/".join(parts[: depth + 1]) for depth in range(len(parts)))
    return sorted(found)

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a sealing certificate comes from: PEM text, a file or a URL. Uses no Kubernetes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealing import Certificate, parse_certificate

_LIMIT = 1024 * 1024


def load_certificate(source: str) -> Certificate:
    """The certificate from C(source); refuses one that has expired."""
    certificate = parse_certificate(_read(source))
    certificate.check(datetime.now(UTC))
    return certificate


def _read(source: str) -> bytes:
    if "-----BEGIN" in source:
        return source.encode()
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        return _download(source)
    path = Path(parts.path if parts.scheme == "file" else source).expanduser()
    try:
        return path.read_bytes()[:_LIMIT]
    except OSError as error:
        raise DbosError(f"The sealing certificate {path} cannot be read: {error.strerror}.") from error


def _download(url: str) -> bytes:
    from ansible.module_utils.urls import open_url

    try:
        with open_url(url, timeout=15) as response:
            return bytes(response.read(_LIMIT))
    except OSError as error:
        raise DbosError(f"The sealing certificate {url} cannot be fetched: {error}.") from error

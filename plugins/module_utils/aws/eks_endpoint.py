# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a cluster's API server can be reached from here, before anything waits for it."""

from __future__ import annotations

import base64
import socket
import ssl
from urllib.parse import urlsplit

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

TIMEOUT = 5.0  # seconds


def check(endpoint: str, certificate_authority: str, proxy: str | None, *, public: bool) -> None:
    """Open a verified TLS connection, directly or through an HTTP proxy, and close it; C(public) makes the hint right.

    C(certificate_authority) is the cluster's, base64 as EKS gives it.
    """
    address = urlsplit(endpoint)
    host, port = address.hostname or "", address.port or 443
    try:
        context = ssl.create_default_context(cadata=base64.b64decode(certificate_authority).decode("ascii"))
        with _connected(host, port, proxy) as plain, context.wrap_socket(plain, server_hostname=host):
            return
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        # The proxy's URL may hold a password.
        way = f" through the proxy {urlsplit(proxy).hostname}" if proxy else ""
        raise DbosError(
            f"The cluster's API server {endpoint} can't be reached from here{way}: {error}. {_hint(public, proxy)}"
        ) from error


def _hint(public: bool, proxy: str | None) -> str:
    if proxy:
        return "Check eks_proxy, and that the proxy may connect to the endpoint."
    if public:
        return "Add this machine's public address to eks_public_access_cidrs, or run from inside the VPC."
    return (
        "Its endpoint is private: run from inside the VPC or through a VPN, name a proxy (eks_proxy), or turn public "
        "access on (eks_endpoint_public_access) for this machine's address only (eks_public_access_cidrs). "
        "eks_endpoint_check: false builds all the same, without add-ons from charts."
    )


def _connected(host: str, port: int, proxy: str | None) -> socket.socket:
    if not proxy:
        return socket.create_connection((host, port), TIMEOUT)
    via = urlsplit(proxy)
    plain = socket.create_connection((via.hostname or "", via.port or 3128), TIMEOUT)
    login = ""
    if via.username:
        secret = base64.b64encode(f"{via.username}:{via.password or ''}".encode()).decode()
        login = f"Proxy-Authorization: Basic {secret}\r\n"
    plain.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{login}\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < 65536:
        if not (chunk := plain.recv(4096)):
            break
        answer += chunk
    status = answer.split(b"\r\n", 1)[0].decode("ascii", "replace")
    if status.split(" ")[1:2] != ["200"]:
        plain.close()
        raise OSError(f"the proxy answers '{status}'")
    return plain

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small questions to a running component: does it answer?"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

TIMEOUT = 2.0


def connects(address: str, port: int) -> bool:
    """Whether something accepts connections."""
    try:
        with socket.create_connection((address, port), TIMEOUT):
            return True
    except OSError:
        return False


def listens(path: str | Path) -> bool:
    """Whether something accepts connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT)
        try:
            client.connect(os.fspath(path))
        except OSError:
            return False
    return True


def get(
    address: str, port: int, path: str, ca: Path | None = None, pair: tuple[Path, Path] | None = None
) -> tuple[int, bytes]:
    """GET over HTTPS (with a CA) or HTTP: status and body, or status 0 when nothing answers."""
    try:
        if ca is None:
            connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
        else:
            context = ssl.create_default_context(cafile=os.fspath(ca))
            if pair is not None:
                context.load_cert_chain(*map(os.fspath, pair))
            connection = http.client.HTTPSConnection(address, port, timeout=TIMEOUT, context=context)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()


def answers(*args: Any, **kwargs: Any) -> bool:
    """Whether a GET gives status 200."""
    return get(*args, **kwargs)[0] == 200


def resolves(server: str, name: str) -> bool:
    """Whether a DNS server has an address for a name."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    query = struct.pack(">HHHHHH", 0x4442, 0x0100, 1, 0, 0, 0) + question + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT)
        try:
            client.connect((server, 53))
            client.send(query)
            answer = client.recv(512)
        except OSError:
            return False
    if len(answer) < 12:
        return False
    number, flags, _questions, answers_given = struct.unpack(">HHHH", answer[:8])
    return bool(number == 0x4442 and flags & 0xF == 0 and answers_given > 0)

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sealing certificates and keys that no controller has made."""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def foreign_certificate(days: int) -> bytes:
    """A certificate, valid for so many days from now, whose key nobody holds."""
    return key_pair(days)[0]


def key_pair(days: int) -> tuple[bytes, bytes]:
    """Certificate and private key, made just now."""
    key = rsa.generate_private_key(65537, 2048)
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now if days > 0 else now - datetime.timedelta(days=365))
        .not_valid_after(now + datetime.timedelta(days=days))
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return builder.sign(key, hashes.SHA256()).public_bytes(pem), private

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sealed Secrets' ciphertext, pure: certificates in, blobs out. Nothing here reads files, clusters or clocks.

A blob is base64(length of the wrapped key, 2 bytes big endian || RSA-OAEP-SHA256(session key) || AES-256-GCM(value)).
The zero nonce is safe because a session key is used for exactly one value.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.padding import OAEP
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

STRICT, NAMESPACE_WIDE, CLUSTER_WIDE = "strict", "namespace-wide", "cluster-wide"
SCOPES = (STRICT, NAMESPACE_WIDE, CLUSTER_WIDE)

_NONCE = bytes(12)
_KEY_BYTES = 32
_MANY = 50


class SealingError(DbosError):
    """A certificate or a blob that cannot be used."""


@dataclass(frozen=True)
class Certificate:
    """A sealing certificate; C(fingerprint) is the SHA-256 of its public key (SPKI), which is public."""

    public_key: RSAPublicKey
    fingerprint: str
    not_before: datetime
    not_after: datetime
    count: int  # how many certificates the PEM text held; the first one counts, as for kubeseal

    def check(self, now: datetime) -> None:
        """Refuse to seal with an expired certificate, as kubeseal does."""
        if now > self.not_after:
            raise SealingError(
                f"The sealing certificate expired on {self.not_after:%Y-%m-%d}. Fetch the controller's current one "
                "(leave the certificate out to read it from the cluster), or let the controller renew its key."
            )


def label(scope: str, namespace: str, name: str) -> bytes:
    """What a blob is bound to: it decrypts only under the same scope, namespace and name."""
    if scope == CLUSTER_WIDE:
        return b""
    if scope == NAMESPACE_WIDE:
        return namespace.encode()
    return f"{namespace}/{name}".encode()


def parse_certificate(pem: bytes) -> Certificate:
    """The first certificate of a PEM text.

    Its extensions are never read: the controller sets a KeyUsage that X.509 forbids, and parsing that fails.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise SealingError(
            "The sealing certificate is no PEM certificate (-----BEGIN CERTIFICATE-----). Use the answer of the "
            "controller's /v1/cert.pem or of 'kubeseal --fetch-cert'."
        ) from error
    certificate = certificates[0]
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        raise SealingError("The sealing certificate holds no RSA key, so it is not one of a Sealed Secrets controller.")
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Certificate(
        public_key=key,
        fingerprint=hashlib.sha256(encoded).hexdigest(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        count=len(certificates),
    )


def seal(key: RSAPublicKey, plaintext: bytes, bound_to: bytes) -> str:
    """One value as a blob, with a fresh session key."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    session_key = os.urandom(_KEY_BYTES)
    wrapped = key.encrypt(session_key, _oaep(bound_to))
    sealed = AESGCM(session_key).encrypt(_NONCE, plaintext, None)
    return base64.b64encode(struct.pack(">H", len(wrapped)) + wrapped + sealed).decode()


def seal_all(key: RSAPublicKey, values: Sequence[bytes], bound_to: bytes) -> list[str]:
    """Many values as blobs, on all cores: the library works outside Python's lock."""
    if len(values) < _MANY:
        return [seal(key, value, bound_to) for value in values]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda value: seal(key, value, bound_to), values))


def unseal(key: RSAPrivateKey, blob: str, bound_to: bytes) -> bytes:
    """The value of a blob; for recovery from a backup of the sealing keys, and for tests."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        raw = base64.b64decode(blob, validate=True)
        (length,) = struct.unpack_from(">H", raw)
        session_key = key.decrypt(raw[2 : 2 + length], _oaep(bound_to))
        return AESGCM(session_key).decrypt(_NONCE, raw[2 + length :], None)
    except (ValueError, struct.error, InvalidTag) as error:
        raise SealingError(
            "The value does not decrypt: it was sealed for another key, scope, namespace or name, or it is damaged."
        ) from error


def _oaep(bound_to: bytes) -> OAEP:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    return padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=bound_to)

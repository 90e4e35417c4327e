# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ciphertext format, certificates and labels."""

from __future__ import annotations

import base64
import datetime
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils import sealing

KEY = rsa.generate_private_key(65537, 2048)
NOW = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)
SCOPE = st.sampled_from(sealing.SCOPES)
DNS = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)


def certificate(key=KEY, days: int = 3650, key_usage: bool = True) -> bytes:
    """A certificate as the controller makes it: no names, and a KeyUsage that X.509 forbids."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - datetime.timedelta(days=3650))
        .not_valid_after(NOW + datetime.timedelta(days=days))
    )
    if key_usage:
        forbidden = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.15"), bytes.fromhex("03020001"))
        builder = builder.add_extension(forbidden, critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2000), SCOPE, DNS, DNS)
def test_what_is_sealed_unseals(value: bytes, scope: str, namespace: str, name: str) -> None:
    bound_to = sealing.label(scope, namespace, name)
    blob = sealing.seal(KEY.public_key(), value, bound_to)
    assert sealing.unseal(KEY, blob, bound_to) == value
    raw = base64.b64decode(blob, validate=True)
    assert raw[:2] == b"\x01\x00"  # 256 bytes of wrapped key, big endian
    assert len(raw) == 2 + 256 + len(value) + 16


@settings(max_examples=30, deadline=None)
@given(DNS, DNS, DNS, SCOPE)
def test_a_value_stays_where_it_was_sealed_for(namespace: str, name: str, other: str, scope: str) -> None:
    blob = sealing.seal(KEY.public_key(), b"value", sealing.label(scope, namespace, name))
    moved = sealing.label(scope, other, name)
    if moved == sealing.label(scope, namespace, name):
        assert sealing.unseal(KEY, blob, moved) == b"value"
    else:
        with pytest.raises(sealing.SealingError):
            sealing.unseal(KEY, blob, moved)


def test_labels() -> None:
    assert sealing.label("strict", "ns", "name") == b"ns/name"
    assert sealing.label("namespace-wide", "ns", "name") == b"ns"
    assert sealing.label("cluster-wide", "ns", "name") == b""


def test_same_value_never_looks_the_same() -> None:
    blobs = {sealing.seal(KEY.public_key(), b"same", b"ns/name") for _ in range(50)}
    assert len({blob[: 4 * 88] for blob in blobs}) == 50  # the wrapped session keys too
    assert len({base64.b64decode(blob)[258:] for blob in blobs}) == 50


@pytest.mark.parametrize("blob", ["", "AQ", "no base64!", base64.b64encode(b"\x01\x00short").decode()])
def test_damaged_blobs_are_refused(blob: str) -> None:
    with pytest.raises(sealing.SealingError, match="does not decrypt"):
        sealing.unseal(KEY, blob, b"ns/name")


def test_the_controllers_certificate_parses_although_its_extensions_do_not() -> None:
    found = sealing.parse_certificate(certificate())
    assert found.public_key.public_numbers() == KEY.public_key().public_numbers()
    assert found.not_after == NOW + datetime.timedelta(days=3650)
    assert len(found.fingerprint) == 64


def test_the_first_certificate_of_several_counts() -> None:
    other = rsa.generate_private_key(65537, 2048)
    found = sealing.parse_certificate(certificate() + certificate(other))
    assert found.count == 2
    assert found.fingerprint == sealing.parse_certificate(certificate()).fingerprint


def test_an_expired_certificate_is_refused_with_its_date() -> None:
    found = sealing.parse_certificate(certificate(days=-1))
    with pytest.raises(sealing.SealingError, match="expired on 2026-11-22"):
        found.check(NOW)
    sealing.parse_certificate(certificate(days=1)).check(NOW)


@pytest.mark.parametrize("pem", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(pem: bytes) -> None:
    with pytest.raises(sealing.SealingError, match="no PEM certificate"):
        sealing.parse_certificate(pem)


def test_a_certificate_without_rsa_is_refused() -> None:
    with pytest.raises(sealing.SealingError, match="no RSA key"):
        sealing.parse_certificate(certificate(ec.generate_private_key(ec.SECP256R1()), key_usage=False))


def test_a_thousand_values_take_less_than_a_second_and_stay_in_order() -> None:
    key = rsa.generate_private_key(65537, 4096)
    values = [f"value {number}".encode() for number in range(1000)]
    started = time.process_time()
    for value in values:
        key.public_key().encrypt(value, padding.PKCS1v15())
    encrypted = time.process_time()
    blobs = sealing.seal_all(key.public_key(), values, b"ns/name")
    # On a machine where RSA alone takes that long, not much longer than that.
    assert time.process_time() - encrypted < max(1, 3 * (encrypted - started))
    assert [sealing.unseal(key, blob, b"ns/name") for blob in blobs[:3] + blobs[-3:]] == values[:3] + values[-3:]

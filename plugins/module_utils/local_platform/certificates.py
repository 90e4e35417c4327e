# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The platform's certificate authorities, and what they sign."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import (
    CLUSTER_DOMAIN,
    NODE_NAME,
    Settings,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, Name

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365
RENEW_DAYS = 90

SERVICE_ACCOUNTS = "service-accounts.key"  # signs the tokens of pods
# The request-header authority has to be another one than that of the clients: kube-apiserver refuses to share it.
AUTHORITIES = {"ca": "services", "kubernetes-ca": "kubernetes", "front-proxy-ca": "front-proxy"}


@dataclass(frozen=True)
class Request:
    """One certificate wanted: its file's name, its authority, and what it is valid for."""

    name: str
    authority: str
    subject: str
    groups: Sequence[str] = ()
    addresses: Sequence[str] = ()
    names: Sequence[str] = ()

    @property
    def server(self) -> bool:
        """Whether a server shows it (it has an address), or a client."""
        return bool(self.addresses or self.names)


def requests(settings: Settings) -> list[Request]:
    """All certificates of a platform."""
    node = settings.node_address
    return [
        Request(
            "kube-apiserver",
            "kubernetes-ca",
            "kube-apiserver",
            addresses=(node, settings.address_in_services(1)),
            names=(
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
            ),
        ),
        Request("kubelet-server", "kubernetes-ca", NODE_NAME, addresses=(node,), names=(NODE_NAME,)),
        Request("kube-apiserver-kubelet", "kubernetes-ca", "kube-apiserver", groups=("system:masters",)),
        Request("front-proxy-client", "front-proxy-ca", "front-proxy-client"),
        Request("admin", "kubernetes-ca", "kubernetes-admin", groups=("system:masters",)),
        Request("kubelet", "kubernetes-ca", f"system:node:{NODE_NAME}", groups=("system:nodes",)),
        Request("kube-controller-manager", "kubernetes-ca", "system:kube-controller-manager"),
        Request("kube-scheduler", "kubernetes-ca", "system:kube-scheduler"),
        Request("kube-proxy", "kubernetes-ca", "system:kube-proxy"),
        Request("coredns", "kubernetes-ca", "system:coredns"),
        Request("postgresql", "ca", "postgresql", addresses=(node,)),
        Request("registry", "ca", "registry", addresses=(node,)),
    ]


def ensure(settings: Settings) -> list[str]:
    """Make what is missing or runs out soon; the names of what was made."""
    settings.pki.mkdir(mode=0o755, parents=True, exist_ok=True)
    made = []
    for name, title in AUTHORITIES.items():
        if not _usable(settings.pki / name):
            key = _new_key()
            _write_pair(settings.pki / name, key, _authority(key, f"{settings.instance} {title}"))
            made.append(name)
    for request in requests(settings):
        if not _serves(settings, request):
            authority = _load(settings.pki / request.authority)
            key = _new_key()
            _write_pair(settings.pki / request.name, key, _sign(key, request, *authority))
            made.append(request.name)
    if not (settings.pki / SERVICE_ACCOUNTS).exists():
        write(settings.pki / SERVICE_ACCOUNTS, _key_text(_new_key()), mode=0o600)
        made.append(SERVICE_ACCOUNTS)
    return made


def missing(settings: Settings) -> list[str]:
    """What C(ensure) would make now."""
    authorities = [name for name in AUTHORITIES if not _usable(settings.pki / name)]
    keys = [] if (settings.pki / SERVICE_ACCOUNTS).exists() else [SERVICE_ACCOUNTS]
    return authorities + keys + [request.name for request in requests(settings) if not _serves(settings, request)]


def kubeconfig(settings: Settings, name: str) -> str:
    """A client's configuration with its certificate inside, as JSON (which is YAML)."""

    def embedded(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "local",
                "cluster": {
                    "server": f"https://{settings.node_address}:6443",
                    "certificate-authority-data": embedded(settings.pki / "kubernetes-ca.crt"),
                },
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": embedded(settings.pki / f"{name}.crt"),
                    "client-key-data": embedded(settings.pki / f"{name}.key"),
                },
            }
        ],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": name}}],
        "current-context": "local",
    }
    return json.dumps(config, indent=1) + "\n"


def write(path: Path, text: str | bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> bool:
    """Write a file at once or not at all, never readable for more than C(mode) says; whether it changed."""
    data = text.encode() if isinstance(text, str) else text
    try:
        same = path.read_bytes() == data and path.stat().st_mode & 0o777 == mode
    except FileNotFoundError:
        same = False
    if same and (owner is None or (path.stat().st_uid, path.stat().st_gid) == owner):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), mode)
        if owner is not None:
            os.fchown(stream.fileno(), *owner)
    temporary.replace(path)
    return True


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _key_text(key: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _write_pair(path: Path, key: EllipticCurvePrivateKey, certificate: Certificate) -> None:
    from cryptography.hazmat.primitives import serialization

    # The key first: a certificate is only trusted to be whole when its key is there and fits.
    write(path.with_suffix(".key"), _key_text(key), mode=0o600)
    write(path.with_suffix(".crt"), certificate.public_bytes(serialization.Encoding.PEM))


def _load(path: Path) -> tuple[EllipticCurvePrivateKey, Certificate]:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(path.with_suffix(".key").read_bytes(), None)
    # The key is of our own making, so of this kind.
    return key, x509.load_pem_x509_certificate(path.with_suffix(".crt").read_bytes())  # type: ignore[return-value]


def _serves(settings: Settings, request: Request) -> bool:
    """Whether a certificate is usable, its authority's, and for what is asked for."""
    from cryptography.exceptions import InvalidSignature

    path = settings.pki / request.name
    if not _usable(path):
        return False
    certificate = _load(path)[1]
    try:
        certificate.verify_directly_issued_by(_load(settings.pki / request.authority)[1])
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    return certificate.subject == _subject(request) and _alternatives(certificate) == {
        *request.addresses,
        *request.names,
    }


def _alternatives(certificate: Certificate) -> set[str]:
    """The addresses and names that a certificate is valid for."""
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in extension.value}


def _usable(path: Path) -> bool:
    """Whether key and certificate are there, belong together, and last a while."""
    try:
        key, certificate = _load(path)
    except (OSError, ValueError, TypeError):
        return False
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    return key.public_key() == certificate.public_key() and left > datetime.timedelta(days=RENEW_DAYS)


def _authority(key: EllipticCurvePrivateKey, title: str) -> Certificate:
    from cryptography import x509

    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, title)])
    builder = _builder(subject, subject, key, AUTHORITY_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    return _signed(builder, key)


def _subject(request: Request) -> Name:
    from cryptography import x509

    attributes = [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group) for group in request.groups]
    return x509.Name([*attributes, x509.NameAttribute(x509.NameOID.COMMON_NAME, request.subject)])


def _sign(
    key: EllipticCurvePrivateKey, request: Request, authority_key: EllipticCurvePrivateKey, authority: Certificate
) -> Certificate:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    builder = _builder(_subject(request), authority.subject, key, CERTIFICATE_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if request.server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    issuer = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False
    )
    if request.server:
        alternatives: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(a)) for a in request.addresses]
        alternatives += [x509.DNSName(name) for name in request.names]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return _signed(builder, authority_key)


def _builder(subject: Any, issuer: Any, key: EllipticCurvePrivateKey, days: int) -> Any:
    from cryptography import x509

    # A machine resumed from a snapshot may have a clock a little behind.
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start)
    builder = builder.not_valid_after(start + datetime.timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _usage(signs: bool) -> Any:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: Any, key: EllipticCurvePrivateKey) -> Certificate:
    from cryptography.hazmat.primitives import hashes

    certificate: Certificate = builder.sign(key, hashes.SHA256())
    return certificate

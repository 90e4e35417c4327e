"""Whether a cluster's API server can be reached is tried in seconds, and what is in the way is named."""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks_endpoint
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

LOOPBACK = "127.0.0.1"


def certificate(directory: Path) -> Path:
    """A key and a certificate that signs itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "server.pem"
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, *plain) + made.public_bytes(serialization.Encoding.PEM)
    path.write_bytes(text)
    return path


class Listener(threading.Thread):
    """Answers each connection with what C(answer) does."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.create_server((LOOPBACK, 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            try:
                connection, _address = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.answer(connection)
            except OSError:
                return

    def answer(self, connection: socket.socket) -> None:
        while connection.recv(4096):
            pass


class Tls(Listener):
    def __init__(self, file: Path) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(file)
        super().__init__()

    def answer(self, connection: socket.socket) -> None:
        with self.context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)


class Proxy(Listener):
    """Knows one user."""

    def answer(self, connection: socket.socket) -> None:
        request = connection.recv(4096).decode()
        if base64.b64encode(b"me:secret").decode() not in request:
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        host, port = request.split()[1].split(":")
        with socket.create_connection((host, int(port))) as onward:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(onward, connection), daemon=True)
            back.start()
            self._copy(connection, onward)
            back.join(5)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the other side has closed
            while data := source.recv(4096):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return certificate(tmp_path)


@pytest.fixture
def server(file: Path) -> Iterator[Tls]:
    tls = Tls(file)
    yield tls
    tls.socket.close()


def authority(file: Path) -> str:
    text = file.read_text()
    return base64.b64encode(text[text.index("-----BEGIN CERTIFICATE") :].encode()).decode()


def test_an_endpoint_is_reached(server: Tls, file: Path) -> None:
    eks_endpoint.check(f"https://{LOOPBACK}:{server.port}", authority(file), None, public=False)


def test_an_endpoint_is_reached_through_a_proxy(server: Tls, file: Path) -> None:
    proxy = Proxy()
    endpoint = f"https://{LOOPBACK}:{server.port}"
    eks_endpoint.check(endpoint, authority(file), f"http://me:secret@{LOOPBACK}:{proxy.port}", public=False)
    with pytest.raises(DbosError, match=r"through the proxy 127.0.0.1: the proxy answers 'HTTP/1.1 407") as caught:
        eks_endpoint.check(endpoint, authority(file), f"http://me:hidden@{LOOPBACK}:{proxy.port}", public=False)
    assert "hidden" not in caught.value.msg and "Check eks_proxy" in caught.value.msg


def test_another_s_certificate_is_refused(server: Tls, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = certificate(tmp_path / "other")
    with pytest.raises(DbosError, match="certificate verify failed"):
        eks_endpoint.check(f"https://{LOOPBACK}:{server.port}", authority(other), None, public=True)


@pytest.mark.parametrize(("public", "hint"), [(True, "Add this machine's public address"), (False, "name a proxy")])
def test_what_does_not_answer_is_told_with_a_way_out(
    file: Path, monkeypatch: pytest.MonkeyPatch, public: bool, hint: str
) -> None:
    monkeypatch.setattr(eks_endpoint, "TIMEOUT", 0.2)
    silent = Listener()
    with pytest.raises(DbosError, match=f"can't be reached from here: .*timed out.*{hint}"):
        eks_endpoint.check(f"https://{LOOPBACK}:{silent.port}", authority(file), None, public=public)
    with socket.socket() as closed, pytest.raises(DbosError, match=f"Connection refused.*{hint}"):
        closed.bind((LOOPBACK, 0))  # nobody else gets the port, and nobody listens there
        eks_endpoint.check(f"https://{LOOPBACK}:{closed.getsockname()[1]}", authority(file), None, public=public)


def test_a_certificate_that_is_none_is_told(file: Path) -> None:
    with pytest.raises(DbosError, match="can't be reached"):
        eks_endpoint.check("https://127.0.0.1:1", base64.b64encode(b"no certificate").decode(), None, public=True)

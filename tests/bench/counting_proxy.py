"""A proxy on loopback in front of the API server that writes down each request, and passes on all else unread."""

from __future__ import annotations

import base64
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml


class CountingProxy:
    """Forwards plain HTTP to the API server with the kubeconfig's certificate, a connection for each."""

    def __init__(self, kubeconfig: Path) -> None:
        self.requests: list[str] = []
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._upstream = urlsplit(cluster["server"])
        self._tls = ssl.create_default_context(cadata=_material(cluster, "certificate-authority").decode())
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(_material(user, "client-certificate") + b"\n" + _material(user, "client-key"))
            pair.flush()
            self._tls.load_cert_chain(pair.name)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "counted",
            "contexts": [{"name": "counted", "context": {"cluster": "counted", "user": "counted"}}],
            "clusters": [
                {"name": "counted", "cluster": {"server": f"http://127.0.0.1:{self._listener.getsockname()[1]}"}}
            ],
            "users": [{"name": "counted", "user": {}}],
        }

    @contextmanager
    def running(self) -> Iterator[CountingProxy]:
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _address = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        raw = socket.create_connection((self._upstream.hostname or "", self._upstream.port or 443))
        server = self._tls.wrap_socket(raw, server_hostname=self._upstream.hostname)
        threading.Thread(target=_pump, args=(server, client), daemon=True).start()
        with suppress(OSError), client, client.makefile("rb") as reader:
            while head := _head(reader):
                lines = head.decode("latin-1").split("\r\n")
                method, path, _protocol = lines[0].split(" ", 2)
                fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
                self.requests.append(f"{method} {path}")
                server.sendall(head)
                if "upgrade" in fields:  # a relay's tunnel: no more requests on this connection
                    while data := reader.read1(65536):
                        server.sendall(data)
                    break
                left = int(fields.get("content-length", 0))
                while left and (data := reader.read1(min(left, 65536))):
                    server.sendall(data)
                    left -= len(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def _head(reader: Any) -> bytes:
    """The next request's first lines, with the empty line at their end; nothing when the client is done."""
    head = b""
    for line in iter(reader.readline, b""):
        head += line
        if line == b"\r\n":
            return head
    return b""


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _material(entry: dict[str, str], name: str) -> bytes:
    """A certificate or key of a kubeconfig, which holds it or names its file."""
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"])
    return Path(entry[name]).read_bytes()

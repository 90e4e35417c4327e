"""A proxy on loopback in front of the API server that writes down each request, and passes on all else unread."""

from __future__ import annotations

import base64
import select
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
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
        """One thread for both directions: reading and writing of one TLS connection must not be done at once."""
        raw = socket.create_connection((self._upstream.hostname or "", self._upstream.port or 443))
        server = self._tls.wrap_socket(raw, server_hostname=self._upstream.hostname)
        written = _Requests(self.requests)
        with suppress(OSError), client, server:
            while True:
                ready = [server] if server.pending() else select.select([client, server], [], [])[0]
                if server in ready:
                    server.setblocking(False)  # what has come may be a part of a record, or none of our data
                    with suppress(ssl.SSLWantReadError):
                        if not (data := server.recv(65536)):
                            return
                        client.sendall(data)
                    server.setblocking(True)
                if client in ready:
                    if not (data := client.recv(65536)):
                        return
                    written.feed(data)
                    server.sendall(data)


class _Requests:
    """Finds the requests in what a client sends on its connection."""

    def __init__(self, found: list[str]) -> None:
        self._found = found
        self._unread = b""
        self._body = 0
        self._tunnel = False  # a relay's: no more requests on this connection

    def feed(self, data: bytes) -> None:
        self._unread += data
        while not self._tunnel:
            skipped = min(self._body, len(self._unread))
            self._unread, self._body = self._unread[skipped:], self._body - skipped
            head, end, rest = self._unread.partition(b"\r\n\r\n")
            if self._body or not end:
                return
            self._unread = rest
            first, *lines = head.decode("latin-1").split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            self._found.append(first.rpartition(" ")[0])
            self._body, self._tunnel = int(fields.get("content-length", 0)), "upgrade" in fields


def _material(entry: dict[str, str], name: str) -> bytes:
    """A certificate or key of a kubeconfig, which holds it or names its file."""
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"])
    return Path(entry[name]).read_bytes()

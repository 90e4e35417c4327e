"""An EKS cluster's API endpoint: lets in who has a valid token, and passes on to the local platform's API server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import yaml

LIFETIME = 15 * 60  # seconds that EKS accepts a token
CHUNK = 65536


class EksFront:
    """Checks each request's token as EKS and STS do, signature included; the way on is the admin's client certificate.

    C(tokens) are those accepted, C(refused) the reasons of those that were not. C(expired) are taken for old ones.
    """

    def __init__(self, platform: Path, cluster: str, sts: str, access_key: str, secret_key: str) -> None:
        self.cluster, self.sts, self.access_key, self.secret_key = cluster, sts, access_key, secret_key
        self.tokens: set[str] = set()
        self.expired: set[str] = set()
        self.refused: list[str] = []
        self.ca = (platform / "pki/kubernetes-ca.crt").read_bytes()
        config = yaml.safe_load((platform / "kubeconfig").read_text())
        self._upstream = urlsplit(config["clusters"][0]["cluster"]["server"])
        self._client_tls = ssl.create_default_context(cadata=self.ca.decode())
        self._client_tls.load_cert_chain(platform / "pki/admin.crt", platform / "pki/admin.key")
        self._server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._server_tls.load_cert_chain(platform / "pki/kube-apiserver.crt", platform / "pki/kube-apiserver.key")
        self.url = ""

    @property
    def ca_data(self) -> str:
        """The CA as C(describe_cluster) gives it."""
        return base64.b64encode(self.ca).decode()

    @contextmanager
    def running(self, enter: Callable[[], None] = lambda: None) -> Iterator[EksFront]:
        """In a thread that begins with C(enter)."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=lambda: (enter(), loop.run_forever()), daemon=True)
        thread.start()
        listen = asyncio.start_server(self._serve, self._upstream.hostname, 0, ssl=self._server_tls)
        server = asyncio.run_coroutine_threadsafe(listen, loop).result()
        self.url = f"https://{self._upstream.hostname}:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(_end(server), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def refusal(self, authorization: str) -> str:
        """Why a request is refused; empty when it is let in."""
        kind, _, token = authorization.partition(" ")
        if kind != "Bearer" or not token.startswith("k8s-aws-v1."):
            return "no EKS token"
        encoded = token.removeprefix("k8s-aws-v1.")
        url = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        query = dict(parse_qsl(urlsplit(url).query, strict_parsing=True))
        signed = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if token in self.expired or not -60 < time.time() - signed < LIFETIME:
            return "expired"
        if f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" != self.sts or query["Action"] != "GetCallerIdentity":
            return "not of this STS"
        if query["X-Amz-Credential"].split("/")[0] != self.access_key:
            return "unknown access key"
        if not hmac.compare_digest(self.signature(url, query), query["X-Amz-Signature"]):
            return "not signed for this cluster"
        self.tokens.add(token)
        return ""

    def signature(self, url: str, query: dict[str, str]) -> str:
        """What AWS' signature, version 4, of the URL and the cluster's header is (docs.aws.amazon.com, SigV4)."""
        parts = sorted(part for part in urlsplit(url).query.split("&") if not part.startswith("X-Amz-Signature="))
        headers = f"host:{urlsplit(url).netloc}\nx-k8s-aws-id:{self.cluster}\n"
        nothing = hashlib.sha256(b"").hexdigest()
        request = f"GET\n/\n{'&'.join(parts)}\n{headers}\n{query['X-Amz-SignedHeaders']}\n{nothing}"
        _key, *scope = query["X-Amz-Credential"].split("/")
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{query['X-Amz-Date']}\n{'/'.join(scope)}\n{digest}"
        key = f"AWS4{self.secret_key}".encode()
        for part in (*scope, text):
            key = hmac.digest(key, part.encode(), "sha256")
        return key.hex()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: its requests go on over a connection of their own, whose answers come back unread."""
        upstream: asyncio.StreamWriter | None = None
        with suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").split("\r\n")[:-2]
                fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                if reason := self.refusal(fields.get("authorization", "")):
                    self.refused.append(reason)
                    writer.write(_unauthorized(reason))
                    await writer.drain()
                    continue
                if upstream is None:
                    answers, upstream = await asyncio.open_connection(
                        self._upstream.hostname, self._upstream.port, ssl=self._client_tls
                    )
                    back = asyncio.create_task(_pump(answers, writer))
                kept = [line for line in lines if not line.lower().startswith("authorization:")]
                upstream.write("\r\n".join([first, *kept, "", ""]).encode("latin-1") + body)
                await upstream.drain()
                if "upgrade" in fields:  # a relay's tunnel: no more requests on this connection
                    await _pump(reader, upstream)
                    await back
                    break
        for stream in (upstream, writer):
            if stream:
                stream.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
    target.close()


def _unauthorized(reason: str) -> bytes:
    body = json.dumps({"kind": "Status", "status": "Failure", "message": "Unauthorized", "details": {"name": reason}})
    return (
        f"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()

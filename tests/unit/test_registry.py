"""Resolving and pushing against a registry that behaves as the real ones do in their odd corners."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import images, registry
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError, PlatformAbsent
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_build import push
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import parse
from ansible_collections.dbos.kubernetes.plugins.module_utils.registry import Registry

INDEX = json.dumps({"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}).encode()
BASIC = "Basic " + base64.b64encode(b"AWS:to:ken").decode()


class Fake(ThreadingHTTPServer):
    """A registry with one list of manifests, team/app:1; `login` is none, basic or bearer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.login = "none"
        self.token = "t"
        self.silent = False  # sends no Docker-Content-Digest
        self.busy = 0
        self.immutable = False  # as in Amazon ECR
        self.deletes = 202
        self.store: dict[str, bytes] = {"/v2/team/app/manifests/1": INDEX}
        self.requests: list[tuple[str, str]] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Fake

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self) -> None:
        fake, given = self.server, self.headers.get("Authorization")
        fake.requests.append((self.command, self.path))
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/token"):
            wrong = fake.login == "bearer" and given not in (None, BASIC)
            return self.answer(401) if wrong else self.answer(200, json.dumps({"token": fake.token}).encode())
        if fake.login == "basic" and given != BASIC:
            return self.answer(401, WWW_Authenticate='Basic realm="x"')
        if fake.login == "bearer" and given != "Bearer t":
            challenge = f'Bearer realm="http://{fake.host}/token",service="s",scope="repository:team/app:pull"'
            return self.answer(401, WWW_Authenticate=challenge)
        if fake.busy:
            fake.busy -= 1
            return self.answer(503)
        if self.command in ("GET", "HEAD"):
            body = fake.store.get(self.path)
            if body is None:
                return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
            digest = {} if fake.silent else {"Docker_Content_Digest": f"sha256:{hashlib.sha256(body).hexdigest()}"}
            return self.answer(200, body, **digest)
        if self.command == "DELETE":
            if fake.deletes != 202:
                return self.answer(fake.deletes, b'{"errors":[{"code":"DIGEST_INVALID"}]}' * (fake.deletes == 400))
            return self.answer(202 if fake.store.pop(self.path, None) else 404)
        if self.command == "PUT" and "/manifests/" in self.path and fake.immutable and self.path in fake.store:
            return self.answer(400, b'{"errors":[{"code":"TAG_INVALID"}]}')
        if self.command == "POST":
            if self.path.startswith("/v2/none/"):
                return self.answer(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}')
            return self.answer(202, Location="/v2/up?state=1")
        if self.command == "PATCH":
            fake.store["upload"] = content
            return self.answer(202, Location=f"http://{fake.host}/v2/up?state=2")
        digest = self.path.partition("digest=")[2].replace("%3A", ":")
        fake.store[f"/v2/team/app/blobs/{digest}" if digest else self.path] = fake.store.pop("upload", b"") or content
        return self.answer(201)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = handle_any


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.setattr(registry.time, "sleep", lambda _seconds: None)
    with Fake() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def resolve(fake: Fake, **credentials: str) -> str | None:
    return Registry(fake.host, **credentials).digest(parse(f"{fake.host}/team/app:1"))


EXPECTED = f"sha256:{hashlib.sha256(INDEX).hexdigest()}"
AWS = {"username": "AWS", "password": "to:ken"}


def put(fake: Fake, kind: str, content: Any) -> str:
    body = json.dumps(content).encode()
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    fake.store[f"/v2/team/app/{kind}/{digest}"] = body
    return digest


def test_labels_of_an_image_and_of_a_list(fake: Fake) -> None:
    config = put(fake, "blobs", {"config": {"Labels": {"dbos.kubernetes/sdk": "go 1.8.0"}}})
    image = put(fake, "manifests", {"config": {"digest": config}})
    several = put(fake, "manifests", {"manifests": [{"digest": image}]})
    bare = put(fake, "manifests", {"config": {"digest": put(fake, "blobs", {"config": {"Labels": None}})}})
    client = Registry(fake.host)
    for digest, labels in (
        (image, {"dbos.kubernetes/sdk": "go 1.8.0"}),
        (several, {"dbos.kubernetes/sdk": "go 1.8.0"}),
        (bare, {}),
        (f"sha256:{'0' * 64}", None),
    ):
        assert client.labels(parse(f"{fake.host}/team/app@{digest}")) == labels
    assert client.labels(parse(f"{fake.host}/team/app:1")) == {}


@pytest.mark.parametrize(("login", "credentials"), [("none", {}), ("basic", AWS), ("bearer", {}), ("bearer", AWS)])
@pytest.mark.parametrize("silent", [False, True])
def test_resolves_through_every_login(fake: Fake, login: str, credentials: dict[str, str], silent: bool) -> None:
    fake.login, fake.silent = login, silent
    assert resolve(fake, **credentials) == EXPECTED


def test_asks_again_when_the_registry_is_busy(fake: Fake) -> None:
    fake.busy = 2
    assert resolve(fake) == EXPECTED
    fake.busy = 99
    with pytest.raises(DbosError, match="answers 503"):
        resolve(fake)


@pytest.mark.parametrize(
    ("login", "credentials", "message"),
    [
        ("basic", {}, "does not let anonymous users use team/app"),
        ("basic", {"username": "me", "password": "bad-password"}, "does not let me use team/app"),
        ("bearer", {"username": "me", "password": "bad-password"}, r"refuses the credentials of me \(401\)"),
    ],
)
def test_says_who_may_not(fake: Fake, login: str, credentials: dict[str, str], message: str) -> None:
    fake.login = login
    with pytest.raises(DbosError, match=message) as caught:
        resolve(fake, **credentials)
    assert "bad-password" not in str(caught.value)


def test_a_token_without_the_right_is_told_too(fake: Fake) -> None:
    fake.login, fake.token = "bearer", "another"
    with pytest.raises(DbosError, match="does not let anonymous users use team/app"):
        resolve(fake)


def test_an_unreachable_registry_and_an_unknown_name_are_told_apart() -> None:
    with pytest.raises(DbosError, match=r"127\.0\.0\.1:1 cannot be reached from here"):
        Registry("127.0.0.1:1").digest(parse("127.0.0.1:1/app:1"))
    with pytest.raises(DbosError, match="does not resolve"):
        Registry("registry.invalid").digest(parse("registry.invalid/app:1"))


def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("nothing")
    with pytest.raises(DbosError, match=r"ca\.crt of the registry x\.y cannot be read"):
        Registry("x.y", ca_file=str(tmp_path / "ca.crt"))


def archive(path: Path, architecture: str, layer: bytes) -> tuple[Path, bytes]:
    """An image as docker saves it, in which a layer appears twice; its file and its configuration."""
    config = json.dumps({"os": "linux", "architecture": architecture}).encode()
    files = {
        "l.tar": layer,
        "c.json": config,
        "manifest.json": json.dumps([{"Config": "c.json", "Layers": ["l.tar", "again/layer.tar"]}]).encode(),
    }
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("again/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../l.tar"
        tar.addfile(link)
    return path, config


@pytest.mark.parametrize("packed", [False, True])
def test_pushes_what_the_tools_write(fake: Fake, tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = b"a layer" * 1000
    path, config = archive(tmp_path / "image.tar", "amd64", gzip.compress(layer, mtime=0) if packed else layer)
    target = parse(f"{fake.host}/team/app:build-1")
    digest = push({"linux/amd64": path}, target, Registry(fake.host))
    stored = fake.store["/v2/team/app/manifests/build-1"]
    assert digest == f"sha256:{hashlib.sha256(stored).hexdigest()}"
    manifest = json.loads(stored)
    assert [gzip.decompress(fake.store[f"/v2/team/app/blobs/{part['digest']}"]) for part in manifest["layers"]] == [
        layer
    ] * 2
    assert fake.store[f"/v2/team/app/blobs/{manifest['config']['digest']}"] == config
    assert manifest["config"]["size"] == len(config)
    uploads = [path for command, path in fake.requests if command == "PATCH"]
    assert len(uploads) == 2, "a layer that is there is not uploaded again"
    monkeypatch.setattr(gzip.time, "time", lambda: 86400.0)
    assert push({"linux/amd64": path}, target, Registry(fake.host)) == digest, "the same at another time"


def test_images_for_several_platforms_become_a_list(fake: Fake, tmp_path: Path) -> None:
    archives = {
        f"linux/{name}": archive(tmp_path / name, name.split("/")[0], name.encode())[0] for name in ("amd64", "arm64")
    }
    target = parse(f"{fake.host}/team/app:build-1")
    digest = push(archives, target, Registry(fake.host))
    stored = fake.store["/v2/team/app/manifests/build-1"]
    assert digest == f"sha256:{hashlib.sha256(stored).hexdigest()}"
    members = json.loads(stored)["manifests"]
    assert [member["platform"] for member in members] == [
        {"os": "linux", "architecture": name} for name in ("amd64", "arm64")
    ]
    for member in members:
        manifest = fake.store[f"/v2/team/app/manifests/{member['digest']}"]
        assert len(manifest) == member["size"]
        config = json.loads(fake.store[f"/v2/team/app/blobs/{json.loads(manifest)['config']['digest']}"])
        assert config["architecture"] == member["platform"]["architecture"]
    assert push(archives, target, Registry(fake.host)) == digest


def test_an_image_for_another_platform_is_not_pushed(fake: Fake, tmp_path: Path) -> None:
    path, _config = archive(tmp_path / "image.tar", "amd64", b"layer")
    with pytest.raises(DbosError, match="was built for linux/amd64 and not for linux/arm64"):
        push({"linux/arm64": path}, parse(f"{fake.host}/team/app:build-1"), Registry(fake.host))
    assert not fake.requests


def test_a_repository_that_is_not_there_is_named(fake: Fake, tmp_path: Path) -> None:
    path, _config = archive(tmp_path / "image.tar", "amd64", b"layer")
    with pytest.raises(DbosError, match="has no repository none/app, and makes none by itself"):
        push({"linux/amd64": path}, parse(f"{fake.host}/none/app:build-1"), Registry(fake.host))


def test_where_tags_cannot_be_moved_another_runs_build_is_taken(fake: Fake, tmp_path: Path) -> None:
    path, _config = archive(tmp_path / "image.tar", "amd64", b"layer")
    fake.immutable = True
    assert push({"linux/amd64": path}, parse(f"{fake.host}/team/app:1"), Registry(fake.host)) == EXPECTED


def test_an_image_gets_and_loses_a_tag(fake: Fake) -> None:
    image = parse(f"{fake.host}/team/app@{EXPECTED}")
    fake.store[f"/v2/team/app/manifests/{EXPECTED}"] = INDEX
    fake.store["/v2/team/app/manifests/taken"] = b"{}"
    fake.immutable = True
    client, tagged = Registry(fake.host), parse(f"{fake.host}/team/app:release-1")
    client.tag(image, tagged)
    client.tag(image, tagged)
    assert client.digest(tagged) == EXPECTED
    with pytest.raises(DbosError, match="app:taken is another image already"):
        client.tag(image, parse(f"{fake.host}/team/app:taken"))
    assert client.delete_tag(tagged)
    assert client.delete_tag(tagged)
    assert client.digest(tagged) is None
    assert client.digest(image) == EXPECTED
    for unable in (400, 405):
        fake.deletes = unable
        assert not client.delete_tag(tagged)
    fake.deletes = 500
    with pytest.raises(DbosError, match=r"answers 500 to the request to remove .*:release-1"):
        client.delete_tag(tagged)


def test_tags_become_digests_and_digests_are_not_looked_up(fake: Fake) -> None:
    tag, digest = f"{fake.host}/team/app:1", f"{fake.host}/other@{EXPECTED}"
    result = images.ensure([], [tag, digest], {"host": fake.host}, check=True)
    assert result["digests"] == {tag: f"{fake.host}/team/app@{EXPECTED}", digest: digest}
    assert result["changed"] is False
    assert fake.requests == [("HEAD", "/v2/team/app/manifests/1")]
    with pytest.raises(DbosError, match=r"no image team/app:2 in the registry 127\.0\.0\.1"):
        images.ensure([], [f"{fake.host}/team/app:2"], {}, check=False)


def test_check_mode_builds_nothing_and_an_unbuilt_platform_is_absent(fake: Fake, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    build = {"name": "team/app", "context": str(tmp_path), "containerfile": "Dockerfile", "platforms": ["linux/amd64"]}
    result = images.ensure([build], [], {"host": fake.host}, check=True)
    assert (result["changed"], result["built"], result["digests"]) == (True, ["team/app"], {})
    assert {command for command, _path in fake.requests} == {"HEAD"}
    with pytest.raises(PlatformAbsent, match="does not exist"):
        images.ensure([build], [], {"host": fake.host, "ca_file": str(tmp_path / "ca.crt")}, check=True)
    with pytest.raises(PlatformAbsent, match="no registry to push to yet"):
        images.ensure([build], [], {}, check=True)

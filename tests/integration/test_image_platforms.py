"""An image for several platforms, built by buildah and pushed to a registry on loopback, as ECR takes it."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from process_kit import free_port, until

from ansible_collections.dbos.kubernetes.plugins.module_utils.image_build import find_builder
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import Reference, parse
from ansible_collections.dbos.kubernetes.plugins.module_utils.images import ensure
from ansible_collections.dbos.kubernetes.plugins.module_utils.registry import LIST, Registry

# With it come the programs from Debian that are run here.
pytestmark = pytest.mark.usefixtures("platform")

PLATFORMS = ["linux/amd64", "linux/arm64"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A registry of the test's own."""
    address = f"127.0.0.1:{free_port()}"
    configuration = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "registry")}},
        "http": {"addr": address},
    }
    (tmp_path / "registry.yml").write_text(json.dumps(configuration))
    with subprocess.Popen(
        ["docker-registry", "serve", tmp_path / "registry.yml"], stderr=subprocess.DEVNULL
    ) as running:
        try:
            until("up", lambda: running.poll() is None and answers(address))
            yield address
        finally:
            running.terminate()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/v2/", timeout=60) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def read(image: Reference, kind: str, digest: str) -> bytes:
    request = urllib.request.Request(f"http://{image.registry}/v2/{image.repository}/{kind}/{digest}")
    request.add_header("Accept", f"{LIST}, application/vnd.docker.distribution.manifest.v2+json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def file_in(image: Reference, manifest: str) -> str:
    """What the file /made of an image holds."""
    found = json.loads(read(image, "manifests", manifest))
    for layer in found["layers"]:
        with tarfile.open(fileobj=io.BytesIO(read(image, "blobs", layer["digest"]))) as tar:
            member = next((one for one in tar if one.name.endswith("made")), None)
            if member:
                content = tar.extractfile(member)
                assert content
                return content.read().decode().strip()
    raise AssertionError("no such file")


def test_an_image_for_two_platforms_is_one_list(host: str, tmp_path: Path) -> None:
    assert find_builder() in ("docker", "podman", "buildah")
    context = tmp_path / "context"
    context.mkdir()
    (context / "Containerfile").write_text("FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY made /made\n")
    prepare = ["sh", "-c", 'echo $TARGETOS $TARGETARCH >"$BUILD_CONTEXT/made"']
    build: dict[str, Any] = {"name": "app", "context": str(context), "containerfile": "Containerfile"}
    build |= {"prepare": prepare, "platforms": PLATFORMS}
    made = ensure([build], [], {"host": host}, check=False)
    image = parse(made["digests"]["app"])
    listing = json.loads(read(image, "manifests", str(image.digest)))
    assert listing["mediaType"] == LIST
    told = {f"{one['platform']['os']}/{one['platform']['architecture']}": one["digest"] for one in listing["manifests"]}
    assert list(told) == PLATFORMS
    assert [file_in(image, digest) for digest in told.values()] == ["linux amd64", "linux arm64"]
    client = Registry(host)
    labels = [client.labels(Reference(host, "app", None, digest)) or {} for digest in told.values()]
    assert [label["arch"] for label in labels] == ["amd64", "arm64"], "the build tool tells it as an argument"

    again = ensure([build], [], {"host": host}, check=False)
    assert (again["changed"], again["digests"]) == (False, made["digests"])
    other = ensure([build | {"platforms": PLATFORMS[:1]}], [], {"host": host}, check=True)
    assert other["built"] == ["app"], "other platforms are another build"

    tagged = Reference(host, "app", "release-1-abc")
    client.tag(image, tagged)
    assert client.digest(tagged) == image.digest, "a list as well"

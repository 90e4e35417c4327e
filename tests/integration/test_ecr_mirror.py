"""Images are copied between two real registries, into repositories of ECR."""

from __future__ import annotations

import hashlib
import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_kit import Aws
from process_kit import free_port, until

from ansible_collections.dbos.kubernetes.plugins.module_utils.image_mirror import Copy, mirrored
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import Reference, parse
from ansible_collections.dbos.kubernetes.plugins.module_utils.registry import Registry

# With it come the programs from Debian that are run here.
pytestmark = pytest.mark.usefixtures("platform")

OCI = "application/vnd.oci.image"
Mirror = Callable[..., dict[str, Any]]


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[str]:
    """A registry on a port of its own; its host."""
    host = f"127.0.0.1:{free_port()}"
    config = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": host},
        **options,
    }
    folder.mkdir()
    (folder / "config.yml").write_text(json.dumps(config))
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")], stdout=quiet, stderr=quiet
    ) as process:
        try:
            until("answering", lambda: answers(process, host))
            yield host
        finally:
            process.terminate()


def answers(process: subprocess.Popen[bytes], host: str) -> bool:
    assert process.poll() is None, "it has ended"
    try:
        urllib.request.urlopen(f"http://{host}/v2/", timeout=60).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The hosts of a source and of what stands for the account's registry."""
    folder = tmp_path_factory.mktemp("registries")
    with running(folder / "source") as source, running(folder / "target") as target:
        yield source, target


@pytest.fixture
def mirror(aws: Aws, registries: tuple[str, str]) -> Mirror:
    """The module, in an empty account."""
    aws.reset()

    def call(*images: str, failing: bool = False, **options: Any) -> dict[str, Any]:
        registry = {"host": registries[1]}
        result = aws.module("ecr_mirror", platform="shop", images=list(images), registry=registry, **options)
        assert bool(result.get("failed")) == failing, result.get("msg")
        return result

    return call


def put(registry: Registry, repository: str, content: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    registry.put_blob(repository, digest, BytesIO(content), len(content))
    return {"digest": digest, "size": len(content)}


def publish(host: str, name: str, *platforms: str) -> str:
    """Put an image with a tag into a registry, a list when it is for several platforms; its digest."""
    registry, tagged = Registry(host), Reference(host, name, "1")
    members = []
    for platform in platforms:
        system, _, architecture = platform.partition("/")
        config = json.dumps({"os": system, "architecture": architecture, "config": {}}).encode()
        layers = [put(registry, name, f"{name} {platform} {number}".encode() * 1000) for number in range(3)]
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": {"mediaType": f"{OCI}.config.v1+json", **put(registry, name, config)},
            "layers": [{"mediaType": f"{OCI}.layer.v1.tar+gzip", **layer} for layer in layers],
        }
        body = json.dumps(manifest).encode()
        if len(platforms) == 1:
            return registry.put_manifest(tagged, body, manifest["mediaType"])
        digest = registry.put_manifest(replace(tagged, tag=None), body, manifest["mediaType"])
        member = {"mediaType": manifest["mediaType"], "digest": digest, "size": len(body)}
        members.append({**member, "platform": {"os": system, "architecture": architecture}})
    kind = f"{OCI}.index.v1+json"
    index = {"schemaVersion": 2, "mediaType": kind, "manifests": members}
    return registry.put_manifest(tagged, json.dumps(index).encode(), kind)


def repositories(aws: Aws) -> list[str]:
    return sorted(one["repositoryName"] for one in aws.client("ecr").describe_repositories()["repositories"])


def test_images_are_copied_with_their_digests_and_only_once(
    aws: Aws, mirror: Mirror, registries: tuple[str, str]
) -> None:
    source, target = registries
    many, one = publish(source, "team/many", "linux/amd64", "linux/arm64"), publish(source, "team/one", "linux/amd64")
    names = [f"{source}/team/many:1", f"{source}/team/one@{one}"]
    place = f"mirror/{source.replace(':', '-')}/team"
    planned = mirror(*names, check=True)
    assert planned["changed"] and planned["copied"] == names and not repositories(aws)
    assert planned["images"][names[0]] == f"{target}/{place}/many:1"

    made = mirror(*names)
    expected = {names[0]: f"{target}/{place}/many@{many}", names[1]: f"{target}/{place}/one@{one}"}
    assert made["changed"] and made["copied"] == names and made["images"] == expected
    assert repositories(aws) == [f"{place}/many", f"{place}/one"]
    there = Registry(target)
    found = there.manifest(Reference(target, f"{place}/many", "1"))
    assert found is not None
    for member in json.loads(found[0])["manifests"]:
        image = there.manifest(Reference(target, f"{place}/many", digest=member["digest"]))
        assert image is not None
        for part in json.loads(image[0])["layers"]:
            content = BytesIO()
            there.get_blob(f"{place}/many", part["digest"], content)
            assert f"sha256:{hashlib.sha256(content.getvalue()).hexdigest()}" == part["digest"]
    # What only has a digest got a tag, so that the repository's policy keeps it.
    assert there.digest(Reference(target, f"{place}/one", one.replace(":", "-"))) == one

    publish(source, "team/many", "linux/amd64", "linux/s390x")  # the tag moves
    again = mirror(*names)
    assert not again["changed"] and again["copied"] == [] and again["images"] == expected


def test_only_some_platforms_of_an_image(mirror: Mirror, registries: tuple[str, str]) -> None:
    source, target = registries
    publish(source, "some", "linux/amd64", "linux/arm64", "linux/s390x")
    name = f"{source}/some:1"
    assert "There is no linux/riscv64 of the image" in mirror(name, platforms=["linux/riscv64"], failing=True)["msg"]
    copy = mirror(name, platforms=["linux/arm64"])["images"][name]
    repository, _, digest = copy.removeprefix(f"{target}/").partition("@")
    found = Registry(target).manifest(Reference(target, repository, digest=digest))
    assert found is not None
    assert [one["platform"]["architecture"] for one in json.loads(found[0])["manifests"]] == ["arm64"]


def test_an_interrupted_copy_has_no_tag_and_goes_on(mirror: Mirror, registries: tuple[str, str], aws: Aws) -> None:
    source, target = registries
    whole = publish(source, "parts", "linux/amd64", "linux/arm64")
    name, registry = f"{source}/parts:1", Registry(source)
    found = registry.manifest(Reference(source, "parts", "1"))
    assert found is not None
    last = json.loads(found[0])["manifests"][1]["digest"]
    gone = registry.manifest(Reference(source, "parts", digest=last))
    assert gone is not None
    request = urllib.request.Request(f"http://{source}/v2/parts/manifests/{last}", method="DELETE")
    urllib.request.urlopen(request, timeout=60).close()
    told = mirror(name, failing=True)["msg"]
    assert f"lacks {source}/parts@{last}, a part of the image {name}" in told
    copied = Reference(target, f"mirror/{source.replace(':', '-')}/parts", "1")
    assert Registry(target).digest(copied) is None
    registry.put_manifest(Reference(source, "parts", digest=last), *gone)
    assert mirror(name)["images"][name].endswith(f"@{whole}")


def test_what_is_not_there_is_named(mirror: Mirror, registries: tuple[str, str]) -> None:
    source, _ = registries
    assert f"There is no image {source}/none:1 to copy" in mirror(f"{source}/none:1", failing=True)["msg"]
    assert "is no image reference" in mirror("Not An Image", failing=True)["msg"]


def test_two_at_once_make_the_same(registries: tuple[str, str]) -> None:
    source, target = registries
    digest = publish(source, "both", "linux/amd64")
    image = parse(f"{source}/both:1")
    copies = [Copy(image, mirrored(image, target, "twice"), Registry(source), Registry(target)) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(Copy.make, copies)) == [digest] * 2


def test_roles_hand_the_copies_on(
    aws: Aws, registries: tuple[str, str], ansible_playbook: Callable[..., Any], root: Path, tmp_path: Path
) -> None:
    source, target = registries
    aws.reset()
    digest, name = publish(source, "addon", "linux/amd64"), f"{source}/addon:1"
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "platform_name": "shop",
        "platform_region": "eu-west-1",
        "platform_registry": {"host": target},
        "network_nat": "none",
        "ecr_repositories": ["shop"],
        "ecr_mirror_images": [name],
    }
    inventory, play = tmp_path / "hosts.yml", tmp_path / "play.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"shop": variables}}}))
    told = {"debug": {"msg": f"copy {{{{ addons_images['{name}'] }}}}"}}
    tasks = [{"import_role": {"name": "dbos.kubernetes.ecr"}}, told]
    addons = str(root / "roles/addons/defaults/main.yml")
    play.write_text(yaml.safe_dump([{"hosts": "shop", "gather_facts": False, "vars_files": [addons], "tasks": tasks}]))
    run = ansible_playbook(play, "--diff", inventory=inventory, env=aws.env)
    repository = f"mirror/{source.replace(':', '-')}/addon"
    assert run.changed == 2 and f"copy {target}/{repository}@{digest}" in run.output
    assert repositories(aws) == [repository, "shop"]

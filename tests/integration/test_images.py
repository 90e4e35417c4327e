"""Images against the real registry: built once, pushed with its CA, resolved to what can be pulled."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from process_kit import until

from ansible_collections.dbos.kubernetes.plugins.module_utils.image_build import find_builder
from ansible_collections.dbos.kubernetes.plugins.module_utils.images import ensure

Module = Callable[..., dict[str, Any]]

PLAY = """
- hosts: localhost
  gather_facts: false
  vars:
    ansible_connection: local
    ansible_pipelining: true
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - name: Images
      dbos.kubernetes.images: "{{ arguments }}"
      register: result
      ignore_errors: true
    - name: Keep the result
      ansible.builtin.copy:
        content: "{{ result | to_json }}"
        dest: "{{ output }}"
        mode: "0600"
      check_mode: false
"""


@pytest.fixture
def run_module(ansible_playbook: Callable[..., Any], tmp_path: Path) -> Module:
    """Runs the module as a play does; returns its result."""

    def run(*options: str, **arguments: Any) -> dict[str, Any]:
        playbook, output = tmp_path / "play.yml", tmp_path / "result.json"
        playbook.write_text(PLAY)
        variables = {"arguments": arguments, "output": str(output)}
        ansible_playbook(playbook, *options, inventory="localhost,", extra_vars=variables)
        return json.loads(output.read_text())

    return run


@pytest.fixture
def registry(platform: Any) -> dict[str, str]:
    return {"host": f"{platform.node}:5443", "ca_file": str(platform.directory / "pki/ca.crt")}


@pytest.fixture
def build(tmp_path: Path) -> dict[str, Any]:
    """An image without a base, of a name no one else uses."""
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY file /file\n")
    (context / "file").write_text("1")
    return {"name": f"test-images/{uuid.uuid4().hex[:8]}", "context": str(context)}


def test_builds_once_and_answers_with_a_digest_that_can_be_pulled(
    run_module: Module, registry: dict[str, str], build: dict[str, Any], platform: Any
) -> None:
    name = build["name"]
    promised = run_module("--check", build=[build], registry=registry)
    assert (promised["changed"], promised["built"], promised["digests"]) == (True, [name], {})

    first = run_module(build=[build], registry=registry)
    assert first["changed"] and first["built"] == [name]
    image = first["digests"][name]
    assert image.startswith(f"{registry['host']}/{name}@sha256:")

    again = run_module(build=[build], registry=registry)
    assert (again["changed"], again["built"], again["digests"]) == (False, [], first["digests"])

    (Path(build["context"]) / "file").write_text("2")
    changed = run_module(build=[build], registry=registry)
    assert changed["changed"] and changed["digests"][name] != image

    pull(platform, changed["digests"][name])


def pull(platform: Any, image: str) -> None:
    """Let the node's containerd pull it, with its own idea of what a registry says."""
    name = f"pull-{uuid.uuid4().hex[:8]}"
    container = {"name": "c", "image": image, "command": ["/file"]}
    pod = {"restartPolicy": "Never", "containers": [container]}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod}
    platform.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    path = "jsonpath={.status.containerStatuses[0].imageID}"
    try:
        until("pulled", lambda: image in platform.kubectl("get", "pod", name, "-o", path))
    finally:
        platform.kubectl("delete", "pod", name, "--wait=false")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """docker with its engine, and podman, from Debian's packages; nothing is installed."""
    folder = tmp_path_factory.mktemp("debian")
    download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", "docker.io", "podman", "conmon"]
    if subprocess.run(download, cwd=folder, capture_output=True, check=False).returncode:
        subprocess.run(["apt-get", "update"], capture_output=True, check=True)
        subprocess.run(download, cwd=folder, capture_output=True, check=True)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder], check=True)
    return folder / "usr"


@pytest.fixture
def no_engine(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both programs are there, but docker's engine does not run."""
    for folder in ("sbin", "bin"):
        monkeypatch.setenv("PATH", str(programs / folder), prepend=os.pathsep)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")


@pytest.fixture
def engine(no_engine: None, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """docker's engine, without a network or mounts of its own."""
    address = f"unix://{temporary}/socket"
    folders = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
    places = [f"--{option}={temporary}/{name}" for option, name in folders.items()]
    plain = ["--bridge=none", "--iptables=false", "--storage-driver=vfs"]
    with (temporary / "log").open("w") as log:
        running = subprocess.Popen(["dockerd", "--host", address, *places, *plain], stdout=log, stderr=log)
    monkeypatch.setenv("DOCKER_HOST", address)
    try:
        until("up", lambda: find_builder() == "docker")
        yield
    finally:
        running.terminate()
        running.wait(timeout=120)


@pytest.mark.parametrize(("tool", "state"), [("docker", "engine"), ("podman", "no_engine")])
def test_docker_and_podman_build_as_well(
    request: pytest.FixtureRequest,
    registry: dict[str, str],
    build: dict[str, Any],
    platform: Any,
    tool: str,
    state: str,
) -> None:
    request.getfixturevalue(state)
    assert find_builder() == tool
    defaults = {"containerfile": "Dockerfile", "platforms": ["linux/amd64"]}
    made = ensure([{**defaults, **build}], [], registry, check=False)
    assert made["built"] == [build["name"]]
    pull(platform, made["digests"][build["name"]])


def test_a_tag_that_does_not_exist_is_named(run_module: Module, registry: dict[str, str]) -> None:
    result = run_module(resolve=[f"{registry['host']}/nothing:1"], registry=registry)
    assert result["msg"] == (
        f"There is no image nothing:1 in the registry {registry['host']}: push it, or correct its name or tag."
    )


def test_a_wrong_ca_is_named(run_module: Module, registry: dict[str, str]) -> None:
    """The system's CAs do not vouch for the local registry either."""
    result = run_module(resolve=[f"{registry['host']}/nothing:1"], registry={"host": registry["host"]})
    assert f"The certificate of the registry {registry['host']} is not trusted" in result["msg"]
    assert result["msg"].endswith("give the CA that signed it as the registry's ca_file.")


def test_an_unreachable_registry_is_named(run_module: Module, registry: dict[str, str], build: dict[str, Any]) -> None:
    host = registry["host"].replace("5443", "5444")
    result = run_module(build=[build], registry=registry | {"host": host})
    assert f"The registry {host} cannot be reached from here" in result["msg"]
    assert result["failed"]


def test_a_platform_that_is_not_built_yet_would_change(
    run_module: Module, registry: dict[str, str], build: dict[str, Any], tmp_path: Path
) -> None:
    result = run_module("--check", build=[build], registry=registry | {"ca_file": str(tmp_path / "none")})
    assert result["changed"] and not result["failed"]
    assert run_module(build=[build], registry=registry | {"ca_file": str(tmp_path / "none")})["failed"]

"""Which tool builds, and what a person is told when none does or a build fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import image_build
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_build import (
    build_and_push,
    find_builder,
    from_scratch,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import parse
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.registry import Registry


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of our own: what is written into it is all that is installed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_a_docker_client_without_an_engine_does_not_count(programs: Path) -> None:
    install(programs, "docker", "echo Cannot connect to the Docker daemon. >&2; exit 1")
    install(programs, "buildah", "exit 0")
    assert find_builder() == "buildah"
    install(programs, "docker", "exit 0")
    assert find_builder() == "docker"


def test_without_a_tool_each_is_told_with_its_reason(programs: Path) -> None:
    install(programs, "docker", "echo warning >&2; echo Cannot connect to the Docker daemon. >&2; exit 1")
    with pytest.raises(DbosError) as caught:
        find_builder()
    assert "docker: Cannot connect to the Docker daemon.; podman is not installed; buildah is not" in caught.value.msg


@pytest.mark.parametrize("prepare", [[], ["failing"]])
def test_a_failed_build_shows_its_last_lines(programs: Path, tmp_path: Path, prepare: list[str]) -> None:
    for name in ("buildah", "failing"):
        install(programs, name, "for i in 1 2 3; do echo line $i; done; echo no such package >&2; exit 7")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    build = {"name": "app", "context": str(tmp_path), "containerfile": "Dockerfile", "platforms": ["linux/amd64"]}
    with pytest.raises(DbosError, match=r"image app failed: '.*' ended with 7:\nline 1\nline 2\nline 3\nno such"):
        build_and_push(
            "buildah", build | {"prepare": prepare}, parse("127.0.0.1:1/app:1"), Registry("127.0.0.1:1"), Progress()
        )


def test_each_platform_is_prepared_and_built_by_itself(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    install(
        programs, "prepare", f'echo prepare $TARGETOS $TARGETARCH $TARGETPLATFORM >>{log}; : >"$BUILD_CONTEXT/made"'
    )
    install(programs, "docker", f"echo $* >>{log}")
    monkeypatch.setattr(image_build, "push", lambda archives, *_others: " ".join(archives))
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\n")
    build = {"name": "app", "context": str(context), "containerfile": "Dockerfile", "prepare": ["prepare"]}
    build |= {"platforms": ["linux/amd64", "linux/arm/v7"]}
    digest = build_and_push("docker", build, parse("127.0.0.1:1/app:1"), Registry("127.0.0.1:1"), Progress())
    assert digest == "linux/amd64 linux/arm/v7"
    told = [line for line in log.read_text().splitlines() if line.startswith(("prepare", "build"))]
    assert told[0::2] == ["prepare linux amd64 linux/amd64", "prepare linux arm linux/arm/v7"]
    assert ["--platform linux/amd64" in told[1], "--platform linux/arm/v7" in told[3]] == [True, True]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("FROM scratch\nCOPY a /a\n", True),
        ("# syntax\nfrom --platform=linux/amd64 scratch AS app\n", True),
        ("FROM golang:1.27 AS builder\nFROM scratch\nCOPY --from=builder /a /a\n", False),
        ("FROM alpine\n", False),
    ],
)
def test_only_an_image_without_a_base_needs_no_storage_of_the_tools_own(
    tmp_path: Path, text: str, result: bool
) -> None:
    (tmp_path / "Dockerfile").write_text(text)
    assert from_scratch({"context": str(tmp_path), "containerfile": "Dockerfile"}) is result

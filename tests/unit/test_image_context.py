"""The hash that names a build changes with all that goes into the image, and with nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_context import (
    build_tag,
    context_files,
    ignore_rules,
    ignored,
)


@pytest.fixture
def build(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.go").write_text("package main\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    return {"name": "app", "context": str(tmp_path), "containerfile": "Dockerfile", "platforms": ["linux/amd64"]}


CHANGES: dict[str, Callable[[Path, dict[str, Any]], object]] = {
    "content": lambda folder, _build: (folder / "src/main.go").write_text("package other\n"),
    "name": lambda folder, _build: (folder / "src/main.go").rename(folder / "src/other.go"),
    "mode": lambda folder, _build: (folder / "run.sh").chmod(0o755),
    "new file": lambda folder, _build: (folder / "new").touch(),
    "link": lambda folder, _build: (folder / "link").symlink_to("run.sh"),
    "containerfile": lambda folder, _build: (folder / "Dockerfile").write_text("FROM alpine\n"),
    "arguments": lambda _folder, build: build.update(build_args={"A": "1"}),
    "preparation": lambda _folder, build: build.update(prepare=["make"]),
    "platforms": lambda _folder, build: build.update(platforms=["linux/amd64", "linux/arm64"]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_whatever_goes_into_the_image_changes_the_tag(build: dict[str, Any], change: Callable[..., object]) -> None:
    before = build_tag(build)
    assert before == build_tag(build)
    change(Path(build["context"]), build)
    assert build_tag(build) != before


def test_what_is_ignored_does_not_change_the_tag(build: dict[str, Any]) -> None:
    folder = Path(build["context"])
    (folder / ".dockerignore").write_text("*.log\nDockerfile\n")
    before = build_tag(build)
    (folder / "a.log").touch()
    (folder / ".git").mkdir()
    (folder / ".git/HEAD").touch()
    assert build_tag(build) == before
    (folder / "Dockerfile").write_text("FROM alpine\n")
    assert build_tag(build) != before, "an ignored Containerfile still makes the image"


def test_missing_context_and_containerfile_are_named(build: dict[str, Any]) -> None:
    with pytest.raises(DbosError, match="no Other"):
        build_tag(build | {"containerfile": "Other"})
    with pytest.raises(DbosError, match="/nowhere of the image app is no directory"):
        build_tag(build | {"context": "/nowhere"})


@pytest.mark.parametrize(
    ("patterns", "path", "result"),
    [
        (["*.log"], "a.log", True),
        (["*.log"], "x/a.log", False),
        (["**/*.log"], "x/y/a.log", True),
        (["**/*.log"], "a.log", True),
        (["node_modules"], "node_modules/x/y.js", True),
        (["/dist/"], "dist/a", True),
        (["*", "!src"], "src/main.go", False),
        (["*", "!src"], "other", True),
        (["a?c"], "abc", True),
        (["a?c"], "a/c", False),
        (["# a comment", "", "x.[ab]"], "x.b", True),
        (["x.[ab]"], "x.c", False),
        (["docs/**"], "docs/a/b.md", True),
        (["a.b"], "aXb", False),
    ],
)
def test_ignore_files_mean_what_docker_means(patterns: list[str], path: str, result: bool) -> None:
    assert ignored(path, ignore_rules(patterns)) is result


@given(patterns=st.lists(st.text(alphabet="ab*?!/.[]\\#(+ ", max_size=8), max_size=4))
def test_no_pattern_breaks_the_reading(patterns: list[str]) -> None:
    with contextlib.suppress(DbosError):
        ignored("a/b.a", ignore_rules(patterns))


def test_files_come_in_a_fixed_order(build: dict[str, Any]) -> None:
    names = [path.name for path in context_files(Path(build["context"]))]
    assert names == ["Dockerfile", "run.sh", "main.go"]

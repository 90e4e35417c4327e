"""The collection runs from a bare checkout and as the built artifact: both do the same job."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

SHIPPED = {
    *("FILES.json", "LICENSE", "MANIFEST.json", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "bindep.txt"),
    *(
        "requirements.txt",
        "changelogs",
        "docs",
        "examples",
        "extensions",
        "inventories",
        "meta",
        "playbooks",
        "plugins",
    ),
    *("roles", "tests"),
}


def test_bare_checkout_runs_with_no_install_step_and_no_setting(
    converged: Any, ansible_playbook: Callable[..., Any], root: Path, tmp_path: Path
) -> None:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        source, target = root / name, tmp_path / "checkout" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink() or source.exists():
            shutil.copy2(source, target, follow_symlinks=False)

    run = ansible_playbook(
        "site.yml",
        cwd=tmp_path / "checkout",
        inventory="inventories/local",
        env={"ANSIBLE_COLLECTIONS_PATH": None},
        extra_vars=converged.variables,
    )
    assert run.changed == 0, run.output


@pytest.fixture(scope="module")
def collections(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the built artifact installed into it."""
    folder = tmp_path_factory.mktemp("collections")
    galaxy = [Path(sys.executable).with_name("ansible-galaxy"), "collection"]
    subprocess.run([*galaxy, "build", "--output-path", folder, root], check=True, capture_output=True)
    (artifact,) = folder.glob("dbos-kubernetes-*.tar.gz")
    subprocess.run([*galaxy, "install", "--offline", "-p", folder, artifact], check=True, capture_output=True)
    return folder


def test_built_artifact_holds_what_users_need_and_no_more(collections: Path, root: Path) -> None:
    installed = collections / "ansible_collections/dbos/kubernetes"
    shipped = {path.name for path in installed.iterdir()}
    wrappers = {path.name for path in root.glob("*.yml")} - {"galaxy.yml"}
    assert shipped <= SHIPPED | wrappers, "the artifact has what only a checkout needs"
    assert not list(installed.rglob("__pycache__"))


def test_built_artifact_runs_elsewhere(
    converged: Any, ansible_playbook: Callable[..., Any], collections: Path, tmp_path: Path
) -> None:
    run = ansible_playbook(
        "dbos.kubernetes.site",
        cwd=tmp_path,
        inventory=collections / "ansible_collections/dbos/kubernetes/inventories/local",
        env={"ANSIBLE_COLLECTIONS_PATH": str(collections)},
        extra_vars=converged.variables,
    )
    assert run.changed == 0, run.output


def test_execution_environment_gets_the_libraries(collections: Path, root: Path) -> None:
    command = [Path(sys.executable).with_name("ansible-builder"), "introspect", collections]
    found = yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    named = {line.split("  #")[0] for line in found["python"]}
    wanted = {line for line in (root / "requirements.txt").read_text().splitlines() if not line.startswith("#")}
    # PyYAML comes with ansible-core: the builder leaves it out.
    assert wanted - named == {"PyYAML>=6"}
    assert found["system"] == []

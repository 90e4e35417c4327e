"""The supported releases of ansible-core and Python: unit tests and a converged deploy with each pair.

The pair of `make env` is what all other tests run with. The others' environments are kept in the cache.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dbos-kubernetes"
PAIRS = [("2.20", "3.12"), ("2.20", "3.13"), ("2.21", "3.12")]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"core-{pair[0]}-python-{pair[1]}")
def environment(request: pytest.FixtureRequest, root: Path) -> Path:
    """A cached environment of the pair."""
    core, python = request.param
    folder = CACHE / f"environments/core-{core}-python-{python}"
    command = [root / "tools/bootstrap", folder, root / f"locks/core-{core}.txt", python]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return folder


def test_unit_tests(environment: Path, root: Path) -> None:
    command = [environment / "bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_deploy_changes_nothing(environment: Path, converged: Any, ansible_playbook: Callable[..., Any]) -> None:
    path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run = ansible_playbook("deploy.yml", env={"PATH": path}, extra_vars=converged.variables)
    assert run.changed == 0, run.output
    assert "WARNING" not in run.output and "DEPRECAT" not in run.output, run.output

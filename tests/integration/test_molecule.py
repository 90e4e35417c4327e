"""Every role's molecule scenario: converge, idempotence, verify, on the shared platform."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("extensions/molecule/*/molecule.yml"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, platform: Any, ansible_environment: dict[str, str]) -> None:
    name = f"molecule-{scenario.replace('_', '-')}"
    try:
        done = subprocess.run(
            [Path(sys.executable).with_name("molecule"), "test", "--scenario-name", scenario],
            cwd=ROOT,
            env=ansible_environment | {"NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
    finally:
        platform.kubectl("delete", "namespace", name, "--ignore-not-found")
        platform.forget(name)


def test_every_role_has_a_scenario() -> None:
    assert {path.name for path in ROOT.glob("roles/*")} <= set(SCENARIOS)

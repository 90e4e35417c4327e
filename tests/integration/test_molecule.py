"""Every role's molecule scenario: converge, idempotence, verify, on the shared platform."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_kit import serving

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("extensions/molecule/*/molecule.yml"))


@contextlib.contextmanager
def account(scenario: str) -> Iterator[dict[str, str]]:
    """What a scenario about AWS finds it with; the others need none."""
    plays = (ROOT / f"extensions/molecule/{scenario}").glob("*.yml")
    if not any("../aws.yml" in play.read_text() for play in plays):
        yield {}
        return
    with serving() as aws:
        yield aws.env


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, platform: Any, ansible_environment: dict[str, str]) -> None:
    name = f"molecule-{scenario.replace('_', '-')}"
    try:
        with account(scenario) as aws:
            run(scenario, ansible_environment | aws)
    finally:
        platform.kubectl("delete", "namespace", name, "--ignore-not-found")
        platform.forget(name)


def run(scenario: str, environment: dict[str, str]) -> None:
    """All its steps, which must succeed."""
    done = subprocess.run(
        [Path(sys.executable).with_name("molecule"), "test", "--scenario-name", scenario],
        cwd=ROOT,
        env=environment | {"NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_role_has_a_scenario() -> None:
    assert {path.name for path in ROOT.glob("roles/*")} <= set(SCENARIOS)

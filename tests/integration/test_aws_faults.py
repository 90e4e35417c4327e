"""What AWS and the way to it do to a platform's making and end: nothing fails, is made twice, or stays."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_kit import Aws
from provision_kit import PLATFORM, Provisioning, inventory

pytestmark = pytest.mark.slow

KILLS = 10


@pytest.fixture(scope="module")
def provisioning(
    aws: Aws,
    ansible_playbook: Callable[..., Any],
    ansible_environment: dict[str, str],
    root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Provisioning:
    """Runs against this file's account."""
    return Provisioning(aws, ansible_playbook, ansible_environment, root, tmp_path_factory.mktemp("plays"))


@pytest.fixture(scope="module")
def whole(aws: Aws, provisioning: Provisioning) -> Counter[tuple[str, str]]:
    """What a run that nothing disturbs makes, and leaves as it is when it is repeated."""
    empty = inventory(aws)
    provisioning.run("provision")
    made = inventory(aws) - empty
    assert provisioning.run("provision").changed == 0
    assert made[("cluster", PLATFORM)] == made[("database", PLATFORM)] == 1
    return made


@pytest.fixture
def empty(aws: Aws, whole: Counter[tuple[str, str]]) -> Iterator[Counter[tuple[str, str]]]:
    """An empty account without faults; what AWS itself has in one."""
    aws.reset()
    yield inventory(aws)
    aws.faults()


def test_a_disturbed_run_makes_what_an_undisturbed_one_does(
    aws: Aws, provisioning: Provisioning, whole: Counter[tuple[str, str]], empty: Counter[tuple[str, str]]
) -> None:
    """Throttling, server errors, lost requests and answers, timeouts, and an AWS that sees late what it has made."""
    aws.faults(
        {"kind": "throttle", "probability": 0.03, "seed": 1},
        {"kind": "500", "probability": 0.02, "seed": 2},
        {"kind": "503", "probability": 0.02, "seed": 3},
        {"kind": "drop-before", "probability": 0.02, "seed": 4},
        {"kind": "drop-after", "probability": 0.02, "seed": 5},
        {"kind": "timeout", "probability": 0.01, "seconds": 0.2, "seed": 6},
        {"kind": "not-yet", "seconds": 0.5},
    )
    provisioning.run("provision")
    assert inventory(aws) - empty == whole
    provisioning.run("teardown")
    assert all(rule.met for rule in aws.server.application.rules)
    aws.faults()
    assert inventory(aws) == empty


def test_killed_at_any_moment_the_next_run_goes_on(
    aws: Aws, provisioning: Provisioning, whole: Counter[tuple[str, str]], empty: Counter[tuple[str, str]]
) -> None:
    dice = random.Random(5)
    aws.delays(default=0.2)
    for _kill in range(KILLS):
        assert provisioning.killed("provision", dice.randint(1, 8))
    provisioning.run("provision")
    assert inventory(aws) - empty == whole
    assert provisioning.run("provision").changed == 0
    for _kill in range(KILLS):
        assert provisioning.killed("teardown", dice.randint(1, 4))
    provisioning.run("teardown")
    assert inventory(aws) == empty

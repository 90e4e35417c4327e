"""What all tests share: where things are, and how Ansible is run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
# How fast this machine is, is nothing that an example shows.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order that keeps all workers busy: what runs alone, beside it what needs no platform, then long files.

    The order within a file stays.
    """
    marks = {item.path: {mark.name for mark in item.iter_markers()} for item in items}
    shared = {item.path for item in items if "platform" in getattr(item, "fixturenames", ())}

    def turn(item: pytest.Item) -> tuple[bool, ...]:
        path = item.path
        return "alone" not in marks[path], path in shared, "slow" not in marks[path]

    items.sort(key=turn)


@dataclass(frozen=True)
class Run:
    """A finished ansible-playbook."""

    returncode: int
    output: str

    def stat(self, name: str) -> int:
        """A number of the recap (ok, changed, failed …), summed over all hosts."""
        return sum(int(number) for number in re.findall(rf"\b{name}=(\d+)", self.output.split("PLAY RECAP")[-1]))

    @property
    def changed(self) -> int:
        return self.stat("changed")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout, which is the collection."""
    return ROOT


@pytest.fixture(scope="session")
def ansible_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment that every run of Ansible gets: this checkout's collection, nothing of the user's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_HOME": str(tmp_path_factory.mktemp("ansible-home")),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }


@pytest.fixture(scope="session")
def ansible_playbook(ansible_environment: dict[str, str]) -> Callable[..., Run]:
    """Runs a playbook: C(ansible_playbook("deploy.yml", "--check", extra_vars={…})).

    It must succeed unless C(check=False). Extra variables go through a file, so that no secret stands in argv;
    a variable of the environment that is None is taken out of it.
    """

    def run(
        playbook: str | Path,
        *arguments: str,
        inventory: str | Path = ROOT / "inventories/local",
        extra_vars: Mapping[str, Any] | None = None,
        env: Mapping[str, str | None] | None = None,
        cwd: Path = ROOT,
        check: bool = True,
        timeout: float = 1800,
    ) -> Run:
        merged = ansible_environment | dict(env or {})
        command = ["ansible-playbook", "-i", str(inventory), str(playbook), *arguments]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as variables:
            json.dump(dict(extra_vars or {}), variables)
            variables.flush()
            done = subprocess.run(
                [*command, "-e", f"@{variables.name}"],
                cwd=cwd,
                env={key: value for key, value in merged.items() if value is not None},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=timeout,
                check=False,
            )
        assert not check or done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return Run(done.returncode, done.stdout)

    return run

"""Every command that the documents show can be typed: its playbook and its variables exist."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
COMMANDS = sorted(
    {
        (page.name, command.strip())
        for page in PAGES
        for command in re.findall(r"ansible-playbook -i [^`\n]+", page.read_text(encoding="utf-8"))
    }
)


def known() -> set[str]:
    """Variables that a role or a playbook reads."""
    found = set()
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values():
            found |= set(entry.get("options") or {})
    for path in ROOT.glob("playbooks/*.yml"):
        found |= set(re.findall(r"\b(?:status|demo|teardown)_\w+", path.read_text()))
    return found


def variables(words: list[str]) -> set[str]:
    """Names that are given with -e."""
    given = [value for option, value in itertools.pairwise(words) if option == "-e"]
    return {name for value in given for name in (yaml.safe_load(value) if "{" in value else [value.split("=")[0]])}


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_command_can_be_typed(page: str, command: str) -> None:
    words = shlex.split(command)
    assert (ROOT / words[2]).is_dir(), page
    playbooks = [word for word in words if word.endswith(".yml")]
    assert playbooks and all((ROOT / name).is_file() for name in playbooks), page
    assert variables(words) <= known(), page

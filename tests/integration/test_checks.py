"""`make check` is clean; its unit tests run with all others anyway."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECK = Path(__file__).resolve().parents[2] / "tools/check.py"
STEPS = [name for name in re.findall(r'Step\(\s*"([^"]+)"', CHECK.read_text()) if name != "unit"]


def test_checks_are_clean() -> None:
    done = subprocess.run([sys.executable, CHECK, *STEPS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"check: {len(STEPS)} passed, 0 failed" in done.stdout


@pytest.mark.parametrize("name", ["nonsense"])
def test_unknown_step_is_an_error(name: str) -> None:
    done = subprocess.run([sys.executable, CHECK, name], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "ruff" in done.stderr

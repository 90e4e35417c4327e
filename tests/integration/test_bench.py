"""The benchmarks that reach into the collection's own functions still run; their times are not judged here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_drain_check_and_tick(platform: Any, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, root / "tests/bench/bench.py", "ef"],
        env={**os.environ, "BENCH_ROWS": "6000"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "drain check, all versions" in done.stdout
    assert "1 statement, 8 requests" in done.stdout
    assert "statements and requests: constant" in done.stdout, done.stdout

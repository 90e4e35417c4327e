"""What tests of the Python SDK share: its environments, and the sample's images."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

EXAMPLE = "examples/python-starter"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dbos-kubernetes"


def interpreter(requirements: Path) -> Path:
    """A Python with exactly these packages, made once per machine."""
    folder = CACHE / f"python-sdk-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]}"
    python, done = folder / "bin/python", folder / "done"
    CACHE.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            install = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", requirements]
            subprocess.run(install, check=True)
            done.touch()
    return python


def build(context: Path, name: str, containerfile: str = "Containerfile.local") -> dict[str, Any]:
    """An element of option C(build) of the module images."""
    return {
        "name": name,
        "context": str(context),
        "containerfile": containerfile,
        "prepare": ["sh", "local-context.sh"],
    }

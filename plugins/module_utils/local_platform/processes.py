# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting, watching and stopping the platform's processes on the host."""

# Below the modules, there is no run_command: pylint: disable=ansible-bad-function

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform import cgroups
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.command import PATH

LOG_LINES = 15
LOG_LIMIT = 32 * 1024 * 1024

# Run by a shell as $0 = the record, $1 = the control group's list, $2 = the fingerprint. The process enters its
# group and writes its record by itself: whenever the one who starts it is killed, it is never lost.
LAUNCH = """\
ulimit -n "$(ulimit -H -n)"
echo $$ >"$1" && printf "%s %s\\n" $$ "$2" >"$0.new" && mv "$0.new" "$0" && shift 2 && exec "$@"
"""


@dataclass(frozen=True)
class Component:
    """One process on the host."""

    name: str
    command: Sequence[str]
    ready: Callable[[], bool]
    fingerprint: str
    after: Sequence[str] = ()
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    stale: Sequence[Path] = ()  # what a killed process leaves, and a new one would take for a running one's
    children_stay: bool = False  # its children are others' affair when it stops (containers outlive containerd)


class Host:
    """The processes of one instance."""

    def __init__(self, instance: str, directory: Path) -> None:
        self._instance = instance
        self._records = directory / "run" / "processes"
        self._log = directory / "log"

    def running(self, name: str) -> tuple[int, str] | None:
        """The process of a component and what it was started from, or None."""
        try:
            pid, fingerprint = (self._records / name).read_text().split()
        except (OSError, ValueError):
            return None
        alive = int(pid) in cgroups.processes(cgroups.group(self._instance, name)) and not _zombie(int(pid))
        return (int(pid), fingerprint) if alive else None

    def start(self, component: Component) -> None:
        """Start a component that is not running, detached from us, its output in its log."""
        for path in component.stale:
            path.unlink(missing_ok=True)
        group = cgroups.group(self._instance, component.name)
        group.mkdir(parents=True, exist_ok=True)
        self._records.mkdir(parents=True, exist_ok=True)
        self._log.mkdir(parents=True, exist_ok=True)
        command = list(component.command)
        if component.user:
            # Not by Popen: the record and the group are root's to write.
            command = ["setpriv", f"--reuid={component.user}", f"--regid={component.user}", "--clear-groups", *command]
        record = [str(self._records / component.name), str(group / "cgroup.procs"), component.fingerprint]
        with _log(self._log / f"{component.name}.log") as log:
            subprocess.Popen(
                ["/bin/sh", "-c", LAUNCH, *record, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": PATH, "HOME": "/root", **component.environment},
                start_new_session=True,
            )

    def wait(self, component: Component, timeout: float, cancelled: threading.Event) -> None:
        """Wait until a started component is ready; fail as soon as it ends, with its last lines."""
        until = time.monotonic() + timeout
        grace = time.monotonic() + 2.0  # for the record to be written
        while not component.ready():
            if self.running(component.name) is None and time.monotonic() > grace:
                raise DbosError(f"{component.name} ended while it started. {self.last_lines(component.name)}")
            if time.monotonic() > until:
                raise DbosError(
                    f"{component.name} is not ready after {timeout:.0f} s. {self.last_lines(component.name)}"
                )
            if cancelled.wait(0.05):
                return

    def last_lines(self, name: str) -> str:
        """The end of a component's log, for an error."""
        path = self._log / f"{name}.log"
        try:
            lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            lines = []
        return f"The last lines of {path}:\n" + "\n".join(lines)

    def stop(self, component: Component) -> bool:
        """Stop a component, whatever state it is in; whether there was anything to stop."""
        group = cgroups.group(self._instance, component.name)
        found = self.running(component.name)
        was = bool(cgroups.processes(group))
        if found is not None:
            _signal({found[0]}, component.stop_signal)
            _gone({found[0]}, component.stop_seconds)
            _signal({found[0]}, signal.SIGKILL)
        if not component.children_stay:
            kill(lambda: cgroups.processes(group))
        (self._records / component.name).unlink(missing_ok=True)
        return was


def kill(listed: Callable[[], set[int]], timeout: float = 10.0) -> None:
    """Kill what is listed until nothing is: a process may fork while it is looked at."""
    until = time.monotonic() + timeout
    while found := {pid for pid in listed() if not _zombie(pid)}:
        _signal(found, signal.SIGKILL)
        if time.monotonic() > until:
            raise DbosError(f"Processes {sorted(found)} do not end, even when killed; see what holds them (ps -l).")
        time.sleep(0.05)


def _log(path: Path) -> BinaryIO:
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _gone(pids: set[int], timeout: float) -> bool:
    until = time.monotonic() + timeout
    while any(Path(f"/proc/{pid}").exists() and not _zombie(pid) for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False

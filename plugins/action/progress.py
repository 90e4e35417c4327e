# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs one of the collection's modules, shows its progress live and its table at the end."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import tempfile
import threading
import typing as t

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.dbos.kubernetes.plugins.plugin_utils import in_process

display = Display()


def run_identity() -> dict[str, t.Any]:
    """Who is running: host, process id of ansible-playbook, boot id, and the AWX job if there is one.

    The worker that executes a task is a fork of ansible-playbook, so its parent is the run; not getppid(), which is
    another process's once the run was killed.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
            boot = stream.read().strip()
    except OSError:
        boot = ""
    parent = multiprocessing.parent_process()
    pid = (parent and parent.pid) or os.getpid()
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "start": process_start(pid),
        "boot": boot,
        "job": awx_job(),
    }


def process_start(pid: int) -> str:
    """Start time of a process in clock ticks since boot (proc(5), stat field 22), or an empty string."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


def awx_job() -> str:
    """The AWX job's number, or an empty string; AWX sets both variables for every job."""
    return os.environ.get("JOB_ID", "") if "AWX_HOST" in os.environ else ""


class Follower(threading.Thread):
    """Prints the lines of a file as they are written."""

    def __init__(self, path: str, prefix: str) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._prefix = prefix
        self._stopped = threading.Event()

    def run(self) -> None:
        with open(self._path, encoding="utf-8", errors="replace") as stream:
            partial = ""
            while True:
                last = self._stopped.is_set()
                for chunk in stream:
                    partial += chunk
                    if partial.endswith("\n"):
                        display.display(f"{self._prefix}{partial.rstrip()}", color="bright gray")
                        partial = ""
                if last:
                    return
                self._stopped.wait(0.2)

    def stop(self) -> None:
        self._stopped.set()
        self.join(timeout=5)


class ActionModule(ActionBase):
    """Routed for every module of the collection by meta/runtime.yml."""

    _supports_check_mode = True
    _supports_diff = True
    # Ansible would write an async task's arguments, secrets included, to a file; where this is False it refuses.
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        handle, path = tempfile.mkstemp(prefix="dbos-progress-", dir=constants.DEFAULT_LOCAL_TMP)
        os.close(handle)
        environment = self._task.environment or []
        self._task.environment = [
            *(environment if isinstance(environment, list) else [environment]),
            {
                "DBOS_KUBERNETES_PROGRESS": path,
                "DBOS_KUBERNETES_RUN": json.dumps(run_identity()),
            },
        ]
        host = (task_vars or {}).get("inventory_hostname", "localhost")
        follower = Follower(path, f"  {host}: ")
        follower.start()
        try:
            # A module logs its arguments to syslog, and Ansible masks there only what it finds as it stands: a key of
            # several lines, or a password with quotes, appears escaped and so in the clear.
            quiet = {**(task_vars or {}), "ansible_no_target_syslog": True}
            if in_process.possible(self, quiet):
                result.update(in_process.execute(self, quiet))
            else:
                result.update(self._execute_module(task_vars=quiet))
        finally:
            follower.stop()
            os.unlink(path)
        table = result.get("table")
        if isinstance(table, str) and table:
            display.display(table)
        return result

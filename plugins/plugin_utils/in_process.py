# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module of the collection in its task's own process, as ansible.netcommon does for network devices.

A module that would run on this machine, as this user, in this very Python needs no second interpreter, and no archive
of its code that is packed, unpacked and compiled for each task: that was 60 % of a converged deployment. Nor do its
arguments, secrets included, leave the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import json
import multiprocessing
import os
import signal
import sys
import typing as t
from collections.abc import Iterator

from ansible.module_utils import _internal, basic
from ansible.module_utils.common import warnings
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.plugins.action import ActionBase

_PROFILE = "legacy"  # how Ansible writes the arguments of Python modules, and reads their results
_PR_SET_PDEATHSIG = 1  # prctl(2)


def possible(action: ActionBase, task_vars: dict[str, t.Any]) -> bool:
    """Whether the module would run here anyway."""
    if action._task.delegate_to or action._connection.transport != "local" or action._connection.become:
        return False
    return bool(action._templar.template(task_vars.get("ansible_python_interpreter", "")) == sys.executable)


def _end_with_the_run() -> None:
    """Ansible detaches its workers: one that outlived a killed run would go on writing beside the next run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        parent = multiprocessing.parent_process()
        if parent and os.getppid() != parent.pid:  # it was killed before this took effect
            os.kill(os.getpid(), signal.SIGKILL)


def execute(action: ActionBase, task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
    """The module's result; Ansible prepares the arguments and reads the output as those of any module."""
    _end_with_the_run()
    arguments = dict(action._task.args)
    action._update_module_args(action._task.action, arguments, task_vars)
    encoder = get_module_encoder(_PROFILE, Direction.CONTROLLER_TO_MODULE)
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode()
    basic._ANSIBLE_PROFILE = _PROFILE
    variables: dict[str, str] = {}
    action._compute_environment_string(variables)
    name = action._task.action.rpartition(".")[2]
    module = importlib.import_module(f"ansible_collections.dbos.kubernetes.plugins.modules.{name}")
    output = io.StringIO()
    with _module_side(variables), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        module.main()
    answer = {"rc": 0, "stdout": output.getvalue(), "stderr": "", "stdout_lines": [], "stderr_lines": []}
    parsed: t.Any = action._parse_returned_data(answer, _PROFILE)
    if isinstance(parsed, dict):  # ansible-core 2.20
        return parsed
    parsed.remove_internal_keys()
    result: dict[str, t.Any] = parsed.as_result_dict(for_round_trip=True)
    return result


@contextlib.contextmanager
def _module_side(variables: dict[str, str]) -> Iterator[None]:
    """A module's surroundings: the task's environment, and warnings that go into its result, not to the screen."""
    before = dict(os.environ)
    os.environ.update(variables)
    _internal.is_controller = False
    try:
        yield
    finally:
        _internal.is_controller = True
        warnings._global_warnings.clear()
        warnings._global_deprecations.clear()
        os.environ.clear()
        os.environ.update(before)

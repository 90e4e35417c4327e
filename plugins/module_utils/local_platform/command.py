# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a program to its end."""

# Below the modules, there is no run_command: pylint: disable=ansible-bad-function

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

# Root's, whatever the one who called us has.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(
    command: Sequence[object],
    *,
    what: str,
    text: str = "",
    check: bool = True,
    environment: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command with C(text) as its input; when it fails, say what could not be done, and its last lines."""
    words = [str(word) for word in command]
    program = shutil.which(words[0], path=PATH) or words[0]
    if environment is None:
        path = f"{PATH}:{os.environ.get('PATH', '')}"
        environment = {"HOME": "/root", **os.environ, "LC_ALL": "C.UTF-8", "PATH": path}
    try:
        done = subprocess.run(
            [program, *words[1:]],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=timeout,
            cwd="/",
        )
    except FileNotFoundError:
        raise DbosError(f"Cannot {what}: the program {words[0]} is not there.") from None
    except subprocess.TimeoutExpired:
        raise DbosError(f"Cannot {what}: {words[0]} gave no answer in {timeout:.0f} s.") from None
    if check and done.returncode:
        lines = "\n".join((done.stderr + done.stdout).strip().splitlines()[-8:])
        raise DbosError(f"Cannot {what}: {words[0]} ended with status {done.returncode}.\n{lines}")
    return done

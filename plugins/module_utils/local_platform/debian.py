# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian's packages: which are missing, and their installation."""

# Below the modules, there is no run_command: pylint: disable=ansible-bad-function

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.command import run

POLICY = Path("/usr/sbin/policy-rc.d")
MARK = "# dbos.kubernetes: packages of the local platform start no services"


def missing(packages: Sequence[str]) -> list[str]:
    """Those that are not installed."""
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def ensure(packages: Sequence[str]) -> None:
    """Install what is missing; no service of theirs is started."""
    packages = missing(packages)
    if not packages:
        if POLICY.exists() and MARK in POLICY.read_text():
            POLICY.unlink()  # left by a run that was killed
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "--yes", "--quiet"]
    simulated = run([*command, "--simulate", "install", *packages], what="", check=False, environment=environment)
    if simulated.returncode:
        run([*command, "update"], what="refresh Debian's lists of packages", environment=environment, timeout=600)
    with _no_services():
        run(
            [*command, "install", "--no-install-recommends", *packages],
            what=f"install Debian's packages {' '.join(packages)}",
            environment=environment,
            timeout=900,
        )


@contextmanager
def _no_services() -> Iterator[None]:
    """Debian asks this program before it starts a service; one that is there already is somebody's, and stays."""
    ours = not POLICY.exists() or MARK in POLICY.read_text()
    if ours:
        POLICY.write_text(f"#!/bin/sh\n{MARK}\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)

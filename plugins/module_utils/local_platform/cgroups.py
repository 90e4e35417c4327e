# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Control groups: how the processes of an instance are told from all others.

Every process of an instance, container or not, lives below one control group named after the instance. The
kernel keeps that list: no pid file can be stale, no recycled pid be mistaken, and a reboot empties it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")  # what the kubelet wants
HOST = "host"  # components that run on the host; the kubelet puts pods into "kubepods" beside it


def hierarchies(root: Path = ROOT) -> list[Path]:
    """The trees of groups: one with version 2; with version 1 one for each controller, and maybe a bare one."""
    if (root / "cgroup.controllers").exists():
        return [root]
    # Several controllers may share a tree, under a link for each.
    return [path for path in sorted(root.iterdir()) if (path / "cgroup.procs").exists() and not path.is_symlink()]


def tracking(root: Path = ROOT) -> Path:
    """The tree in which host processes are listed."""
    trees = hierarchies(root)
    return next((tree for tree in trees if tree.name == "pids"), trees[0])


def group(instance: str, component: str) -> Path:
    """The group of a component on the host."""
    return tracking() / instance / HOST / component


def create(instance: str) -> None:
    """Make the instance's group in every tree; the kubelet wants it to exist."""
    for tree in hierarchies():
        # With version 2 a controller has to be handed down; one that isn't there, or is already, is fine.
        for name in CONTROLLERS if (tree / "cgroup.subtree_control").exists() else ():
            with contextlib.suppress(OSError):
                (tree / "cgroup.subtree_control").write_text(f"+{name}")
        path = tree / instance
        path.mkdir(exist_ok=True)
        # With version 1 a new cpuset is empty, and nothing can be put into it.
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (path / name).exists() and not (path / name).read_text().strip():
                (path / name).write_text((tree / name).read_text())


def processes(path: Path) -> set[int]:
    """The processes in a group and all groups below it."""
    found: set[int] = set()
    for folder in _folders(path):
        try:
            found.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
        except OSError:
            continue  # gone in between
    return found - {0}


def all_processes(instance: str) -> set[int]:
    """Every process of an instance."""
    return set().union(*(processes(tree / instance) for tree in hierarchies()))


def exists(instance: str) -> bool:
    """Whether an instance has any group."""
    return any((tree / instance).exists() for tree in hierarchies())


def remove(instance: str, timeout: float = 10.0) -> None:
    """Remove an instance's groups, which have to be empty; the last processes may take a moment to go."""
    until = time.monotonic() + timeout
    for tree in hierarchies():
        for folder in reversed(list(_folders(tree / instance))):
            while True:
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    pass
                except OSError:
                    if time.monotonic() < until:
                        time.sleep(0.05)
                        continue
                    raise
                break


def _folders(path: Path) -> Iterator[Path]:
    for folder, _subfolders, _files in os.walk(path):
        yield Path(folder)

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an instance leaves on the machine, inside its directory and out, and how all of it goes away again."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform import cgroups, network, postgresql
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.certificates import write
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.checks import MARKER, read_marker
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.command import run
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.processes import kill
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import Settings

# Folders that containerd, CNI and the kubelet make wherever they are told to keep their state.
SHARED_FOLDERS = (
    "/run/containerd",
    "/run/containerd/s",
    "/run/mount",
    "/var/lib/cni",
    "/var/lib/cni/results",
    "/var/log/containers",
    "/var/lib/kubelet",
    "/var/lib/kubelet/device-plugins",
)


def begin(settings: Settings) -> None:
    """Note what the machine is like before the first change; a later run keeps the first note."""
    if read_marker(settings) is not None:
        return
    noted = {
        "instance": settings.instance,
        "machine": network.machine_settings(),
        "folders": [path for path in SHARED_FOLDERS if Path(path).exists()],
        "tables": network.tables(),
    }
    write(settings.directory / MARKER, json.dumps(noted, indent=1) + "\n")


def noted_images(settings: Settings) -> dict[str, Any]:
    """What was pushed to the registry: reference → what it was made of, digest."""
    try:
        noted = json.loads(settings.below("registry", "images.json").read_text())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def note_images(settings: Settings, more: dict[str, Any]) -> None:
    """Add to what was pushed."""
    noted = {**noted_images(settings), **more}
    write(settings.below("registry", "images.json"), json.dumps(noted, indent=1, sort_keys=True) + "\n")


def present(settings: Settings) -> bool:
    """Whether anything of the instance is there."""
    return settings.directory.exists() or cgroups.exists(settings.instance)


def remove_runtime_state(settings: Settings) -> None:
    """Remove what only means something to running processes."""
    _remove_containers(settings)
    _unmount(settings.directory)
    shutil.rmtree(settings.below("run"), ignore_errors=True)


def remove(settings: Settings) -> None:
    """Remove everything that is left once the components have been stopped: containers, mounts, network, files."""
    noted = read_marker(settings) or {}
    kill(lambda: cgroups.all_processes(settings.instance))
    _remove_containers(settings)
    _unmount(settings.directory)
    network.remove(settings, noted.get("tables"))
    network.restore(noted.get("machine", {}))
    cgroups.remove(settings.instance)
    _remove_folders(settings, set(noted.get("folders", SHARED_FOLDERS)))
    postgresql.remove_account(settings)
    _remove_directory(settings.directory)


def _unmount(directory: Path) -> None:
    """Unmount all below a directory, the latest mount first; pods' volumes outlive the kubelet."""
    for _attempt in range(3):
        mounts = mounted_below(Path("/proc/self/mountinfo").read_text(), str(directory))
        if not mounts:
            return
        for mount in reversed(mounts):
            run(["umount", "--lazy", mount], what=f"unmount {mount}", check=False)
    mounts = mounted_below(Path("/proc/self/mountinfo").read_text(), str(directory))
    if mounts:
        raise DbosError(
            f"{mounts[0]} cannot be unmounted; see what uses it (fuser -vm {mounts[0]}), and run this again."
        )


def mounted_below(mountinfo: str, directory: str) -> list[str]:
    """The mount points below a directory, in the order of mounting. Pure."""
    points = (line.split()[4] for line in mountinfo.splitlines())
    # The kernel writes blanks and the like in octal.
    readable = (re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), point) for point in points)
    return [point for point in readable if point.startswith(directory.rstrip("/") + "/")]


def _remove_containers(settings: Settings) -> None:
    """What containerd and CNI noted of our containers in folders that they share with others'."""
    for noted in settings.below("run", "containerd").glob("io.containerd.runtime.v2.task/*/*/address"):
        Path(noted.read_text().removeprefix("unix://")).unlink(missing_ok=True)
    results = Path("/var/lib/cni/results")
    for path in results.glob(f"{settings.instance}-*-eth0"):
        container = path.name.removeprefix(f"{settings.instance}-").removesuffix("-eth0")
        (results / f"cni-loopback-{container}-lo").unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _remove_folders(settings: Settings, before: set[str]) -> None:
    """Folders that came with us, unless others put something there meanwhile."""
    for link in Path("/var/log/containers").glob("*.log"):
        try:
            target = link.readlink()
        except OSError:  # no link, or one of another instance that has just gone
            continue
        if str(target).startswith(f"{settings.directory}/"):
            link.unlink(missing_ok=True)
    for name in sorted(set(SHARED_FOLDERS) - before, reverse=True):
        if name.endswith("/device-plugins"):
            (Path(name) / "kubelet.sock").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            Path(name).rmdir()


def _remove_directory(directory: Path) -> None:
    """The marker last: until then a killed run leaves a platform that can be removed."""
    if not directory.exists():
        return
    for path in directory.iterdir():
        if path.name != MARKER:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (directory / MARKER).unlink(missing_ok=True)
    directory.rmdir()

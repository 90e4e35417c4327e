# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be right before anything is touched: each failure is one sentence that says what to do."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import platform
import shutil
import socket
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform import cgroups
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import PORTS, Settings

MARKER = ".dbos-kubernetes.json"
SOCKET_PATH = 107  # bytes that Linux has for the path of a socket
LONGEST_SOCKET = "kubelet/pod-resources/kubelet.sock"


def root() -> None:
    """Everything needs it: control groups, mounts, addresses, packages."""
    if os.geteuid() != 0:
        raise DbosError(
            f"The local platform needs root, and this runs as user {os.geteuid()}: run it as root, or with become."
        )


def machine(system: str, architecture: str, os_release: str) -> None:
    """Linux on amd64 with Debian's packages."""
    identity = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    family = f"{identity.get('ID', '')} {identity.get('ID_LIKE', '')}".replace('"', "").split()
    if system != "Linux" or architecture != "x86_64" or "debian" not in family:
        name = identity.get("PRETTY_NAME", "an unknown system").strip('"')
        raise DbosError(
            f"The local platform runs on Debian or a relative of it on amd64, and this is {name} ({system}) on "
            f"{architecture}: use such a machine, or the inventory for an existing cluster."
        )


def this_machine() -> None:
    """The same of the machine we are on."""
    release = Path("/etc/os-release")
    machine(platform.system(), platform.machine(), release.read_text() if release.exists() else "")


def ranges(settings: Settings) -> None:
    """Addresses that are ones, and don't overlap."""
    try:
        node = ipaddress.ip_address(settings.node_address)
        pods, services = ipaddress.ip_network(settings.pod_range), ipaddress.ip_network(settings.service_range)
    except ValueError as error:
        raise DbosError(f"An address of the local platform is not one: {error}.") from error
    if pods.overlaps(services) or node in pods or node in services:
        raise DbosError(
            f"The node's address {node}, the pods' range {pods} and the services' range {services} overlap: "
            "choose three that don't."
        )


def directory(settings: Settings) -> None:
    """A directory of our own, or none yet: what is in it is deleted one day."""
    path = settings.directory
    if not path.is_absolute() or len(path.parts) < 3:
        raise DbosError(
            f"{path} cannot hold the platform's state: name an absolute path below a folder, as /var/lib/x."
        )
    if len(str(path / LONGEST_SOCKET)) > SOCKET_PATH:
        raise DbosError(f"The path {path} is too long for the sockets below it: choose a shorter one.")
    if path.exists() and not (path / MARKER).exists() and (not path.is_dir() or any(path.iterdir())):
        raise DbosError(f"{path} is there and is no local platform: empty it, or name another directory.")


def disk(path: Path, needed: int, what: str) -> None:
    """Room below a path that may not be there yet, in MiB."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(there).free // 2**20
    if free < needed:
        raise DbosError(
            f"{there} has {free} MiB of disk left, and {what} below {path} needs {needed}: make room there, or choose "
            "another place."
        )


def memory(settings: Settings) -> None:
    """Memory, in MiB."""
    available = memory_available(Path("/proc/meminfo").read_text())
    if available < settings.minimum_memory:
        raise DbosError(
            f"The machine has {available} MiB of memory available, and the platform needs {settings.minimum_memory}: "
            "end other programs, or use a larger machine."
        )


def memory_available(meminfo: str) -> int:
    """MiB, from /proc/meminfo."""
    line = next(line for line in meminfo.splitlines() if line.startswith("MemAvailable:"))
    return int(line.split()[1]) // 1024


def control_groups() -> None:
    """The kubelet makes groups."""
    for tree in cgroups.hierarchies() if cgroups.ROOT.is_dir() else [cgroups.ROOT]:
        if not os.access(tree, os.W_OK) or not (tree / "cgroup.procs").exists():
            raise DbosError(
                f"Control groups cannot be made below {tree}: mount it writable (a container needs to be privileged)."
            )


def ports(settings: Settings, ours: Collection[int]) -> None:
    """Every port has to be free, or one of our own processes' already."""
    for name, port in PORTS.items():
        for socket_of in listeners(settings.node_address, port, datagrams=name == "dns"):
            # A server's children share its socket while they start.
            holders = _holders(socket_of)
            if holders.isdisjoint(ours):
                by = _describe(min(holders)) if holders else "a process that is not to be seen from here"
                raise DbosError(
                    f"Port {port} on {settings.node_address}, for {name}, is taken by {by}: stop that, or choose "
                    "another node address."
                )


def listeners(address: str, port: int, datagrams: bool = False) -> Iterator[str]:
    """The sockets (their inodes) that listen on a port, on this address or on all; nothing is opened to find them."""
    for kind in ("tcp", "tcp6", "udp", "udp6") if datagrams else ("tcp", "tcp6"):
        table = Path("/proc/net") / kind
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            if fields[3] == ("0A" if kind.startswith("tcp") else "07") and _covers(fields[1], address, port):
                yield fields[9]


def _covers(local: str, address: str, port: int) -> bool:
    """Whether a local address, as /proc/net writes it, takes this address and port."""
    host, number = local.split(":")
    if int(number, 16) != port:
        return False
    words = [bytes.fromhex(host[start : start + 8])[::-1] for start in range(0, len(host), 8)]
    bound = b"".join(words)
    wanted = socket.inet_aton(address)
    return bound.strip(b"\0") == b"" or bound == wanted or bound == b"\0" * 10 + b"\xff\xff" + wanted


def _holders(inode: str) -> set[int]:
    """The processes that have a socket open."""
    link = f"socket:[{inode}]"
    return {int(process.name) for process in Path("/proc").glob("[0-9]*") if link in _open_files(process)}


def _open_files(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):  # it has ended
        for descriptor in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # this one is closed meanwhile; others are not
                yield os.readlink(descriptor)


def _describe(process: int) -> str:
    try:
        return f"{Path(f'/proc/{process}/comm').read_text().strip()} (process {process})"
    except OSError:
        return f"process {process}"


def read_marker(settings: Settings) -> dict[str, Any] | None:
    """What the platform noted when it was made, or None when there is none (or only half a note)."""
    try:
        noted = json.loads((settings.directory / MARKER).read_text())
    except (OSError, ValueError):
        return None
    return noted if isinstance(noted, dict) else None

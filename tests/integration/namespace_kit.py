"""A network of one's own on this machine, with a local platform in it that the shared one never sees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")


class Network:
    """A network namespace. A thread may be in it, with all that it makes and starts: sockets, and processes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def enter(self) -> None:
        """Take the current thread into it, for good."""
        with Path(f"/run/netns/{self.name}").open() as namespace:
            os.setns(namespace.fileno(), os.CLONE_NEWNET)

    def run(self, function: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
        """Call a function in it."""
        with ThreadPoolExecutor(1, initializer=self.enter) as pool:
            return pool.submit(function, *arguments, **options).result()


@contextmanager
def network(name: str) -> Iterator[Network]:
    """A namespace, gone at the end."""
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield Network(name)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


@contextmanager
def local_platform(inside: Network, playbook: Callable[..., Any], work: Path) -> Iterator[Path]:
    """A bare local platform in that network, without add-ons; its directory."""
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_pipelining": True, "ansible_python_interpreter": sys.executable},
        "roles": ["dbos.kubernetes.local_platform"],
    }
    (work / "platform.yml").write_text(json.dumps([play]))
    directory = Path(f"/var/lib/{inside.name}")

    def have(state: str) -> None:
        variables = {"local_platform_directory": str(directory), "local_platform_state": state}
        inside.run(playbook, work / "platform.yml", inventory="localhost,", extra_vars=variables)

    try:
        have("present")
        yield directory
    finally:
        have("absent")
        shutil.rmtree(directory, ignore_errors=True)

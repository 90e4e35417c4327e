# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time on one instance."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress


@contextmanager
def held(directory: Path, progress: Progress) -> Iterator[None]:
    """Hold the directory itself, made when it is missing; the kernel lets go of it when we die.

    A run that waits may be given a directory that the other one has just deleted: then it asks again.
    """
    while True:
        # Others pass through to the database's programs; what is secret is closed by itself.
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with progress.step(f"waiting for another run on {directory}", every=5.0):
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _same(descriptor, directory):
                yield
                return
        finally:
            os.close(descriptor)


def _same(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

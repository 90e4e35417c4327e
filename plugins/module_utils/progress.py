# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress of long steps, shown live.

Ansible shows nothing while a module runs. The action plugin C(dbos.kubernetes.progress) names a file in the
environment, prints each line that arrives there, and removes it. Without the plugin a module is silent.
"""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType
from typing import Self

VARIABLE = "DBOS_KUBERNETES_PROGRESS"


class Progress:
    """Writes lines for a person. Never pass a secret: lines are shown at any verbosity."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path if path is not None else os.environ.get(VARIABLE)

    def say(self, text: str) -> None:
        """Show one line now."""
        if not self._path:
            return
        try:
            with open(self._path, "a", encoding="utf-8") as stream:
                stream.write(text.replace("\n", " ") + "\n")
        except OSError:
            # The reader may be gone (Ansible was killed); progress must never fail the work.
            self._path = None

    def step(self, what: str, every: float = 10.0) -> Step:
        """A long wait as a context manager: says what it waits for and how long already, every C(every) seconds."""
        return Step(self, what, every)


class Step:
    """One wait; see Progress.step."""

    def __init__(self, progress: Progress, what: str, every: float) -> None:
        self._progress = progress
        self._what = what
        self._every = every
        self._detail = ""
        self._started = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def update(self, detail: str) -> None:
        """The latest detail; shown with the next line."""
        self._detail = detail

    @property
    def seconds(self) -> float:
        """Seconds since the wait began."""
        return time.monotonic() - self._started

    def _tick(self) -> None:
        while not self._done.wait(self._every):
            detail = f": {self._detail}" if self._detail else ""
            self._progress.say(f"{self._what}, {self.seconds:.0f} s{detail}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()

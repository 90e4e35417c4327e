"""What happens later: states that end after some seconds, computed when somebody looks; no threads."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Failure:
    """How a thing ends instead of well."""

    kind: str  # cluster.create, nodegroup.create, addon.create, db_instance.create …
    status: str  # FAILED, CREATE_FAILED, DEGRADED, incompatible-parameters …; empty for the usual one
    code: str  # of the health issue
    message: str


class Timeline:
    """Delays by kind, what is due, and which of the next things fail."""

    def __init__(self) -> None:
        self.delays: dict[str, float] = {}
        self.failures: list[Failure] = []
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._now: float | None = None
        self._ahead = 0.0

    def clock(self) -> float:
        """The account's time."""
        return time.time() + self._ahead

    def later(self, seconds: float) -> None:
        """Have so many seconds pass at once."""
        self._ahead += seconds

    def now(self) -> float:
        """The moment that is being played: what follows from something counts from when that was due."""
        return self.clock() if self._now is None else self._now

    def delay(self, kind: str) -> float:
        """Seconds for a kind such as cluster.create: its own, else those of the thing, else the default."""
        for name in (kind, kind.split(".", maxsplit=1)[0], "default"):
            if name in self.delays:
                return float(self.delays[name])
        return 0.0

    def after(self, kind: str, then: Callable[[], None]) -> None:
        """Have something happen when the delay of this kind is over."""
        heapq.heappush(self._due, (self.now() + self.delay(kind), next(self._serial), then))

    def play(self) -> None:
        """Let happen what is due."""
        while self._due and self._due[0][0] <= self.clock():
            self._now, _serial, then = heapq.heappop(self._due)
            try:
                then()
            finally:
                self._now = None

    def failure(self, kind: str) -> Failure | None:
        """How this thing is to fail, once."""
        for failure in self.failures:
            if failure.kind == kind:
                self.failures.remove(failure)
                return failure
        return None

    def fail_next(self, kind: str, message: str, code: str = "", status: str = "") -> None:
        """Have the next thing of this kind fail."""
        self.failures.append(Failure(kind, status, code, message))

    def reset(self) -> None:
        """Nothing is due, nothing fails, nothing takes time."""
        self.delays.clear()
        self.failures.clear()
        self._due.clear()
        self._ahead = 0.0


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str | int | float | bool | None) else str(value)

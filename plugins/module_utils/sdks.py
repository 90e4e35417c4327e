# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""DBOS' SDKs by version: the schema that each needs, where it stores payloads, how many connections it opens."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

# From this level on the numbers are the same in all languages; below it each has its own history.
SHARED = 100
# Inputs and outputs went into tables of their own. An older SDK finds nothing in a newer one's rows.
SPLIT_PAYLOADS = 109
# The label of an image that tells its SDK, and the annotation of a ledger record that remembers it.
KEY = "dbos.kubernetes/sdk"

# The schema level that comes with a release; one between two of them needs at least the lower one's.
_LEVELS: dict[str, tuple[tuple[tuple[int, ...], int], ...]] = {
    "go": (
        ((0, 12), 14), ((0, 15), 35), ((1, 0), 42), ((1, 1), 44), ((1, 2), 107), ((1, 4), 113), ((1, 5), 121),
        ((1, 8), 125),
    ),
    "python": (
        ((2, 14), 13), ((2, 16), 18), ((2, 20), 35), ((2, 27), 42), ((2, 29), 47), ((2, 30), 107), ((2, 31), 108),
        ((3, 0), 114), ((3, 1), 122), ((3, 2), 123), ((3, 4), 125),
    ),
    "typescript": (((4, 26), 107), ((5, 0), 113), ((5, 3), 123)),
}  # fmt: skip
NEWEST = max(level for history in _LEVELS.values() for _version, level in history)
_POOLS = {"go": 20, "python": 20, "typescript": 10}
_TEXT = re.compile(r"(go|python|typescript) v?([0-9]+(?:\.[0-9]+){1,2})\S*")
# The line that an SDK logs when it is made; applications choose the format round it.
_LAUNCH = (
    ("go", re.compile(r'Initializing DBOS context.*dbos_version"?[=:]\s*"?v?([0-9]+\.[0-9]+(?:\.[0-9]+)?)')),
    ("python", re.compile(r"Initializing DBOS \(v([0-9]+\.[0-9]+(?:\.[0-9]+)?)")),
)


@dataclass(frozen=True)
class Sdk:
    """A language and a version, such as go (1, 8, 0)."""

    language: str
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.language} {'.'.join(map(str, self.version))}"

    @property
    def level(self) -> int | None:
        """The schema level that it needs at least; None for one that is older than what is known."""
        reached = [level for version, level in _LEVELS[self.language] if version <= self.version]
        return reached[-1] if reached else None

    @property
    def splits_payloads(self) -> bool:
        """Whether it stores inputs where older SDKs do not look."""
        return (self.level or 0) >= SPLIT_PAYLOADS

    @property
    def cancels_on_shutdown(self) -> bool:
        """Whether workflows that run when a pod is told to go end as CANCELLED, instead of being resumed."""
        return self.language == "go" and self.version < (1, 1)


def parse(text: str) -> Sdk:
    """Read 'go 1.8.0', 'python 3.4.0' or 'typescript 5.3.0'."""
    found = _TEXT.fullmatch(text.strip().lower())
    if not found:
        raise DbosError(
            f"'{text}' names no SDK: give its language (go, python, typescript) and version, such as 'go 1.8.0'."
        )
    return Sdk(found[1], tuple(int(part) for part in found[2].split(".")))


def logged(log: str) -> Sdk | None:
    """What the pod's own log says of its SDK, if anything: Go since 0.6 and Python do, unless the log is turned off."""
    for language, pattern in _LAUNCH:
        found = pattern.search(log)
        if found:
            return parse(f"{language} {found[1]}")
    return None


def pool(sdk: Sdk | None) -> int:
    """Connections that one executor opens at most, unless told otherwise; the largest default when it is not known."""
    return _POOLS[sdk.language] if sdk else max(_POOLS.values())

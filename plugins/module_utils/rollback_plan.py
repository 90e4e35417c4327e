# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which version is left for which, decided from the ledger alone, so that a second run decides the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import Observed, Record

WAY_OUT = "Name one that the ledger has with rollback_version, or deploy one."


@dataclass(frozen=True)
class Choice:
    """The version that is left, None when nothing is; the one that is gone back to; whether both are so already."""

    bad: str | None
    to: str
    done: bool = False


def choose(observed: Observed, named: str | None) -> Choice:
    """Go back to the named version, or to the one that was promoted before.

    A version that was rolled back stays marked until it is promoted again. So a second run finds what the first did,
    or began and was stopped at, and neither flips back nor goes on to an even older version.
    """
    selected = observed.promoting or observed.selected
    if selected is None:
        raise DbosError("No version is promoted, so there is nothing to roll back: deploy one.")
    before = [record for record in _promoted(observed) if record.version != selected]
    left = before[0] if before and before[0].rolled_back else None
    if left and left.rolled_back and left.rolled_back.to == selected and named in (None, selected):
        return Choice(left.version, selected, done=observed.promoting is None)
    current = observed.record(selected)
    begun = current.rolled_back.to if current and current.rolled_back else None
    to = named or begun or _previous(observed, before)
    if to == selected:
        return Choice(None, selected, done=True)
    if observed.record(to) is None:
        known = ", ".join(sorted({record.version for record in observed.records})) or "none"
        raise DbosError(f"Version {to} cannot be gone back to: the ledger has no record of it, only of {known}.")
    return Choice(selected, to)


def _previous(observed: Observed, before: list[Record]) -> str:
    if observed.promoting and observed.selected not in (None, observed.promoting):
        # Half promoted by a run that was stopped: what clients still get is the version before.
        return str(observed.selected)
    found = next((record.version for record in before if record.rolled_back is None), None)
    if found is None:
        raise DbosError(f"The ledger knows no version that was promoted before and not rolled back. {WAY_OUT}")
    return found


def _promoted(observed: Observed) -> Iterator[Record]:
    """The newest record of each version that was ever promoted, the last promoted first."""
    newest = {record.version: record for record in sorted(observed.records, key=lambda record: record.revision)}
    promoted = [record for record in newest.values() if record.promotions]
    return iter(sorted(promoted, key=lambda record: record.promotions[-1], reverse=True))

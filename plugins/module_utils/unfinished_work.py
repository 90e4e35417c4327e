# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether unfinished work allows to take something down: counts, and the policy that they are measured by. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.drain_wait import counted
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.table import columns

REFUSE, DRAIN, CANCEL, ABANDON = POLICIES = ("refuse", "drain", "cancel", "abandon")
UNTOUCHED = "Nothing was taken down"


class Refused(DbosError):
    """Unfinished work, or work that could not be counted, stands against it."""


@dataclasses.dataclass(frozen=True)
class Policy:
    """What becomes of unfinished workflows. C(abandon) is the number that may be lost, C(unreadable) whether a
    database that cannot be read may be.
    """

    how: str = REFUSE
    abandon: int | None = None
    unreadable: bool = False


@dataclasses.dataclass(frozen=True)
class Count:
    """Of one database. C(error) tells why it could not be read; C(known) that its application is in the inventory."""

    application: str
    database: str
    pending: int = 0
    enqueued: int = 0
    delayed: int = 0
    error: str = ""
    known: bool = True

    @property
    def unfinished(self) -> dict[str, int]:
        """By status."""
        return {"pending": self.pending, "enqueued": self.enqueued, "delayed": self.delayed}

    @property
    def total(self) -> int:
        """All of them."""
        return self.pending + self.enqueued + self.delayed

    @property
    def label(self) -> str:
        """For a person."""
        name = self.application if self.known else f"{self.application} (not in the inventory)"
        return f"{name}, database {self.database}" if self.database else name


def policy_of(params: Mapping[str, Any]) -> Policy:
    """What a module's options policy, abandon and unreadable say."""
    policy = Policy(params["policy"], params["abandon"], params["unreadable"] == ABANDON)
    check(policy)
    return policy


def check(policy: Policy) -> None:
    """Refuse a policy that is not whole."""
    if (policy.how == ABANDON) != (policy.abandon is not None):
        raise DbosError(
            "teardown_abandon is the number of unfinished workflows that may be lost: it goes with "
            "teardown_policy=abandon, and that needs it."
        )


def judge(counts: Sequence[Count], policy: Policy, *, most: bool = False) -> list[str]:
    """Warnings; raises Refused for what the policy does not allow.

    C(abandon) is compared with all of them together; with C(most) fewer are right as well, and none always are.
    """
    warnings = _unreadable([one for one in counts if one.error], policy)
    busy = [one for one in counts if one.total]
    total = sum(one.total for one in busy)
    if policy.how == ABANDON:
        allowed = policy.abandon or 0
        if total > allowed or (0 < total < allowed and not most):
            raise Refused(
                f"{UNTOUCHED}: teardown_abandon is {allowed}, but there are {total} unfinished workflows now"
                f"{_named(busy)}. If these may be lost, run again with teardown_abandon={total}.",
                unfinished=total,
            )
        return warnings
    if policy.how == REFUSE and busy:
        raise Refused(
            f"{UNTOUCHED}: {_total(busy)}{_named(busy)}. Say what becomes of them: teardown_policy=drain waits for "
            f"them, cancel cancels them, and abandon with teardown_abandon={total} gives them up.",
            unfinished=total,
        )
    strangers = [one for one in busy if not one.known]
    if strangers:
        raise Refused(
            f"{UNTOUCHED}: {_total(strangers)}{_named(strangers)}. teardown_policy={policy.how} reaches the "
            "inventory's applications only: add these to it, or give them up with teardown_policy=abandon and "
            f"teardown_abandon={total}.",
            unfinished=total,
        )
    return warnings


def _unreadable(unread: Sequence[Count], policy: Policy) -> list[str]:
    told = [f"What is unfinished of {one.label} cannot be read: {one.error}" for one in unread]
    if told and not policy.unreadable:
        raise Refused(
            f"{UNTOUCHED}. {' '.join(told)} Make it readable, or give up whatever is in it with "
            "teardown_unreadable=abandon."
        )
    return [f"{text} It is given up (teardown_unreadable=abandon)." for text in told]


def _total(busy: Sequence[Count]) -> str:
    return counted({key: sum(one.unfinished[key] for one in busy) for key in ("pending", "enqueued", "delayed")})


def _named(busy: Sequence[Count]) -> str:
    return f" ({'; '.join(f'{one.total} of {one.label}' for one in busy)})" if busy else ""


def rows(counts: Sequence[Count]) -> list[dict[str, Any]]:
    """For a module's result."""
    return [{**dataclasses.asdict(one), "unfinished": one.total} for one in counts]


def table(counts: Sequence[Count]) -> str:
    """For a person; empty when there is nothing."""
    return "\n".join(
        columns(
            ("APPLICATION", "DATABASE", "PENDING", "ENQUEUED", "DELAYED", "NOTE"),
            [
                (
                    one.application,
                    one.database,
                    *(("?", "?", "?") if one.error else (one.pending, one.enqueued, one.delayed)),
                    one.error or (None if one.known else "not in the inventory"),
                )
                for one in counts
            ],
        )
    )

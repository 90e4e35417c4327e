# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One row of DBOS' application_versions as it shall be: registered ahead, promoted, or forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import ledger
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import AHEAD, Work
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import versions, work
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.versions import Row

REGISTERED, PROMOTED, ABSENT = "registered", "promoted", "absent"


@dataclass(frozen=True)
class Wanted:
    """A version of an application, by the name that it gives itself in DBOS, and the state of its row."""

    owner: str
    version: str
    state: str


def visible(rows: Sequence[Row], owner: str | None) -> list[Row]:
    """What DBOS takes for the application's: its own rows and those of none. All without an owner."""
    return [row for row in rows if owner is None or row.owner in (owner, None)]


def latest(rows: Sequence[Row], owner: str | None) -> str | None:
    """The version that takes the application's work without a version; None where two have the same right to it."""
    found = visible(rows, owner)
    newest = [row.version for row in found if row.timestamp == max(row.timestamp for row in found)]
    return newest[0] if len(newest) == 1 else None


def described(rows: Sequence[Row], owner: str | None) -> list[dict[str, Any]]:
    """Every row for a person, the newest first."""
    newest = latest(rows, owner)
    return [
        {
            "version": row.version,
            "latest": row.version == newest and row in visible(rows, owner),
            "application": row.owner,
            "claimed": row.owner is not None,
            "ahead": row.timestamp == AHEAD,
            "timestamp": work.timestamp(row.timestamp) if row.timestamp != AHEAD else None,
            "created_at": work.timestamp(row.created),
        }
        for row in sorted(rows, key=lambda row: (-row.timestamp, row.version))
    ]


def change(wanted: Wanted, rows: Sequence[Row], claims: bool, unfinished: Work) -> bool:
    """Whether anything is to be done; raises when it must not be."""
    version, owner = wanted.version, wanted.owner
    row = next((row for row in visible(rows, owner) if row.version == version), None)
    other = next((row.owner for row in rows if row.version == version), None)
    if wanted.state == ABSENT:
        if row is not None:
            _demand_unused(wanted, latest(rows, owner) in (version, None), unfinished)
        return row is not None
    if row is None and other:
        raise DbosError(
            f"Version {version} is registered by application '{other}' in this database, so it cannot be one of "
            f"'{owner}': version names are unique in a database. Choose another name."
        )
    if wanted.state == REGISTERED:
        return row is None
    if row is None:
        raise DbosError(
            f"Version {version} of '{owner}' is not registered, so nothing would take the work that it got as the "
            "latest. Release it first, or register it with state=registered."
        )
    return latest(rows, owner) != version or (claims and row.owner is None)


def _demand_unused(wanted: Wanted, newest: bool, unfinished: Work) -> None:
    name = f"Version {wanted.version} of '{wanted.owner}'"
    if newest:
        raise DbosError(
            f"{name} is the latest: without it, work without a version would go to another. Promote another one first."
        )
    if unfinished.unfinished:
        raise DbosError(
            f"{name} has unfinished work: {unfinished.pending} pending, {unfinished.enqueued} enqueued, "
            f"{unfinished.delayed} delayed. Let it drain, cancel it, or fork it to another version first."
        )


def carry_out(db: Database, wanted: Wanted, claims: bool, schema: str) -> None:
    """Write what change() found to be done."""
    steps = {
        REGISTERED: lambda: versions.register_ahead(db, wanted.version, schema),
        PROMOTED: lambda: versions.promote(db, wanted.owner, wanted.version, schema=schema, claims=claims),
        ABSENT: lambda: versions.forget(db, wanted.owner, wanted.version, schema=schema, claims=claims),
    }
    if not steps[wanted.state]():
        raise DbosError(
            f"Version {wanted.version} of '{wanted.owner}' changed while it was to be {wanted.state}: its row or its "
            "work is another's doing. Nothing was written; run again."
        )


def refuse_managed(client: Client, application: str, namespace: str, version: str) -> None:
    """Raise when the ledger knows the version: module release alone keeps Service and latest version together."""
    records = client.list("apps/v1", "ControllerRevision", namespace, ledger.selector(application))
    found = next((record for record in records if record["data"]["version"] == version), None)
    if found:
        raise DbosError(
            f"Version {version} of {application} is managed by this collection: its ledger record is "
            f"{found['metadata']['name']} in namespace {namespace}. Use deploy.yml, rollback.yml or retire.yml, which "
            "keep Service and latest version together, or set force to true."
        )

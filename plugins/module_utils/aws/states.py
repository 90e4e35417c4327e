# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far things are that EKS makes slowly, with AWS' own reason where they have failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, Json
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import State

Look = Callable[[], State]
FAILED = {"FAILED", "CREATE_FAILED", "DELETE_FAILED", "UPDATE_FAILED", "DEGRADED"}
BUSY = {"CREATING", "UPDATING", "PENDING"}  # it takes no update meanwhile
# An add-on of ordinary pods is short of replicas while the first nodes start, and a while after.
SHORT_OF_PODS = "InsufficientNumberOfReplicas"
SETTLE = 900.0  # seconds
APPEAR = 10.0  # seconds after which what was just made is seen everywhere
GONE = State("gone", True)


def reasons(issues: Collection[Mapping[str, Any]], code: str = "code", message: str = "message") -> str:
    """Why, in AWS' words."""
    told = "; ".join(f"{issue.get(message) or 'no reason is given'} ({issue.get(code)})" for issue in issues)
    return told or "AWS gives no reason"


def judged(thing: Json, *, leaving: bool = False) -> State:
    """A cluster, node group or add-on as EKS describes it; C(leaving) when it is waited for to go."""
    status = str(thing["status"])
    issues = thing.get("health", {}).get("issues", [])
    # What was DEGRADED or could not be made is deleted all the same.
    failed = status in ({"FAILED", "DELETE_FAILED"} if leaving else FAILED)
    return State(status, status == "ACTIVE" and not leaving, reasons(issues) if failed else "")


def cluster(account: Account, name: str, *, leaving: bool = False) -> Look:
    """A cluster."""
    return _look(account, "cluster", leaving, "describe_cluster", name=name)


def nodegroup(account: Account, cluster_name: str, name: str, *, leaving: bool = False) -> Look:
    """A managed node group."""
    return _look(account, "nodegroup", leaving, "describe_nodegroup", clusterName=cluster_name, nodegroupName=name)


def addon(account: Account, cluster_name: str, name: str, *, leaving: bool = False) -> Look:
    """An add-on. Being short of pods is no failure as long as nodes may still be starting."""
    started = time.monotonic()

    def judge(thing: Json) -> State:
        codes = {issue["code"] for issue in thing.get("health", {}).get("issues", [])}
        if thing["status"] == "DEGRADED" and codes == {SHORT_OF_PODS} and time.monotonic() - started < SETTLE:
            return State("DEGRADED", False)
        return judged(thing, leaving=leaving)

    return _look(account, "addon", leaving, "describe_addon", judge, clusterName=cluster_name, addonName=name)


def _look(
    account: Account,
    kind: str,
    leaving: bool,
    operation: str,
    judge: Callable[[Json], State] | None = None,
    **arguments: str,
) -> Look:
    started = time.monotonic()

    def look() -> State:
        found = account.find("eks", operation, **arguments)
        if found is None and not leaving and time.monotonic() - started < APPEAR:
            return State("not to be seen yet", False)
        if found is None:
            return GONE if leaving else State("gone", False, "it does not exist, or somebody has deleted it")
        return judge(found[kind]) if judge else judged(found[kind], leaving=leaving)

    return look


def free(look: Look) -> Look:
    """Whether something takes an update, however it is otherwise."""

    def settled() -> State:
        state = look()
        return State(state.status, state.status not in BUSY)

    return settled


def update(account: Account, cluster_name: str, update_id: str, **of: str) -> Look:
    """An update of a cluster, or of what C(of) names (C(nodegroupName) or C(addonName))."""
    arguments: Json = {"name": cluster_name, "updateId": update_id, **of}

    def look() -> State:
        found = account.call("eks", "describe_update", **arguments)["update"]
        status = str(found["status"])
        failed = status in ("Failed", "Cancelled")
        return State(
            status,
            status == "Successful",
            reasons(found.get("errors", []), "errorCode", "errorMessage") if failed else "",
        )

    return look

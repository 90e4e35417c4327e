# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a database in RDS is, in AWS' own words."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import State

Json = dict[str, Any]

AVAILABLE = "available"
CHANGEABLE = {AVAILABLE, "storage-optimization"}  # the latter takes hours
# It serves meanwhile.
SERVING = CHANGEABLE | {
    "backing-up",
    "configuring-enhanced-monitoring",
    "configuring-iam-database-auth",
    "configuring-log-exports",
    "storage-config-upgrade",
    "storage-initialization",
}
# What is not left without a person's help, and what helps.
FAILED = {
    "failed": "It has to be deleted; restore it from a backup.",
    "inaccessible-encryption-credentials": "Enable its KMS key, and let RDS use it again.",
    "inaccessible-encryption-credentials-recoverable": "Enable its KMS key, and start the database.",
    "incompatible-credentials": "Give another master password.",
    "incompatible-network": "Give its subnets free addresses, and see that they and the security group exist.",
    "incompatible-option-group": "Correct its option group.",
    "incompatible-parameters": "Correct rds_parameters, and run again with rds_restart: true.",
    "incompatible-restore": "Restore another snapshot.",
    "insufficient-capacity": "Take another rds_instance_class, or other zones.",
    "restore-error": "Restore another snapshot.",
    "storage-full": "Raise rds_allocated_storage.",
    "stopped": "Start it: aws rds start-db-instance.",
    "upgrade-failed": "See the log 'upgrade' in CloudWatch.",
}
MENDABLE = {"incompatible-parameters", "storage-full"}  # by what it can be given
_TELLING = {"availability", "failure", "low storage", "notification"}
_DAY = 1440  # minutes


def reason(account: Account, identifier: str, status: str) -> str:
    """Why, as the newest of the database's events say, and what helps."""
    events = account.pages(
        "rds", "describe_events", "Events", SourceIdentifier=identifier, SourceType="db-instance", Duration=_DAY
    )
    events.sort(key=lambda event: event["Date"])
    # What goes wrong has these categories; without any, the newest may say it.
    telling = [event for event in events if _TELLING & set(event.get("EventCategories") or [])] or events
    return " ".join([*(str(event["Message"]).strip() for event in telling[-1:]), FAILED[status]])


def look(
    account: Account, identifier: str, applied: frozenset[str] = frozenset(), ready: Collection[str] = SERVING
) -> Callable[[], State]:
    """For wait_for: until the database serves (or C(ready) has its status), and nothing of C(applied) is pending.

    For some seconds after a change AWS still calls the database available.
    """

    def now() -> State:
        instance = account.call("rds", "describe_db_instances", DBInstanceIdentifier=identifier)["DBInstances"][0]
        status = str(instance["DBInstanceStatus"])
        if status in FAILED:
            return State(status, reached=False, failure=reason(account, identifier, status))
        if status == "deleting":
            return State(status, reached=False, failure="it is being deleted.")
        pending = applied & set(instance.get("PendingModifiedValues") or {})
        return State(status, reached=status in ready and not pending)

    return now


def gone(account: Account, identifier: str) -> Callable[[], State]:
    """For wait_for: until there is no such database."""

    def now() -> State:
        found = account.find("rds", "describe_db_instances", DBInstanceIdentifier=identifier)
        if not found:
            return State("gone", reached=True)
        status = str(found["DBInstances"][0]["DBInstanceStatus"])
        failure = "" if status == "deleting" else "it is not being deleted any more."
        return State(status, reached=False, failure=failure)

    return now

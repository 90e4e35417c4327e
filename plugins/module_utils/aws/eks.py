# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the EKS modules share: whose a thing is, updates that are waited for, and roles that AWS does not know yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import account as connection
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import states, tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, Json
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.changes import UNMADE, Change, result
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import settled, wait_for
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

UNKNOWN_ROLE = 45.0  # seconds within which a new role is known to all of AWS
_NEW = re.compile(r"\brole\b|principal|instance profile|launch template|subnet", re.IGNORECASE)
_UNKNOWN = re.compile(r"assum|not authorized|trust|n.t exist|not (be )?found|invalid|permission", re.IGNORECASE)
Answer = TypeVar("Answer")


def argument_spec() -> dict[str, dict[str, Any]]:
    """Options of every EKS module, documented in the fragments dbos.kubernetes.aws and dbos.kubernetes.aws.platform."""
    return {
        **connection.argument_spec(),
        "platform": {"type": "str", "required": True},
        "tags": {"type": "dict", "default": {}},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


def partition(account: Account) -> str:
    """The first part of ARNs: aws, aws-cn, aws-us-gov."""
    return str(account.client("eks").meta.partition)


def role_arn(given: str, known: Mapping[str, str]) -> str:
    """A role's ARN, given as it is or by a name of C(known)."""
    arn = known.get(given, given)
    if not arn.startswith("arn:") and arn != UNMADE:
        names = f" or one of {', '.join(known)}" if known else ""
        raise DbosError(f"'{given}' is no role for pods: give an ARN{names}.")
    return arn


def check_owned(thing: str, have: Mapping[str, str], platform: str) -> None:
    """Refuse to touch what carries our name but not our tag."""
    if not tags.owned(have, platform):
        raise DbosError(
            f"The {thing} exists already and is not of platform {platform}: it lacks the tag "
            f"{tags.PLATFORM}={platform}. Choose another platform_name, or set that tag to hand it over."
        )


def with_new_role(call: Callable[[], Answer]) -> Answer:
    """Call EKS with a role that may have been made seconds ago: EKS refuses it until IAM has told all of AWS.

    So it is, for less long, with what EC2 has just made.
    """
    return settled(call, _unknown_role, UNKNOWN_ROLE, pause=2.0)


def _unknown_role(error: AwsError) -> bool:
    return error.code.startswith("Invalid") and bool(_NEW.search(error.msg) and _UNKNOWN.search(error.msg))


def leaving(thing: str, have: Json, platform: str, *, foreign_stay: bool) -> bool:
    """Whether something that is to go is ours; what is not is refused, unless it may stay."""
    if foreign_stay and not tags.owned(have.get("tags", {}), platform):
        return False
    check_owned(thing, have.get("tags", {}), platform)
    return True


def delete_each(kind: str, one: Callable[[Answer], list[Change]], names: Iterable[Answer]) -> dict[str, list[Change]]:
    """The changes by thing of C(one), which deletes one of a kind by its name."""
    listed = list(names)
    return dict(zip((f"{kind} {name}" for name in listed), parallel(one, listed), strict=True))


def delete_all(delete: Callable[..., dict[str, list[Change]]], names: Iterable[str], others: Collection[str]) -> Json:
    """The result of deleting what is named, and with it what else there is of the platform's."""
    found = delete(names=others, foreign_stay=True)
    return result(found | delete(names=[name for name in names if name not in others]))


def send(account: Account, service: str, change: Change) -> Json:
    """The call of a change. What was to go may have gone already, when an answer was lost."""
    removing = change.operation.startswith(("detach_", "disassociate_", "untag_"))
    answer = (account.find if removing else account.call)(service, change.operation, **change.arguments)
    return answer or {}


def apply(account: Account, cluster: str, change: Change, timeout: float, **of: str) -> None:
    """Send a change to EKS; where that starts an update, wait until it is done.

    C(of) names what is updated when it is not the cluster itself: C(nodegroupName) or C(addonName).
    """
    answer = with_new_role(lambda: send(account, "eks", change))
    update = answer.get("update")
    if update is None:
        return
    name = next(iter(of.values()), cluster)
    wait_for({f"the update ({change}) of {name}": states.update(account, cluster, update["id"], **of)}, timeout)
    # What was updated is free for its next update a moment later. An add-on may have no nodes to run on.
    if "nodegroupName" in of:
        wait_for({f"node group {name}": states.nodegroup(account, cluster, name)}, timeout)
    elif not of:
        wait_for({f"cluster {name}": states.cluster(account, name)}, timeout)

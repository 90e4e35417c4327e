# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module eks_pod_identity_association: which IAM role pods of a service account act as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import changes, eks
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, Json
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.changes import Change
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel


@dataclass(frozen=True)
class Wanted:
    """An association as it should be."""

    cluster: str
    namespace: str
    service_account: str
    role_arn: str
    target_role_arn: str = ""  # empty for none
    disable_session_tags: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)  # all, the platform's too

    @property
    def thing(self) -> str:
        """What a person calls it."""
        return f"pod identity {self.namespace}/{self.service_account}"


def request(want: Wanted) -> Json:
    """The arguments of C(create_pod_identity_association)."""
    return {
        "clusterName": want.cluster,
        "namespace": want.namespace,
        "serviceAccount": want.service_account,
        "roleArn": want.role_arn,
        "disableSessionTags": want.disable_session_tags,
        "tags": dict(want.tags),
        **({"targetRoleArn": want.target_role_arn} if want.target_role_arn else {}),
    }


def differences(have: Json, want: Wanted) -> list[Change]:
    """What to change of an association."""
    found = changes.tags(have.get("tags", {}), want.tags, have["associationArn"])
    pairs = {
        "role_arn": (have["roleArn"], want.role_arn, "roleArn"),
        "target_role_arn": (have.get("targetRoleArn") or "", want.target_role_arn, "targetRoleArn"),
        "disable_session_tags": (
            bool(have.get("disableSessionTags")),
            want.disable_session_tags,
            "disableSessionTags",
        ),
    }
    differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if differing:
        arguments = {
            "clusterName": want.cluster,
            "associationId": have["associationId"],
            **{key: after for _before, after, key in differing.values()},
        }
        found.append(
            Change(
                {name: before for name, (before, _after, _key) in differing.items()},
                {name: after for name, (_before, after, _key) in differing.items()},
                "update_pod_identity_association",
                arguments,
            )
        )
    return found


def ensure(account: Account, wanted: Sequence[Wanted], cluster: str, *, purge: bool, check: bool) -> Json:
    """Make all associations, or change what differs; with C(purge) delete the platform's others."""
    listed = _listed(account, cluster)
    results = parallel(
        lambda want: _ensure_one(account, want, listed.get((want.namespace, want.service_account)), check=check), wanted
    )
    found = {want.thing: differing for want, differing in zip(wanted, results, strict=True)}
    if purge:
        names = {(want.namespace, want.service_account) for want in wanted}
        leaving = {name: known for name, known in listed.items() if name not in names}
        found |= _delete(account, cluster, leaving, foreign_stay=True, check=check)
    return changes.result(found)


def delete(account: Account, cluster: str, names: Sequence[tuple[str, str]], *, check: bool) -> Json:
    """Delete the associations of service accounts."""
    leaving = {name: known for name, known in _listed(account, cluster).items() if name in names}
    return changes.result(_delete(account, cluster, leaving, foreign_stay=False, check=check))


def _listed(account: Account, cluster: str) -> dict[tuple[str, str], str]:
    """Ids by namespace and service account; those of add-ons are the add-ons' own."""
    found = account.pages("eks", "list_pod_identity_associations", "associations", clusterName=cluster)
    return {(one["namespace"], one["serviceAccount"]): one["associationId"] for one in found if not one.get("ownerArn")}


def _describe(account: Account, cluster: str, identity: str) -> Json | None:
    answer = account.find("eks", "describe_pod_identity_association", clusterName=cluster, associationId=identity)
    return answer["association"] if answer else None


def _ensure_one(account: Account, want: Wanted, identity: str | None, *, check: bool) -> list[Change]:
    have = _describe(account, want.cluster, identity) if identity else None
    if have is None:
        arguments = request(want)
        found = [Change({}, arguments, "create_pod_identity_association", arguments, what="made")]
    else:
        eks.check_owned(want.thing, have.get("tags", {}), want.cluster)
        found = differences(have, want)
    for change in [] if check else found:
        eks.apply(account, want.cluster, change, 0)
    return found


def _delete(
    account: Account, cluster: str, leaving: Mapping[tuple[str, str], str], *, foreign_stay: bool, check: bool
) -> dict[str, list[Change]]:
    def one(identity: str) -> list[Change]:
        have = _describe(account, cluster, identity)
        if have is None or not eks.leaving(
            f"pod identity {have['namespace']}/{have['serviceAccount']}", have, cluster, foreign_stay=foreign_stay
        ):
            return []
        if not check:
            account.find("eks", "delete_pod_identity_association", clusterName=cluster, associationId=identity)
        return [changes.deleted({"role_arn": have["roleArn"]})]

    names = (f"pod identity {namespace}/{service_account}" for namespace, service_account in leaving)
    return dict(zip(names, parallel(one, leaving.values()), strict=True))

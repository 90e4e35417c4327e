# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module eks_prerequisites: what a cluster needs before it is made, and what is left when it is gone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import changes, eks, tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, Json
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.changes import UNMADE, Change
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import settled
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

NODE_POLICIES = ["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"]
# What CloudWatch takes as a retention, in days.
RETENTIONS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]


@dataclass(frozen=True)
class Role:
    """An IAM role as it should be."""

    name: str
    service: str
    actions: tuple[str, ...]
    policies: tuple[str, ...]  # ARNs

    @property
    def thing(self) -> str:
        """What a person calls it."""
        return f"IAM role {self.name}"

    @property
    def trust(self) -> Json:
        """Who may take it."""
        statement = {"Effect": "Allow", "Principal": {"Service": self.service}, "Action": [*self.actions]}
        return {"Version": "2012-10-17", "Statement": [statement]}


def node_role(platform: str) -> str:
    """The nodes' role."""
    return f"{platform}-eks-node"


def key_alias(platform: str) -> str:
    """The alias of the key that encrypts Secrets."""
    return f"alias/{platform}-eks"


def log_group(platform: str) -> str:
    """Where EKS writes the control plane's logs."""
    return f"/aws/eks/{platform}/cluster"


def roles(
    platform: str, node_policies: Sequence[str], pod_roles: Mapping[str, Sequence[str]], partition: str
) -> list[Role]:
    """The cluster's, the nodes' and the pods' roles, from policies by name or ARN."""

    def arns(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name if name.startswith("arn:") else f"arn:{partition}:iam::aws:policy/{name}" for name in names)

    take = ("sts:AssumeRole",)
    return [
        Role(f"{platform}-eks-cluster", "eks.amazonaws.com", take, arns(["AmazonEKSClusterPolicy"])),
        Role(node_role(platform), "ec2.amazonaws.com", take, arns(node_policies)),
        *(
            Role(f"{platform}-eks-{name}", "pods.eks.amazonaws.com", (*take, "sts:TagSession"), arns(policies))
            for name, policies in pod_roles.items()
        ),
    ]


def role_changes(have: Json, attached: Sequence[str], role: Role, want: Mapping[str, str]) -> list[Change]:
    """What to change of a role as C(get_role) gives it."""
    named: Json = {"RoleName": role.name}
    found = []
    if (trust := have["AssumeRolePolicyDocument"]) != role.trust:
        arguments = {**named, "PolicyDocument": json.dumps(role.trust)}
        found.append(Change({"trust": trust}, {"trust": role.trust}, "update_assume_role_policy", arguments))
    now = tags.mapping(have.get("Tags"))
    found += changes.retagged(now, want, named, ("tag_role", "Tags", tags.pairs), ("untag_role", "TagKeys"))
    return [*found, *policy_changes(attached, role)]


def policy_changes(attached: Sequence[str], role: Role) -> list[Change]:
    """Policies to attach, and to take away."""
    named = {"RoleName": role.name}
    found = []
    for arn in role.policies:
        if arn not in attached:
            found.append(Change({arn: None}, {arn: "attached"}, "attach_role_policy", {**named, "PolicyArn": arn}))
    for arn in attached:
        if arn not in role.policies:
            found.append(Change({arn: "attached"}, {arn: None}, "detach_role_policy", {**named, "PolicyArn": arn}))
    return found


def ensure(
    account: Account,
    platform: str,
    wanted: Sequence[Role],
    all_tags: Mapping[str, str],
    retention: int,
    *,
    check: bool,
) -> Json:
    """Make all of it, or change what differs."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        making_roles = [pool.submit(_ensure_role, account, platform, role, all_tags, check) for role in wanted]
        making_key = pool.submit(_ensure_key, account, platform, all_tags, check)
        making_group = pool.submit(_ensure_group, account, platform, all_tags, retention, check)
        made = [future.result() for future in making_roles]
        key_changes, key_arn = making_key.result()
        group_changes = making_group.result()
    arns = {role.name: arn for role, (_changes, arn) in zip(wanted, made, strict=True)}
    found = {role.thing: differing for role, (differing, _arn) in zip(wanted, made, strict=True)}
    found[f"KMS key {key_alias(platform)}"] = key_changes
    found[f"log group {log_group(platform)}"] = group_changes
    prefix = f"{platform}-eks-"
    return {
        **changes.result(found),
        "cluster_role_arn": arns[f"{prefix}cluster"],
        "node_role_arn": arns[node_role(platform)],
        "pod_identity_role_arns": {role.name.removeprefix(prefix): arns[role.name] for role in wanted[2:]},
        "key_arn": key_arn,
        "log_group": log_group(platform),
    }


def _ensure_role(
    account: Account, platform: str, role: Role, all_tags: Mapping[str, str], check: bool
) -> tuple[list[Change], str]:
    want = {**all_tags, "Name": role.name}
    have = _role(account, role.name)
    if have is None:
        found = [changes.made({"trust": role.trust, "policies": [*role.policies], "tags": want})]
        if check:
            return found, UNMADE
        made: Json = account.create(
            lambda: _role(account, role.name),
            "iam",
            "create_role",
            RoleName=role.name,
            AssumeRolePolicyDocument=json.dumps(role.trust),
            Description=f"EKS platform {platform}",
            Tags=tags.pairs(want),
        )
        if "Role" not in made:  # it was there after all
            eks.check_owned(role.thing, tags.mapping(made.get("Tags")), platform)
        for change in policy_changes([], role):
            _call_on_new(account, "iam", change.operation, change.arguments)
        return found, str(made.get("Role", made)["Arn"])
    eks.check_owned(role.thing, tags.mapping(have.get("Tags")), platform)
    attached = account.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role.name)
    found = role_changes(have, [one["PolicyArn"] for one in attached], role, want)
    for change in [] if check else found:
        eks.send(account, "iam", change)
    return found, str(have["Arn"])


def _call_on_new(account: Account, service: str, operation: str, arguments: Json) -> None:
    """A change of something just made, which all of AWS knows only after some seconds."""
    settled(lambda: account.call(service, operation, **arguments))


def _role(account: Account, name: str) -> Json | None:
    answer = account.find("iam", "get_role", RoleName=name)
    return answer["Role"] if answer else None


def _ensure_key(account: Account, platform: str, all_tags: Mapping[str, str], check: bool) -> tuple[list[Change], str]:
    alias = key_alias(platform)
    want = {**all_tags, "Name": f"{platform}-eks"}
    found = account.find("kms", "describe_key", KeyId=alias)
    if found is None:
        differing = [changes.made({"rotation": True, "tags": want})]
        return differing, UNMADE if check else _make_key(account, platform, want)
    key = found["KeyMetadata"]
    have = _key_tags(account, key["Arn"])
    eks.check_owned(f"KMS key {alias}", have, platform)
    differing = []
    if key["KeyState"] == "PendingDeletion":  # a teardown has begun
        named = {"KeyId": key["KeyId"]}
        kept = {"state": "Enabled"}
        differing = [
            Change({"state": key["KeyState"]}, kept, "cancel_key_deletion", named, what="not to be deleted"),
            Change({}, kept, "enable_key", named, what="enabled"),
        ]
    differing += _key_tag_changes(have, want, key["KeyId"])
    for change in [] if check else differing:
        eks.send(account, "kms", change)
    return differing, str(key["Arn"])


def _key_tag_changes(have: Mapping[str, str], want: Mapping[str, str], identity: str) -> list[Change]:
    put = ("tag_resource", "Tags", partial(tags.pairs, key="TagKey", value="TagValue"))
    return changes.retagged(have, want, {"KeyId": identity}, put, ("untag_resource", "TagKeys"))


def _make_key(account: Account, platform: str, want: Mapping[str, str]) -> str:
    """A key that rotates every year. The alias comes last, so a key that has it is complete."""
    answer = _nameless_key(account, platform)
    if answer is None:
        answer = account.create(
            lambda: _nameless_key(account, platform),
            "kms",
            "create_key",
            Description=f"Secrets of the EKS cluster {platform}",
            Tags=tags.pairs(want, "TagKey", "TagValue"),
        )
    key = answer["KeyMetadata"]
    _call_on_new(account, "kms", "enable_key_rotation", {"KeyId": key["KeyId"]})
    alias = {"AliasName": key_alias(platform), "TargetKeyId": key["KeyId"]}
    with _may_exist():
        _call_on_new(account, "kms", "create_alias", alias)
    return str(key["Arn"])


def _nameless_key(account: Account, platform: str) -> Json | None:
    """The platform's key when a run was killed before it got its alias: then only its tags tell."""

    def ours(arn: str) -> bool:
        try:
            return tags.owned(_key_tags(account, arn), platform)
        except AwsError as error:
            if "permission" in error.result:  # a key's policy may hide it, so it is not ours
                return False
            raise

    listed = [one["KeyArn"] for one in account.pages("kms", "list_keys", "Keys")]
    mine = [arn for arn, known in zip(listed, parallel(ours, listed), strict=True) if known]
    described = (account.call("kms", "describe_key", KeyId=arn) for arn in mine)
    return next((one for one in described if one["KeyMetadata"]["KeyState"] == "Enabled"), None)


def _key_tags(account: Account, arn: str) -> dict[str, str]:
    answer = account.call("kms", "list_resource_tags", KeyId=arn)
    return tags.mapping(answer["Tags"], "TagKey", "TagValue")


def _ensure_group(
    account: Account, platform: str, all_tags: Mapping[str, str], retention: int, check: bool
) -> list[Change]:
    """Made before the cluster, which would make it without retention and tags."""
    name = log_group(platform)
    have = _group(account, name)
    if have is None:
        if not check:
            with _may_exist():
                account.call("logs", "create_log_group", logGroupName=name, tags=dict(all_tags))
            _call_on_new(account, "logs", "put_retention_policy", {"logGroupName": name, "retentionInDays": retention})
        return [changes.made({"retention_days": retention, "tags": dict(all_tags)})]
    # Without our tag it is what a cluster has written last; its name is the cluster's own.
    arn = str(have["arn"]).removesuffix(":*")
    now = account.call("logs", "list_tags_for_resource", resourceArn=arn).get("tags") or {}
    found = changes.tags(now, all_tags, arn)
    if have.get("retentionInDays") != retention:
        found.append(
            Change(
                {"retention_days": have.get("retentionInDays")},
                {"retention_days": retention},
                "put_retention_policy",
                {"logGroupName": name, "retentionInDays": retention},
            )
        )
    for change in [] if check else found:
        eks.send(account, "logs", change)
    return found


@contextlib.contextmanager
def _may_exist() -> Iterator[None]:
    """An answer that was lost, or a cluster that has just written its first line."""
    try:
        yield
    except AwsError as error:
        if not error.taken:
            raise


def _group(account: Account, name: str) -> Json | None:
    listed = account.call("logs", "describe_log_groups", logGroupNamePrefix=name)["logGroups"]
    return next((one for one in listed if one["logGroupName"] == name), None)


def delete(account: Account, platform: str, wanted: Sequence[Role], window: int, *, check: bool) -> Json:
    """Delete all of it, the key after C(window) days; the cluster has to be gone."""
    found: dict[str, list[Change]] = {}
    for role in wanted:
        found[role.thing] = _delete_role(account, platform, role, check)
    found[f"KMS key {key_alias(platform)}"] = _delete_key(account, platform, window, check)
    name = log_group(platform)
    group = _group(account, name)
    if group and not check:
        account.find("logs", "delete_log_group", logGroupName=name)
    found[f"log group {name}"] = [changes.deleted({"bytes": group.get("storedBytes")})] if group else []
    return changes.result(found)


def _delete_role(account: Account, platform: str, role: Role, check: bool) -> list[Change]:
    have = _role(account, role.name)
    if have is None:
        return []
    eks.check_owned(role.thing, tags.mapping(have.get("Tags")), platform)
    attached = account.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role.name)
    if not check:
        for one in attached:
            account.find("iam", "detach_role_policy", RoleName=role.name, PolicyArn=one["PolicyArn"])
        account.find("iam", "delete_role", RoleName=role.name)
    return [changes.deleted({"policies": [one["PolicyArn"] for one in attached]})]


def _delete_key(account: Account, platform: str, window: int, check: bool) -> list[Change]:
    alias = key_alias(platform)
    found: Json | None = account.find("kms", "describe_key", KeyId=alias)
    key: Mapping[str, Any] = (found or _nameless_key(account, platform) or {}).get("KeyMetadata", {})
    if not key:
        return []
    eks.check_owned(f"KMS key {alias}", _key_tags(account, key["Arn"]), platform)
    if not check:
        # The alias goes last, so that a run that was killed in between finds the key again.
        if key["KeyState"] != "PendingDeletion":
            account.call("kms", "schedule_key_deletion", KeyId=key["KeyId"], PendingWindowInDays=window)
        if found:
            account.find("kms", "delete_alias", AliasName=alias)
    return [changes.deleted({"arn": key["Arn"], "days_left": window})]

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module eks_access_entry: who may do what in a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import changes, eks
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, Json
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.changes import Change
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

CALLER = "caller"
# Who the run is changes from run to run, and one must not take away what another was given.
CALLER_TAG = "dbos.kubernetes/caller"
STANDARD = "STANDARD"
Scope = tuple[str, ...]  # ("cluster",) or ("namespace", "shop", …)


@dataclass(frozen=True)
class Wanted:
    """An access entry as it should be."""

    cluster: str
    principal: str
    policies: Mapping[str, Scope] = field(default_factory=dict)  # by ARN
    groups: tuple[str, ...] = ()
    kind: str = STANDARD
    tags: Mapping[str, str] = field(default_factory=dict)  # all, the platform's too

    @property
    def thing(self) -> str:
        """What a person calls it."""
        return f"access entry {self.principal}"


def principal(identity: str, known: Sequence[str]) -> str:
    """The ARN that EKS wants for C(get_caller_identity)'s: of a session it is the role's.

    A session's ARN lacks the role's path, which C(known) ARNs may tell.
    """
    parts = identity.split(":", 5)
    kind, _slash, rest = parts[5].partition("/")
    if kind == "root":
        raise DbosError(
            "The AWS account's root user runs this, and gets no access to a cluster: run as a role or a user, or name "
            "the administrators in eks_admins."
        )
    if kind != "assumed-role":
        return ":".join([*parts[:2], "iam", "", parts[4], parts[5]])
    role = rest.split("/")[0]
    start = f"{parts[0]}:{parts[1]}:iam::{parts[4]}:role/"
    pathed = (arn for arn in known if arn.startswith(start) and arn.rpartition("/")[2] == role)
    return next(pathed, f"{start}{role}")


def policy_arn(name: str, partition: str) -> str:
    """EKS' own access policies may be named without their ARN."""
    return name if name.startswith("arn:") else f"arn:{partition}:eks::aws:cluster-access-policy/{name}"


def scope(kind: str, namespaces: Sequence[str]) -> Scope:
    """Comparable."""
    return (kind, *sorted(namespaces)) if kind == "namespace" else (kind,)


def differences(have: Json, policies: Mapping[str, Scope], want: Wanted) -> list[Change]:
    """What to change of an entry and the policies that it has."""
    if have["type"] != want.kind:
        raise DbosError(
            f"EKS can't change the type of the {want.thing} from {have['type']} to {want.kind}: delete it first."
        )
    names = {"clusterName": want.cluster, "principalArn": want.principal}
    found = changes.tags(have.get("tags", {}), want.tags, have["accessEntryArn"])
    groups = sorted(have.get("kubernetesGroups") or [])
    if groups != sorted(want.groups):
        arguments = {**names, "kubernetesGroups": sorted(want.groups)}
        found.append(
            Change(
                {"kubernetes_groups": groups},
                {"kubernetes_groups": sorted(want.groups)},
                "update_access_entry",
                arguments,
            )
        )
    return [*found, *policy_changes(policies, want)]


def policy_changes(have: Mapping[str, Scope], want: Wanted) -> list[Change]:
    """What to associate, again with another scope too, and what to take away."""
    names = {"clusterName": want.cluster, "principalArn": want.principal}
    found = []
    for arn, wanted in sorted(want.policies.items()):
        if have.get(arn) != wanted:
            kind, *namespaces = wanted
            access = {"type": kind, **({"namespaces": namespaces} if namespaces else {})}
            arguments = {**names, "policyArn": arn, "accessScope": access}
            before = {arn: list(have[arn]) if arn in have else None}
            found.append(Change(before, {arn: list(wanted)}, "associate_access_policy", arguments))
    for arn in sorted(have.keys() - want.policies.keys()):
        arguments = {**names, "policyArn": arn}
        found.append(Change({arn: list(have[arn])}, {arn: None}, "disassociate_access_policy", arguments))
    return found


def ensure(
    account: Account, wanted: Sequence[Wanted], cluster: str, *, node_role: str, purge: bool, check: bool
) -> Json:
    """Make all entries, or change what differs; with C(purge) delete the platform's others."""
    listed: list[str] = account.pages("eks", "list_access_entries", "accessEntries", clusterName=cluster)
    whole = [_resolved(account, want, listed) for want in wanted]
    if twice := sorted(arn for arn, times in Counter(want.principal for want in whole).items() if times > 1):
        raise DbosError(
            f"{', '.join(twice)} is named twice, as an administrator and in eks_access_entries: leave it out of one "
            f"(in eks_admins, {CALLER} is whoever runs this)."
        )
    results = parallel(lambda want: _ensure_one(account, want, there=want.principal in listed, check=check), whole)
    found = {want.thing: differing for want, differing in zip(whole, results, strict=True)}
    if purge:
        names = {want.principal for want in whole}
        keep_callers = any(want.principal == CALLER for want in wanted)
        # EKS makes the node role's entry itself, with the first node group.
        others = [arn for arn in listed if arn not in names and arn.rpartition("/")[2] != node_role]
        found |= delete(account, cluster, others, keep_callers=keep_callers, foreign_stay=True, check=check)
    return {**changes.result(found), "access_entries": [want.principal for want in whole]}


def _resolved(account: Account, want: Wanted, listed: Sequence[str]) -> Wanted:
    if want.principal != CALLER:
        return want
    identity = str(account.identity["Arn"])
    arn = principal(identity, listed)
    if arn not in listed and ":assumed-role/" in identity:
        role = account.find("iam", "get_role", RoleName=arn.rpartition("/")[2])
        arn = role["Role"]["Arn"] if role else arn
    return replace(want, principal=arn, tags={**want.tags, CALLER_TAG: "true"})


def _ensure_one(account: Account, want: Wanted, *, there: bool, check: bool) -> list[Change]:
    names = {"clusterName": want.cluster, "principalArn": want.principal}
    have = account.find("eks", "describe_access_entry", **names) if there else None
    if have is None:
        arguments = {**names, "type": want.kind, "tags": dict(want.tags)}
        if want.groups:
            arguments["kubernetesGroups"] = sorted(want.groups)
        plan = {"type": want.kind, "kubernetes_groups": sorted(want.groups), "tags": dict(want.tags)}
        found = [Change({}, plan, "create_access_entry", arguments, what="made"), *policy_changes({}, want)]
    else:
        entry = have["accessEntry"]
        eks.check_owned(want.thing, entry.get("tags", {}), want.cluster)
        listed = account.pages("eks", "list_associated_access_policies", "associatedAccessPolicies", **names)
        policies = {
            one["policyArn"]: scope(one["accessScope"]["type"], one["accessScope"].get("namespaces") or [])
            for one in listed
        }
        found = differences(entry, policies, want)
    for change in [] if check else found:
        eks.apply(account, want.cluster, change, 0)
    return found


def delete(
    account: Account,
    cluster: str,
    principals: Sequence[str],
    *,
    check: bool,
    keep_callers: bool = False,
    foreign_stay: bool = False,
) -> dict[str, list[Change]]:
    """Delete entries; gives the changes by entry."""

    def one(arn: str) -> list[Change]:
        answer = account.find("eks", "describe_access_entry", clusterName=cluster, principalArn=arn)
        have: Json = answer["accessEntry"] if answer else {}
        kept = keep_callers and CALLER_TAG in have.get("tags", {})
        if not have or kept or not eks.leaving(f"access entry {arn}", have, cluster, foreign_stay=foreign_stay):
            return []
        if not check:
            account.find("eks", "delete_access_entry", clusterName=cluster, principalArn=arn)
        return [changes.deleted({"type": have["type"], "kubernetes_groups": have.get("kubernetesGroups") or []})]

    return eks.delete_each("access entry", one, principals)

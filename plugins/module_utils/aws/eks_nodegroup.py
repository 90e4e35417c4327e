# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module eks_nodegroup: managed node groups of one cluster, side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import (
    changes,
    eks,
    eks_versions,
    launch_template,
    states,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, Json
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.changes import UNMADE, Change
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import wait_for
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

X86, ARM = "AL2023_x86_64_STANDARD", "AL2023_ARM_64_STANDARD"
LATEST = "latest"
_GRAVITON = re.compile(r"(a1|[a-z]+\d+g[a-z]*)\.")  # t4g.large, c7gn.xlarge, im4gn.large; not g4dn.xlarge
_FAILED = ("CREATE_FAILED", "DELETE_FAILED")  # DEGRADED may well be mended by an update


@dataclass(frozen=True)
class Wanted:
    """A node group as it should be. What is None is left as it is, or to EKS."""

    cluster: str
    name: str
    subnets: tuple[str, ...]
    node_role: str
    instance_types: tuple[str, ...]
    min_size: int
    max_size: int
    desired_size: int | None = None
    disk_size: int = 50
    ami_type: str | None = None
    capacity_type: str = "ON_DEMAND"
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    max_unavailable: int = 1
    version: str | None = None
    release_version: str | None = None
    force: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)  # all, the platform's too

    @property
    def template(self) -> str:
        """The launch template's name, and that of its instances."""
        return f"{self.cluster}-{self.name}"

    @property
    def thing(self) -> str:
        """What a person calls it."""
        return f"node group {self.name}"


def image_type(instance_types: Sequence[str]) -> str:
    """Amazon Linux 2023 for the processors of these instance types."""
    arm = {bool(_GRAVITON.match(one)) for one in instance_types}
    if len(arm) != 1:
        raise DbosError(
            f"A node group has one architecture, and {', '.join(instance_types)} are of two: make two groups."
        )
    return ARM if arm.pop() else X86


def checked(want: Wanted) -> Wanted:
    """The same with its image type; refuses sizes that contradict each other."""
    desired = want.min_size if want.desired_size is None else want.desired_size
    if not want.min_size <= desired <= want.max_size or want.max_size < 1:
        raise DbosError(
            f"The {want.thing} can't have {desired} nodes: min_size is {want.min_size}, max_size {want.max_size}."
        )
    return replace(want, ami_type=want.ami_type or image_type(want.instance_types))


def request(want: Wanted, template: Json) -> Json:
    """The arguments of C(create_nodegroup); C(template) is the launch template's id and version."""
    return {
        "clusterName": want.cluster,
        "nodegroupName": want.name,
        "scalingConfig": _scaling(want, want.min_size),
        "subnets": [*want.subnets],
        "instanceTypes": [*want.instance_types],
        "amiType": want.ami_type,
        "capacityType": want.capacity_type,
        "nodeRole": want.node_role,
        "labels": dict(want.labels),
        "taints": [dict(taint) for taint in want.taints],
        "updateConfig": {"maxUnavailable": want.max_unavailable},
        "launchTemplate": template,
        "tags": dict(want.tags),
        **({"version": want.version} if want.version else {}),
        **({"releaseVersion": want.release_version} if want.release_version else {}),
    }


def _scaling(want: Wanted, current: int) -> Json:
    """Without a wish the number of nodes stays, within its bounds."""
    desired = want.desired_size
    if desired is None:
        desired = min(max(current, want.min_size), want.max_size)
    return {"minSize": want.min_size, "maxSize": want.max_size, "desiredSize": desired}


def configuration(have: Json, want: Wanted) -> Change | None:
    """What C(update_nodegroup_config) puts right in one update."""
    parts: dict[str, tuple[Any, Any, Json]] = {}
    labels, wanted_labels = have.get("labels") or {}, dict(want.labels)
    if labels != wanted_labels:
        setting = {key: value for key, value in wanted_labels.items() if labels.get(key) != value}
        leaving = sorted(labels.keys() - wanted_labels.keys())
        payload = _given(addOrUpdateLabels=setting, removeLabels=leaving)
        parts["labels"] = (labels, wanted_labels, {"labels": payload})
    taints, wanted_taints = _by_identity(have.get("taints") or []), _by_identity(want.taints)
    if taints != wanted_taints:
        setting_taints = [taint for identity, taint in wanted_taints.items() if taints.get(identity) != taint]
        leaving_taints = [taint for identity, taint in taints.items() if identity not in wanted_taints]
        payload = _given(addOrUpdateTaints=setting_taints, removeTaints=leaving_taints)
        parts["taints"] = ([*taints.values()], [*wanted_taints.values()], {"taints": payload})
    scaling = have["scalingConfig"]
    wanted_scaling = _scaling(want, scaling["desiredSize"])
    if scaling != wanted_scaling:
        parts["scaling_config"] = (scaling, wanted_scaling, {"scalingConfig": wanted_scaling})
    pace = {"maxUnavailable": want.max_unavailable}
    # EKS adds how it goes about it (updateStrategy), which is not ours.
    now = {key: value for key, value in (have.get("updateConfig") or {}).items() if key != "updateStrategy"}
    if now != pace:
        parts["update_config"] = (now, pace, {"updateConfig": pace})
    if not parts:
        return None
    arguments: Json = {"clusterName": want.cluster, "nodegroupName": want.name}
    for _before, _after, part in parts.values():
        arguments |= part
    return Change(
        {key: before for key, (before, _after, _part) in parts.items()},
        {key: after for key, (_before, after, _part) in parts.items()},
        "update_nodegroup_config",
        arguments,
    )


def _given(**parts: Any) -> Json:
    return {name: part for name, part in parts.items() if part}


def _by_identity(taints: Sequence[Mapping[str, str]]) -> dict[tuple[str, str], Json]:
    whole: dict[tuple[str, str], Json] = {
        (one["key"], one["effect"]): {"key": one["key"], "value": one.get("value") or "", "effect": one["effect"]}
        for one in taints
    }
    return dict(sorted(whole.items()))


def replacement(have: Json, want: Wanted, template: Json) -> Change | None:
    """What C(update_nodegroup_version) puts right, which replaces all nodes, one after another."""
    before: Json = {}
    after: Json = {}
    arguments: Json = {}
    if str(have["launchTemplate"]["version"]) != template["version"]:
        before["launch_template"], after["launch_template"] = have["launchTemplate"]["version"], template["version"]
    if want.version and have["version"] != want.version:
        if eks_versions.minor(want.version) < eks_versions.minor(have["version"]):
            raise DbosError(
                f"The {want.thing} runs Kubernetes {have['version']}, and EKS does not go back to {want.version}."
            )
        before["version"], after["version"] = have["version"], want.version
        arguments["version"] = want.version
    if want.release_version and have.get("releaseVersion") != want.release_version:
        before["release_version"], after["release_version"] = have.get("releaseVersion"), want.release_version
        arguments["releaseVersion"] = want.release_version
    if not after:
        return None
    if not arguments and have.get("releaseVersion"):
        arguments["releaseVersion"] = have["releaseVersion"]  # else EKS would take the newest along
    return Change(
        before,
        after,
        "update_nodegroup_version",
        {
            "clusterName": want.cluster,
            "nodegroupName": want.name,
            "launchTemplate": template,
            **arguments,
            "force": want.force,
        },
    )


def check_fixed(have: Json, want: Wanted) -> None:
    """Refuse what EKS can't change: such a node group is made anew, under another name."""
    fixed = {
        "subnets": (set(have["subnets"]), set(want.subnets or have["subnets"])),
        "instance_types": (set(have.get("instanceTypes") or []), set(want.instance_types)),
        "ami_type": (have.get("amiType"), want.ami_type),
        "capacity_type": (have.get("capacityType", "ON_DEMAND"), want.capacity_type),
        "node_role": (have["nodeRole"], have["nodeRole"] if want.node_role in ("", UNMADE) else want.node_role),
    }
    differing = [name for name, (before, after) in fixed.items() if before != after]
    if differing or not have.get("launchTemplate"):
        what = ", ".join(differing) or "its missing launch template"
        raise DbosError(
            f"EKS can't change a node group's {what} ({want.name}): add a node group of another name as it should "
            "be, and remove this one once the other serves."
        )


def described(have: Json) -> Json:
    """What others need of a node group."""
    return {
        "nodegroup_name": have["nodegroupName"],
        "arn": have.get("nodegroupArn", UNMADE),
        "status": have.get("status", UNMADE),
        "version": have.get("version", UNMADE),
        "release_version": have.get("releaseVersion", UNMADE),
        "ami_type": have.get("amiType"),
        "scaling_config": have.get("scalingConfig"),
        "launch_template": have.get("launchTemplate"),
    }


def ensure(
    account: Account, wanted: Sequence[Wanted], cluster: str, *, purge: bool, check: bool, wait: bool, timeout: float
) -> Json:
    """Make all node groups, or change what differs; with C(purge) delete the platform's others."""
    whole = [checked(want) for want in wanted]
    results = parallel(lambda want: _ensure_one(account, want, check=check, wait=wait, timeout=timeout), whole)
    found = {want.thing: differing for want, (differing, _have) in zip(whole, results, strict=True)}
    haves = [have for _differing, have in results]
    if purge:
        names = {want.name for want in whole}
        others = account.pages("eks", "list_nodegroups", "nodegroups", clusterName=cluster)
        leaving = [name for name in others if name not in names]
        found |= delete(account, cluster, leaving, foreign_stay=True, check=check, wait=wait, timeout=timeout)
    return {
        **changes.result(found),
        "nodegroups": {have["nodegroupName"]: described(have) for have in haves},
        "waiting": [
            {"cluster_name": cluster, "nodegroup_name": have["nodegroupName"]}
            for have in haves
            if have.get("status") not in (None, "ACTIVE")
        ],
    }


def _ensure_one(
    account: Account, want: Wanted, *, check: bool, wait: bool, timeout: float
) -> tuple[list[Change], Json]:
    have = _read(account, want)
    template = launch_template.latest(account, want.template)
    data = launch_template.data(want.template, want.disk_size, want.tags)
    if have is None:
        return _create(account, want, template, data, check=check, wait=wait, timeout=timeout)
    eks.check_owned(want.thing, have.get("tags", {}), want.cluster)
    state = states.judged(have)
    if state.status in _FAILED:
        raise AwsError(f"The {want.thing} is {state.status}: {state.failure}. Mend the cause, delete it and run again.")
    if state.status == "DELETING":
        raise AwsError(f"The {want.thing} is being deleted: run again once it is gone.")
    want = _with_release(account, want, have["version"])
    check_fixed(have, want)
    before, after = launch_template.differences((template or {}).get("LaunchTemplateData", {}), data)
    found = changes.tags(have.get("tags", {}), want.tags, have["nodegroupArn"])
    if configured := configuration(have, want):
        found.append(configured)
    replaced = replacement(have, want, {"version": UNMADE} if after else _pinned(template))
    if not check and (found or replaced) and state.status in states.BUSY:  # a run that was killed has begun it
        wait_for({want.thing: states.free(states.nodegroup(account, want.cluster, want.name))}, timeout)
        return _ensure_one(account, want, check=check, wait=wait, timeout=timeout)
    if not check:
        for change in found:
            eks.apply(account, want.cluster, change, timeout, **_of(change, want))
        if after:
            saved = launch_template.save(account, want.template, template, data, want.tags, want.cluster)
            replaced = replacement(have, want, saved)
        if replaced:
            eks.apply(account, want.cluster, replaced, timeout, nodegroupName=want.name)
    if after:
        found.append(Change(before, after))
    if replaced:
        found.append(replaced)
    if found and not check:
        have = _read(account, want) or have
    return found, have


def _of(change: Change, want: Wanted) -> dict[str, str]:
    return {"nodegroupName": want.name} if "nodegroup" in change.operation else {}


def _pinned(template: Json | None) -> Json:
    if template is None:
        return {"version": UNMADE}
    return {"id": template["LaunchTemplateId"], "version": str(template["VersionNumber"])}


def _read(account: Account, want: Wanted) -> Json | None:
    found = account.find("eks", "describe_nodegroup", clusterName=want.cluster, nodegroupName=want.name)
    return found["nodegroup"] if found else None


def _with_release(account: Account, want: Wanted, current: str) -> Wanted:
    """The newest image of the version, when that is wanted."""
    if want.release_version != LATEST:
        return want
    architecture = "arm64" if "ARM_64" in (want.ami_type or "") else "x86_64"
    path = f"optimized-ami/{want.version or current}/amazon-linux-2023/{architecture}/standard/recommended"
    found = account.call("ssm", "get_parameter", Name=f"/aws/service/eks/{path}/release_version")
    return replace(want, release_version=found["Parameter"]["Value"])


def _create(
    account: Account, want: Wanted, template: Json | None, data: Json, *, check: bool, wait: bool, timeout: float
) -> tuple[list[Change], Json]:
    if not (want.subnets and want.node_role):
        raise DbosError(f"The {want.thing} is to be made, which needs subnets and node_role.")
    if template is not None:
        launch_template.owned(account, template["LaunchTemplateId"], want.template, want.cluster)
    if want.release_version == LATEST:  # what EKS takes anyway
        want = replace(want, release_version=None)
    if check:
        plan = request(want, {"version": UNMADE})
        return [changes.made({**plan, "launch_template": launch_template.normal(data)})], plan
    pinned = _pinned(template)
    _before, after = launch_template.differences((template or {}).get("LaunchTemplateData", {}), data)
    if after:
        pinned = launch_template.save(account, want.template, template, data, want.tags, want.cluster)
    plan = request(want, pinned)
    made: Json = eks.with_new_role(lambda: account.call("eks", "create_nodegroup", **plan))["nodegroup"]
    if wait:
        wait_for({want.thing: states.nodegroup(account, want.cluster, want.name)}, timeout)
        made = _read(account, want) or made
    return [changes.made({**plan, "launch_template": launch_template.normal(data)})], made


def delete(
    account: Account,
    cluster: str,
    names: Sequence[str],
    *,
    check: bool,
    wait: bool,
    timeout: float,
    foreign_stay: bool = False,
) -> dict[str, list[Change]]:
    """Delete node groups, and their launch templates once they are gone; gives the changes by group."""

    def one(name: str) -> list[Change]:
        answer = account.find("eks", "describe_nodegroup", clusterName=cluster, nodegroupName=name)
        if answer is None:
            # What a run that was killed has left.
            if not check:
                launch_template.delete(account, f"{cluster}-{name}", cluster)
            return []
        have = answer["nodegroup"]
        if not eks.leaving(f"node group {name}", have, cluster, foreign_stay=foreign_stay):
            return []
        if not check:
            if have["status"] != "DELETING":
                account.find("eks", "delete_nodegroup", clusterName=cluster, nodegroupName=name)
            if wait:
                gone = states.nodegroup(account, cluster, name, leaving=True)
                wait_for({f"node group {name}": gone}, timeout)
                launch_template.delete(account, f"{cluster}-{name}", cluster)
        return [changes.deleted(described(have))]

    return eks.delete_each("node group", one, names)

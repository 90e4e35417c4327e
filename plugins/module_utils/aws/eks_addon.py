# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module eks_addon: add-ons that EKS manages, side by side, at versions that fit the cluster's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import changes, eks, states
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, Json
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.changes import UNMADE, Change
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import wait_for
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

DEFAULT, LATEST = "default", "latest"


@dataclass(frozen=True)
class Wanted:
    """An add-on as it should be. What is None is left as it is."""

    cluster: str
    name: str
    version: str = DEFAULT
    configuration: Mapping[str, Any] | None = None
    identities: Mapping[str, str] | None = None  # service account → role's ARN
    resolve_conflicts: str = "OVERWRITE"
    tags: Mapping[str, str] = field(default_factory=dict)  # all, the platform's too

    @property
    def thing(self) -> str:
        """What a person calls it."""
        return f"add-on {self.name}"


@dataclass(frozen=True)
class Offer:
    """The versions of an add-on that fit a cluster, newest first."""

    versions: tuple[str, ...]
    default: str | None


def order(version: str) -> tuple[int, ...]:
    """Sorts versions such as v1.20.4-eksbuild.10."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def offers(listed: Sequence[Json], kubernetes: str) -> dict[str, Offer]:
    """By add-on, from C(describe_addon_versions)."""
    found = {}
    for addon in listed:
        fitting = {
            one["addonVersion"]: any(fit.get("defaultVersion") for fit in fits)
            for one in addon["addonVersions"]
            if (fits := [fit for fit in one["compatibilities"] if fit.get("clusterVersion") == kubernetes])
        }
        versions = sorted(fitting, key=order, reverse=True)
        found[addon["addonName"]] = Offer(tuple(versions), next((one for one in versions if fitting[one]), None))
    return found


def choose(want: Wanted, offer: Offer | None, current: str | None, kubernetes: str) -> str:
    """The version to install. AWS' default never takes a newer one back."""
    if offer is None or not offer.versions:
        raise DbosError(f"EKS has no {want.thing} for Kubernetes {kubernetes}: correct its name, or leave it out.")
    if want.version == LATEST:
        return offer.versions[0]
    if want.version == DEFAULT:
        default = offer.default or offer.versions[0]
        return current if current in offer.versions and order(current) > order(default) else default
    if want.version not in offer.versions:
        fitting = ", ".join(offer.versions[:5])
        raise DbosError(f"The {want.thing} {want.version} does not fit Kubernetes {kubernetes}; these do: {fitting}.")
    return want.version


def request(want: Wanted, version: str) -> Json:
    """The arguments of C(create_addon)."""
    return {
        "clusterName": want.cluster,
        "addonName": want.name,
        "addonVersion": version,
        "resolveConflicts": want.resolve_conflicts,
        "tags": dict(want.tags),
        **({"configurationValues": json.dumps(want.configuration)} if want.configuration else {}),
        **({"podIdentityAssociations": _associations(want.identities)} if want.identities else {}),
    }


def difference(have: Json, identities: Mapping[str, str], want: Wanted, version: str) -> Change | None:
    """What C(update_addon) puts right; C(identities) are those that it has."""
    before: Json = {}
    after: Json = {}
    arguments: Json = {}
    if have["addonVersion"] != version:
        before["addon_version"], after["addon_version"] = have["addonVersion"], version
    if want.configuration is not None and (now := configuration(have)) != dict(want.configuration):
        before["configuration_values"], after["configuration_values"] = now, dict(want.configuration)
        arguments["configurationValues"] = json.dumps(want.configuration)
    if want.identities is not None and dict(identities) != dict(want.identities):
        before["pod_identity_associations"] = dict(identities)
        after["pod_identity_associations"] = dict(want.identities)
        arguments["podIdentityAssociations"] = _associations(want.identities)
    failed = have["status"] == "UPDATE_FAILED"
    if not after and not failed:
        return None
    return Change(
        before,
        after,
        "update_addon",
        {
            "clusterName": want.cluster,
            "addonName": want.name,
            "addonVersion": version,
            "resolveConflicts": want.resolve_conflicts,
            **arguments,
        },
        what="" if after else "the update that failed",
    )


def configuration(have: Json) -> Any:
    """The add-on's values as data: EKS keeps the text, JSON or YAML."""
    text = have.get("configurationValues") or "{}"
    try:
        return json.loads(text)
    except ValueError:
        import yaml

        return yaml.safe_load(text)


def _associations(identities: Mapping[str, str]) -> list[Json]:
    return [{"serviceAccount": account, "roleArn": role} for account, role in sorted(identities.items())]


def described(have: Json) -> Json:
    """What others need of an add-on."""
    return {
        "addon_name": have["addonName"],
        "arn": have.get("addonArn", UNMADE),
        "status": have.get("status", UNMADE),
        "addon_version": have["addonVersion"],
    }


def ensure(
    account: Account,
    wanted: Sequence[Wanted],
    cluster: str,
    kubernetes: str | None,
    *,
    purge: bool,
    check: bool,
    wait: bool,
    timeout: float,
) -> Json:
    """Make all add-ons, or change what differs; with C(purge) delete the platform's others."""
    version = kubernetes or _cluster_version(account, cluster)
    with ThreadPoolExecutor(max_workers=1) as pool:
        reading = pool.submit(_listed, account, version, {want.name for want in wanted})
        haves = parallel(lambda want: _read(account, want.cluster, want.name), wanted)
        listed = reading.result()
    offered = offers(listed, version)
    current = [have["addonVersion"] if have else None for have in haves]
    # All are judged before one is touched.
    versions = [choose(want, offered.get(want.name), now, version) for want, now in zip(wanted, current, strict=True)]
    results = parallel(
        lambda one: _ensure_one(account, *one, check=check, wait=wait, timeout=timeout),
        zip(wanted, haves, versions, strict=True),
    )
    found = {want.thing: differing for want, (differing, _have) in zip(wanted, results, strict=True)}
    if purge:
        names = {want.name for want in wanted}
        leaving = [
            name for name in account.pages("eks", "list_addons", "addons", clusterName=cluster) if name not in names
        ]
        found |= delete(account, cluster, leaving, foreign_stay=True, check=check, wait=wait, timeout=timeout)
    return {
        **changes.result(found),
        "addons": {have["addonName"]: described(have) for _differing, have in results},
        "waiting": [
            {"cluster_name": cluster, "addon_name": have["addonName"]}
            for _differing, have in results
            if have.get("status") not in (None, "ACTIVE")
        ],
    }


def _listed(account: Account, kubernetes: str, names: set[str]) -> list[Json]:
    """What EKS offers of these: AWS' and the community's with one call, without the marketplace's hundreds."""
    fitting: Json = {"kubernetesVersion": kubernetes}
    found = account.pages("eks", "describe_addon_versions", "addons", owners=["aws", "community"], **fitting)
    for name in names - {addon["addonName"] for addon in found}:
        found += account.pages("eks", "describe_addon_versions", "addons", addonName=name, **fitting)
    return found


def _cluster_version(account: Account, cluster: str) -> str:
    found = account.find("eks", "describe_cluster", name=cluster)
    if found is None:
        raise DbosError(f"There is no cluster {cluster}: make it first, or give kubernetes_version.")
    return str(found["cluster"]["version"])


def _read(account: Account, cluster: str, name: str) -> Json | None:
    found = account.find("eks", "describe_addon", clusterName=cluster, addonName=name)
    return found["addon"] if found else None


def _ensure_one(
    account: Account, want: Wanted, have: Json | None, version: str, *, check: bool, wait: bool, timeout: float
) -> tuple[list[Change], Json]:
    if have is None:
        plan = request(want, version)
        if check:
            return [changes.made(plan)], plan
        made: Json = eks.with_new_role(lambda: account.call("eks", "create_addon", **plan))["addon"]
        if wait:
            wait_for({want.thing: states.addon(account, want.cluster, want.name)}, timeout)
            made = _read(account, want.cluster, want.name) or made
        return [changes.made(plan)], made
    eks.check_owned(want.thing, have.get("tags", {}), want.cluster)
    state = states.judged(have)
    if state.status in ("CREATE_FAILED", "DELETE_FAILED"):
        raise AwsError(f"The {want.thing} is {state.status}: {state.failure}. Mend the cause, delete it and run again.")
    found = changes.tags(have.get("tags", {}), want.tags, have["addonArn"])
    identities = _identities(account, want, have) if want.identities is not None else {}
    updated = difference(have, identities, want, version)
    if updated:
        found.append(updated)
    if check or not found:
        return found, have
    if state.status in states.BUSY:
        wait_for({want.thing: states.free(states.addon(account, want.cluster, want.name))}, timeout)
        return _ensure_one(
            account, want, _read(account, want.cluster, want.name), version, check=check, wait=wait, timeout=timeout
        )
    for change in found:
        of = {"addonName": want.name} if change.operation == "update_addon" else {}
        eks.apply(account, want.cluster, change, timeout, **of)
    return found, _read(account, want.cluster, want.name) or have


def _identities(account: Account, want: Wanted, have: Json) -> dict[str, str]:
    def one(arn: str) -> Json:
        identity = arn.rpartition("/")[2]
        answer = account.call(
            "eks", "describe_pod_identity_association", clusterName=want.cluster, associationId=identity
        )
        found: Json = answer["association"]
        return found

    return {
        association["serviceAccount"]: association["roleArn"]
        for association in parallel(one, have.get("podIdentityAssociations") or [])
    }


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
    """Delete add-ons with what they have in the cluster; gives the changes by add-on."""

    def one(name: str) -> list[Change]:
        have = _read(account, cluster, name)
        if have is None or not eks.leaving(f"add-on {name}", have, cluster, foreign_stay=foreign_stay):
            return []
        if not check:
            if have["status"] != "DELETING":
                account.find("eks", "delete_addon", clusterName=cluster, addonName=name)
            if wait:
                wait_for({f"add-on {name}": states.addon(account, cluster, name, leaving=True)}, timeout)
        return [changes.deleted(described(have))]

    return eks.delete_each("add-on", one, names)

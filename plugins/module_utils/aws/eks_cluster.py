# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module eks_cluster: a control plane, made once and then changed one thing at a time, as EKS wants it."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import changes, eks, eks_versions, states
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, Json
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.changes import UNMADE, Change
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import wait_for
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

LOG_TYPES = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
NEEDED, ADVISED = 6, 16  # free addresses in each subnet of the control plane, by AWS' documentation
_MODES = ["CONFIG_MAP", "API_AND_CONFIG_MAP", "API"]  # EKS goes one to the right at a time, and never back


@dataclass(frozen=True)
class Wanted:
    """A cluster as it should be. What is None is left as it is."""

    name: str
    version: str
    subnet_ids: tuple[str, ...]
    role_arn: str | None = None
    security_group_ids: tuple[str, ...] | None = None
    endpoint_public_access: bool = False
    public_access_cidrs: tuple[str, ...] = ()
    service_ipv4_cidr: str | None = None
    logging: tuple[str, ...] = ()
    key_arn: str | None = None
    support_type: str = "STANDARD"
    deletion_protection: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)  # all, the platform's too


def check_access(public: bool, cidrs: tuple[str, ...], *, anywhere: bool) -> None:
    """Refuse a public endpoint that is open to nobody, or to everybody without a confirmation."""
    if not public:
        return
    if not cidrs:
        raise DbosError(
            "Public access to the cluster's endpoint needs the addresses it is for: list them in "
            "eks_public_access_cidrs, such as 192.0.2.17/32, or turn eks_endpoint_public_access off."
        )
    networks: list[Any] = []
    for cidr in cidrs:
        try:
            networks.append(ipaddress.ip_network(cidr))
        except ValueError as error:
            raise DbosError(f"eks_public_access_cidrs: {error}.") from None
    # Two halves are everybody as well.
    four = ipaddress.collapse_addresses([one for one in networks if one.version == 4])
    six = ipaddress.collapse_addresses([one for one in networks if one.version == 6])
    if not anywhere and any(one.prefixlen == 0 for one in (*four, *six)):
        raise DbosError(
            "eks_public_access_cidrs opens the cluster's endpoint to the whole internet. Narrow it, or confirm that "
            "this is meant with eks_public_access_anywhere: true."
        )


def check_subnets(listed: list[Json]) -> str | None:
    """Refuse subnets that EKS can't take, by C(describe_subnets); gives a warning when they are nearly too small."""
    zones = {subnet["AvailabilityZone"] for subnet in listed}
    if len(zones) < 2:
        raise DbosError(f"EKS needs subnets in two availability zones, and these are all in {', '.join(zones)}.")

    def below(least: int) -> str:
        few = [one for one in listed if one["AvailableIpAddressCount"] < least]
        return ", ".join(f"{one['SubnetId']} ({one['CidrBlock']}) has {one['AvailableIpAddressCount']}" for one in few)

    if full := below(NEEDED):
        raise DbosError(
            f"EKS needs {NEEDED} free addresses in each subnet of the control plane ({ADVISED} are advised): {full}. "
            "Free some, or give larger subnets."
        )
    if small := below(ADVISED):
        return f"AWS advises {ADVISED} free addresses in each subnet of the control plane: {small}."
    return None


def request(want: Wanted) -> Json:
    """The arguments of C(create_cluster)."""
    return {
        "name": want.name,
        "version": want.version,
        "roleArn": want.role_arn,
        "resourcesVpcConfig": {
            "subnetIds": [*want.subnet_ids],
            **({"securityGroupIds": [*want.security_group_ids]} if want.security_group_ids else {}),
            **_endpoint(want),
        },
        **({"kubernetesNetworkConfig": {"serviceIpv4Cidr": want.service_ipv4_cidr}} if want.service_ipv4_cidr else {}),
        "logging": _logging(want.logging),
        **({"encryptionConfig": _encryption(want.key_arn)} if want.key_arn else {}),
        # Administrators get access entries, so that who made the cluster has no right that nothing shows.
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False},
        # The unmanaged add-ons would only be in the way of the managed ones.
        "bootstrapSelfManagedAddons": False,
        "upgradePolicy": {"supportType": want.support_type},
        "deletionProtection": want.deletion_protection,
        "tags": dict(want.tags),
    }


def differences(have: Json, want: Wanted) -> list[Change]:
    """What to change of a cluster as C(describe_cluster) gives it, in order; the version comes extra."""
    network = have["resourcesVpcConfig"]
    found = changes.tags(have.get("tags", {}), want.tags, have["arn"])

    def update(what: str, before: Any, after: Any, **arguments: Any) -> None:
        found.append(Change({what: before}, {what: after}, "update_cluster_config", {"name": want.name, **arguments}))

    if bool(have.get("deletionProtection")) != want.deletion_protection:
        update(
            "deletion_protection",
            bool(have.get("deletionProtection")),
            want.deletion_protection,
            deletionProtection=want.deletion_protection,
        )
    support = have.get("upgradePolicy", {}).get("supportType", "EXTENDED")
    if support != want.support_type:
        update("support_type", support, want.support_type, upgradePolicy={"supportType": want.support_type})
    mode = have.get("accessConfig", {}).get("authenticationMode", "CONFIG_MAP")
    for before, after in itertools.pairwise(_MODES):
        if _MODES.index(mode) <= _MODES.index(before):
            update("authentication_mode", before, after, accessConfig={"authenticationMode": after})
    types = _types(have)
    if set(types) != set(want.logging):
        update("logging", types, sorted(want.logging), logging=_logging(want.logging))
    now, then = _endpoint_now(network, want), _endpoint(want)
    if now != then:
        update("endpoint", now, then, resourcesVpcConfig=then)
    if set(network.get("subnetIds", [])) != set(want.subnet_ids):
        update(
            "subnet_ids",
            sorted(network.get("subnetIds", [])),
            sorted(want.subnet_ids),
            resourcesVpcConfig={"subnetIds": [*want.subnet_ids]},
        )
    groups = want.security_group_ids
    if groups is not None and set(network.get("securityGroupIds", [])) != set(groups):
        update(
            "security_group_ids",
            sorted(network.get("securityGroupIds", [])),
            sorted(groups),
            resourcesVpcConfig={"securityGroupIds": [*groups]},
        )
    if want.key_arn and not have.get("encryptionConfig"):
        config = {"clusterName": want.name, "encryptionConfig": _encryption(want.key_arn)}
        found.append(Change({"key_arn": None}, {"key_arn": want.key_arn}, "associate_encryption_config", config))
    _check_fixed(have, want)
    return found


def _check_fixed(have: Json, want: Wanted) -> None:
    cidr = have.get("kubernetesNetworkConfig", {}).get("serviceIpv4Cidr")
    if want.service_ipv4_cidr and cidr and cidr != want.service_ipv4_cidr:
        raise DbosError(
            f"The cluster {want.name} gives Services addresses of {cidr}, which EKS can't change: set "
            "eks_service_ipv4_cidr back, or make a new cluster."
        )


def _endpoint(want: Wanted) -> Json:
    """The private endpoint is always on: nodes never leave the VPC to reach the API server."""
    found: Json = {"endpointPrivateAccess": True, "endpointPublicAccess": want.endpoint_public_access}
    if want.endpoint_public_access:
        found["publicAccessCidrs"] = sorted(want.public_access_cidrs)
    return found


def _endpoint_now(network: Json, want: Wanted) -> Json:
    found: Json = {
        "endpointPrivateAccess": bool(network.get("endpointPrivateAccess")),
        "endpointPublicAccess": bool(network.get("endpointPublicAccess")),
    }
    if want.endpoint_public_access:  # while it is off, EKS keeps what was there, which means nothing
        found["publicAccessCidrs"] = sorted(network.get("publicAccessCidrs", []))
    return found


def _logging(types: tuple[str, ...]) -> Json:
    rest = [one for one in LOG_TYPES if one not in types]
    setups = [{"types": sorted(types), "enabled": True}, {"types": rest, "enabled": False}]
    return {"clusterLogging": [setup for setup in setups if setup["types"]]}


def _types(have: Json) -> list[str]:
    setups = have.get("logging", {}).get("clusterLogging", [])
    return sorted(kind for setup in setups if setup.get("enabled") for kind in setup.get("types", []))


def _encryption(key_arn: str) -> list[Json]:
    return [{"resources": ["secrets"], "provider": {"keyArn": key_arn}}]


def described(have: Json) -> Json:
    """What others need of a cluster; a value that EKS has not made yet says so."""
    network = have.get("resourcesVpcConfig", {})
    return {
        "name": have["name"],
        "arn": have.get("arn", UNMADE),
        "status": have.get("status", UNMADE),
        "version": have["version"],
        "endpoint": have.get("endpoint", UNMADE),
        "certificate_authority": have.get("certificateAuthority", {}).get("data", UNMADE),
        "security_group_id": network.get("clusterSecurityGroupId", UNMADE),
        "vpc_id": network.get("vpcId", UNMADE),
        "role_arn": have.get("roleArn", UNMADE),
        "endpoint_public_access": bool(network.get("endpointPublicAccess")),
    }


def ensure(
    account: Account,
    want: Wanted,
    *,
    check: bool,
    wait: bool,
    timeout: float,
    upgrade: str,
    warn_days: int,
    warn: Callable[[str], None],
) -> Json:
    """Make the cluster, or change what differs; C(upgrade) is none, next (one minor version) or all."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        reading = pool.submit(account.pages, "eks", "describe_cluster_versions", "clusterVersions", includeAll=True)
        have = _read(account, want.name)
        listed = reading.result()
    if have:
        eks.check_owned(f"EKS cluster {want.name}", have.get("tags", {}), want.name)
    extended = want.support_type == "EXTENDED"
    support = eks_versions.supported(listed, want.version, extended=extended, now=datetime.now(UTC))
    if warning := eks_versions.ending(support, want.version, warn_days):
        warn(warning)
    left: list[str] = []
    if have is None:
        _check_room(account, want, warn)
        found = [changes.made(request(want))]
        if not check:
            have = _create(account, want, wait, timeout)
    else:
        standard = eks_versions.standard(listed, have["version"])
        found, left = _plan(have, want, upgrade, standard=standard)
        if any("subnet_ids" in change.after for change in found):
            _check_room(account, want, warn)
        if found and not check and have["status"] in states.BUSY:  # an update that somebody, or a killed run, has begun
            have = _settled(account, want.name, True, timeout)
            found, left = _plan(have, want, upgrade, standard=standard)
        if not check:
            for change in found:
                eks.apply(account, want.name, change, timeout)
            if found or have["status"] != "ACTIVE":
                have = _settled(account, want.name, wait, timeout)
    return {
        **changes.result({f"cluster {want.name}": found}),
        "cluster": described(have or {"name": want.name, "version": want.version}),
        "support": support.result(),
        "upgrade_path": left,
    }


def _plan(have: Json, want: Wanted, upgrade: str, *, standard: bool) -> tuple[list[Change], list[str]]:
    """What to do now, in order, and the versions that are left; C(standard): the present one is in standard support."""
    if have["status"] == "DELETING":
        raise AwsError(f"The cluster {want.name} is being deleted: run again once it is gone.")
    state = states.judged(have)
    if state.failure:
        raise AwsError(
            f"The cluster {want.name} is {state.status}: {state.failure}. Mend the cause, delete the cluster "
            "(eks_state: absent) and run again."
        )
    found = differences(have, want)
    path = eks_versions.upgrade_path(have["version"], want.version)
    now = {"none": 0, "next": 1, "all": len(path)}[upgrade]
    left = path[now:]
    # AWS does not take a cluster out of extended support before its version is.
    held = [change for change in found if "support_type" in change.after and path and not standard]
    found = [change for change in found if change not in held] + upgrades(have, path[:now])
    return found + ([] if left else held), left


def _read(account: Account, name: str) -> Json | None:
    found = account.find("eks", "describe_cluster", name=name)
    return found["cluster"] if found else None


def _settled(account: Account, name: str, wait: bool, timeout: float) -> Json:
    """The cluster as it is now, ACTIVE if that is waited for."""
    if wait:
        wait_for({f"cluster {name}": states.cluster(account, name)}, timeout)
    found: Json = account.call("eks", "describe_cluster", name=name)["cluster"]
    return found


def _create(account: Account, want: Wanted, wait: bool, timeout: float) -> Json:
    if not want.role_arn:
        raise DbosError("The cluster is to be made, which needs role_arn: the IAM role of its control plane.")
    made: Json = eks.with_new_role(lambda: account.call("eks", "create_cluster", **request(want)))["cluster"]
    return _settled(account, want.name, wait, timeout) if wait else made


def _check_room(account: Account, want: Wanted, warn: Callable[[str], None]) -> None:
    known = [one for one in want.subnet_ids if one.startswith("subnet-")]
    if not known:  # in check mode they are to be made, with room enough
        return
    if warning := check_subnets(account.call("ec2", "describe_subnets", SubnetIds=known)["Subnets"]):
        warn(warning)


def upgrades(have: Json, path: list[str]) -> list[Change]:
    """One update for each minor version."""
    found = []
    for before, version in itertools.pairwise([have["version"], *path]):
        arguments = {"name": have["name"], "version": version}
        what = f"version {before} to {version}"
        found.append(Change({"version": before}, {"version": version}, "update_cluster_version", arguments, what=what))
    return found


def delete(account: Account, name: str, *, protected: bool, check: bool, wait: bool, timeout: float) -> Json:
    """Delete the cluster; its node groups have to be gone before. With C(protected) one that AWS protects stays."""
    have = _read(account, name)
    thing = f"cluster {name}"
    if have is None:
        return {**changes.result({thing: []}), "cluster": None}
    eks.check_owned(f"EKS cluster {name}", have.get("tags", {}), name)
    # Of a cluster that could not be made it means nothing, and can't be turned off.
    guarded = have.get("deletionProtection") and have["status"] not in ("FAILED", "DELETING")
    if guarded and protected:
        raise DbosError(
            f"The cluster {name} is protected from deletion: set eks_deletion_protection: false to delete it."
        )
    if not check:
        if have["status"] in states.BUSY:
            wait_for({thing: states.free(states.cluster(account, name))}, timeout)
        if guarded:
            off = {"name": name, "deletionProtection": False}
            eks.apply(account, name, Change({}, {"deletion_protection": False}, "update_cluster_config", off), timeout)
        if have["status"] != "DELETING":
            account.find("eks", "delete_cluster", name=name)
        if wait:
            wait_for({thing: states.cluster(account, name, leaving=True)}, timeout)
    return {**changes.result({thing: [changes.deleted(described(have))]}), "cluster": None}

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks a network that others made, before anything is put into it. Changes nothing, tags included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import network_plan as plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.ec2 import listed, ours
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_state import (
    associations,
    default_route,
    vpc_attribute,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import together

Json = dict[str, Any]


@dataclass(frozen=True)
class Existing:
    """A VPC and its subnets by purpose."""

    vpc: str
    subnets: Mapping[str, Sequence[str]]


def check(account: Account, platform: str, existing: Existing, endpoints: Sequence[str]) -> Json:
    """The module's result, with C(warnings); refuses what EKS or RDS would, and nodes without a way out."""
    inside = {"vpc-id": existing.vpc}
    calls: list[Any] = [partial(listed, account, plan.VPC, inside), partial(listed, account, plan.VPC, ours(platform))]
    calls += [partial(listed, account, kind, inside) for kind in (plan.SUBNET, plan.ROUTES, plan.ENDPOINT)]
    (found, own, every, tables, have) = together(calls)
    if not found:
        raise DbosError(
            f"There is no VPC {existing.vpc} in {account.region}: correct network_vpc_id or platform_region."
        )
    if own:
        raise DbosError(
            f"The platform {platform} has a VPC of its own, {own[0]['VpcId']}: it can't move. Leave network_vpc_id "
            "out, or tear the platform down first."
        )
    names = ("enableDnsSupport", "enableDnsHostnames")
    for name, on in zip(
        names, together(partial(vpc_attribute, account, existing.vpc, one) for one in names), strict=True
    ):
        if not on:
            raise DbosError(f"The VPC {existing.vpc} has {name} off, which EKS and private endpoints need: turn it on.")
    subnets = {raw["SubnetId"]: raw for raw in every}
    wanted = {purpose: [_one(subnets, one, existing.vpc) for one in ids] for purpose, ids in existing.subnets.items()}
    for purpose in ("private", "database"):
        zones = {raw["AvailabilityZone"] for raw in wanted[purpose]}
        if len(zones) < plan.FEWEST_ZONES:
            raise DbosError(
                f"The {purpose} subnets lie in {', '.join(sorted(zones)) or 'no zone'}: at least "
                f"{plan.FEWEST_ZONES} zones are needed. Add to network_{purpose}_subnet_ids."
            )
    warnings = _free(wanted["private"])
    _ways_out(wanted["private"], tables, have, [plan.service_name(one, account.region) for one in (*endpoints, "s3")])
    return {
        "changed": False,
        "changes": [],
        "diff": {"before": {}, "after": {}},
        "vpc_id": existing.vpc,
        "cidr": found[0]["CidrBlock"],
        "zones": sorted({raw["AvailabilityZone"] for raw in wanted["private"]}),
        "subnets": {purpose: list(existing.subnets[purpose]) for purpose in plan.PURPOSES},
        "nat_gateways": {},
        "resources": {},
        "pending": [],
        "warnings": warnings,
    }


def _one(subnets: Mapping[str, Json], identity: str, vpc: str) -> Json:
    raw = subnets.get(identity)
    if raw is None:
        raise DbosError(f"There is no subnet {identity} in the VPC {vpc}: correct network_vpc_id or the subnets' ids.")
    if raw.get("AvailabilityZoneId") in plan.WITHOUT_EKS:
        raise DbosError(
            f"The subnet {identity} lies in the zone {raw['AvailabilityZone']} ({raw['AvailabilityZoneId']}), where "
            "EKS is not offered: leave it out."
        )
    return raw


def _free(private: Sequence[Json]) -> list[str]:
    """Refuse full subnets, and warn of nearly full ones."""
    warnings = []
    for raw in private:
        free = raw["AvailableIpAddressCount"]
        told = f"The subnet {raw['SubnetId']} ({raw['CidrBlock']}) has {free} free addresses"
        if free < plan.FREE_NEEDED:
            raise DbosError(f"{told}, and EKS needs {plan.FREE_NEEDED}: free some, or give larger subnets.")
        if free < plan.FREE_ADVISED:
            warnings.append(f"{told}; EKS recommends {plan.FREE_ADVISED} for upgrades, and pods need one each.")
    return warnings


def _ways_out(
    private: Sequence[Json], tables: Sequence[Json], endpoints: Sequence[Json], needed: Sequence[str]
) -> None:
    """Nodes must reach AWS, and registries: through a default route, or through endpoints."""
    by_subnet = {subnet: table for table in tables for subnet in associations(table)}
    main = next((one for one in tables if any(link.get("Main") for link in one.get("Associations", []))), None)
    served = {one["ServiceName"] for one in endpoints if one["State"].lower() == "available"}
    missing = [name for name in needed if name not in served]
    for raw in private:
        table = by_subnet.get(raw["SubnetId"], main)
        if missing and not (table and default_route(table)):
            raise DbosError(
                f"The private subnet {raw['SubnetId']} has no default route, and its VPC lacks the endpoints "
                f"{', '.join(missing)}: nodes there could not join the cluster. Add a route to a NAT "
                "gateway, or the endpoints."
            )

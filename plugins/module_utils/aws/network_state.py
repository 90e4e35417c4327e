# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads a platform's network: two rounds of calls that run side by side."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import network_plan as plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.ec2 import LISTS, listed, ours
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_plan import Thing
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import together

Json = dict[str, Any]


@dataclass
class State:
    """What there is. C(things) are ours; C(foreign) are others' in our VPC, in AWS' own words."""

    zones: list[Json] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    foreign: dict[str, list[Json]] = field(default_factory=dict)
    groups: list[Json] = field(default_factory=list)  # all security groups of the VPC
    ending: list[str] = field(default_factory=list)  # NAT gateways that are being deleted
    ended: list[str] = field(default_factory=list)  # those that failed or are gone, as long as AWS lists them

    def of(self, kind: str) -> list[Thing]:
        """Ours of a kind."""
        return [one for one in self.things if one.kind == kind]


def read(account: Account, platform: str) -> State:
    """All that belongs to the platform's network, and what others have in its VPC."""
    mine = ours(platform)
    vpcs, zones, addresses, gateways = together(
        (
            partial(listed, account, plan.VPC, mine),
            lambda: list(account.call("ec2", "describe_availability_zones")["AvailabilityZones"]),
            partial(listed, account, plan.ADDRESS, mine),
            partial(listed, account, plan.GATEWAY, mine),
        )
    )
    state = State(zones=zones)
    if len(vpcs) > 1:
        raise DbosError(
            f"{len(vpcs)} VPCs carry the tag {tags.PLATFORM}={platform}: "
            f"{', '.join(sorted(one['VpcId'] for one in vpcs))}. Delete those that are not in use, or remove their tag."
        )
    if vpcs:
        _inside(account, state, vpcs[0], platform)
    # Those in use come first: of two of one name the other is surplus.
    for raw in sorted(gateways, key=lambda raw: not raw.get("Attachments")):
        attached = bool(vpcs) and [one["VpcId"] for one in raw.get("Attachments", [])] == [vpcs[0]["VpcId"]]
        _add(state, plan.GATEWAY, platform, {"attached": attached}, raw)
    nats = {address["AllocationId"]: one for one in state.of(plan.NAT) for address in one.raw["NatGatewayAddresses"]}
    for raw in sorted(addresses, key=lambda raw: raw["AllocationId"] not in nats):
        nat = nats.get(raw["AllocationId"])
        _add(state, plan.ADDRESS, nat.name if nat else _name(plan.ADDRESS, raw), {}, raw)
    return state


def _name(kind: str, raw: Json) -> str:
    return tags.mapping(raw.get("Tags")).get("Name") or str(raw[LISTS[kind][2]])


def _add(state: State, kind: str, name: str, facts: Json, raw: Json) -> None:
    state.things.append(Thing(kind, name, facts, tags.mapping(raw.get("Tags")), raw[LISTS[kind][2]], raw))


def _inside(account: Account, state: State, vpc: Json, platform: str) -> None:
    """What is in the VPC."""
    inside = {"vpc-id": vpc["VpcId"]}
    kinds = (plan.SUBNET, plan.ROUTES, plan.GROUP, plan.NAT, plan.ENDPOINT)
    calls: list[Callable[[], Any]] = [partial(listed, account, kind, inside) for kind in kinds]
    calls += [partial(vpc_attribute, account, vpc["VpcId"], f"enableDns{name}") for name in ("Support", "Hostnames")]
    *lists, support, hostnames = together(calls)
    mine: dict[str, list[Json]] = {}
    for kind, every in zip(kinds, lists, strict=True):
        owned = [tags.owned(tags.mapping(raw.get("Tags")), platform) for raw in every]
        mine[kind] = list(itertools.compress(every, owned))
        state.foreign[kind] = [raw for raw in every if raw not in mine[kind]]
    state.groups = lists[kinds.index(plan.GROUP)]
    _add(state, plan.VPC, platform, {"cidr": vpc["CidrBlock"], "dns_support": support, "dns_hostnames": hostnames}, vpc)
    for raw in mine[plan.SUBNET]:
        facts = {"cidr": raw["CidrBlock"], "zone": raw["AvailabilityZone"]}
        _add(
            state, plan.SUBNET, _name(plan.SUBNET, raw), {**facts, "public_addresses": raw["MapPublicIpOnLaunch"]}, raw
        )
    zones = {one.id: one.facts["zone"] for one in state.of(plan.SUBNET)}
    for raw in mine[plan.NAT]:
        if raw["State"] in ("deleting", "deleted", "failed"):
            (state.ending if raw["State"] == "deleting" else state.ended).append(raw["NatGatewayId"])
        else:
            zone = zones.get(raw["SubnetId"], raw["SubnetId"])
            _add(state, plan.NAT, f"{platform}-{zone}", {"zone": zone}, raw)
    for raw in mine[plan.ROUTES]:
        facts = {"default_route": default_route(raw), "subnets": list(associations(raw))}
        _add(state, plan.ROUTES, _name(plan.ROUTES, raw), facts, raw)
    for raw in mine[plan.GROUP]:
        # The platform's database has a group of its own here, which is not the network's.
        if raw["GroupName"] == f"{platform}-endpoints":
            rules = sorted(rule for permission in raw["IpPermissions"] for rule in sources(permission))
            _add(state, plan.GROUP, raw["GroupName"], {"ingress": rules}, raw)
    for raw in mine[plan.ENDPOINT]:
        if raw["State"].lower() in ("deleting", "deleted"):
            continue
        facts = {"service": raw["ServiceName"]}
        if raw["VpcEndpointType"] == "Gateway":
            facts["route_tables"] = raw["RouteTableIds"]
        else:
            facts |= {"subnets": raw["SubnetIds"], "groups": [group["GroupId"] for group in raw["Groups"]]}
        # One that has failed is surplus, under its id, and another takes its place.
        failed = raw["State"].lower() in ("failed", "rejected", "expired")
        _add(state, plan.ENDPOINT, raw["VpcEndpointId"] if failed else _name(plan.ENDPOINT, raw), facts, raw)
    for raw in state.foreign[plan.GROUP]:
        if raw["GroupName"] == "default":
            number = len(raw["IpPermissions"]) + len(raw["IpPermissionsEgress"])
            state.things.append(Thing(plan.GROUP, "default", {"rules": number}, None, raw["GroupId"], raw))


def vpc_attribute(account: Account, vpc: str, name: str) -> bool:
    """Whether enableDnsSupport or enableDnsHostnames is on."""
    answer = account.call("ec2", "describe_vpc_attribute", VpcId=vpc, Attribute=name)
    return bool(answer[name[:1].upper() + name[1:]]["Value"])


def default_route(table: Json) -> str:
    """Where a route table sends what is for the rest of the world: an id, or nothing."""
    for route in table["Routes"]:
        if route.get("DestinationCidrBlock") == plan.ALL:
            keys = ("NatGatewayId", "GatewayId", "TransitGatewayId", "NetworkInterfaceId", "VpcPeeringConnectionId")
            return next((route[key] for key in keys if route.get(key)), "unknown")
    return ""


def associations(table: Json) -> dict[str, str]:
    """Subnets of a route table → the ids of the associations."""
    return {
        one["SubnetId"]: one["RouteTableAssociationId"] for one in table.get("Associations", []) if one.get("SubnetId")
    }


def sources(permission: Json) -> list[str]:
    """A rule of a security group in words, one for each source."""
    protocol = "all" if permission["IpProtocol"] == "-1" else permission["IpProtocol"]
    ports = {permission[key] for key in ("FromPort", "ToPort") if permission.get(key) is not None}
    what = f"{protocol} {'-'.join(map(str, sorted(ports)))}".strip()
    where = [one["CidrIp"] for one in permission.get("IpRanges", [])]
    where += [one["CidrIpv6"] for one in permission.get("Ipv6Ranges", [])]
    where += [one["GroupId"] for one in permission.get("UserIdGroupPairs", [])]
    where += [one["PrefixListId"] for one in permission.get("PrefixListIds", [])]
    return [f"{what} from {source}" for source in where]

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""EC2's calls for networks: lists by filter, writes that may have been done already, many side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import network_plan as plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import settled

Json = dict[str, Any]
# How AWS lists each kind: operation, key of the answer, key of the id, name of the filter option.
LISTS = {
    plan.VPC: ("describe_vpcs", "Vpcs", "VpcId", "Filters"),
    plan.GATEWAY: ("describe_internet_gateways", "InternetGateways", "InternetGatewayId", "Filters"),
    plan.SUBNET: ("describe_subnets", "Subnets", "SubnetId", "Filters"),
    plan.ADDRESS: ("describe_addresses", "Addresses", "AllocationId", "Filters"),
    plan.NAT: ("describe_nat_gateways", "NatGateways", "NatGatewayId", "Filter"),
    plan.ROUTES: ("describe_route_tables", "RouteTables", "RouteTableId", "Filters"),
    plan.GROUP: ("describe_security_groups", "SecurityGroups", "GroupId", "Filters"),
    plan.ENDPOINT: ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", "Filters"),
    plan.INTERFACE: ("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId", "Filters"),
}
_BY_ID = {plan.NAT: "NatGatewayIds", plan.ENDPOINT: "VpcEndpointIds"}
_UNPAGED = {"describe_addresses"}


def listed(account: Account, kind: str, filters: Mapping[str, str]) -> list[Json]:
    """All of a kind that match the filters (name → value)."""
    operation, key, _id, option = LISTS[kind]
    arguments: Json = {option: [{"Name": name, "Values": [value]} for name, value in filters.items()]}
    if operation in _UNPAGED:
        found: list[Json] = account.call("ec2", operation, **arguments)[key]
        return found
    return account.pages("ec2", operation, key, **arguments)


def described(account: Account, kind: str, identity: str) -> Json:
    """One NAT gateway or VPC endpoint; empty when AWS knows none of that id."""
    operation, key, *_rest = LISTS[kind]
    return next(iter(account.pages("ec2", operation, key, **{_BY_ID[kind]: [identity]})), {})


def ours(platform: str) -> dict[str, str]:
    """The filter for what carries our tag."""
    return {f"tag:{tags.PLATFORM}": platform}


def write(account: Account, operation: str, arguments: Json, done: tuple[str, ...] = ()) -> None:
    """A write; C(done) are codes by which AWS says that there is nothing to do, as after an answer that got lost."""
    try:
        settled(lambda: account.call("ec2", operation, **arguments))
    except AwsError as error:
        if error.code not in done:
            raise


def retag(account: Account, identity: str, have: Mapping[str, str], want: Mapping[str, str]) -> None:
    """Set and remove tags of whatever EC2 tags by id."""
    if setting := tags.missing(have, want):
        account.call("ec2", "create_tags", Resources=[identity], Tags=tags.pairs(setting))
    if leaving := tags.surplus(have, want):
        account.call("ec2", "delete_tags", Resources=[identity], Tags=[{"Key": key} for key in leaving])

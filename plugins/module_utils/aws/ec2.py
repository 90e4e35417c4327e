# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""EC2's calls for networks: lists by filter, writes that may have been done already, many side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import network_plan as plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError

Json = dict[str, Any]
Result = TypeVar("Result")

THREADS = 8
SETTLE, PAUSE = 30.0, 1.0  # seconds until all of AWS knows what was made, and between two tries
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


def together(calls: Iterable[Callable[[], Result]]) -> list[Result]:
    """Results of calls that run side by side."""
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        return [one.result() for one in [pool.submit(call) for call in calls]]


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


def settled(call: Callable[[], Result]) -> Result:
    """The result of a call on something that was just made, which AWS may not know everywhere yet."""
    give_up = time.monotonic() + SETTLE
    while True:
        try:
            return call()
        except AwsError as error:
            if not error.absent or time.monotonic() > give_up:
                raise
        time.sleep(PAUSE)


def write(account: Account, operation: str, arguments: Json, done: tuple[str, ...] = ()) -> None:
    """A write; C(done) are codes by which AWS says that there is nothing to do, as after an answer that got lost."""
    try:
        settled(lambda: account.call("ec2", operation, **arguments))
    except AwsError as error:
        if error.code not in done:
            raise

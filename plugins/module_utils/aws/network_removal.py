# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes a platform's network down, or parts of it, in the order that AWS allows; says what stands in the way."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import network_plan as plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.ec2 import LISTS, described, listed, write
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_plan import Thing
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_state import State, associations, read
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import State as Look
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import interval, wait_for
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import together
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

Json = dict[str, Any]

LINGER = 120.0  # seconds that interfaces of what AWS has deleted stay at most, as seen from outside
_IN_USE = ("DependencyViolation", "InvalidIPAddress.InUse", "InvalidNetworkInterface.InUse")
_ABSENT = ("deleted", "failed", "rejected", "expired")


def absent(account: Account, platform: str, timeout: float, *, check: bool) -> Json:
    """The module's result with state absent."""
    state = read(account, platform)
    things = [one for one in state.things if one.tags is not None]
    vpc = next(iter(state.of(plan.VPC)), None)
    if vpc:
        things += _groups(state, platform)
    changes = [f"delete {one.title}" for one in things]
    if things and not check:
        if vpc:
            things += _idle_interfaces(account, state, vpc.id, platform)
        remove(account, things, state.ending, timeout)
    before = {one.title: plan.shown(one) for one in things}
    return {"changed": bool(things), "changes": sorted(changes), "diff": {"before": before, "after": {}}}


def _kubernetes(raw: Json, platform: str) -> bool:
    """Whether a controller in the platform's cluster made it, or its network plugin."""
    mapping = tags.mapping(raw.get("Tags") or raw.get("TagSet"))
    named = ("cluster.k8s.amazonaws.com/name", "elbv2.k8s.aws/cluster", "aws:eks:cluster-name", "eks:cluster-name")
    return f"kubernetes.io/cluster/{platform}" in mapping or platform in (mapping.get(key) for key in named)


def _groups(state: State, platform: str) -> list[Thing]:
    """Other groups that go with the VPC: those of other roles, and what the cluster's controllers have left."""
    known = {one.id for one in state.of(plan.GROUP)}
    return [
        Thing(plan.GROUP, raw["GroupName"], {}, tags.mapping(raw.get("Tags")), raw["GroupId"], raw)
        for raw in state.groups
        if raw["GroupId"] not in known
        and (tags.owned(tags.mapping(raw.get("Tags")), platform) or _kubernetes(raw, platform))
    ]


def _idle_interfaces(account: Account, state: State, vpc: str, platform: str) -> list[Thing]:
    """Interfaces that the cluster's network plugin left, to be deleted.

    Refuses when others' things are in the VPC, before anything is touched. Interfaces of what AWS itself has just
    deleted, such as a database, go by themselves some time later.
    """
    started = time.monotonic()
    with Progress().step(f"waiting for the network interfaces in {vpc} to go") as step:
        while True:
            interfaces = listed(account, plan.INTERFACE, {"vpc-id": vpc})
            idle = [raw for raw in interfaces if raw["Status"] == "available" and _kubernetes(raw, platform)]
            mine = _interfaces(state.things) | {raw["NetworkInterfaceId"] for raw in idle}
            others = [raw for raw in interfaces if raw["NetworkInterfaceId"] not in mine]
            blocking = [_interface(raw) for raw in others] + _foreign(state, platform)
            if not blocking:
                return [
                    Thing(plan.INTERFACE, raw["NetworkInterfaceId"], {}, {}, raw["NetworkInterfaceId"]) for raw in idle
                ]
            elapsed = time.monotonic() - started
            passing = len(blocking) == len(others) and all(raw.get("RequesterManaged") for raw in others)
            if not passing or elapsed > LINGER:
                raise DbosError(
                    f"The network of the platform {platform} can't be deleted: its VPC {vpc} still holds "
                    f"{', '.join(blocking)}. Delete these first; nothing was touched."
                )
            step.update(", ".join(blocking))
            time.sleep(interval(elapsed))


def _interfaces(things: Iterable[Thing]) -> set[str]:
    """Ids of the interfaces of our NAT gateways and endpoints, which go with these."""
    found: set[str] = set()
    for one in things:
        if one.kind == plan.NAT:
            found |= {address.get("NetworkInterfaceId", "") for address in one.raw["NatGatewayAddresses"]}
        if one.kind == plan.ENDPOINT:
            found |= set(one.raw.get("NetworkInterfaceIds") or [])
    return found


def _interface(raw: Json) -> str:
    where = (raw.get("Attachment") or {}).get("InstanceId")
    what = raw.get("Description") or raw.get("InterfaceType") or "no description"
    return f"network interface {raw['NetworkInterfaceId']} ({f'of instance {where}, ' if where else ''}{what})"


def _foreign(state: State, platform: str) -> list[str]:
    """Others' subnets, groups and the like in our VPC, but what AWS makes and removes with it."""
    found = []
    for kind, every in state.foreign.items():
        for raw in every:
            default = raw.get("GroupName") == "default" or any(one.get("Main") for one in raw.get("Associations", []))
            gone = str(raw.get("State", "")).lower() in ("deleting", *_ABSENT)
            if not (default or gone or _kubernetes(raw, platform)):
                found.append(f"{kind} {raw[LISTS[kind][2]]}")
    return found


def refuse_in_use(account: Account, surplus: Iterable[Thing]) -> None:
    """Refuse to drop subnets that something is in."""
    things = list(surplus)
    subnets = [one for one in things if one.kind == plan.SUBNET]
    if not subnets:
        return
    mine = _interfaces(things)
    inside = together(partial(listed, account, plan.INTERFACE, {"subnet-id": one.id}) for one in subnets)
    for one, interfaces in zip(subnets, inside, strict=True):
        used = [
            _interface(raw)
            for raw in interfaces
            # An endpoint that stays leaves the subnet before it is deleted.
            if raw["NetworkInterfaceId"] not in mine and raw.get("InterfaceType") != "vpc_endpoint"
        ]
        if used:
            raise DbosError(
                f"The {one.title} ({one.id}) is not wanted any more, and still holds {', '.join(used)}: remove these "
                "first, or leave its zone in network_zones. Nothing was touched."
            )


def remove(account: Account, things: Iterable[Thing], ending: Sequence[str], timeout: float) -> None:
    """Delete, in the order that AWS allows, waiting where deletion takes its time."""
    of: dict[str, list[Thing]] = {}
    for one in things:
        of.setdefault(one.kind, []).append(one)
    vpc = next(iter(of.get(plan.VPC, [])), None)

    def delete(kind: str, operation: str, option: str) -> None:
        together(partial(_delete, account, one, operation, option, vpc, timeout) for one in of.get(kind, []))

    delete(plan.NAT, "delete_nat_gateway", "NatGatewayId")
    endpoints = [one.id for one in of.get(plan.ENDPOINT, [])]
    if endpoints:
        refused = account.call("ec2", "delete_vpc_endpoints", VpcEndpointIds=endpoints).get("Unsuccessful") or []
        refused = [one for one in refused if not AwsError("", one["Error"]["Code"]).absent]
        if refused:
            raise AwsError(f"AWS refuses to delete {refused[0]['ResourceId']}: {refused[0]['Error']['Message']}")
    nats = [one.id for one in of.get(plan.NAT, [])]
    _wait_gone(
        account, {**dict.fromkeys([*nats, *ending], plan.NAT), **dict.fromkeys(endpoints, plan.ENDPOINT)}, timeout
    )
    delete(plan.ADDRESS, "release_address", "AllocationId")
    delete(plan.INTERFACE, "delete_network_interface", "NetworkInterfaceId")
    delete(plan.SUBNET, "delete_subnet", "SubnetId")
    for one in of.get(plan.ROUTES, []):
        for association in associations(one.raw).values():
            arguments = {"AssociationId": association}
            write(account, "disassociate_route_table", arguments, ("InvalidAssociationID.NotFound",))
    delete(plan.ROUTES, "delete_route_table", "RouteTableId")
    for one in of.get(plan.GATEWAY, []):
        for attachment in one.raw.get("Attachments", []):
            arguments = {"InternetGatewayId": one.id, "VpcId": attachment["VpcId"]}
            write(account, "detach_internet_gateway", arguments, ("Gateway.NotAttached",))
    delete(plan.GATEWAY, "delete_internet_gateway", "InternetGatewayId")
    delete(plan.GROUP, "delete_security_group", "GroupId")
    delete(plan.VPC, "delete_vpc", "VpcId")


def _delete(account: Account, one: Thing, operation: str, option: str, vpc: Thing | None, timeout: float) -> None:
    """Delete one thing; AWS may hold it in use for a while after what used it is gone."""
    started = time.monotonic()
    while True:
        try:
            account.find("ec2", operation, **{option: one.id})
            return
        except AwsError as error:
            elapsed = time.monotonic() - started
            if error.code not in _IN_USE:
                raise
            if elapsed > min(timeout, LINGER):
                raise AwsError(
                    f"The {one.title} ({one.id}) can't be deleted: {_holding(account, vpc, error)}"
                ) from error
            time.sleep(interval(elapsed))


def _holding(account: Account, vpc: Thing | None, error: AwsError) -> str:
    """What is still in the VPC, as far as one can see."""
    if vpc is None:
        return error.msg
    inside = {"vpc-id": vpc.id}
    kinds = (plan.SUBNET, plan.GROUP, plan.ROUTES)
    interfaces, *others = together(partial(listed, account, kind, inside) for kind in (plan.INTERFACE, *kinds))
    found = [_interface(raw) for raw in interfaces]
    found += _foreign(State(foreign=dict(zip(kinds, others, strict=True))), "")
    return f"{vpc.id} still holds {', '.join(found)}. Delete these and run again." if found else error.msg


def wait_nats_gone(account: Account, nats: Sequence[str], timeout: float) -> None:
    """Until NAT gateways have given their addresses back."""
    _wait_gone(account, dict.fromkeys(nats, plan.NAT), timeout)


def _wait_gone(account: Account, things: dict[str, str], timeout: float) -> None:
    """Until all of these (id → kind) are gone."""
    if things:
        wait_for(
            {f"{kind} {one}": partial(_gone, account, kind, one) for one, kind in things.items()}, timeout, Progress()
        )


def _gone(account: Account, kind: str, identity: str) -> Look:
    status = str(described(account, kind, identity).get("State", "deleted")).lower()
    return Look(status, status in _ABSENT)

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writes of one call on a network: what is missing is made, waited for, used, and then what is not needed goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import network_plan as plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import network_removal as removal
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.changes import UNMADE
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.ec2 import (
    LISTS,
    described,
    listed,
    ours,
    write,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_plan import Json, Thing, Things, Wish
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_state import (
    State,
    associations,
    default_route,
    sources,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import State as Look
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import settled, wait_for
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import together
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

# How each kind is made: operation, key of the answer, type of its tags.
_MAKING = {
    plan.VPC: ("create_vpc", "Vpc", "vpc"),
    plan.GATEWAY: ("create_internet_gateway", "InternetGateway", "internet-gateway"),
    plan.SUBNET: ("create_subnet", "Subnet", "subnet"),
    plan.ADDRESS: ("allocate_address", "", "elastic-ip"),
    plan.NAT: ("create_nat_gateway", "NatGateway", "natgateway"),
    plan.ROUTES: ("create_route_table", "RouteTable", "route-table"),
    plan.GROUP: ("create_security_group", "", "security-group"),
    plan.ENDPOINT: ("create_vpc_endpoint", "VpcEndpoint", "vpc-endpoint"),
}
_ASSOCIATED = ("Resource.AlreadyAssociated",)  # by a request whose answer got lost


@dataclass(frozen=True)
class Options:
    """What is wanted, and how long to wait for it."""

    wish: Wish
    zones: Sequence[str]
    zone_count: int
    ranges: Mapping[str, Sequence[str]]  # purpose → CIDRs, one per zone; none: computed
    wait: bool
    timeout: float


class Work:
    """The writes of one call, and the ids that come of them."""

    def __init__(
        self, account: Account, options: Options, state: State, wanted: Things, have: Things, surplus: Things
    ) -> None:
        self._account, self._options, self._state = account, options, state
        self._wanted, self._have, self._surplus = wanted, have, surplus
        self._name = options.wish.platform
        self._ids = {title: one.id for title, one in have.items()}
        self._raw = {title: one.raw for title, one in have.items()}
        self._pending: list[str] = []

    def do(self) -> None:
        """Make, wait, use, and remove."""
        self._each(plan.VPC, self._vpc)
        together(
            partial(step, one)
            for kind, step in (
                (plan.GATEWAY, self._gateway),
                (plan.SUBNET, self._subnet),
                (plan.ADDRESS, self._plain),
                (plan.ROUTES, self._table),
                (plan.GROUP, self._group),
            )
            for one in self._of(kind)
        )
        if any(one.title not in self._have for one in self._of(plan.NAT)):
            removal.wait_nats_gone(self._account, self._state.ending, self._options.timeout)
        steps = [partial(self._nat, one) for one in self._of(plan.NAT)]
        steps += [partial(self._associate, one) for one in self._of(plan.ROUTES)]
        together([*steps, partial(self._route, self._public)])
        self._each(plan.ENDPOINT, self._endpoint)
        self._retag()
        self._wait()
        if self._pending:
            return
        together(partial(self._route, one) for one in self._of(plan.ROUTES) if one is not self._public)
        removal.remove(self._account, self._surplus.values(), self._state.ending, self._options.timeout)

    def result(self, places: Mapping[str, plan.Slot]) -> Json:
        """What the module returns of the network."""
        name = self._name
        subnet = {
            purpose: [self._ids.get(f"{plan.SUBNET} {name}-{purpose}-{zone}", UNMADE) for zone in places]
            for purpose in plan.PURPOSES
        }
        nats = {
            one.facts["zone"]: {
                "id": self._ids.get(one.title, UNMADE),
                "public_ip": self._raw.get(f"{plan.ADDRESS} {one.name}", {}).get("PublicIp", UNMADE),
            }
            for one in self._of(plan.NAT)
        }
        return {
            "vpc_id": self._ids.get(f"{plan.VPC} {name}", UNMADE),
            "cidr": self._options.wish.cidr,
            "zones": list(places),
            "subnets": subnet,
            "nat_gateways": nats,
            "resources": {
                title: {"id": self._ids.get(title, UNMADE), **one.facts} for title, one in self._wanted.items()
            },
            "pending": self._pending,
        }

    def _of(self, kind: str) -> list[Thing]:
        return [one for one in self._wanted.values() if one.kind == kind]

    def _each(self, kind: str, step: Callable[[Thing], None]) -> None:
        together(partial(step, one) for one in self._of(kind))

    def _id(self, kind: str, name: str) -> str:
        return self._ids[f"{kind} {name}"]

    @property
    def _vpc_id(self) -> str:
        return self._id(plan.VPC, self._name)

    def _make(self, one: Thing, **arguments: Any) -> None:
        """Make one thing, tagged from the start; when the answer is lost, it is found by its tags."""
        operation, key, kind = _MAKING[one.kind]
        named = {**ours(self._name), "tag:Name": one.name}
        specification = [{"ResourceType": kind, "Tags": tags.pairs(one.tags or {})}]

        def find() -> Json | None:
            found = [raw for raw in listed(self._account, one.kind, named) if raw[LISTS[one.kind][2]] not in old]
            return found[0] if found else None

        old = {*self._state.ended, *self._state.ending, *(other.id for other in self._have.values())}
        answer: Json = settled(
            lambda: self._account.create(find, "ec2", operation, TagSpecifications=specification, **arguments)
        )
        raw = answer.get(key, answer)
        self._ids[one.title], self._raw[one.title] = raw[LISTS[one.kind][2]], raw

    def _changed(self, one: Thing, fact: str) -> bool:
        have = self._have.get(one.title)
        return have is None or have.facts.get(fact) != one.facts[fact]

    def _plain(self, one: Thing) -> None:
        if one.title not in self._have:
            self._make(one, Domain="vpc")

    def _vpc(self, one: Thing) -> None:
        if one.title not in self._have:
            self._make(one, CidrBlock=one.facts["cidr"])
        for fact, attribute in (("dns_support", "EnableDnsSupport"), ("dns_hostnames", "EnableDnsHostnames")):
            if self._changed(one, fact):
                value = {"Value": one.facts[fact]}
                write(self._account, "modify_vpc_attribute", {"VpcId": self._vpc_id, attribute: value})

    def _gateway(self, one: Thing) -> None:
        if one.title not in self._have:
            self._make(one)
        if self._changed(one, "attached"):
            arguments = {"InternetGatewayId": self._ids[one.title], "VpcId": self._vpc_id}
            write(self._account, "attach_internet_gateway", arguments, _ASSOCIATED)

    def _subnet(self, one: Thing) -> None:
        if one.title not in self._have:
            self._make(one, VpcId=self._vpc_id, CidrBlock=one.facts["cidr"], AvailabilityZone=one.facts["zone"])
        elif self._changed(one, "public_addresses"):
            arguments = {"SubnetId": self._ids[one.title], "MapPublicIpOnLaunch": {"Value": False}}
            write(self._account, "modify_subnet_attribute", arguments)

    def _group(self, one: Thing) -> None:
        if one.name == "default":
            self._close_default(one)
            return
        if one.title not in self._have:
            text = "HTTPS to VPC endpoints from within the VPC"
            self._make(one, VpcId=self._vpc_id, GroupName=one.name, Description=text)
        if self._changed(one, "ingress"):
            identity = self._ids[one.title]
            raw = self._raw[one.title].get("IpPermissions", [])
            surplus = [rule for rule in raw if not set(sources(rule)) <= set(one.facts["ingress"])]
            if surplus:
                arguments = {"GroupId": identity, "IpPermissions": _plain(surplus)}
                write(self._account, "revoke_security_group_ingress", arguments)
            rule: Json = {"IpProtocol": "tcp", "FromPort": plan.HTTPS, "ToPort": plan.HTTPS}
            rule["IpRanges"] = [{"CidrIp": self._options.wish.cidr}]
            arguments = {"GroupId": identity, "IpPermissions": [rule]}
            write(self._account, "authorize_security_group_ingress", arguments, ("InvalidPermission.Duplicate",))

    def _close_default(self, one: Thing) -> None:
        """Take all rules from the VPC's default group, so that nothing gets any by being in no other."""
        if one.title not in self._have:
            inside = {"vpc-id": self._vpc_id, "group-name": "default"}
            raw = settled(lambda: _first(listed(self._account, plan.GROUP, inside)))
            self._ids[one.title], self._raw[one.title] = raw["GroupId"], raw
        for key, operation in (("IpPermissions", "ingress"), ("IpPermissionsEgress", "egress")):
            rules = self._raw[one.title][key]
            if rules:
                arguments = {"GroupId": self._ids[one.title], "IpPermissions": _plain(rules)}
                write(self._account, f"revoke_security_group_{operation}", arguments, ("InvalidPermission.NotFound",))

    def _table(self, one: Thing) -> None:
        if one.title not in self._have:
            self._make(one, VpcId=self._vpc_id)

    @property
    def _public(self) -> Thing:
        return self._wanted[f"{plan.ROUTES} {self._name}-public"]

    def _associate(self, one: Thing) -> None:
        if not self._changed(one, "subnets"):
            return
        table = self._ids[one.title]
        everywhere = [*self._have.values()]
        present = {
            subnet: (other.id, association)
            for other in everywhere
            if other.kind == plan.ROUTES
            for subnet, association in associations(other.raw).items()
        }
        for name in one.facts["subnets"]:
            subnet = self._id(plan.SUBNET, name)
            other, association = present.get(subnet, ("", ""))
            if association and other != table:
                arguments = {"AssociationId": association, "RouteTableId": table}
                write(self._account, "replace_route_table_association", arguments)
            elif not association:
                arguments = {"RouteTableId": table, "SubnetId": subnet}
                write(self._account, "associate_route_table", arguments, _ASSOCIATED)

    def _route(self, one: Thing) -> None:
        """A table's way to the rest of the world."""
        if not self._changed(one, "default_route"):
            return
        table, target = self._ids[one.title], one.facts["default_route"]
        where = {"RouteTableId": table, "DestinationCidrBlock": plan.ALL}
        present = default_route(self._raw[one.title]) if one.title in self._have else ""
        if not target:
            if present:
                write(self._account, "delete_route", where, ("InvalidRoute.NotFound",))
            return
        key = "NatGatewayId" if target.startswith(plan.NAT) else "GatewayId"
        operation = "replace_route" if present else "create_route"
        write(self._account, operation, {**where, key: self._ids[target]}, ("RouteAlreadyExists",))

    def _nat(self, one: Thing) -> None:
        if one.title in self._have:
            return
        subnet = self._id(plan.SUBNET, f"{self._name}-public-{one.facts['zone']}")
        address = self._id(plan.ADDRESS, one.name)
        # The same for a run that was killed and for the next one, and another once a gateway has failed or was deleted.
        earlier = sorted([*self._state.ended, *self._state.ending])
        token = hashlib.sha256(json.dumps([subnet, address, earlier]).encode()).hexdigest()
        self._make(one, SubnetId=subnet, AllocationId=address, ClientToken=token)

    def _endpoint(self, one: Thing) -> None:
        gateway = "route_tables" in one.facts
        if one.title not in self._have:
            arguments: Json = {"VpcId": self._vpc_id, "ServiceName": one.facts["service"]}
            if gateway:
                tables = [self._id(plan.ROUTES, name) for name in one.facts["route_tables"]]
                arguments |= {"VpcEndpointType": "Gateway", "RouteTableIds": tables}
            else:
                groups = [self._id(plan.GROUP, name) for name in one.facts["groups"]]
                subnets = [self._id(plan.SUBNET, name) for name in one.facts["subnets"]]
                arguments |= {"VpcEndpointType": "Interface", "SubnetIds": subnets, "SecurityGroupIds": groups}
                arguments["PrivateDnsEnabled"] = True
            self._make(one, **arguments)
            return
        changes: Json = {}
        for fact, key, kind in (
            ("subnets", "SubnetIds", plan.SUBNET),
            ("route_tables", "RouteTableIds", plan.ROUTES),
            ("groups", "SecurityGroupIds", plan.GROUP),
        ):
            want, have = one.facts.get(fact, []), self._have[one.title].facts.get(fact, [])
            changes[f"Add{key}"] = [self._id(kind, name) for name in want if name not in have]
            changes[f"Remove{key}"] = [self._ids.get(f"{kind} {name}", name) for name in have if name not in want]
        changes = {key: value for key, value in changes.items() if value}
        if changes:
            write(self._account, "modify_vpc_endpoint", {"VpcEndpointId": self._ids[one.title], **changes})

    def _retag(self) -> None:
        """Set and remove tags, in one call for all that need the same."""
        wanted: dict[tuple[str, str], list[str]] = {}
        for title, one in self._wanted.items():
            have = self._have.get(title)
            if have is None or one.tags is None:
                continue
            add, drop = tags.missing(have.tags or {}, one.tags), tags.surplus(have.tags or {}, one.tags)
            for operation, pairs in (
                ("create_tags", tags.pairs(add)),
                ("delete_tags", [{"Key": key} for key in drop]),
            ):
                if pairs:
                    wanted.setdefault((operation, json.dumps(pairs)), []).append(have.id)
        for (operation, text), resources in wanted.items():
            write(self._account, operation, {"Resources": sorted(resources), "Tags": json.loads(text)})

    def _wait(self) -> None:
        """Until gateways and endpoints work; without C(wait) only see which don't yet."""
        looks = {
            one.title: partial(_look, self._account, one.kind, self._ids[one.title])
            for one in [*self._of(plan.NAT), *self._of(plan.ENDPOINT)]
            if self._raw[one.title].get("State", "").lower() != "available"
        }
        if self._options.wait and looks:
            wait_for(looks, self._options.timeout, Progress())
        elif looks:
            seen = dict(zip(looks, together(looks.values()), strict=True))
            self._pending = [title for title, look in seen.items() if not look.reached]


def _look(account: Account, kind: str, identity: str) -> Look:
    """How far a NAT gateway or an endpoint is."""
    raw = described(account, kind, identity)
    status = str(raw.get("State", "pending")).lower()
    failure = ""
    if status in ("failed", "rejected", "expired", "deleted", "deleting"):
        reasons = [raw.get("FailureCode"), raw.get("FailureMessage"), raw.get("FailureReason")]
        reasons += list((raw.get("LastError") or {}).values())
        failure = ": ".join(filter(None, reasons)) or "AWS gives no reason"
    return Look(status, status == "available", failure)


def _plain(permissions: Iterable[Json]) -> list[Json]:
    """Rules as AWS takes them: without the empty lists that it answers with."""
    return [{key: value for key, value in rule.items() if value not in ([], None)} for rule in permissions]


def _first(found: list[Json]) -> Json:
    """A VPC's default group; it appears with the VPC."""
    if not found:
        raise AwsError("The VPC has no default security group yet.", "InvalidGroup.NotFound")
    return found[0]

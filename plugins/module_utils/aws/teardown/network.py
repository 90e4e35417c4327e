# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads networks: what is ours, and what others have in our VPC."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import resources as kinds
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.reading import Json, Reader
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.resources import Key, Resource, made_for

# Kinds of network interfaces that belong to something else which is read itself.
_PARTS = {
    *("nat_gateway", "natGateway", "vpc_endpoint", "load_balancer", "network_load_balancer"),
    *("gateway_load_balancer", "gateway_load_balancer_endpoint"),
}
_PARTS_BY_DESCRIPTION = ("ELB ", "Interface for NAT Gateway", "VPC Endpoint Interface", "RDSNetworkInterface")


def vpcs(account: Account, platform: str) -> list[Resource]:
    """The VPCs that we have made. An existing one that the user gave isn't among them."""
    wanted = [{"Name": f"tag:{tags.PLATFORM}", "Values": [platform]}]
    found = account.pages("ec2", "describe_vpcs", "Vpcs", Filters=wanted)
    return [
        Resource(kinds.VPC, one["VpcId"], why=f"tag {tags.PLATFORM}", name=tags.mapping(one["Tags"]).get("Name", ""))
        for one in found
    ]


def gateways_of(account: Account, vpcs: frozenset[str]) -> dict[str, str]:
    """Internet gateways by the VPC that they are attached to."""
    if not vpcs:
        return {}
    wanted = [{"Name": "attachment.vpc-id", "Values": sorted(vpcs)}]
    every = account.pages("ec2", "describe_internet_gateways", "InternetGateways", Filters=wanted)
    return {tie["VpcId"]: one["InternetGatewayId"] for one in every for tie in one.get("Attachments") or []}


def interfaces(reader: Reader) -> Iterator[Resource]:
    """Interfaces that the cluster has left behind, and others' in our VPC that are no part of another thing."""
    for found in reader.ec2("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"):
        have = tags.mapping(found.get("TagSet"))
        description = found.get("Description") or ""
        placed = reader.placed(have, found.get("VpcId"))
        if placed is None:
            continue
        if not placed[0] and description.startswith("aws-K8S-") and reader.cluster_is_ours:
            placed = True, "left behind by the cluster's network add-on"  # older ones don't name the cluster
        attachment = found.get("Attachment") or {}
        if not placed[0] and (attachment.get("InstanceId") or is_part(found, reader)):
            continue
        name = description or have.get("Name", "")
        groups = [one["GroupId"] for one in found.get("Groups") or []]
        instance = attachment.get("InstanceId")
        yield Resource(
            kinds.INTERFACE,
            found["NetworkInterfaceId"],
            *placed,
            name=name,
            needs=reader.inside(found.get("VpcId"), [found["SubnetId"]], groups),
            goes_with=(kinds.INSTANCE, instance) if instance else None,
            status=found.get("Status") or "",
            # Those that AWS' services hold go when these let go of them.
            detail={"busy": found.get("Status") != "available"},
        )


def is_part(found: Json, reader: Reader) -> bool:
    """Whether an interface belongs to something that is read itself, or to the control plane of our cluster."""
    description = found.get("Description") or ""
    if description == f"Amazon EKS {reader.platform}":
        return reader.cluster_is_ours
    return found.get("InterfaceType") in _PARTS or description.startswith(_PARTS_BY_DESCRIPTION)


def groups(reader: Reader) -> Iterator[Resource]:
    """Security groups, and whose rules name which: such a one can't go before that rule."""
    every = reader.ec2("describe_security_groups", "SecurityGroups", "GroupId")
    for found in every:
        have = tags.mapping(found.get("Tags"))
        placed = reader.placed(have, found.get("VpcId"))
        if placed is None or found["GroupName"] == "default":
            continue
        needs = set(reader.inside(found.get("VpcId")))
        if not placed[0]:
            needs |= {(kinds.GROUP, one) for one in named_groups(found)}
        of_cluster = have.get("aws:eks:cluster-name") == reader.platform
        yield Resource(
            kinds.GROUP,
            found["GroupId"],
            *placed,
            name=found["GroupName"],
            needs=frozenset(needs),
            goes_with=(kinds.CLUSTER, reader.platform) if of_cluster else None,
        )


def named_groups(group: Json) -> set[str]:
    """The other groups that a group's rules name."""
    rules = [*(group.get("IpPermissions") or []), *(group.get("IpPermissionsEgress") or [])]
    named = {pair["GroupId"] for rule in rules for pair in rule.get("UserIdGroupPairs") or [] if pair.get("GroupId")}
    return named - {group["GroupId"]}


def endpoints(reader: Reader) -> Iterator[Resource]:
    """VPC endpoints."""
    for found in reader.ec2("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId"):
        have = tags.mapping(found.get("Tags"))
        placed = reader.placed(have, found.get("VpcId"))
        state = found.get("State", "")
        if placed is None or state.lower() == "deleted":
            continue
        subnets = found.get("SubnetIds") or []
        groups = [one["GroupId"] for one in found.get("Groups") or []]
        needs = set(reader.inside(found.get("VpcId"), subnets, groups))
        needs |= {(kinds.ROUTES, one) for one in found.get("RouteTableIds") or []}
        yield Resource(
            kinds.ENDPOINT,
            found["VpcEndpointId"],
            *placed,
            name=found.get("ServiceName", ""),
            needs=frozenset(needs),
            status=state,
            detail={
                "deleting": state.lower() == "deleting",
                "type": found.get("VpcEndpointType", "Gateway"),
                "zones": len(subnets),
            },
        )


def nats(reader: Reader) -> Iterator[Resource]:
    """NAT gateways."""
    for found in reader.ec2("describe_nat_gateways", "NatGateways", "NatGatewayId"):
        have = tags.mapping(found.get("Tags"))
        placed = reader.placed(have, found.get("VpcId"))
        state = found["State"]
        if placed is None or state == "deleted":
            continue
        needs = set(reader.inside(found.get("VpcId"), [found["SubnetId"]] if found.get("SubnetId") else []))
        for one in found.get("NatGatewayAddresses") or []:
            needs |= {(kinds.ADDRESS, one["AllocationId"])} if one.get("AllocationId") else set()
        if not placed[0] and found.get("VpcId") in reader.gateways:
            needs.add((kinds.GATEWAY, reader.gateways[found["VpcId"]]))
        yield Resource(
            kinds.NAT,
            found["NatGatewayId"],
            *placed,
            name=have.get("Name", ""),
            needs=frozenset(needs),
            status=state,
            detail={"deleting": state == "deleting", "busy": state == "pending"},
        )


def addresses(reader: Reader) -> Iterator[Resource]:
    """Elastic IP addresses."""
    for found in reader.account.call("ec2", "describe_addresses")["Addresses"]:
        have = tags.mapping(found.get("Tags"))
        ours, why = reader.whose(have)
        if ours:
            yield Resource(kinds.ADDRESS, found["AllocationId"], ours, why, name=found.get("PublicIp", ""))


def gateways(reader: Reader) -> Iterator[Resource]:
    """Internet gateways."""
    every = reader.ec2("describe_internet_gateways", "InternetGateways", "InternetGatewayId", vpc="attachment.vpc-id")
    for found in every:
        have = tags.mapping(found.get("Tags"))
        attached = [one["VpcId"] for one in found.get("Attachments") or []]
        placed = reader.placed(have, attached[0] if attached else None)
        if placed:
            yield Resource(
                kinds.GATEWAY,
                found["InternetGatewayId"],
                *placed,
                name=have.get("Name", ""),
                needs=frozenset((kinds.VPC, one) for one in attached),
                detail={"attached": attached},
            )


def routes(reader: Reader) -> Iterator[Resource]:
    """Route tables, but for a VPC's main one, which goes with it."""
    for found in reader.ec2("describe_route_tables", "RouteTables", "RouteTableId"):
        have = tags.mapping(found.get("Tags"))
        placed = reader.placed(have, found.get("VpcId"))
        ties = found.get("Associations") or []
        if placed and not any(one.get("Main") for one in ties):
            yield Resource(
                kinds.ROUTES,
                found["RouteTableId"],
                *placed,
                name=have.get("Name", ""),
                needs=reader.inside(found.get("VpcId")),
                detail={"associations": [one["RouteTableAssociationId"] for one in ties if one.get("SubnetId")]},
            )


def acls(reader: Reader) -> Iterator[Resource]:
    """Network ACLs, but for a VPC's default one."""
    for found in reader.ec2("describe_network_acls", "NetworkAcls", "NetworkAclId"):
        placed = reader.placed(tags.mapping(found.get("Tags")), found.get("VpcId"))
        if placed and not found.get("IsDefault"):
            yield Resource(kinds.ACL, found["NetworkAclId"], *placed, needs=reader.inside(found.get("VpcId")))


def subnets(reader: Reader) -> Iterator[Resource]:
    """Subnets. Each needs its route table, so that one which is kept stays reachable."""
    every = reader.ec2("describe_subnets", "Subnets", "SubnetId")
    tables = reader.ec2("describe_route_tables", "RouteTables", "RouteTableId") if every else []
    table_of: dict[str, str] = {
        tie["SubnetId"]: one["RouteTableId"]
        for one in tables
        for tie in one.get("Associations") or []
        if tie.get("SubnetId")
    }
    for found in every:
        have = tags.mapping(found.get("Tags"))
        placed = reader.placed(have, found.get("VpcId"))
        if placed is None:
            continue
        needs: set[Key] = set(reader.inside(found.get("VpcId")))
        if placed[0] and found["SubnetId"] in table_of:
            needs.add((kinds.ROUTES, table_of[found["SubnetId"]]))
        yield Resource(kinds.SUBNET, found["SubnetId"], *placed, name=have.get("Name", ""), needs=frozenset(needs))


def blockers(account: Account, platform: str, one: Resource) -> list[tuple[str, bool]]:
    """What AWS still sees in a security group, subnet or VPC: a sentence each, and whether it will go by itself."""
    name = {kinds.GROUP: "group-id", kinds.SUBNET: "subnet-id", kinds.VPC: "vpc-id"}.get(one.kind)
    found: list[tuple[str, bool]] = []
    if name is None:
        return found
    wanted = [{"Name": name, "Values": [one.id]}]
    for card in account.pages("ec2", "describe_network_interfaces", "NetworkInterfaces", Filters=wanted):
        description = card.get("Description") or ""
        have = tags.mapping(card.get("TagSet"))
        instance = (card.get("Attachment") or {}).get("InstanceId")
        told = f"network interface {card['NetworkInterfaceId']}"
        told += f" of instance {instance}" if instance else ""
        told += f" ({description})" if description else ""
        ours = tags.owned(have, platform) or made_for(have, platform) or description == f"Amazon EKS {platform}"
        passing = ours or description.startswith(_PARTS_BY_DESCRIPTION) or card.get("InterfaceType") in _PARTS
        found.append((told, passing and not instance))
    if one.kind == kinds.GROUP:
        for option in ("ip-permission.group-id", "egress.ip-permission.group-id"):
            wanted = [{"Name": option, "Values": [one.id]}]
            for group in account.pages("ec2", "describe_security_groups", "SecurityGroups", Filters=wanted):
                if group["GroupId"] != one.id:
                    found.append((f"a rule of security group {group['GroupId']} ({group['GroupName']})", False))
    return found

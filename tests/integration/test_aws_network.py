"""A platform's network in AWS: made, changed option by option, checked, deleted; through faults and kills."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_kit import Aws

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account

ZONES = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
MINE = [{"Name": "tag:dbos.kubernetes/platform", "Values": ["shop"]}]
Network = Callable[..., dict[str, Any]]


@pytest.fixture
def network(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """The module, in an empty account."""
    aws.reset()
    for name in ("account", "network_removal", "waiting"):
        monkeypatch.setattr(f"ansible_collections.dbos.kubernetes.plugins.module_utils.aws.{name}.time", Quick())
    monkeypatch.setattr("botocore.endpoint.time", Quick())

    def call(*, failing: bool = False, **options: Any) -> dict[str, Any]:
        result = aws.module("aws_network", **{"platform": "shop", **options})
        assert bool(result.get("failed")) == failing, result.get("msg")
        return result

    yield call
    aws.faults()


class Quick:
    """The module time, running twenty times as fast."""

    @staticmethod
    def monotonic() -> float:
        return time.monotonic() * 20

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(seconds / 20)


def count(aws: Aws) -> dict[str, int]:
    """How many of each kind carry the platform's tag."""
    ec2 = aws.client("ec2")
    nats = ec2.describe_nat_gateways(Filters=MINE)["NatGateways"]
    return {
        "vpcs": len(ec2.describe_vpcs(Filters=MINE)["Vpcs"]),
        "subnets": len(ec2.describe_subnets(Filters=MINE)["Subnets"]),
        "tables": len(ec2.describe_route_tables(Filters=MINE)["RouteTables"]),
        "gateways": len(ec2.describe_internet_gateways(Filters=MINE)["InternetGateways"]),
        "addresses": len(ec2.describe_addresses(Filters=MINE)["Addresses"]),
        "nats": len([one for one in nats if one["State"] in ("pending", "available")]),
        "groups": len(ec2.describe_security_groups(Filters=MINE)["SecurityGroups"]),
        "endpoints": len(ec2.describe_vpc_endpoints(Filters=MINE)["VpcEndpoints"]),
    }


SINGLE = {"vpcs": 1, "subnets": 9, "tables": 5, "gateways": 1, "addresses": 1, "nats": 1, "groups": 0, "endpoints": 0}
NOTHING = dict.fromkeys(SINGLE, 0)


def test_from_nothing_to_a_network_and_back(aws: Aws, network: Network) -> None:
    planned = network(check=True)
    assert planned["changed"] and count(aws) == NOTHING
    assert planned["vpc_id"] == "(to be made)" and planned["zones"] == ZONES
    assert planned["resources"]["subnet shop-private-eu-west-1b"]["cidr"] == "10.0.32.0/19"
    assert planned["nat_gateways"] == {"eu-west-1a": {"id": "(to be made)", "public_ip": "(to be made)"}}
    assert not [one for one in aws.made_calls() if not one.startswith("ec2:Describe")]

    made = network()
    assert made["changed"] and count(aws) == SINGLE
    assert made["changes"] == planned["changes"] and made["diff"] == planned["diff"]
    assert {purpose: len(ids) for purpose, ids in made["subnets"].items()} == dict.fromkeys(made["subnets"], 3)
    ec2 = aws.client("ec2")
    vpc = {"VpcId": made["vpc_id"]}
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        name = attribute[:1].lower() + attribute[1:]
        assert ec2.describe_vpc_attribute(**vpc, Attribute=name)[attribute]["Value"]
    (default,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["default"]}, _inside(made)])[
        "SecurityGroups"
    ]
    assert default["IpPermissions"] == default["IpPermissionsEgress"] == []
    nat = made["nat_gateways"]["eu-west-1a"]
    assert routes(aws, made, "private") == [nat["id"]] * 3
    assert set(routes(aws, made, "public")) == {made["resources"]["internet gateway shop"]["id"]}
    assert routes(aws, made, "database") == [""] * 3
    assert [one["PublicIp"] for one in ec2.describe_addresses(Filters=MINE)["Addresses"]] == [nat["public_ip"]]

    aws.clear_calls()
    again = network()
    assert len(aws.made_calls()) <= 14
    assert not again["changed"] and again["changes"] == [] and again["diff"] == {"before": {}, "after": {}}
    assert {key: again[key] for key in ("vpc_id", "subnets", "nat_gateways", "resources")} == {
        key: made[key] for key in ("vpc_id", "subnets", "nat_gateways", "resources")
    }
    # In no time: where that is long, its calls take long as well.
    assert any(seconds(network) < max(2, 2 * seconds(lambda: [count(aws), count(aws)])) for _ in range(5))

    going = network(state="absent", check=True)
    assert going["changed"] and "delete VPC shop" in going["changes"] and count(aws) == SINGLE
    assert network(state="absent")["changes"] == going["changes"]
    assert count(aws) == NOTHING
    assert not network(state="absent")["changed"]


def seconds(call: Callable[[], object]) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


def _inside(made: dict[str, Any]) -> dict[str, Any]:
    return {"Name": "vpc-id", "Values": [made["vpc_id"]]}


def routes(aws: Aws, made: dict[str, Any], purpose: str) -> list[str]:
    """Where the default routes of a purpose's subnets lead."""
    found = []
    for subnet in made["subnets"][purpose]:
        filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
        (table,) = aws.client("ec2").describe_route_tables(Filters=filters)["RouteTables"]
        targets = [one for one in table["Routes"] if one.get("DestinationCidrBlock") == "0.0.0.0/0"]
        found.append("".join(one.get("NatGatewayId") or one.get("GatewayId") or "" for one in targets))
    return found


def test_each_option_changes_only_what_it_says(aws: Aws, network: Network) -> None:
    one = network(zone_count=2)
    more = network()
    assert more["subnets"]["private"][:2] == one["subnets"]["private"]
    assert [text for text in more["changes"] if "eu-west-1c" not in text] == [
        "change route table shop-database",
        "change route table shop-public",
    ]
    assert (
        network(tags={"team": "a", "kept": "1"})["changed"] and not network(tags={"team": "a", "kept": "1"})["changed"]
    )
    aws.clear_calls()
    tagged = network(tags={"team": "b"})
    assert {text.partition(" ")[0] for text in tagged["changes"]} == {"change"}
    writes = [call for call in aws.made_calls() if not call.startswith("ec2:Describe")]
    assert sorted(writes) == ["ec2:CreateTags", "ec2:DeleteTags"]
    before = aws.client("ec2").describe_subnets(Filters=MINE)["Subnets"][0]["Tags"]
    assert {"Key": "team", "Value": "b"} in before and "kept" not in [tag["Key"] for tag in before]
    network()
    assert network(close_default_security_group=False)["changed"] is False


def test_ways_out_are_exchanged_without_a_gap(aws: Aws, network: Network) -> None:
    single = network()
    each = network(nat="per_zone")
    assert each["nat_gateways"]["eu-west-1a"] == single["nat_gateways"]["eu-west-1a"]
    assert routes(aws, each, "private") == [each["nat_gateways"][zone]["id"] for zone in ZONES]
    assert each["changes"] == [
        "create NAT gateway shop-eu-west-1b",
        "create NAT gateway shop-eu-west-1c",
        "create elastic IP shop-eu-west-1b",
        "create elastic IP shop-eu-west-1c",
        "change route table shop-private-eu-west-1b",
        "change route table shop-private-eu-west-1c",
    ]
    assert not network(nat="per_zone")["changed"]

    aws.clear_calls()
    none = network(nat="none")
    order = [
        call
        for call in aws.made_calls("ec2")
        if call in {"ec2:CreateVpcEndpoint", "ec2:DeleteRoute", "ec2:DeleteNatGateway"}
    ]
    assert list(dict.fromkeys(order)) == ["ec2:CreateVpcEndpoint", "ec2:DeleteRoute", "ec2:DeleteNatGateway"]
    assert routes(aws, none, "private") == [""] * 3
    assert count(aws) == {**SINGLE, "addresses": 0, "nats": 0, "groups": 1, "endpoints": 10}
    interface = next(
        one
        for one in aws.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
        if one["ServiceName"].endswith(".ecr.dkr")
    )
    assert interface["SubnetIds"] == none["subnets"]["private"] and interface["PrivateDnsEnabled"]
    aws.clear_calls()
    assert not network(nat="none")["changed"]
    assert len(aws.made_calls()) <= 14
    some = network(nat="none", endpoints=["sts", "kms"])
    assert "create VPC endpoint shop-kms" in some["changes"] and "delete VPC endpoint shop-ec2" in some["changes"]

    back = network(zone_count=3)
    assert set(routes(aws, back, "private")) == {back["nat_gateways"]["eu-west-1a"]["id"]}
    assert count(aws) == SINGLE
    network(state="absent")
    assert count(aws) == NOTHING


def test_zones_and_ranges_can_be_given(aws: Aws, network: Network) -> None:
    ranges = {
        "public_cidrs": ["10.7.0.0/27", "10.7.0.32/27"],
        "private_cidrs": ["10.7.1.0/25", "10.7.1.128/25"],
        "database_cidrs": ["10.7.0.64/27", "10.7.0.96/27"],
    }
    made = network(cidr="10.7.0.0/23", zones=["eu-west-1c", "eu-west-1a"], **ranges)
    assert made["zones"] == ["eu-west-1c", "eu-west-1a"]
    found = aws.client("ec2").describe_subnets(SubnetIds=made["subnets"]["private"])["Subnets"]
    assert sorted((one["CidrBlock"], one["AvailabilityZone"]) for one in found) == [
        ("10.7.1.0/25", "eu-west-1c"),
        ("10.7.1.128/25", "eu-west-1a"),
    ]
    assert not network(cidr="10.7.0.0/23", zones=["eu-west-1c", "eu-west-1a"], **ranges)["changed"]


def test_without_waiting_it_goes_on_later(aws: Aws, network: Network) -> None:
    aws.delays(nat_gateway__create=3600)
    made = network(wait=False)
    assert made["pending"] == ["NAT gateway shop-eu-west-1a"] and routes(aws, made, "private") == [""] * 3
    assert set(routes(aws, made, "public")) == {made["resources"]["internet gateway shop"]["id"]}
    aws.later(3598)
    done = network()
    assert done["changed"] and done["pending"] == []
    assert routes(aws, done, "private") == [made["nat_gateways"]["eu-west-1a"]["id"]] * 3
    assert count(aws) == SINGLE and not network()["changed"]


def test_a_nat_gateway_that_goes_is_made_again_with_its_address(aws: Aws, network: Network) -> None:
    made = network(zone_count=2)
    gone = made["nat_gateways"]["eu-west-1a"]
    aws.delays(nat_gateway__delete=1)
    aws.client("ec2").delete_nat_gateway(NatGatewayId=gone["id"])  # it holds its address until it is gone
    again = network(zone_count=2)
    there = again["nat_gateways"]["eu-west-1a"]
    assert there["id"] != gone["id"] and there["public_ip"] == gone["public_ip"]
    assert routes(aws, again, "private") == [there["id"]] * 2


def test_what_was_changed_by_hand_is_put_right(aws: Aws, network: Network) -> None:
    made = network(nat="none", endpoints=["sts", "logs"])
    ec2 = aws.client("ec2")
    subnet, table = made["subnets"]["private"][0], made["resources"]["route table shop-public"]["id"]
    ec2.modify_vpc_attribute(VpcId=made["vpc_id"], EnableDnsHostnames={"Value": False})
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    ec2.create_tags(Resources=[subnet], Tags=[{"Key": "Name", "Value": "mine"}])
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
    group = made["resources"]["security group shop-endpoints"]["id"]
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    endpoint = made["resources"]["VPC endpoint shop-sts"]["id"]
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, RemoveSubnetIds=[subnet])
    told = network(nat="none", endpoints=["sts", "logs"])
    assert told["changes"] == [
        "change VPC endpoint shop-sts",
        "change VPC shop",
        "change route table shop-public",
        "change security group shop-endpoints",
        "change subnet shop-private-eu-west-1a",
    ]
    assert told["diff"]["before"]["security group shop-endpoints"]["ingress"] == [
        "tcp 22 from 0.0.0.0/0",
        "tcp 443 from 10.0.0.0/16",
    ]
    assert not network(nat="none", endpoints=["sts", "logs"])["changed"]


def test_what_can_not_be_is_refused_before_anything_is_touched(aws: Aws, network: Network) -> None:
    network(zone_count=2)
    aws.clear_calls()
    for words, options in {
        "has the cidr 10.0.0.0/16, and 10.9.0.0/16 is asked for": {"cidr": "10.9.0.0/16"},
        "too few addresses": {"cidr": "10.0.0.0/24"},
        "eu-west-1z of network_zones can't be used": {"zones": ["eu-west-1a", "eu-west-1z"]},
        "At least 4 zones are needed, and there are 3": {"zone_count": 4},
        "'com.amazonaws.eu-west-1.no-such' does not exist": {"nat": "none", "endpoints": ["sts", "no-such"]},
        "There is no VPC vpc-0123456789abcdef0 in eu-west-1": {"vpc_id": "vpc-0123456789abcdef0"},
    }.items():
        assert words in network(failing=True, **options)["msg"]
    assert not [call for call in aws.made_calls() if not call.startswith("ec2:Describe")]


def test_a_zone_in_use_stays_and_an_empty_one_goes(aws: Aws, network: Network) -> None:
    made = network()
    ec2 = aws.client("ec2")
    eni = ec2.create_network_interface(SubnetId=made["subnets"]["private"][2], Description="pods")["NetworkInterface"]
    told = network(failing=True, zone_count=2)["msg"]
    assert f"still holds network interface {eni['NetworkInterfaceId']} (pods)" in told and count(aws) == SINGLE
    ec2.delete_network_interface(NetworkInterfaceId=eni["NetworkInterfaceId"])
    assert network(zone_count=2)["changed"] and count(aws) == {**SINGLE, "subnets": 6, "tables": 4}


def test_what_others_have_is_neither_taken_nor_deleted(aws: Aws, network: Network) -> None:
    ec2 = aws.client("ec2")

    def named(kind: str, name: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]

    theirs = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=named("vpc", "shop"))["Vpc"]["VpcId"]
    told = network(failing=True)["msg"]
    assert f"VPC shop is taken: {theirs} has it, without the tag dbos.kubernetes/platform=shop" in told
    ec2.delete_vpc(VpcId=theirs)
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=named("elastic-ip", "shop-eu-west-1a"))[
        "AllocationId"
    ]
    assert f"elastic IP shop-eu-west-1a is taken: {address}" in network(failing=True)["msg"]
    assert count(aws) == NOTHING
    ec2.release_address(AllocationId=address)
    made = network(zone_count=2)
    group = ec2.create_security_group(GroupName="shop-endpoints", Description="x", VpcId=made["vpc_id"])["GroupId"]
    assert f"security group shop-endpoints is taken: {group}" in network(failing=True, zone_count=2, nat="none")["msg"]
    ec2.delete_security_group(GroupId=group)
    subnet = ec2.create_subnet(VpcId=made["vpc_id"], CidrBlock="10.0.64.0/20")["Subnet"]["SubnetId"]
    table = made["resources"]["route table shop-private-eu-west-1a"]["id"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    assert not network(zone_count=2)["changed"]
    assert f"overlaps that of the subnet {subnet}" in network(failing=True)["msg"]
    before = count(aws)
    told = network(failing=True, state="absent")["msg"]
    assert f"still holds subnet {subnet}. Delete these first; nothing was touched" in told
    assert count(aws) == before


def test_leftovers_of_the_cluster_go_with_the_network(aws: Aws, network: Network) -> None:
    made = network()
    ec2 = aws.client("ec2")

    def tagged(kind: str, key: str, value: str) -> list[dict[str, Any]]:
        return [{"ResourceType": kind, "Tags": [{"Key": key, "Value": value}]}]

    group = ec2.create_security_group(
        GroupName="k8s-elb-1",
        Description="x",
        VpcId=made["vpc_id"],
        TagSpecifications=tagged("security-group", "kubernetes.io/cluster/shop", "owned"),
    )["GroupId"]
    pods = tagged("network-interface", "cluster.k8s.amazonaws.com/name", "shop")
    ec2.create_network_interface(SubnetId=made["subnets"]["private"][0], Groups=[group], TagSpecifications=pods)
    ours = tagged("security-group", "dbos.kubernetes/platform", "shop")
    ec2.create_security_group(GroupName="shop-database", Description="x", VpcId=made["vpc_id"], TagSpecifications=ours)
    assert not network()["changed"]
    network(state="absent")
    assert count(aws) == NOTHING
    assert not ec2.describe_security_groups(Filters=[_inside(made)])["SecurityGroups"]


def test_quotas_permissions_and_failures_are_one_sentence(aws: Aws, network: Network) -> None:
    aws.faults({"kind": "quota", "service": "ec2", "operation": "create_vpc"})
    assert "A quota of the AWS account in eu-west-1 is reached at ec2:CreateVpc" in network(failing=True)["msg"]
    aws.faults({"kind": "quota", "service": "ec2", "operation": "allocate_address"})
    assert "reached at ec2:AllocateAddress" in network(failing=True)["msg"]
    aws.faults({"kind": "denied", "service": "ec2", "operation": "create_nat_gateway"})
    assert "lack the permission ec2:CreateNatGateway" in network(failing=True)["msg"]
    aws.faults()
    aws.fail_next(
        "nat_gateway.create", "Elastic IP address is bound to another network", "InvalidAllocationID.NotFound"
    )
    told = network(failing=True)["msg"]
    assert "is failed: InvalidAllocationID.NotFound: Elastic IP address is bound to another network" in told
    assert network()["changed"] and count(aws) == SINGLE and not network()["changed"]


def test_faults_on_the_way_make_nothing_twice(aws: Aws, network: Network) -> None:
    kinds = ("throttle", "500", "drop-before", "drop-after")
    faults = [{"kind": kind, "service": "ec2", "probability": 0.06, "seed": seed} for seed, kind in enumerate(kinds)]
    aws.faults(*faults)
    network()
    aws.faults()
    assert count(aws) == SINGLE and not network()["changed"]
    aws.faults(*faults)
    network(nat="none")
    network(state="absent")
    aws.faults()
    assert count(aws) == NOTHING


def test_what_was_just_made_may_not_be_seen_yet(aws: Aws, network: Network) -> None:
    aws.faults({"kind": "not-yet", "service": "ec2", "seconds": 0.3})
    network(nat="none", endpoints=["sts"])
    aws.faults()
    assert count(aws) == {**SINGLE, "addresses": 0, "nats": 0, "groups": 1, "endpoints": 2}


def test_every_lost_answer_is_found_again(aws: Aws, network: Network) -> None:
    creations = ("vpc", "internet_gateway", "subnet", "route_table", "nat_gateway", "vpc_endpoint", "security_group")
    operations = [
        *(f"create_{one}" for one in creations),
        "allocate_address",
        "attach_internet_gateway",
        "create_route",
    ]
    aws.faults(*({"kind": "drop-after", "service": "ec2", "operation": one, "count": 1} for one in operations))
    network()
    network(nat="none")
    assert count(aws) == {**SINGLE, "addresses": 0, "nats": 0, "groups": 1, "endpoints": 10}
    assert not network(nat="none")["changed"]


def killed(aws: Aws, writes: int, **options: Any) -> bool:
    """Calls the module in a process that is killed when AWS has done so many writes; False when it ended by itself."""

    def mortal() -> None:
        done, call = itertools.count(1), Account.call

        def counted(account: Account, service: str, operation: str, **arguments: Any) -> dict[str, Any]:
            answer = call(account, service, operation, **arguments)
            if not operation.startswith("describe_") and next(done) == writes:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        Account.call = counted  # type: ignore[method-assign,assignment]
        aws.module("aws_network", platform="shop", **options)

    child = multiprocessing.get_context("fork").Process(target=mortal)
    child.start()
    child.join(300)
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


@pytest.mark.filterwarnings(
    "ignore:This process:DeprecationWarning"
)  # it forks, and only the child's module runs there
@pytest.mark.parametrize(("nat", "step"), [("single", 8), ("none", 9)])
def test_killed_at_any_write_the_next_run_converges(aws: Aws, network: Network, nat: str, step: int) -> None:
    options = {"zone_count": 2, "nat": nat, "endpoints": ["sts"]}
    made = {"single": SINGLE, "none": {**SINGLE, "addresses": 0, "nats": 0, "groups": 1, "endpoints": 2}}[nat]
    for state, expected in (("present", {**made, "subnets": 6, "tables": 4}), ("absent", NOTHING)):
        writes = 1
        while killed(aws, writes, state=state, **options):
            writes += step
        assert writes > 2 * step, "each run went on where the one before was killed"
        network(state=state, **options)
        assert count(aws) == expected
    network(**options)
    assert killed(aws, 1, nat="per_zone", zone_count=2) and killed(aws, 2, nat="per_zone", zone_count=2)
    network(nat="per_zone", zone_count=2)
    assert count(aws) == {**SINGLE, "subnets": 6, "tables": 4, "addresses": 2, "nats": 2}


class Theirs:
    """A VPC that others made, as EKS wants it."""

    def __init__(self, aws: Aws) -> None:
        self.ec2 = aws.client("ec2")
        self.vpc = self.ec2.create_vpc(CidrBlock="10.3.0.0/16")["Vpc"]["VpcId"]
        self.ec2.modify_vpc_attribute(VpcId=self.vpc, EnableDnsHostnames={"Value": True})
        self.private = [self.subnet(f"10.3.{number}.0/24", zone) for number, zone in enumerate(ZONES[:2])]
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        filters = [{"Name": "vpc-id", "Values": [self.vpc]}]
        self.table = self.ec2.describe_route_tables(Filters=filters)["RouteTables"][0]["RouteTableId"]
        self.route = {"RouteTableId": self.table, "DestinationCidrBlock": "0.0.0.0/0"}
        self.ec2.create_route(**self.route, GatewayId=gateway)

    def subnet(self, cidr: str, zone: str) -> str:
        made = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=zone)
        return str(made["Subnet"]["SubnetId"])

    @property
    def options(self) -> dict[str, Any]:
        return {"vpc_id": self.vpc, "private_subnet_ids": self.private}


def test_a_vpc_of_others_is_checked_and_left_as_it_is(aws: Aws, network: Network) -> None:
    theirs = Theirs(aws)
    aws.clear_calls()
    seen = network(**theirs.options)
    assert not seen["changed"] and len(aws.made_calls()) <= 14
    assert seen["vpc_id"] == theirs.vpc and seen["cidr"] == "10.3.0.0/16" and seen["zones"] == ZONES[:2]
    assert seen["subnets"] == {"public": [], "private": theirs.private, "database": theirs.private}
    assert not network(**theirs.options, state="absent")["changed"]
    nearly_full = theirs.subnet("10.3.9.0/28", ZONES[0])
    told = network(vpc_id=theirs.vpc, private_subnet_ids=[nearly_full, theirs.private[1]])["warnings"]
    assert f"The subnet {nearly_full} (10.3.9.0/28) has 11 free addresses; EKS recommends 16" in str(told)
    assert not [call for call in aws.made_calls() if not call.startswith("ec2:Describe")]
    assert not theirs.ec2.describe_vpcs(VpcIds=[theirs.vpc])["Vpcs"][0].get("Tags")


def full(theirs: Theirs, options: dict[str, Any]) -> None:
    small = theirs.subnet("10.3.8.0/28", ZONES[0])
    for _ in range(6):
        theirs.ec2.create_network_interface(SubnetId=small)
    options["private_subnet_ids"] = [small, theirs.private[1]]


def elsewhere(theirs: Theirs, options: dict[str, Any]) -> None:
    other = theirs.ec2.create_vpc(CidrBlock="10.4.0.0/16")["Vpc"]["VpcId"]
    made = theirs.ec2.create_subnet(VpcId=other, CidrBlock="10.4.0.0/24")["Subnet"]["SubnetId"]
    options["public_subnet_ids"] = [made]


def one_zone(theirs: Theirs, options: dict[str, Any]) -> None:
    options["database_subnet_ids"] = theirs.private[:1]


def no_dns(theirs: Theirs, options: dict[str, Any]) -> None:
    theirs.ec2.modify_vpc_attribute(VpcId=theirs.vpc, EnableDnsHostnames={"Value": False})


def no_way_out(theirs: Theirs, options: dict[str, Any]) -> None:
    theirs.ec2.delete_route(**theirs.route)


def test_a_vpc_of_others_that_will_not_do_is_refused(aws: Aws, network: Network) -> None:
    for lack, words in (
        (full, "(10.3.8.0/28) has 5 free addresses, and EKS needs 6"),
        (elsewhere, "in the VPC vpc-"),
        (one_zone, "The database subnets lie in eu-west-1a: at least 2 zones are needed"),
        (no_dns, "has enableDnsHostnames off"),
        (no_way_out, "has no default route, and its VPC lacks the endpoints com.amazonaws.eu-west-1.ec2, "),
    ):
        theirs = Theirs(aws)
        options = theirs.options
        lack(theirs, options)
        assert words in network(failing=True, **options)["msg"]


def test_endpoints_of_others_are_a_way_out_and_an_own_network_stays(aws: Aws, network: Network) -> None:
    theirs = Theirs(aws)
    theirs.ec2.delete_route(**theirs.route)
    made = {"VpcId": theirs.vpc, "SubnetIds": theirs.private, "VpcEndpointType": "Interface"}
    theirs.ec2.create_vpc_endpoint(ServiceName="com.amazonaws.eu-west-1.sts", **made)
    gateway = {"VpcId": theirs.vpc, "RouteTableIds": [theirs.table], "VpcEndpointType": "Gateway"}
    theirs.ec2.create_vpc_endpoint(ServiceName="com.amazonaws.eu-west-1.s3", **gateway)
    assert not network(**theirs.options, endpoints=["sts"])["changed"]
    own = network()
    assert f"has a VPC of its own, {own['vpc_id']}: it can't move" in network(failing=True, **theirs.options)["msg"]


def test_the_role_in_check_mode_on_an_empty_account_and_for_real(
    aws: Aws, network: Network, ansible_playbook: Callable[..., Any], tmp_path: Path
) -> None:
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"platform_name": "shop", "platform_region": "eu-west-1", "network_zone_count": 2},
            "tasks": [
                {"import_role": {"name": "dbos.kubernetes.network", "tasks_from": "start"}},
                {
                    "debug": {
                        "msg": "{{ network_result.zones | join(' ') }}, {{ network_result.pending | length }} pending"
                    }
                },
                {"import_role": {"name": "dbos.kubernetes.network"}},
            ],
        }
    ]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    inventory = tmp_path / "hosts.yml"
    python = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": python}}}))
    run = partial(ansible_playbook, str(tmp_path / "play.yml"), inventory=inventory, env=aws.env)
    assert "eu-west-1a eu-west-1b, 0 pending" in run("--check", "--diff").output and count(aws) == NOTHING
    assert run().changed == 1
    assert count(aws) == {**SINGLE, "subnets": 6, "tables": 4}

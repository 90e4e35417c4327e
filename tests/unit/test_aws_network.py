"""A platform's network on paper: ranges, zones, what is compared, and what is refused."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, strategies

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import network_plan as plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_plan import Thing, Wish
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_state import default_route, sources
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

ZONES = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
REGION = "eu-west-1"


@strategies.composite
def ranges(draw: strategies.DrawFn) -> str:
    prefix = draw(strategies.integers(16, 21))
    first = draw(strategies.integers(0, 2**prefix - 1)) << (32 - prefix)
    return str(ipaddress.IPv4Network((first, prefix)))


@given(ranges())
def test_computed_ranges_are_disjoint_inside_and_large_enough(cidr: str) -> None:
    slots = plan.layout(cidr)
    blocks = [ipaddress.IPv4Network(text) for slot in slots for text in slot.values()]
    assert [list(slot) for slot in slots] == [list(plan.PURPOSES)] * plan.SLOTS
    assert not any(one.overlaps(other) for one, other in itertools.combinations(blocks, 2))
    assert all(one.subnet_of(ipaddress.IPv4Network(cidr)) for one in blocks)
    assert all(one.num_addresses - plan.RESERVED >= plan.FREE_ADVISED for one in blocks)
    # The same ranges given by hand pass the checks of given ones.
    assert plan.given(cidr, {purpose: [slot[purpose] for slot in slots] for purpose in plan.PURPOSES}) == slots


def test_a_layout_by_example() -> None:
    first, *_, last = plan.layout("10.0.0.0/16")
    assert first == {"public": "10.0.192.0/22", "private": "10.0.0.0/19", "database": "10.0.224.0/22"}
    assert last == {"public": "10.0.212.0/22", "private": "10.0.160.0/19", "database": "10.0.244.0/22"}


@pytest.mark.parametrize(
    ("cidr", "words"),
    [
        ("10.0.0.0/22", "too few addresses"),
        ("10.0.0.0/8", "the largest that a VPC can have"),
        ("10.0.0.1/16", "has host bits set"),
        ("fd00::/64", "no IPv4 address range"),
        ("everything", "no IPv4 address range"),
    ],
)
def test_a_range_that_is_none_is_refused(cidr: str, words: str) -> None:
    with pytest.raises(DbosError, match=words):
        plan.layout(cidr)


@pytest.mark.parametrize(
    ("private", "words"),
    [
        (["10.0.0.0/24"], "2 public, 1 private, 2 database"),
        (["10.0.0.0/24", "10.1.0.0/24"], "10.1.0.0/24 of a subnet lies outside"),
        (["10.0.0.0/24", "10.0.0.128/25"], "overlap"),
        (["10.0.0.0/24", "10.0.1.0/28"], "too small: 11 addresses"),
        (["10.0.0.0/24", "10.0.1.3/25"], "The private range '10.0.1.3/25'"),
    ],
)
def test_given_ranges_that_can_not_be_are_refused(private: list[str], words: str) -> None:
    others = {"public": ["10.0.2.0/24", "10.0.3.0/24"], "database": ["10.0.4.0/24", "10.0.5.0/24"]}
    with pytest.raises(DbosError, match=words):
        plan.given("10.0.0.0/16", {**others, "private": private})


def test_only_zones_that_eks_can_use_are_offered() -> None:
    def zone(name: str, identity: str, **more: str) -> dict[str, Any]:
        return {"ZoneName": name, "ZoneId": identity, "State": "available", "ZoneType": "availability-zone", **more}

    zones = [
        zone("us-east-1b", "use1-az1"),
        zone("us-east-1a", "use1-az6", OptInStatus="opt-in-not-required"),
        zone("us-east-1e", "use1-az3"),  # EKS is not offered there
        zone("us-east-1c", "use1-az2", State="impaired"),
        zone("us-east-1-bos-1a", "use1-bos1-az1", ZoneType="local-zone", OptInStatus="opted-in"),
        zone("us-east-1-wl1-atl-wlz-1", "use1-wl1-atl-wlz1", ZoneType="wavelength-zone"),
        zone("us-east-1d", "use1-az4", OptInStatus="not-opted-in"),
    ]
    assert plan.offered(zones) == ["us-east-1a", "us-east-1b"]


def assigned(there: Mapping[str, str], zones: list[str], count: int, usable: list[str] | None = None) -> list[Any]:
    slots = plan.layout("10.0.0.0/16")
    return list(plan.assign(slots, zones, count, usable or ZONES, there, REGION).items())


@given(strategies.integers(2, 6), strategies.integers(2, 6), strategies.randoms())
def test_a_zone_more_moves_nothing(count: int, later: int, dice: Any) -> None:
    usable = [f"eu-west-1{letter}" for letter in "abcdef"]
    before = assigned({}, [], count, usable)
    pairs = [(cidr, zone) for zone, slot in before for cidr in slot.values()]
    # What a killed run has made of it, and whatever zone AWS offers beside.
    there = dict(dice.sample(pairs, dice.randint(0, len(pairs))))
    after = dict(assigned(there, [], max(count, later), ["eu-west-10", *usable]))
    for cidr, zone in there.items():
        assert cidr in after[zone].values()
    assert len({slot["private"] for slot in after.values()}) == len(after) == max(count, later)


def test_zones_are_chosen_by_name_or_given() -> None:
    assert [zone for zone, _ in assigned({}, [], 2)] == ZONES[:2]
    chosen = assigned({}, ["eu-west-1c", "eu-west-1a"], 3)
    assert [zone for zone, _ in chosen] == ["eu-west-1c", "eu-west-1a"]
    assert chosen[0][1] == plan.layout("10.0.0.0/16")[0]


@pytest.mark.parametrize(
    ("zones", "count", "words"),
    [
        (["eu-west-1a"], 3, "At least 2 zones are needed, and there are 1: eu-west-1a"),
        ([], 4, "At least 4 zones are needed, and there are 3"),
        ([], 1, "At least 2 zones are needed, and there are 1"),
        (["eu-west-1a", "us-east-1e"], 3, "us-east-1e of network_zones can't be used for EKS in eu-west-1"),
    ],
)
def test_zones_that_can_not_be_had_are_refused(zones: list[str], count: int, words: str) -> None:
    with pytest.raises(DbosError, match=words):
        assigned({}, zones, count)


def test_a_nat_gateway_that_is_there_stays() -> None:
    assert plan.nat_zones("single", ZONES, []) == ["eu-west-1a"]
    assert plan.nat_zones("single", ZONES, ["eu-west-1c", "eu-west-1b"]) == ["eu-west-1b"]
    assert plan.nat_zones("single", ZONES, ["eu-west-1f"]) == ["eu-west-1a"]
    assert plan.nat_zones("per_zone", ZONES, []) == ZONES
    assert plan.nat_zones("none", ZONES, ZONES) == []


def wanted(nat: str = "single", tags: Mapping[str, str] | None = None, zones: int = 2) -> plan.Things:
    wish = Wish("shop", REGION, tags or {}, "10.0.0.0/16", nat, ("sts", "com.amazonaws.eu-west-1.kms"), True)
    places = dict(assigned({}, [], zones))
    reach = {"sts": ZONES, "com.amazonaws.eu-west-1.kms": ["eu-west-1b"]}
    return plan.things(wish, places, plan.nat_zones(nat, list(places), []), reach)


def test_what_a_network_consists_of() -> None:
    things = wanted()
    assert sorted(things) == [
        "NAT gateway shop-eu-west-1a",
        "VPC shop",
        "elastic IP shop-eu-west-1a",
        "internet gateway shop",
        "route table shop-database",
        "route table shop-private-eu-west-1a",
        "route table shop-private-eu-west-1b",
        "route table shop-public",
        "security group default",
        *(f"subnet shop-{purpose}-{zone}" for purpose in ("database", "private", "public") for zone in ZONES[:2]),
    ]
    public, private = things["subnet shop-public-eu-west-1a"].tags, things["subnet shop-private-eu-west-1a"].tags
    assert public == {
        "Name": "shop-public-eu-west-1a",
        "dbos.kubernetes/platform": "shop",
        "kubernetes.io/cluster/shop": "shared",
        "kubernetes.io/role/elb": "1",
    }
    assert private and private["kubernetes.io/role/internal-elb"] == "1"
    database = things["subnet shop-database-eu-west-1a"].tags
    assert database == {"Name": "shop-database-eu-west-1a", "dbos.kubernetes/platform": "shop"}
    routes = {name: one.facts["default_route"] for name, one in things.items() if one.kind == plan.ROUTES}
    assert routes == {
        "route table shop-public": "internet gateway shop",
        "route table shop-private-eu-west-1a": "NAT gateway shop-eu-west-1a",
        "route table shop-private-eu-west-1b": "NAT gateway shop-eu-west-1a",
        "route table shop-database": "",
    }


def test_without_nat_gateways_endpoints_lead_to_aws() -> None:
    things = wanted("none")
    assert not [one for one in things.values() if one.kind in (plan.NAT, plan.ADDRESS)]
    endpoints = {one.name: one.facts for one in things.values() if one.kind == plan.ENDPOINT}
    both = ["shop-private-eu-west-1a", "shop-private-eu-west-1b"]
    group = ["shop-endpoints"]
    assert endpoints == {
        "shop-sts": {"service": "com.amazonaws.eu-west-1.sts", "subnets": both, "groups": group},
        "shop-com.amazonaws.eu-west-1.kms": {
            "service": "com.amazonaws.eu-west-1.kms",
            "subnets": both[1:],  # AWS does not offer it in the other zone
            "groups": group,
        },
        "shop-s3": {"service": "com.amazonaws.eu-west-1.s3", "route_tables": both},
    }
    assert things["security group shop-endpoints"].facts == {"ingress": ["tcp 443 from 10.0.0.0/16"]}
    assert things["route table shop-private-eu-west-1a"].facts["default_route"] == ""


def changes(before: plan.Things, after: plan.Things) -> dict[str, tuple[str, ...]]:
    """Resource → the facts of it that differ; nothing for what comes or goes."""
    shown = plan.difference(after, before)
    old, new = shown["before"], shown["after"]
    return {
        title: tuple(
            fact
            for fact in new.get(title, {})
            if title in old and title in new and old[title][fact] != new[title][fact]
        )
        for title in {*old, *new}
    }


def test_each_option_changes_only_what_it_says() -> None:
    assert changes(wanted(), wanted()) == {}
    more = changes(wanted(), wanted(zones=3))
    assert {title for title, facts in more.items() if facts} == {"route table shop-public", "route table shop-database"}
    assert all("eu-west-1c" in title for title, facts in more.items() if not facts)
    each = changes(wanted(), wanted("per_zone"))
    assert each == {
        "NAT gateway shop-eu-west-1b": (),
        "elastic IP shop-eu-west-1b": (),
        "route table shop-private-eu-west-1b": ("default_route",),
    }
    tagged = changes(wanted(), wanted(tags={"team": "a"}))
    assert set(tagged) == set(wanted()) - {"security group default"}
    assert set(tagged.values()) == {("tags",)}


def test_tags_of_kubernetes_are_no_difference_and_those_of_others_go() -> None:
    there = wanted()
    vpc = there["VPC shop"]
    vpc.tags = {**(vpc.tags or {}), "kubernetes.io/cluster/other": "shared", "aws:created": "x"}
    assert plan.difference(wanted(), there) == {"before": {}, "after": {}}
    vpc.tags["old"] = "1"
    assert plan.difference(wanted(), there)["before"]["VPC shop"]["tags"]["old"] == "1"


def test_what_aws_can_not_change_is_refused() -> None:
    there = wanted()
    there["VPC shop"].facts["cidr"], there["VPC shop"].id = "10.1.0.0/16", "vpc-1"
    with pytest.raises(DbosError, match=r"VPC shop \(vpc-1\) has the cidr 10.1.0.0/16, and 10.0.0.0/16 is asked for"):
        plan.immovable(wanted(), there)


def test_what_is_there_is_named_as_what_is_wanted() -> None:
    subnet = {"cidr": "10.0.0.0/19", "zone": "eu-west-1a", "public_addresses": False}
    table = {"default_route": "nat-1", "subnets": ["subnet-1"]}
    there = [
        Thing(plan.SUBNET, "renamed by hand", subnet, {}, "subnet-1"),
        Thing(plan.NAT, "shop-eu-west-1a", {"zone": "eu-west-1a"}, {}, "nat-1"),
        Thing(plan.ROUTES, "shop-private-eu-west-1a", table, {}, "rtb-1"),
        Thing(plan.ROUTES, "shop-private-eu-west-1a", {"default_route": "", "subnets": []}, {}, "rtb-2"),
    ]
    found = plan.recognised(wanted(), there)
    assert sorted(found) == [
        "NAT gateway shop-eu-west-1a",
        "route table rtb-2",  # made twice
        "route table shop-private-eu-west-1a",
        "subnet shop-private-eu-west-1a",
    ]
    assert found["route table shop-private-eu-west-1a"].facts == wanted()["route table shop-private-eu-west-1a"].facts


def test_aws_descriptions_are_read() -> None:
    routes = [{"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local"}]
    assert default_route({"Routes": routes}) == ""
    assert default_route({"Routes": [*routes, {"DestinationCidrBlock": plan.ALL, "NatGatewayId": "nat-1"}]}) == "nat-1"
    tcp = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}
    assert sources(tcp) == ["tcp 443 from 10.0.0.0/16"]
    every = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1"}], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    assert sources(every) == ["all from ::/0", "all from sg-1"]

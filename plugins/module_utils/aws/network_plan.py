# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a platform's network consists of: address ranges, zones, and every resource with all that is compared. Pure."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

Json = dict[str, Any]
Slot = dict[str, str]  # purpose → CIDR of one zone's subnet

PURPOSES = ("public", "private", "database")
FEWEST_ZONES = 2  # EKS and RDS want two
SLOTS = 6  # zones that a computed layout has room for
RESERVED = 5  # addresses of each subnet that AWS keeps
FREE_NEEDED, FREE_ADVISED = 6, 16  # free addresses of each subnet that EKS wants, and recommends
# Zones, by the id that means the same in every account, where EKS makes no control plane.
WITHOUT_EKS = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
HTTPS = 443
ALL = "0.0.0.0/0"

VPC, GATEWAY, SUBNET, ADDRESS, NAT = "VPC", "internet gateway", "subnet", "elastic IP", "NAT gateway"
ROUTES, GROUP, ENDPOINT, INTERFACE = "route table", "security group", "VPC endpoint", "network interface"


@dataclass
class Thing:
    """A resource, wanted or there: what a person calls it, and what can differ, with names in place of ids."""

    kind: str
    name: str
    facts: Json
    tags: dict[str, str] | None = None  # None: AWS made it, and its tags are not ours to set
    id: str = ""
    raw: Json = field(default_factory=dict)  # AWS' own description, of what is there

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"


Things = dict[str, Thing]  # by title
_REFERENCES = ("default_route", "groups", "route_tables", "subnets")  # facts that name other resources


@dataclass(frozen=True)
class Wish:
    """The options of an own network, as far as they say what it consists of."""

    platform: str
    region: str
    tags: Mapping[str, str]
    cidr: str
    nat: str
    endpoints: tuple[str, ...]
    close_default_group: bool


def block(cidr: str, what: str) -> ipaddress.IPv4Network:
    """An address range; says which bits are too many."""
    try:
        return ipaddress.IPv4Network(cidr)
    except ValueError as error:
        raise DbosError(f"{what} {cidr!r} is no IPv4 address range such as 10.0.0.0/16: {error}.") from error


def layout(cidr: str) -> list[Slot]:
    """Ranges for six zones, whatever their number, so that a zone can be added later and nothing moves.

    Six eighths are the private subnets', where the pods are; the seventh is the public ones', the last the databases'.
    """
    whole = block(cidr, "network_cidr")
    if not 16 <= whole.prefixlen <= 21:
        raise DbosError(
            f"network_cidr {cidr} must be from /16, the largest that a VPC can have, to /21: the subnets of a smaller "
            "one have too few addresses for load balancers. Give another, or the ranges of all subnets by yourself."
        )
    *private, public, database = whole.subnets(prefixlen_diff=3)
    rows = zip(public.subnets(prefixlen_diff=3), private, database.subnets(prefixlen_diff=3), strict=False)
    return [dict(zip(PURPOSES, map(str, row), strict=True)) for row in rows]


def given(cidr: str, ranges: Mapping[str, Sequence[str]]) -> list[Slot]:
    """The ranges that the user gives, one per zone and purpose, if they can be had."""
    whole = block(cidr, "network_cidr")
    if not 16 <= whole.prefixlen <= 28:
        raise DbosError(f"network_cidr {cidr} must be from /16 to /28, as AWS wants it.")
    if len({len(ranges[purpose]) for purpose in PURPOSES}) > 1:
        numbers = ", ".join(f"{len(ranges[purpose])} {purpose}" for purpose in PURPOSES)
        raise DbosError(f"There must be as many ranges of each purpose, one per zone; there are {numbers}.")
    blocks = [block(text, f"The {purpose} range") for purpose in PURPOSES for text in ranges[purpose]]
    for one in blocks:
        if not one.subnet_of(whole):
            raise DbosError(f"The range {one} of a subnet lies outside network_cidr {cidr}.")
        if one.num_addresses - RESERVED < FREE_ADVISED:
            raise DbosError(
                f"The range {one} of a subnet is too small: {one.num_addresses - RESERVED} addresses, of which EKS and "
                f"load balancers need {FREE_ADVISED}. Take a /27 or larger."
            )
    for one, other in itertools.combinations(blocks, 2):
        if one.overlaps(other):
            raise DbosError(f"The ranges {one} and {other} of two subnets overlap.")
    return [dict(zip(PURPOSES, row, strict=True)) for row in zip(*(ranges[one] for one in PURPOSES), strict=True)]


def offered(zones: Iterable[Json]) -> list[str]:
    """Names of a region's zones that EKS can use, of those that AWS lists: no local zones, none that lack EKS."""
    return sorted(
        zone["ZoneName"]
        for zone in zones
        if zone.get("State") == "available"
        and zone.get("ZoneType", "availability-zone") == "availability-zone"
        and zone.get("OptInStatus", "opt-in-not-required") != "not-opted-in"
        and zone.get("ZoneId") not in WITHOUT_EKS
    )


def assign(
    slots: Sequence[Slot],
    zones: Sequence[str],
    count: int,
    usable: Sequence[str],
    there: Mapping[str, str],
    region: str,
) -> dict[str, Slot]:
    """Which zone has which ranges. What is there (CIDR → zone) keeps its place; others follow in the order of names.

    C(zones) are those that the user wants; when there are none, C(count) zones are chosen.
    """
    for zone in zones:
        if zone not in usable and zone not in there.values():
            raise DbosError(
                f"The zone {zone} of network_zones can't be used for EKS in {region}: take of {', '.join(usable)}."
            )
    known = {there[cidr]: number for number, slot in enumerate(slots) for cidr in slot.values() if cidr in there}
    wanted = list(dict.fromkeys(zones)) or [*sorted(known, key=lambda zone: known[zone]), *usable]
    wanted = wanted if zones else list(dict.fromkeys(wanted))[:count]
    needed = max(FEWEST_ZONES, 0 if zones else count)
    if len(wanted) < needed:
        raise DbosError(
            f"At least {needed} zones are needed, and there are {len(wanted)}: {', '.join(wanted) or 'none'} "
            f"(the zones of {region} that EKS can use are {', '.join(usable) or 'none'}). "
            "Change network_zones or network_zone_count, or take another region."
        )
    if len(wanted) > len(slots):
        raise DbosError(f"There are ranges for {len(slots)} zones, and {len(wanted)} zones are asked for.")
    free = [number for number in range(len(slots)) if number not in known.values()]
    places = {zone: known[zone] if zone in known else free.pop(0) for zone in wanted}
    order = wanted if zones else sorted(wanted, key=lambda zone: places[zone])
    return {zone: slots[places[zone]] for zone in order}


def service_name(service: str, region: str) -> str:
    """The full name of an endpoint's service; those of some regions differ, and can be given in full."""
    return service if "amazonaws" in service else f"com.amazonaws.{region}.{service}"


def nat_zones(nat: str, zones: Sequence[str], there: Iterable[str]) -> list[str]:
    """Zones that have a NAT gateway; one that is there stays."""
    if nat == "none":
        return []
    if nat == "per_zone":
        return list(zones)
    kept = set(there)
    return [next((zone for zone in zones if zone in kept), zones[0])]


def things(
    wish: Wish, places: Mapping[str, Slot], nats: Sequence[str], endpoint_zones: Mapping[str, Sequence[str]]
) -> Things:
    """All that the network consists of. C(endpoint_zones): service → zones that it can be reached in."""
    name, zones = wish.platform, list(places)
    private = {zone: f"{name}-private-{zone}" for zone in zones}
    found: list[Thing] = []

    def add(kind: str, title: str, facts: Json, extra: Mapping[str, str] | None = None) -> None:
        every = tags.wanted(wish.platform, {**wish.tags, **(extra or {})}, title)
        found.append(Thing(kind, title, facts, every))

    add(VPC, name, {"cidr": wish.cidr, "dns_support": True, "dns_hostnames": True})
    if wish.close_default_group:
        found.append(Thing(GROUP, "default", {"rules": 0}))
    add(GATEWAY, name, {"attached": True})
    for purpose in PURPOSES:
        for zone, slot in places.items():
            facts = {"cidr": slot[purpose], "zone": zone, "public_addresses": False}
            add(SUBNET, f"{name}-{purpose}-{zone}", facts, _kubernetes(name, purpose))
    for zone in nats:
        add(ADDRESS, f"{name}-{zone}", {})
        add(NAT, f"{name}-{zone}", {"zone": zone})

    def routes(title: str, default_route: str, purpose: str, of: Iterable[str]) -> None:
        subnets = sorted(f"{name}-{purpose}-{zone}" for zone in of)
        add(ROUTES, title, {"default_route": default_route, "subnets": subnets})

    routes(f"{name}-public", f"{GATEWAY} {name}", "public", zones)
    for zone in zones:
        through = f"{NAT} {name}-{zone if zone in nats else nats[0]}" if nats else ""
        routes(private[zone], through, "private", [zone])
    routes(f"{name}-database", "", "database", zones)
    if wish.nat == "none":
        group = f"{name}-endpoints"
        add(GROUP, group, {"ingress": [f"tcp {HTTPS} from {wish.cidr}"]})
        for service in wish.endpoints:
            subnets = sorted(private[zone] for zone in zones if zone in endpoint_zones[service])
            facts = {"service": service_name(service, wish.region), "subnets": subnets, "groups": [group]}
            add(ENDPOINT, f"{name}-{service}", facts)
        facts = {"service": service_name("s3", wish.region), "route_tables": sorted(private.values())}
        add(ENDPOINT, f"{name}-s3", facts)
    return {one.title: one for one in found}


def _kubernetes(cluster: str, purpose: str) -> dict[str, str]:
    """The tags by which Kubernetes finds the subnets for load balancers."""
    role = {"public": "elb", "private": "internal-elb"}.get(purpose)
    return {f"kubernetes.io/role/{role}": "1", f"kubernetes.io/cluster/{cluster}": "shared"} if role else {}


def recognised(wanted: Things, there: Iterable[Thing]) -> Things:
    """What is there, with names in place of ids.

    Subnets are known by their range, as somebody may have changed their names. Of two of one name one is surplus.
    """
    by_range = {one.facts["cidr"]: one.name for one in wanted.values() if one.kind == SUBNET}
    found: Things = {}
    for one in there:
        if one.kind == SUBNET:
            one.name = by_range.get(one.facts["cidr"], one.name)
        if one.title in found:
            one.name = one.id
        found[one.title] = one
    names = {one.id: one.title if one.kind in (GATEWAY, NAT) else one.name for one in found.values()}
    for one in found.values():
        for fact, value in one.facts.items():
            if fact == "subnets" and one.kind == ROUTES:
                one.facts[fact] = sorted(names[each] for each in value if each in names)  # others may use our tables
            elif fact in _REFERENCES:
                listed = isinstance(value, list)
                one.facts[fact] = sorted(names.get(each, each) for each in value) if listed else names.get(value, value)
    return found


def immovable(wanted: Things, there: Things) -> None:
    """Refuse what AWS can't change in place."""
    for title, one in wanted.items():
        have = there.get(title)
        if have is None:
            continue
        for fact in ("cidr", "zone"):
            if have.facts.get(fact) != one.facts.get(fact):
                raise DbosError(
                    f"The {title} ({have.id}) has the {fact} {have.facts.get(fact)}, and {one.facts.get(fact)} is "
                    "asked for: AWS can't change that. Leave it as it is, or tear the platform down first."
                )


def difference(wanted: Things, there: Things) -> Json:
    """What differs, as Ansible shows it: resource → what is compared."""
    before, after = {}, {}
    for title in sorted({*wanted, *there}):
        one, other = shown(there.get(title)), shown(wanted.get(title))
        if one is not None and other is not None:
            kept = tags.surplus(one["tags"], {})  # the others are AWS' and Kubernetes': they stay
            one["tags"] = {key: one["tags"][key] for key in one["tags"] if key in kept or key in other["tags"]}
        if one != other:
            before.update({title: one} if one is not None else {})
            after.update({title: other} if other is not None else {})
    return {"before": before, "after": after}


def shown(thing: Thing | None) -> Json | None:
    """A resource in a diff."""
    return None if thing is None else {**thing.facts, "tags": dict(sorted((thing.tags or {}).items()))}

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a platform's own network what it is wanted to be.

First all is read and compared, and every reason to refuse is told; then what is missing is made, waited for, used, and
only then what is not needed any more goes: nodes never lose their way out in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import network_plan as plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import network_removal as removal
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.ec2 import (
    LISTS,
    listed,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_plan import Json, Thing, Wish
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_state import (
    State,
    read,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_work import Options, Work
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import together

_NAMED = (
    plan.VPC,
    plan.GATEWAY,
    plan.ADDRESS,
    plan.NAT,
)  # their names stand for the platform


def ensure(account: Account, options: Options, *, check: bool) -> Json:
    """The module's result."""
    wish = options.wish
    slots = plan.given(wish.cidr, options.ranges) if any(options.ranges.values()) else plan.layout(wish.cidr)
    count = len(slots) if any(options.ranges.values()) else options.zone_count
    state = read(account, wish.platform)
    there = {one.facts["cidr"]: one.facts["zone"] for one in state.of(plan.SUBNET)}
    places = plan.assign(slots, options.zones, count, plan.offered(state.zones), there, wish.region)
    nats = plan.nat_zones(wish.nat, list(places), [one.facts["zone"] for one in state.of(plan.NAT)])
    reach = _reach(account, wish, list(places)) if wish.nat == "none" else {}
    wanted = plan.things(wish, places, nats, reach)
    have = plan.recognised(wanted, state.things)
    surplus = {title: one for title, one in have.items() if title not in wanted and one.tags is not None}
    managed = {title: one for title, one in have.items() if title in wanted or title in surplus}
    plan.immovable(wanted, have)
    missing = [one for title, one in wanted.items() if title not in have]
    _refuse_foreign(account, wish.platform, missing, state)
    removal.refuse_in_use(account, surplus.values())
    work = Work(account, options, state, wanted, have, surplus)
    if not check:
        work.do()
    diff = plan.difference(wanted, managed)
    changed = bool(diff["before"] or diff["after"])
    return {"changed": changed, "changes": _changes(diff), "diff": diff, **work.result(places)}


def _changes(diff: Json) -> list[str]:
    before, after = diff["before"], diff["after"]
    verbs = {(False, True): "create", (True, True): "change", (True, False): "delete"}
    return [f"{verbs[title in before, title in after]} {title}" for title in sorted({*before, *after})]


def _reach(account: Account, wish: Wish, zones: Sequence[str]) -> dict[str, list[str]]:
    """Service of an endpoint → zones where AWS offers it."""
    names = {plan.service_name(service, wish.region): service for service in wish.endpoints}
    answer = account.call("ec2", "describe_vpc_endpoint_services", ServiceNames=sorted(names))
    found = {
        names[one["ServiceName"]]: [zone for zone in zones if zone in one["AvailabilityZones"]]
        for one in answer["ServiceDetails"]
        if any(kind["ServiceType"] == "Interface" for kind in one["ServiceType"])
    }
    for service in wish.endpoints:
        if not found.get(service):
            raise DbosError(
                f"AWS offers no endpoint {service} in the zones {', '.join(zones)}: correct network_endpoints, or take "
                "other zones."
            )
    return found


def _refuse_foreign(account: Account, platform: str, missing: Sequence[Thing], state: State) -> None:
    """Refuse names and address ranges that others have taken."""
    named = [one for one in missing if one.kind in _NAMED]
    for one, namesakes in zip(
        named, together(partial(listed, account, one.kind, {"tag:Name": one.name}) for one in named), strict=True
    ):
        others = [raw for raw in namesakes if not tags.owned(tags.mapping(raw.get("Tags")), platform)]
        others = [raw for raw in others if raw.get("State") not in ("deleting", "deleted", "failed")]
        if others:
            raise DbosError(_foreign(one.title, others[0][LISTS[one.kind][2]], platform))
    for one in missing:
        if one.kind == plan.SUBNET:
            for raw in state.foreign.get(plan.SUBNET, []):
                if plan.block(raw["CidrBlock"], "").overlaps(plan.block(one.facts["cidr"], "")):
                    raise DbosError(
                        f"The range {one.facts['cidr']} of the {one.title} overlaps that of the subnet "
                        f"{raw['SubnetId']} ({raw['CidrBlock']}), which is not the platform's: delete that, "
                        "or give other ranges."
                    )
        if one.kind == plan.GROUP:
            for raw in state.foreign.get(plan.GROUP, []):
                if raw["GroupName"] == one.name:
                    raise DbosError(_foreign(one.title, raw["GroupId"], platform))


def _foreign(title: str, identity: str, platform: str) -> str:
    return (
        f"The name of the {title} is taken: {identity} has it, without the tag {tags.PLATFORM}={platform}, so it is "
        "not the platform's. Take another platform_name, or rename or delete it."
    )

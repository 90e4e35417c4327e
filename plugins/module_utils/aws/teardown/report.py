# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A teardown for a person, and as a module's result. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import costs
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import plan as plans
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.plan import Decision, Plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.resources import Resource
from ansible_collections.dbos.kubernetes.plugins.module_utils.table import columns

Json = dict[str, Any]
# The order in which a person reads what becomes of things.
_READ = (plans.DELETE, plans.ALONG, plans.SCHEDULED, plans.KEEP, plans.LEAVE, plans.FOREIGN)


def result(
    platform: str,
    region: str,
    current: Plan,
    deleted: Iterable[Resource] = (),
    unconfirmed: Sequence[str] = (),
    *,
    check: bool,
) -> Json:
    """The module's result: of the plan in check mode, else of what is left after it was followed."""
    gone = list(deleted)
    left = current.having(plans.LEAVE, *([] if check else [plans.DELETE, plans.ALONG]))
    kept = current.having(plans.KEEP)
    told: Json = {
        "changed": bool(current.steps if check else gone),
        "kept": [_entry(one) for one in kept],
        "left": [_entry(one) for one in left],
        "scheduled": [_entry(one) for one in current.having(plans.SCHEDULED)],
        "foreign": [_entry(one) for one in current.having(plans.FOREIGN)],
        "undecided": list(current.undecided),
        "unconfirmed": list(unconfirmed),
        "monthly_cost": costs.total(cost for one in [*kept, *left] if (cost := _cost(one.resource))),
        "unpriced": sorted(
            {cost.what for one in [*kept, *left] if (cost := _cost(one.resource)) and cost.month is None}
        ),
    }
    going = current.having(plans.DELETE, plans.ALONG) if check else []
    told["deleted"] = [_entry(one) for one in going] or [
        {"kind": one.kind, "id": one.id, "name": one.name or one.id, "why": one.why} for one in gone
    ]
    told["table"] = table(platform, region, current, gone, told)
    return told


def failure(platform: str, region: str, left: list[Json]) -> str:
    """The one sentence when something is left."""
    reasons: dict[str, list[str]] = {}
    for one in left:
        reasons.setdefault(one["why"], []).append(f"{one['kind']} {one['id']}")
    whom = "; ".join(f"{', '.join(those)} ({why})" for why, those in reasons.items())
    return (
        f"Platform {platform} in {region} is taken down but for: {whom}. Remove what is in the way, and run again to "
        "delete the rest."
    )


def table(platform: str, region: str, current: Plan, gone: list[Resource], told: Json) -> str:
    """All of it for a person."""
    rows = [
        ("deleted", one.kind, one.id, one.name if one.name != one.id else "", "", "")
        for one in sorted(gone, key=lambda one: plans.ORDER.get(one.kind, 0))
    ]
    decisions = sorted(current.decisions, key=lambda one: _READ.index(one.action))
    for decision in decisions:
        one = decision.resource
        cost = _cost(one) if decision.action != plans.FOREIGN else None
        month = "" if cost is None else "?" if cost.month is None else f"{cost.month:.2f}"
        rows.append((decision.action, one.kind, one.id, one.name if one.name != one.id else "", decision.reason, month))
    lines = columns(("", "KIND", "ID", "NAME", "WHY", "USD/MONTH"), rows)
    if not lines:
        return f"Nothing of platform {platform} is in {region}."
    summary = [f"Platform {platform} in {region}"]
    last = [f"To be decided: {one}" for one in told["undecided"]]
    if told["kept"] or told["left"]:
        unknown = f", without {', '.join(told['unpriced'])}" if told["unpriced"] else ""
        about = f"about {told['monthly_cost']:.2f} USD a month (an estimate from list prices{unknown})"
        last.append(f"What is kept or left costs {about}.")
    if told["unconfirmed"]:
        last.append(f"AWS' inventory of tags, which lags behind, still lists {', '.join(told['unconfirmed'])}.")
    if not current.having(plans.DELETE, plans.ALONG, plans.LEAVE):
        last.append("Nothing of the platform is left" + (" but for what is kept." if told["kept"] else "."))
    return "\n".join([*summary, *lines, *last])


def _entry(decision: Decision) -> Json:
    one = decision.resource
    cost = _cost(one) if one.ours else None
    entry: Json = {"kind": one.kind, "id": one.id, "name": one.name or one.id, "why": decision.reason}
    return entry if cost is None or cost.month is None else {**entry, "monthly_cost": round(cost.month, 2)}


def _cost(one: Resource) -> costs.Cost | None:
    # What is about to be deleted for good costs nothing any more.
    return None if one.scheduled else costs.resource(one.kind, one.detail)

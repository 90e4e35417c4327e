# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What things cost a month: an estimate from list prices, never a bill.

On-demand list prices in USD of us-east-1 and regions that cost the same, as published by AWS in 2026 (sources:
docs/aws-costs.md). Other regions cost up to about a third more. Neither traffic, requests, snapshots beyond their
size nor free tiers, reservations and discounts are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

HOURS = 730  # of a month, as AWS' calculator counts
GIGABYTE = 1024**3

CLUSTER_HOUR, EXTENDED_SUPPORT_HOUR = 0.10, 0.50  # the second on top, once standard support has ended
NAT_HOUR, ADDRESS_HOUR, ENDPOINT_ZONE_HOUR = 0.045, 0.005, 0.01
BALANCER_HOUR, CLASSIC_BALANCER_HOUR = 0.0225, 0.025
KEY_MONTH, SECRET_MONTH = 1.00, 0.40
IMAGE_GIGABYTE, LOG_GIGABYTE = 0.10, 0.03
VOLUME_GIGABYTE = {"gp3": 0.08, "gp2": 0.10, "io1": 0.125, "io2": 0.125, "st1": 0.045, "sc1": 0.015, "standard": 0.05}
VOLUME_SNAPSHOT_GIGABYTE = 0.05
DATABASE_GIGABYTE = {"gp3": 0.115, "gp2": 0.115, "io1": 0.125, "io2": 0.125, "standard": 0.10}
BACKUP_GIGABYTE = 0.095

# An hour of the size "large"; the other sizes of a family cost in proportion.
INSTANCE_LARGE_HOUR = {
    **{"t3": 0.0832, "t3a": 0.0752, "t4g": 0.0672},
    **{"m5": 0.096, "m6i": 0.096, "m6a": 0.0864, "m6g": 0.077, "m7i": 0.1008, "m7a": 0.11592, "m7g": 0.0816},
    **{"c5": 0.085, "c6i": 0.085, "c6g": 0.068, "c7i": 0.08925, "c7g": 0.0725},
    **{"r5": 0.126, "r6i": 0.126, "r6g": 0.1008, "r7i": 0.1323, "r7g": 0.1071},
}
DATABASE_LARGE_HOUR = {
    **{"t3": 0.145, "t4g": 0.129},
    **{"m5": 0.178, "m6i": 0.178, "m6g": 0.159, "m7g": 0.168},
    **{"r5": 0.25, "r6i": 0.25, "r6g": 0.225, "r7g": 0.239},
}
# Defaults of the roles eks and network.
NODE_TYPE, NODES, NODE_DISK = "m7i.large", 2, 50
ENDPOINTS = ("ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "elasticloadbalancing", "logs", "secretsmanager", "sts")
_SIZES = {"nano": 1 / 16, "micro": 1 / 8, "small": 1 / 4, "medium": 1 / 2, "large": 1.0, "xlarge": 2.0}


@dataclass(frozen=True)
class Cost:
    """USD a month, and of what; None when the price is not known here."""

    what: str
    month: float | None


def total(costs: Iterable[Cost]) -> float:
    """The sum of what is known, in USD a month."""
    return round(sum(one.month or 0.0 for one in costs), 2)


def _hours(price: float | None, count: float = 1) -> float | None:
    return None if price is None else price * HOURS * count


def _size(name: str) -> float | None:
    """How many times C(large) a size is."""
    if name in _SIZES:
        return _SIZES[name]
    times = name.removesuffix("xlarge")
    return 2.0 * int(times) if times.isdigit() and name != times else None


def instance_hour(kind: str, prices: Mapping[str, float]) -> float | None:
    """The price of an hour of an instance type such as m7g.large."""
    family, _dot, size = kind.partition(".")
    times = _size(size)
    return prices[family] * times if family in prices and times is not None else None


def cluster(*, extended_support: bool = False) -> Cost:
    """A control plane."""
    price = CLUSTER_HOUR + (EXTENDED_SUPPORT_HOUR if extended_support else 0)
    return Cost("EKS control plane" + (" in extended support" if extended_support else ""), _hours(price))


def nodes(kind: str, count: int, disk: float = 0) -> Cost:
    """On-demand nodes with a gp3 disk of so many GiB each."""
    price = instance_hour(kind, INSTANCE_LARGE_HOUR)
    month = None if price is None else count * (price * HOURS + disk * VOLUME_GIGABYTE["gp3"])
    return Cost(f"{count} x {kind}" + (f" with {disk:.0f} GiB each" if disk else ""), month)


def database(kind: str, gigabytes: float, storage: str = "gp3", *, multi_az: bool = False) -> Cost:
    """A PostgreSQL instance with its storage; a standby doubles both."""
    price = instance_hour(kind.removeprefix("db."), DATABASE_LARGE_HOUR)
    stored = DATABASE_GIGABYTE.get(storage)
    month = None if price is None or stored is None else (price * HOURS + stored * gigabytes) * (2 if multi_az else 1)
    return Cost(f"{kind}, {gigabytes:.0f} GiB {storage}" + (", multi-AZ" if multi_az else ""), month)


def volume(gigabytes: float, storage: str) -> Cost:
    """An EBS volume."""
    price = VOLUME_GIGABYTE.get(storage)
    return Cost(f"{gigabytes:.0f} GiB {storage}", None if price is None else price * gigabytes)


def endpoint(zones: int) -> Cost:
    """An interface endpoint in so many zones; gateway endpoints cost nothing."""
    return Cost(f"endpoint in {zones} zones", _hours(ENDPOINT_ZONE_HOUR, zones))


def resource(kind: str, detail: Mapping[str, Any]) -> Cost | None:
    """What a resource of a teardown's inventory costs; None for what is free, or paid with something else."""
    size = float(detail.get("gigabytes") or 0)
    stored = float(detail.get("bytes") or 0) / GIGABYTE
    if kind == "EKS cluster":
        return cluster()
    if kind == "instance":
        return Cost(str(detail.get("type")), _hours(instance_hour(str(detail.get("type")), INSTANCE_LARGE_HOUR)))
    if kind in ("load balancer", "classic load balancer"):
        hour = CLASSIC_BALANCER_HOUR if detail.get("type") == "classic" else BALANCER_HOUR
        return Cost("load balancer, without its traffic", _hours(hour))
    if kind == "volume":
        return volume(size, str(detail.get("storage")))
    if kind == "volume snapshot":
        return Cost(f"at most {size:.0f} GiB", size * VOLUME_SNAPSHOT_GIGABYTE)
    if kind == "database":
        return database(
            str(detail.get("class")), size, str(detail.get("storage")), multi_az=bool(detail.get("multi_az"))
        )
    if kind in ("database snapshot", "automated backup"):
        return Cost(f"at most {size:.0f} GiB", size * BACKUP_GIGABYTE)
    if kind == "NAT gateway":
        return Cost("NAT gateway, without its traffic", _hours(NAT_HOUR))
    if kind == "elastic IP":
        return Cost("public IPv4 address", _hours(ADDRESS_HOUR))
    if kind == "VPC endpoint":
        return endpoint(int(detail.get("zones") or 0)) if detail.get("type") == "Interface" else None
    if kind == "log group":
        return Cost("stored logs", stored * LOG_GIGABYTE)
    if kind == "repository":
        return Cost("at most, layers may be shared", stored * IMAGE_GIGABYTE)
    if kind == "key":
        return Cost("KMS key", KEY_MONTH)
    if kind in ("secret", "credentials of a database"):
        return Cost("secret", SECRET_MONTH)
    return None


def platform(variables: Mapping[str, Any]) -> list[Cost]:
    """What a platform will cost by its roles' variables; a missing one counts as its role's default does."""
    found = [cluster()]
    for one in variables.get("eks_nodegroups") or [{}]:
        types = one.get("instance_types") or [NODE_TYPE]
        size = one.get("scaling_config") or {}
        count = size.get("desired_size") or size.get("min_size", NODES)
        found.append(nodes(types[0], int(count), float(one.get("disk_size") or NODE_DISK)))
    found += _network(variables)
    found.append(
        database(
            str(variables.get("rds_instance_class") or "db.t4g.medium"),
            float(variables.get("rds_allocated_storage") or 20),
            multi_az=bool(variables.get("rds_multi_az")),
        )
    )
    return [*found, Cost("key for Kubernetes' Secrets", KEY_MONTH), Cost("database's managed password", SECRET_MONTH)]


def _network(variables: Mapping[str, Any]) -> list[Cost]:
    """A network of our own: its way out."""
    zones = len(variables.get("network_zones") or ()) or int(variables.get("network_zone_count") or 3)
    way = variables.get("network_nat") or "single"
    if variables.get("network_vpc_id"):
        return []
    if way == "none":
        names = variables.get("network_endpoints") or ENDPOINTS
        return [Cost(f"{len(names)} endpoints in {zones} zones each", _hours(ENDPOINT_ZONE_HOUR, len(names) * zones))]
    count = zones if way == "per_zone" else 1
    return [Cost(f"{count} x NAT gateway with its address", _hours(NAT_HOUR + ADDRESS_HOUR, count))]

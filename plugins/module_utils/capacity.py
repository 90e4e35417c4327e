# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the nodes have room for all replicas that scaling may ask for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

Object = dict[str, Any]

_QUANTITY = re.compile(r"([+-]?[0-9.]+)(|[eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)")
_UNITS = {
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    **{unit: Decimal(1000) ** -power for power, unit in enumerate(("m", "u", "n"), 1)},
    "": Decimal(1),
}
RESOURCES = ("cpu", "memory")


def quantity(text: str | float) -> Decimal:
    """A Kubernetes quantity as a number (cores, bytes)."""
    found = _QUANTITY.fullmatch(str(text))
    if not found:
        raise ValueError(f"'{text}' is no Kubernetes quantity")
    number, unit = found.groups()
    return (
        Decimal(number + unit)
        if unit[:1] in ("e", "E") and len(unit) > 1 and unit != "Ei"
        else Decimal(number) * _UNITS[unit]
    )


def requests(pod: Object) -> dict[str, Decimal]:
    """What the scheduler counts for a pod: the sum of its containers, or its largest init container."""
    spec = pod["spec"]
    found = {}
    for name in RESOURCES:
        running = sum((_request(container, name) for container in spec["containers"]), Decimal(0))
        first = max((_request(container, name) for container in spec.get("initContainers") or []), default=Decimal(0))
        found[name] = max(running, first)
    return found


def _request(container: Object, name: str) -> Decimal:
    return quantity(((container.get("resources") or {}).get("requests") or {}).get(name, 0))


def shortage(
    nodes: Iterable[Object], pods: Iterable[Object], wanted: Mapping[str, Any], replicas: int, own: Mapping[str, str]
) -> str | None:
    """A warning when C(replicas) pods with the requests C(wanted) exceed what the nodes have left.

    C(own) are labels of the pods that the replicas replace. Cordoned nodes have nothing to give; whether the cluster
    adds nodes by itself is not known here, so this is never more than a warning.
    """
    free = dict.fromkeys(RESOURCES, Decimal(0))
    usable = {node["metadata"]["name"]: node for node in nodes if not node.get("spec", {}).get("unschedulable")}
    for node in usable.values():
        for name in RESOURCES:
            free[name] += quantity(node["status"]["allocatable"].get(name, 0))
    for pod in pods:
        labels = pod["metadata"].get("labels") or {}
        if pod["spec"].get("nodeName") in usable and not own.items() <= labels.items():
            for name, used in requests(pod).items():
                free[name] -= used
    lacking = []
    for name in RESOURCES:
        needed = quantity((wanted.get("requests") or {}).get(name, 0)) * replicas
        if needed > free[name]:
            lacking.append(f"{name} {_show(name, needed)} of {_show(name, max(free[name], Decimal(0)))} left")
    if not lacking:
        return None
    return (
        f"{replicas} replicas request more than the {len(usable)} nodes have left ({', '.join(lacking)}): some pods "
        "will stay Pending unless nodes are added. Lower autoscaling_max_replicas or release_resources.requests."
    )


def _show(name: str, number: Decimal) -> str:
    return f"{number / 2**20:.0f}Mi" if name == "memory" else f"{number * 1000:.0f}m"

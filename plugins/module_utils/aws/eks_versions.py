# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which Kubernetes versions EKS supports, for how long, and the way from one to another. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError


@dataclass(frozen=True)
class Support:
    """The support of one version."""

    status: str  # STANDARD_SUPPORT or EXTENDED_SUPPORT
    standard_until: datetime | None
    days_left: int | None  # of standard support

    def result(self) -> dict[str, Any]:
        """As a module returns it."""
        until = self.standard_until.date().isoformat() if self.standard_until else None
        return {"status": self.status, "standard_until": until, "days_left": self.days_left}


def minor(version: str) -> tuple[int, int]:
    """("1.35") → (1, 35)."""
    try:
        major, _dot, rest = version.partition(".")
        return int(major), int(rest)
    except ValueError:
        raise DbosError(f"'{version}' is no Kubernetes version of EKS: give it as in \"1.35\", in quotes.") from None


def upgrade_path(current: str, wanted: str) -> list[str]:
    """The versions from the next one to the wanted one: EKS goes one minor at a time, and never back."""
    (major, now), (wanted_major, target) = minor(current), minor(wanted)
    if (wanted_major, target) < (major, now):
        raise DbosError(
            f"The cluster runs Kubernetes {current}, and EKS does not go back to {wanted}: raise eks_version."
        )
    return [f"{major}.{number}" for number in range(now + 1, target + 1)]


def supported(listed: Sequence[Mapping[str, Any]], version: str, *, extended: bool, now: datetime) -> Support:
    """How long AWS supports a version, from C(describe_cluster_versions); an error when that is not to be used."""
    known = {one["clusterVersion"]: one for one in listed}
    choice = ", ".join(sorted((name for name in known if standard(listed, name)), key=minor))
    minor(version)
    if version not in known or _status(known[version]) == "UNSUPPORTED":
        raise DbosError(f"EKS does not offer Kubernetes {version}. In standard support are {choice}.")
    end = known[version].get("endOfStandardSupportDate")
    if end is not None and end.tzinfo is None:
        end = end.replace(tzinfo=UTC)
    ended = end is not None and end < now
    if (ended or not standard(listed, version)) and not extended:
        told = f" since {end.date().isoformat()}" if end else ""
        raise DbosError(
            f"Kubernetes {version} is past AWS' standard support{told}, so a cluster costs six times as much an hour. "
            f"Choose one of {choice}, or allow it (eks_allow_extended_support: true)."
        )
    return Support(
        "EXTENDED_SUPPORT" if ended else _status(known[version]), end, (end - now).days if end and not ended else None
    )


def standard(listed: Sequence[Mapping[str, Any]], version: str) -> bool:
    """Whether a version is in standard support."""
    return any(one["clusterVersion"] == version and _status(one) == "STANDARD_SUPPORT" for one in listed)


def ending(support: Support, version: str, days: int) -> str | None:
    """The warning that is due in the last C(days) of standard support."""
    if support.days_left is None or support.standard_until is None or support.days_left >= days:
        return None
    return (
        f"AWS' standard support of Kubernetes {version} ends in {support.days_left} days, on "
        f"{support.standard_until.date().isoformat()}: upgrade until then."
    )


def _status(one: Mapping[str, Any]) -> str:
    # `status` is the older name, in lower case with hyphens.
    found = one.get("versionStatus") or one.get("status") or "UNSUPPORTED"
    return str(found).upper().replace("-", "_")

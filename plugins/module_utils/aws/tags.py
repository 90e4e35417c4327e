# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tags: what is ours, and what a tag list should become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

PLATFORM = "dbos.kubernetes/platform"  # on everything the collection makes in AWS; its value is the platform's name
Pairs = list[dict[str, str]]


def wanted(platform: str, tags: Mapping[str, str], name: str | None = None) -> dict[str, str]:
    """All tags of a resource: the user's, ours, and its name where AWS shows one."""
    return {**tags, **({"Name": name} if name else {}), PLATFORM: platform}


def owned(tags: Mapping[str, str], platform: str) -> bool:
    """Whether these are the tags of something that the collection made for this platform."""
    return tags.get(PLATFORM) == platform


def pairs(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> Pairs:
    """A dictionary as most services want tags."""
    return [{key: name, value: text} for name, text in sorted(tags.items())]


def mapping(listed: Iterable[Mapping[str, str]] | None, key: str = "Key", value: str = "Value") -> dict[str, str]:
    """The other way round."""
    return {pair[key]: pair.get(value, "") for pair in listed or []}


def missing(have: Mapping[str, str], want: Mapping[str, str]) -> dict[str, str]:
    """Tags to be set."""
    return {key: value for key, value in want.items() if have.get(key) != value}


def surplus(have: Mapping[str, str], want: Mapping[str, str]) -> list[str]:
    """Keys to be removed. AWS' own (C(aws:…)) and those that Kubernetes' controllers set can't or must not go."""
    return sorted(key for key in have if key not in want and not key.startswith(("aws:", "kubernetes.io/", "k8s.io/")))

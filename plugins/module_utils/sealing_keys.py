# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backup of the sealing keys: what it holds, and how an older backup and the cluster become one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

Object = dict[str, Any]


def backed_up(secret: Object) -> Object:
    """A sealing key's Secret as it can be restored into any namespace."""
    metadata = secret["metadata"]
    kept = {key: metadata[key] for key in ("name", "labels") if metadata.get(key)}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": kept, "type": secret["type"], "data": secret["data"]}


def parse(document: Any, path: str) -> list[Object]:
    """The keys of a decrypted backup."""
    items = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else None
    if not isinstance(items, list):
        raise DbosError(f"{path} is no backup of sealing keys. Move it away, or name another file.")
    return items


def combined(cluster: Iterable[Object], backup: Sequence[Object]) -> list[Object]:
    """All keys of the cluster, and those of the backup that the cluster no longer has: old ciphertext needs them."""
    current = [backed_up(secret) for secret in cluster]
    there = {_pair(secret) for secret in current}
    return sorted([*current, *(secret for secret in backup if _pair(secret) not in there)], key=_name)


def _pair(secret: Object) -> tuple[str, str]:
    return secret["data"].get("tls.crt", ""), secret["data"].get("tls.key", "")


def _name(secret: Object) -> tuple[str, str]:
    return secret["metadata"]["name"], secret["data"].get("tls.crt", "")

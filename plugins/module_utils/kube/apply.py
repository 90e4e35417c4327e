# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Server-side apply of many documents at once, with a truthful change report."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

# What the server writes by itself says nothing about a change of ours.
_NOISE = (
    "resourceVersion",
    "generation",
    "managedFields",
    "uid",
    "creationTimestamp",
    "selfLink",
)


@dataclass
class ApplyResult:
    """What applying the documents did, or would do."""

    changed: bool = False
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    objects: list[Object] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    @property
    def diff(self) -> dict[str, Any]:
        """Ansible's diff: only changed objects, secrets replaced by placeholders."""
        return {"before": self.before, "after": self.after}


def identity(obj: Object) -> str:
    """Kind, namespace and name for a person: C(Deployment dbos/dbos-app-v1)."""
    metadata = obj["metadata"]
    namespace = metadata.get("namespace")
    return f"{obj['kind']} {namespace + '/' if namespace else ''}{metadata['name']}"


def apply_all(client: Client, documents: Sequence[Object], *, check: bool) -> ApplyResult:
    """Apply the documents side by side; in check mode as the server's dry run.

    An object counts as changed when its content differs from what was there before: the server bumps
    resourceVersion for ownership alone, which is no change for a user. Where a dry run is impossible because the
    namespace or the kind does not exist yet, check mode reports a creation.
    """
    ordered = [document for document in documents if document["kind"] in ("Namespace", "CustomResourceDefinition")]
    rest = [document for document in documents if document not in ordered]
    pairs = parallel(lambda document: _apply(client, document, check), ordered)
    pairs += parallel(lambda document: _apply(client, document, check), rest)
    result = ApplyResult()
    for before, after in pairs:
        result.objects.append(after)
        old, new = content(before), content(after)
        if old != new:
            name = identity(after)
            result.changed = True
            result.changes.append(f"{'create' if before is None else 'update'} {name}")
            result.before[name], result.after[name] = hide(old, new)
    return result


def _apply(client: Client, document: Object, check: bool) -> tuple[Object | None, Object]:
    metadata = document["metadata"]
    before = client.get(
        document["apiVersion"],
        document["kind"],
        metadata["name"],
        metadata.get("namespace"),
    )
    try:
        return before, client.apply(document, dry_run=check)
    except KubeError as error:
        if check and before is None and error.status == 404:
            return None, document
        raise KubeError(
            f"{identity(document)} could not be applied. {error.msg}",
            status=error.status,
            reason=error.reason,
        ) from error


def content(obj: Object | None) -> Object | None:
    """An object without status and what the server writes by itself."""
    if obj is None:
        return None
    kept = {key: value for key, value in obj.items() if key != "status"}
    kept["metadata"] = {key: value for key, value in obj["metadata"].items() if key not in _NOISE}
    return kept


def hide(before: Object | None, after: Object | None) -> tuple[Object, Object]:
    """Both sides of a diff with the values of Secrets replaced: only that a key is the same, changed or new shows."""
    left, right = copy.deepcopy(before or {}), copy.deepcopy(after or {})
    if "Secret" in (left.get("kind"), right.get("kind")):
        for part in ("data", "stringData"):
            old, new = left.get(part) or {}, right.get(part) or {}
            changed = {key for key in {*old, *new} if old.get(key) != new.get(key)}
            for side, word in ((left, "before"), (right, "after")):
                if part in side:
                    side[part] = {
                        key: f"<hidden, {word}>" if key in changed else "<hidden>" for key in side[part] or {}
                    }
    return left, right

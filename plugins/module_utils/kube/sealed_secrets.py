# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SealedSecrets in a cluster: read what is there, plan, refuse before anything is touched, write, wait.

What to do is decided in sealed_secrets.py; this file only carries it out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube import watch
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealed_secrets import (
    API_VERSION,
    KIND,
    LIVE,
    Plan,
    Policy,
    Seal,
    adopt_annotation,
    differs,
    is_ours,
    manifest,
    plan,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.wanted_secrets import Wanted

# The controller retries a failed unsealing; a key that is just being restored gets this long.
GRACE = 10.0


@dataclass
class Change:
    """One Secret's plan, the live Secret, and what was or would be written."""

    planned: Plan
    secret: Object | None = field(repr=False)
    manifest: Object = field(default_factory=dict)
    changed: bool = False

    @property
    def adopts(self) -> bool:
        """Whether the live Secret has yet to be marked, so that the controller takes it over."""
        mode = self.planned.wanted.adopt
        if self.secret is None or mode is None:
            return False
        annotations = self.secret["metadata"].get("annotations") or {}
        return annotations.get(adopt_annotation(mode)) != "true"


def observe(client: Client, wanted: Sequence[Wanted], policy: Policy) -> tuple[list[Change], list[str]]:
    """What is there, compared with what is wanted, and warnings.

    Raises, before anything is touched, if a Secret is there that isn't ours.
    """

    def look(one: Wanted) -> tuple[Object | None, Object | None, bool]:
        sealed = client.get(API_VERSION, KIND, one.name, one.namespace)
        try:
            return sealed, client.get("v1", "Secret", one.name, one.namespace), True
        except KubeError as error:
            # Without the right to read Secrets, live comparison is impossible; what was asked for decides.
            if error.status != 403 or policy.idempotency == LIVE:
                raise
            return sealed, None, False

    seen = parallel(look, wanted)
    foreign = [
        f"{one.namespace}/{one.name}"
        for one, (sealed, secret, _readable) in zip(wanted, seen, strict=True)
        if secret is not None and not one.adopt and not is_ours(secret, sealed, one.name)
    ]
    if foreign:
        raise DbosError(
            f"Secret {', '.join(foreign)} exists and was not made by a SealedSecret of its name; nothing was touched. "
            "Set adopt: managed (take it over) or adopt: patch (add keys to it), or rename or delete it."
        )
    changes = [
        Change(plan(one, sealed, secret, policy, readable), secret)
        for one, (sealed, secret, readable) in zip(wanted, seen, strict=True)
    ]
    unread = [f"{one.namespace}/{one.name}" for one, look_ in zip(wanted, seen, strict=True) if not look_[2]]
    if not unread:
        return changes, []
    blind = "" if policy.mac_key else "; without fingerprint_key, changed values of keys that are there go unnoticed"
    warnings = [f"Secrets may not be read: whether {', '.join(unread)} is ours was not checked{blind}."]
    return changes, warnings


def fill_in(changes: Sequence[Change], seal: Seal | None, certificate: str, policy: Policy) -> None:
    """The manifests; without C(seal) new blobs are placeholders."""
    for change in changes:
        change.manifest = manifest(change.planned, seal, certificate, policy)
        change.changed = change.adopts or differs(change.planned.existing, change.manifest)


def write(client: Client, change: Change) -> None:
    """Write one SealedSecret: a new one by apply, an existing one as a whole, so that removed keys go away."""
    wanted = change.planned.wanted
    if change.adopts and wanted.adopt:
        mark = {"metadata": {"annotations": {adopt_annotation(wanted.adopt): "true"}}}
        client.patch("v1", "Secret", wanted.name, wanted.namespace, mark)
    existing = change.planned.existing
    try:
        change.manifest = client.apply(change.manifest) if existing is None else client.replace(change.manifest)
    except KubeError as error:
        if error.status == 404:
            raise KubeError(f"{wanted} could not be sealed. {error.msg}", error.status, error.reason) from error
        if error.reason == "Conflict":
            raise KubeError(
                f"SealedSecret {wanted.namespace}/{wanted.name} was changed by somebody else just now; run again."
            ) from error
        raise


def wait_synced(client: Client, changes: Sequence[Change], timeout: float) -> None:
    """Wait until the controller has unsealed each at the generation just written."""
    targets = {
        watch.Target(API_VERSION, KIND, change.planned.wanted.name, change.planned.wanted.namespace): change
        for change in changes
    }
    started = time.monotonic()
    generations = {change.manifest["metadata"]["uid"]: change.manifest["metadata"]["generation"] for change in changes}

    def judge(sealed: Object) -> watch.State:
        written = generations.get(sealed["metadata"]["uid"], 0)
        if sealed["metadata"]["generation"] < written:
            return watch.State(False, "not yet seen as written")
        state = watch.ready(sealed)
        refused = watch.condition(sealed, "Synced").get("status") == "False" and not state.done
        return state._replace(failed=refused and time.monotonic() - started > GRACE)

    try:
        seen = watch.wait(client, list(targets), timeout, judge=judge, progress=Progress())
    except (watch.Timeout, watch.Failed) as error:
        raise DbosError(f"{error.msg.rstrip('.')}. {_hint(error.msg)}") from error
    for target, sealed in seen.items():
        targets[target].manifest = sealed


def _hint(text: str) -> str:
    if "no key could decrypt" in text:
        return (
            "The certificate belongs to another controller, or the controller has lost its keys: leave the certificate "
            "out to use this cluster's, or restore the keys from their backup."
        )
    if "already exists and is not managed" in text:
        return "Set adopt: managed or adopt: patch."
    return "Is the Sealed Secrets controller running, and with --update-status?"


def remove(client: Client, wanted: Sequence[tuple[str, str]], *, check: bool) -> list[Any]:
    """Delete SealedSecrets (their Secrets follow, unless patched); the (namespace, name) of those that were there."""

    def delete(one: tuple[str, str]) -> Object | None:
        sealed = client.get(API_VERSION, KIND, one[1], one[0])
        if sealed is not None and not check:
            client.delete(API_VERSION, KIND, one[1], one[0], uid=sealed["metadata"]["uid"])
        return sealed

    return [sealed for sealed in parallel(delete, wanted) if sealed is not None]

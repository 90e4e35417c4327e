# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SealedSecret manifests and what may stay in them as it is; pure.

Sealing the same value twice gives different blobs, so a blob is kept as long as its value is known to be the same:
because the live Secret says so (C(live)), because a keyed hash beside it says so (C(hmac)), or because it is there
(C(presence)). C(auto) takes the best of these that is at hand. There is no unkeyed
hash: manifests live in Git, and such a hash can be searched for weak passwords.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealing import (
    CLUSTER_WIDE,
    NAMESPACE_WIDE,
    STRICT,
    label,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.wanted_secrets import Wanted

API_VERSION = "bitnami.com/v1alpha1"
KIND = "SealedSecret"
AUTO, LIVE, HMAC, PRESENCE = "auto", "live", "hmac", "presence"
IDEMPOTENCY = (AUTO, LIVE, HMAC, PRESENCE)

_GROUP = "sealedsecrets.bitnami.com"
_SCOPE_ANNOTATIONS = {NAMESPACE_WIDE: f"{_GROUP}/namespace-wide", CLUSTER_WIDE: f"{_GROUP}/cluster-wide"}
# Kept on the SealedSecret only: its template, and so the Secret, is read by more people.
SEALED_WITH = "dbos.kubernetes/sealed-with"  # key -> fingerprint of the certificate
FINGERPRINTS = "dbos.kubernetes/fingerprints"  # key -> keyed hash of value and blob

_MINIMUM_KEY = 32

Object = dict[str, Any]
Seal = Callable[[Sequence[bytes], bytes], list[str]]


@dataclass(frozen=True)
class Policy:
    """When a blob may stay: the kind of proof, the key for keyed hashes, and whether an older certificate matters."""

    idempotency: str
    mac_key: bytes | None = field(default=None, repr=False)
    certificate: str | None = None  # reseal whatever another certificate sealed
    force: bool = False


@dataclass(frozen=True)
class Plan:
    """What becomes of one Secret: the keys to seal and those that go away. The blobs come with C(manifest)."""

    wanted: Wanted
    existing: Object | None
    seal_keys: tuple[str, ...]
    removed_keys: tuple[str, ...]


def adopt_annotation(mode: str) -> str:
    """The annotation that lets the controller take over a Secret it did not make."""
    return f"{_GROUP}/{mode}"


def scope(sealed: Object) -> str:
    """The scope of a SealedSecret, judged as the controller does."""
    annotations = sealed["metadata"].get("annotations") or {}
    for name in (CLUSTER_WIDE, NAMESPACE_WIDE):
        if annotations.get(_SCOPE_ANNOTATIONS[name]) == "true":
            return name
    return STRICT


def blobs(sealed: Object | None) -> dict[str, str]:
    """Key to ciphertext."""
    found = ((sealed or {}).get("spec") or {}).get("encryptedData") or {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def is_synced(sealed: Object) -> bool:
    """Whether the controller has unsealed this very generation."""
    status = sealed.get("status") or {}
    if status.get("observedGeneration") != sealed["metadata"].get("generation"):
        return False
    return any(
        entry.get("type") == "Synced" and entry.get("status") == "True" for entry in status.get("conditions") or []
    )


def is_ours(secret: Object, sealed: Object | None, name: str) -> bool:
    """Whether the controller will write this Secret for a SealedSecret of its name."""
    metadata = secret["metadata"]
    # An owner with another uid is a deleted SealedSecret; Kubernetes is about to collect its Secret.
    if any(owner.get("kind") == KIND and owner.get("name") == name for owner in metadata.get("ownerReferences") or []):
        return True
    annotations = metadata.get("annotations") or {}
    if any(annotations.get(adopt_annotation(mode)) == "true" for mode in ("managed", "patch")):
        return True
    return sealed is not None and is_synced(sealed)


def derive_mac_key(secret: str) -> bytes:
    """The key of keyed hashes, from the user's."""
    raw = secret.encode()
    if len(raw) < _MINIMUM_KEY:
        raise DbosError(f"fingerprint_key is too short: {_MINIMUM_KEY} random characters or more keep the hashes safe.")
    return hmac.digest(raw, b"dbos.kubernetes sealed secret fingerprints v1", hashlib.sha256)


def fingerprint(mac_key: bytes, wanted: Wanted, key: str, blob: str) -> str:
    """A keyed hash over value and blob, so that an edited blob is noticed as well."""
    bound_to = label(wanted.scope, wanted.namespace, wanted.name)
    fields = (wanted.scope.encode(), bound_to, key.encode(), blob.encode(), wanted.values[key])
    message = b"".join(struct.pack(">Q", len(part)) + part for part in fields)
    return hmac.digest(mac_key, message, hashlib.sha256)[:16].hex()


def plan(wanted: Wanted, existing: Object | None, secret: Object | None, policy: Policy, readable: bool) -> Plan:
    """Which keys need a new blob, given the SealedSecret and (where it is C(readable)) the Secret as they are."""
    keep = set() if policy.force else set(_unchanged(wanted, existing, secret, policy, readable))
    removed = set(blobs(existing)) - set(wanted.values) if wanted.purge_keys else set()
    return Plan(wanted, existing, tuple(sorted(set(wanted.values) - keep)), tuple(sorted(removed)))


def manifest(planned: Plan, seal: Seal | None, certificate: str, policy: Policy) -> Object:
    """The SealedSecret to be: old blobs for what stays, C(seal(values, label)) for the rest.

    Without C(seal) (check mode) new blobs are placeholders.
    """
    wanted, existing = planned.wanted, planned.existing
    bound_to = label(wanted.scope, wanted.namespace, wanted.name)
    old = blobs(existing)
    encrypted = {key: blob for key, blob in old.items() if key not in planned.removed_keys}
    plain = [wanted.values[key] for key in planned.seal_keys]
    new = seal(plain, bound_to) if seal else ["<to be sealed>"] * len(plain)
    encrypted.update(zip(planned.seal_keys, new, strict=True))
    sealed_with = _notes(existing, SEALED_WITH) | dict.fromkeys(planned.seal_keys, certificate[:16])
    notes: dict[str, dict[str, str]] = {
        SEALED_WITH: {key: value for key, value in sealed_with.items() if key in encrypted}
    }
    macs = {key: mac for key, mac in _notes(existing, FINGERPRINTS).items() if key in encrypted}
    fresh = [] if seal else list(planned.seal_keys)
    for key in wanted.values:
        if policy.mac_key and key not in fresh:
            macs[key] = fingerprint(policy.mac_key, wanted, key, encrypted[key])
        elif key in planned.seal_keys:
            macs.pop(key, None)  # it told of the blob that is replaced
    notes[FINGERPRINTS] = macs
    return _assemble(wanted, existing, encrypted, notes)


def _assemble(
    wanted: Wanted, existing: Object | None, encrypted: Mapping[str, str], notes: Mapping[str, dict[str, str]]
) -> Object:
    scope_annotation = {_SCOPE_ANNOTATIONS[wanted.scope]: "true"} if wanted.scope != STRICT else {}
    adoption = {adopt_annotation(wanted.adopt): "true"} if wanted.adopt else {}
    template_metadata = _without_empty(
        labels=wanted.template_labels,
        annotations={**wanted.template_annotations, **scope_annotation, **adoption},
    )
    template = _without_empty(
        metadata=template_metadata,
        type=wanted.type,
        immutable=wanted.immutable,
        data=wanted.template_data,
    )
    before = copy.deepcopy((existing or {}).get("metadata") or {})
    ours = (*_SCOPE_ANNOTATIONS.values(), SEALED_WITH, FINGERPRINTS)
    foreign = {key: value for key, value in (before.get("annotations") or {}).items() if key not in ours}
    written = {key: json.dumps(value, sort_keys=True, separators=(",", ":")) for key, value in notes.items() if value}
    metadata = {
        **before,
        "name": wanted.name,
        "namespace": wanted.namespace,
        "labels": {**(before.get("labels") or {}), **wanted.labels},
        "annotations": {**foreign, **wanted.annotations, **scope_annotation, **written},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {key: value for key, value in metadata.items() if value not in ({}, None)},
        "spec": {"encryptedData": dict(sorted(encrypted.items())), "template": template},
    }


def exported(sealed: Object) -> Object:
    """A SealedSecret as it belongs in Git: without what the API server adds."""
    kept = ("name", "namespace", "labels", "annotations")
    metadata = {key: sealed["metadata"][key] for key in kept if sealed["metadata"].get(key)}
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key != "kubectl.kubernetes.io/last-applied-configuration"
    }
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": sealed["spec"]}


def differs(existing: Object | None, new: Object) -> bool:
    """Whether writing C(new) would change anything."""
    return existing is None or exported(existing) != exported(new)


def describe(sealed: Object | None, new_keys: Iterable[str] = ()) -> Object:
    """One side of a diff: everything but the blobs, of which only their state shows."""
    if sealed is None:
        return {}
    shown, new = exported(sealed), set(new_keys)
    state = {key: "<sealed, new>" if key in new else "<sealed>" for key in blobs(sealed)}
    shown["spec"] = {**shown["spec"], "encryptedData": state}
    annotations = shown["metadata"].get("annotations") or {}
    shown["metadata"]["annotations"] = {key: value for key, value in annotations.items() if key != FINGERPRINTS}
    return shown


def _unchanged(
    wanted: Wanted, existing: Object | None, secret: Object | None, policy: Policy, readable: bool
) -> Iterable[str]:
    if existing is None or scope(existing) != wanted.scope:
        return
    old = blobs(existing)
    sealed_with = _notes(existing, SEALED_WITH)
    macs = _notes(existing, FINGERPRINTS)
    # A Secret is evidence only of a SealedSecret that was unsealed as it stands; else it may be a leftover.
    live = (secret.get("data") or {}) if secret is not None and is_synced(existing) else {}
    for key in set(old) & set(wanted.values):
        if policy.certificate and sealed_with.get(key) != policy.certificate[:16]:
            continue
        if policy.idempotency == PRESENCE:
            same = True
        elif policy.mac_key and key in macs and policy.idempotency in (AUTO, HMAC):
            same = hmac.compare_digest(macs[key], fingerprint(policy.mac_key, wanted, key, old[key]))
        elif readable:
            same = key in live and hmac.compare_digest(_decoded(live[key]), wanted.values[key])
        else:
            same = policy.idempotency == AUTO and policy.mac_key is None
        if same:
            yield key


def _notes(sealed: Object | None, annotation: str) -> dict[str, str]:
    """A JSON annotation of ours; whatever else stands there counts as absent (re-encrypting drops annotations)."""
    annotations = ((sealed or {}).get("metadata") or {}).get("annotations") or {}
    try:
        found = json.loads(annotations.get(annotation, "{}"))
    except (ValueError, TypeError):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}


def _decoded(value: str) -> bytes:
    return base64.b64decode(value or "")


def _without_empty(**fields: Any) -> Object:
    return {key: value for key, value in fields.items() if value not in ({}, None, False)}

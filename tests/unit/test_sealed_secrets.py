# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user asks for, checked; what may stay as it is, decided."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils import sealed_secrets as subject
from ansible_collections.dbos.kubernetes.plugins.module_utils import sealing
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.wanted_secrets import Wanted, derived_forms, parse

KEY = rsa.generate_private_key(65537, 2048)
CERTIFICATE = "c" * 64
MAC_KEY = subject.derive_mac_key("k" * 32)
VALUES = st.dictionaries(st.from_regex(r"[-._a-zA-Z0-9]{1,12}", fullmatch=True), st.binary(max_size=40), min_size=1)
SCOPE = st.sampled_from(sealing.SCOPES)
MODE = st.sampled_from(["auto", "live", "hmac"])


def item(**options: Any) -> dict[str, Any]:
    return {"name": "db", "namespace": "ns", **options}


def wanted(values: dict[str, bytes], **options: Any) -> Wanted:
    return Wanted(name="db", namespace="ns", values=values, **options)


def seal(values: Sequence[bytes], label: bytes) -> list[str]:
    return sealing.seal_all(KEY.public_key(), values, label)


def policy(idempotency: str = "auto", **options: Any) -> subject.Policy:
    mac_key = MAC_KEY if idempotency == "hmac" else None
    return subject.Policy(idempotency, options.pop("mac_key", mac_key), **options)


def stored(one: Wanted, how: subject.Policy, existing: Any = None, secret: Any = None) -> dict[str, Any]:
    """What is in the cluster after sealing and unsealing."""
    planned = subject.plan(one, existing, secret, how, readable=True)
    sealed = subject.manifest(planned, seal, CERTIFICATE, how)
    generation = 1 if existing is None else existing["metadata"]["generation"] + subject.differs(existing, sealed)
    sealed["metadata"] |= {"uid": "u", "generation": generation}
    sealed["status"] = {"observedGeneration": generation, "conditions": [{"type": "Synced", "status": "True"}]}
    return sealed


def unsealed(sealed: dict[str, Any], existing: Any = None) -> dict[str, Any]:
    """The controller's part."""
    label = sealing.label(subject.scope(sealed), "ns", "db")
    values = {key: sealing.unseal(KEY, blob, label) for key, blob in subject.blobs(sealed).items()}
    owner = {"kind": "SealedSecret", "name": "db", "uid": "u"}
    return {
        "metadata": {"name": "db", "namespace": "ns", "ownerReferences": [owner]},
        "data": {key: base64.b64encode(value).decode() for key, value in values.items()},
    }


@settings(max_examples=40, deadline=None)
@given(VALUES, SCOPE, MODE)
def test_a_second_run_changes_nothing(values: dict[str, bytes], scope: str, mode: str) -> None:
    one = wanted(values, scope=scope)
    sealed = stored(one, policy(mode))
    planned = subject.plan(one, sealed, unsealed(sealed), policy(mode), readable=mode != "hmac")
    assert planned.seal_keys == planned.removed_keys == ()
    assert not subject.differs(sealed, subject.manifest(planned, seal, CERTIFICATE, policy(mode)))


@settings(max_examples=40, deadline=None)
@given(VALUES, VALUES, SCOPE, SCOPE, MODE)
def test_only_what_changed_is_sealed_and_the_controller_gets_what_was_asked(
    before: dict[str, bytes], after: dict[str, bytes], old_scope: str, new_scope: str, mode: str
) -> None:
    sealed = stored(wanted(before, scope=old_scope), policy(mode))
    one = wanted(after, scope=new_scope)
    planned = subject.plan(one, sealed, unsealed(sealed), policy(mode), readable=True)
    if old_scope == new_scope:
        assert set(planned.seal_keys) == {key for key in after if after[key] != before.get(key)}
    else:
        assert set(planned.seal_keys) == set(after)
    assert set(planned.removed_keys) == set(before) - set(after)
    new = subject.manifest(planned, seal, CERTIFICATE, policy(mode))
    assert {key: base64.b64decode(value) for key, value in unsealed(new)["data"].items()} == after
    for key in set(after) - set(planned.seal_keys):
        assert subject.blobs(new)[key] == subject.blobs(sealed)[key]


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_nothing_that_is_kept_tells_a_value(values: dict[str, bytes]) -> None:
    one = wanted({key: b"needle-" + value for key, value in values.items()})
    first = stored(one, policy("hmac"))
    text = json.dumps([first, subject.describe(first)]) + repr(one) + repr(policy("hmac"))
    assert "needle" not in text
    assert base64.b64encode(b"needle-").decode()[:8] not in text
    annotations = first["metadata"]["annotations"]
    other_key = subject.Policy("hmac", subject.derive_mac_key("o" * 32))
    again = subject.manifest(subject.plan(one, first, None, other_key, False), seal, CERTIFICATE, other_key)
    assert again["metadata"]["annotations"][subject.FINGERPRINTS] != annotations[subject.FINGERPRINTS]


def test_a_value_edited_in_the_cluster_is_sealed_again() -> None:
    one = wanted({"a": b"1", "b": b"2"})
    sealed = stored(one, policy())
    secret = unsealed(sealed)
    secret["data"]["b"] = base64.b64encode(b"edited").decode()
    assert subject.plan(one, sealed, secret, policy(), True).seal_keys == ("b",)


@pytest.mark.parametrize("status", [{}, {"observedGeneration": 0}, {"observedGeneration": 1, "conditions": []}])
def test_a_secret_is_no_evidence_of_what_was_not_unsealed(status: dict[str, Any]) -> None:
    one = wanted({"a": b"1"})
    sealed = stored(one, policy())
    secret = unsealed(sealed)
    sealed["status"] = status
    assert subject.plan(one, sealed, secret, policy(), True).seal_keys == ("a",)


def test_an_edited_blob_is_noticed_without_a_cluster() -> None:
    one = wanted({"a": b"1"})
    sealed = stored(one, policy("hmac"))
    sealed["spec"]["encryptedData"]["a"] = seal([b"other"], b"ns/db")[0]
    assert subject.plan(one, sealed, None, policy("hmac"), False).seal_keys == ("a",)


@pytest.mark.parametrize("annotation", [None, "", "[]", "null", '{"a": 1}', "no json"])
def test_lost_notes_mean_sealing_again_and_never_an_error(annotation: str | None) -> None:
    one = wanted({"a": b"1"})
    sealed = stored(one, policy("hmac"))
    sealed["metadata"]["annotations"][subject.FINGERPRINTS] = annotation
    assert subject.plan(one, sealed, None, policy("hmac"), False).seal_keys == ("a",)
    assert subject.plan(one, sealed, unsealed(sealed), policy("hmac"), True).seal_keys == ()


def test_presence_sees_new_and_missing_keys_only() -> None:
    sealed = stored(wanted({"a": b"1", "old": b"2"}), policy("presence"))
    planned = subject.plan(wanted({"a": b"changed", "new": b"3"}), sealed, None, policy("presence"), False)
    assert (planned.seal_keys, planned.removed_keys) == (("new",), ("old",))
    kept = subject.plan(wanted({"a": b"1"}, purge_keys=False), sealed, None, policy("presence"), False)
    assert kept.removed_keys == ()
    assert set(subject.blobs(subject.manifest(kept, seal, CERTIFICATE, policy()))) == {"a", "old"}


def test_a_new_certificate_reseals_only_when_asked() -> None:
    one = wanted({"a": b"1"})
    sealed = stored(one, policy())
    live = unsealed(sealed)
    assert subject.plan(one, sealed, live, policy(certificate=CERTIFICATE), True).seal_keys == ()
    assert subject.plan(one, sealed, live, policy(certificate="d" * 64), True).seal_keys == ("a",)
    assert subject.plan(one, sealed, live, policy(force=True), True).seal_keys == ("a",)


def test_scope_and_adoption_stand_where_the_controller_reads_them() -> None:
    one = wanted({"a": b"1"}, scope="namespace-wide", adopt="patch", template_data={"b": None})
    sealed = stored(one, policy())
    scope = {"sealedsecrets.bitnami.com/namespace-wide": "true"}
    assert scope.items() <= sealed["metadata"]["annotations"].items()
    template = sealed["spec"]["template"]
    assert template["metadata"]["annotations"] == scope | {"sealedsecrets.bitnami.com/patch": "true"}
    assert template["data"] == {"b": None}
    strict = subject.manifest(
        subject.plan(wanted({"a": b"1"}), sealed, None, policy(), True), seal, CERTIFICATE, policy()
    )
    assert not scope.keys() & strict["metadata"]["annotations"].keys()


def test_others_labels_and_annotations_stay() -> None:
    sealed = stored(wanted({"a": b"1"}), policy())
    sealed["metadata"]["labels"] = {"team": "x"}
    sealed["metadata"]["annotations"]["argocd.example/hook"] = "y"
    one = wanted({"a": b"1"}, labels={"app": "z"})
    new = subject.manifest(subject.plan(one, sealed, unsealed(sealed), policy(), True), seal, CERTIFICATE, policy())
    assert new["metadata"]["labels"] == {"team": "x", "app": "z"}
    assert new["metadata"]["annotations"]["argocd.example/hook"] == "y"
    assert subject.differs(sealed, new)


def test_whose_a_secret_is() -> None:
    def secret(**metadata: Any) -> dict[str, Any]:
        return {"metadata": {"name": "db", **metadata}}

    synced = stored(wanted({"a": b"1"}), policy())
    assert not subject.is_ours(secret(), None, "db")
    assert not subject.is_ours(secret(ownerReferences=[{"kind": "SealedSecret", "name": "else"}]), None, "db")
    assert subject.is_ours(secret(ownerReferences=[{"kind": "SealedSecret", "name": "db"}]), None, "db")
    assert subject.is_ours(secret(annotations={"sealedsecrets.bitnami.com/managed": "true"}), None, "db")
    assert subject.is_ours(secret(), synced, "db")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "has no keys"),
        ({"string_data": {"a": None}}, "key a has no value"),
        ({"string_data": {"a": 12}}, "no string; quote it"),
        ({"string_data": {"a b": "x"}}, "'a b' has others"),
        ({"data": {"a": "!!"}}, "no base64"),
        ({"data": {"a": "YQ=="}, "string_data": {"a": "a"}}, "keep one"),
        ({"string_data": {"a": "x" * 1024 * 1024}}, "at most 1048576"),
        ({"string_data": {"tls.crt": "x"}, "type": "kubernetes.io/tls"}, "needs the key tls.key"),
        ({"string_data": {"x": "x"}, "type": "kubernetes.io/basic-auth"}, "password or username"),
        ({"string_data": {".dockerconfigjson": "{"}, "type": "kubernetes.io/dockerconfigjson"}, "no JSON"),
        ({"string_data": {"a": "x"}, "name": "A_b"}, "lower-case"),
        ({"string_data": {"a": "x"}, "namespace": "a.b"}, "lower-case"),
        ({"string_data": {"a": "x"}, "namespace": None}, "needs a namespace"),
        ({"string_data": {"a": "x"}, "labels": {"n": 1}}, "quote n"),
    ],
)
def test_bad_input_is_one_clear_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DbosError, match=message):
        parse([item(**options)], None)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(DbosError) as caught:
        parse([item(), item(name="x", string_data={"a": None}), *[item(name="y", string_data={"a": ""})] * 2], None)
    assert all(part in caught.value.msg for part in ("ns/db has no keys", "ns/x", "ns/y is listed twice"))


def test_short_fingerprint_keys_are_refused() -> None:
    with pytest.raises(DbosError, match="too short"):
        subject.derive_mac_key("short")


def test_both_spellings_of_a_value_are_hidden() -> None:
    forms = derived_forms([item(string_data={"a": "secret"}, data={"b": base64.b64encode(b"other").decode()})])
    assert forms == {base64.b64encode(b"secret").decode(), "other"}

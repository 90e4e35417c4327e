# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Secret should be, from the options of sealed_secret and sealed_secret_pipe: checked, and in bytes."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealing import SCOPES, STRICT

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

MAX_BYTES = 1024 * 1024  # the API server's limit for all values of one Secret

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")

# Each type's keys: all of the first group, or at least one of the second.
_REQUIRED: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "kubernetes.io/tls": (frozenset({"tls.crt", "tls.key"}), frozenset()),
    "kubernetes.io/dockerconfigjson": (frozenset({".dockerconfigjson"}), frozenset()),
    "kubernetes.io/dockercfg": (frozenset({".dockercfg"}), frozenset()),
    "kubernetes.io/ssh-auth": (frozenset({"ssh-privatekey"}), frozenset()),
    "kubernetes.io/basic-auth": (frozenset(), frozenset({"username", "password"})),
}


@dataclass(frozen=True)
class Wanted:
    """One Secret, as it should be."""

    name: str
    namespace: str
    values: dict[str, bytes] = field(repr=False)
    scope: str = STRICT
    type: str = "Opaque"
    immutable: bool = False
    adopt: str | None = None
    purge_keys: bool = True
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    template_labels: dict[str, str] = field(default_factory=dict)
    template_annotations: dict[str, str] = field(default_factory=dict)
    template_data: dict[str, str | None] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"Secret {self.namespace}/{self.name}"


def sealing_spec() -> dict[str, Any]:
    """Options of both sealing modules; documented in the fragment dbos.kubernetes.sealing."""
    return {
        "secrets": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "no_log": False,
            "options": _secret_spec(),
        },
        "namespace": {"type": "str"},
        "fingerprint_key": {"type": "str", "no_log": True},
        "force": {"type": "bool", "default": False},
    }


def _secret_spec() -> dict[str, Any]:
    return {
        "name": {"type": "str", "required": True},
        "namespace": {"type": "str"},
        "data": {"type": "dict", "no_log": True},
        "string_data": {"type": "dict", "no_log": True},
        "type": {"type": "str", "default": "Opaque"},
        "scope": {"type": "str", "default": STRICT, "choices": list(SCOPES)},
        "labels": {"type": "dict", "default": {}},
        "annotations": {"type": "dict", "default": {}},
        "template": {
            "type": "dict",
            "default": {},
            "options": {
                "labels": {"type": "dict", "default": {}},
                "annotations": {"type": "dict", "default": {}},
                "data": {"type": "dict", "default": {}},
            },
        },
        "immutable": {"type": "bool", "default": False},
        "adopt": {"type": "str", "choices": ["managed", "patch"]},
        "purge_keys": {"type": "bool", "default": True, "no_log": False},
    }


def derived_forms(items: list[dict[str, Any]]) -> set[str]:
    """Other spellings of the values, for AnsibleModule.no_log_values: base64 for plain values and the reverse."""
    forms: set[str] = set()
    for item in items:
        for value in (item.get("string_data") or {}).values():
            if isinstance(value, str) and value:
                forms.add(base64.b64encode(value.encode()).decode())
        for value in (item.get("data") or {}).values():
            try:
                forms.add(base64.b64decode(str(value), validate=True).decode())
            except (binascii.Error, ValueError):
                continue
    return forms - {""}


def without_masking(module: AnsibleModule, result: dict[str, Any]) -> dict[str, Any]:
    """A result that holds names and ciphertext only, spared Ansible's masking.

    Masking replaces a value's characters wherever they occur, so a password such as "1" would garble the ciphertext;
    and it is slow. It is left out together with the arguments, which do hold the values.
    """
    module.no_log_values.clear()
    names = [item["name"] for item in module.params["secrets"]]
    return {**result, "invocation": {"module_args": {"secrets": names, "namespace": module.params["namespace"]}}}


def short_values(wanted: list[Wanted]) -> list[str]:
    """Warnings about values that will make Ansible's output of other tasks hard to read."""
    short = sorted(f"{one} key {key}" for one in wanted for key, value in one.values.items() if 0 < len(value) < 4)
    if not short:
        return []
    return [f"So short that Ansible masks its characters wherever they occur in its output: {', '.join(short)}."]


def parse(items: list[dict[str, Any]], namespace: str | None) -> list[Wanted]:
    """The module's C(secrets) with a default namespace; one error says everything that is wrong."""
    wanted, problems = [], []
    for item in items:
        try:
            wanted.append(parse_one(item, item.get("namespace") or namespace))
        except DbosError as error:
            problems.append(error.msg)
    identities = [(one.namespace, one.name) for one in wanted]
    for namespace_, name in sorted({one for one in identities if identities.count(one) > 1}):
        problems.append(f"Secret {namespace_}/{name} is listed twice.")
    if problems:
        raise DbosError(" ".join(problems))
    return wanted


def parse_one(item: Mapping[str, Any], namespace: str | None) -> Wanted:
    """One element of C(secrets)."""
    name = str(item["name"])
    if not namespace:
        raise DbosError(f"Secret {name} needs a namespace: a sealed value is bound to it.")
    where = f"Secret {namespace}/{name}"
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise DbosError(f"{where}: the name may have lower-case letters, digits, '-' and '.', at most 253 characters.")
    if not _NAMESPACE.fullmatch(namespace):
        raise DbosError(f"{where}: the namespace may have lower-case letters, digits and '-', at most 63 characters.")
    values = _values(item, where)
    template = item.get("template") or {}
    _check_type(item.get("type") or "Opaque", values, template.get("data") or {}, where)
    return Wanted(
        name=name,
        namespace=namespace,
        values=values,
        scope=item.get("scope") or STRICT,
        type=item.get("type") or "Opaque",
        immutable=bool(item.get("immutable")),
        adopt=item.get("adopt"),
        purge_keys=item.get("purge_keys", True),
        labels=_strings(item.get("labels"), "labels", where),
        annotations=_strings(item.get("annotations"), "annotations", where),
        template_labels=_strings(template.get("labels"), "template.labels", where),
        template_annotations=_strings(template.get("annotations"), "template.annotations", where),
        template_data={
            key: None if value is None else str(value) for key, value in (template.get("data") or {}).items()
        },
    )


def _values(item: Mapping[str, Any], where: str) -> dict[str, bytes]:
    data, string_data = item.get("data") or {}, item.get("string_data") or {}
    both = sorted(set(data) & set(string_data))
    if both:
        raise DbosError(f"{where}: {', '.join(both)} is in data and in string_data; keep one.")
    values: dict[str, bytes] = {}
    for key, value in {**data, **string_data}.items():
        if not _KEY.fullmatch(key) or key in (".", ".."):
            raise DbosError(f"{where}: a key may have letters, digits, '-', '_' and '.', and {key!r} has others.")
        if value is None:
            raise DbosError(f"{where}: key {key} has no value. Is the variable or environment variable behind it set?")
        if not isinstance(value, str):
            raise DbosError(f"{where}: the value of key {key} is no string; quote it in YAML.")
        if key in string_data:
            values[key] = value.encode("utf-8", "surrogateescape")
            continue
        try:
            values[key] = base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            raise DbosError(
                f"{where}: the value of key {key} in data is no base64; use string_data for text."
            ) from None
    if not values:
        raise DbosError(f"{where} has no keys: give data or string_data.")
    total = sum(len(key) + len(value) for key, value in values.items())
    if total > MAX_BYTES:
        raise DbosError(f"{where} holds {total} bytes; Kubernetes takes at most {MAX_BYTES} in one Secret. Split it.")
    return values


def _check_type(kind: str, values: Mapping[str, bytes], rendered: Mapping[str, Any], where: str) -> None:
    every, one_of = _REQUIRED.get(kind, (frozenset(), frozenset()))
    present = {*values, *rendered}
    missing = sorted(every - present)
    if missing:
        raise DbosError(f"{where}: type {kind} needs the key {' and '.join(missing)}.")
    if one_of and not one_of & present:
        raise DbosError(f"{where}: type {kind} needs the key {' or '.join(sorted(one_of))}.")
    for key in (".dockerconfigjson", ".dockercfg"):
        if key in every and key in values:
            try:
                json.loads(values[key])
            except ValueError:
                raise DbosError(f"{where}: the value of key {key} is no JSON, as type {kind} wants.") from None


def _strings(mapping: Mapping[str, Any] | None, option: str, where: str) -> dict[str, str]:
    wrong = sorted(key for key, value in (mapping or {}).items() if not isinstance(value, str))
    if wrong:
        raise DbosError(f"{where}: {option} must be strings; quote {', '.join(wrong)} in YAML.")
    return dict(mapping or {})

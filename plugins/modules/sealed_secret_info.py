#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sealed_secret_info
short_description: Read SealedSecrets, the sealing certificate and the ages of the sealing keys
version_added: 1.0.0
description:
  - Tells for each SealedSecret its scope, keys, and whether the controller has unsealed it; and when the certificate expires.
  - Reads no values. Sealing keys are looked at only where Secrets of the controller's namespace may be read.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.kubernetes
  - dbos.kubernetes.sealing.controller
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  namespace:
    description: Namespace to look in; all when not given.
    type: str
  names:
    description: Names of the SealedSecrets; all when not given. What does not exist is not returned.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Look after the secrets of a namespace
  dbos.kubernetes.sealed_secret_info:
    namespace: dbos
  register: sealed

- name: Fail when one is not unsealed
  ansible.builtin.assert:
    that: sealed.secrets | rejectattr('synced') | length == 0
"""

RETURN = r"""
secrets:
  description: One entry per SealedSecret.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      returned: always
    namespace:
      description: Its namespace.
      type: str
      returned: always
    scope:
      description: What its values are bound to.
      type: str
      returned: always
    sealed_keys:
      description: The sealed keys.
      type: list
      elements: str
      returned: always
    type:
      description: Type of the Secret.
      type: str
      returned: always
    synced:
      description: Whether the controller has unsealed it as it stands.
      type: bool
      returned: always
    message:
      description: What the controller said when it could not.
      type: str
      returned: always
certificate:
  description: The controller's current certificate.
  returned: when there is a controller that gives it
  type: dict
  contains:
    controller:
      description: Namespace and name of the controller's Service.
      type: str
      returned: always
    fingerprint:
      description: SHA-256 of the public key.
      type: str
      returned: always
    not_before:
      description: When it was made.
      type: str
      returned: always
    not_after:
      description: When it expires.
      type: str
      returned: always
sealing_keys:
  description: The controller's keys, oldest first; null when they may not be read.
  returned: when there is a controller
  type: list
  elements: dict
  contains:
    name:
      description: Name of the Secret that holds the key.
      type: str
      returned: always
    fingerprint:
      description: SHA-256 of the public key.
      type: str
      returned: always
    age_days:
      description: Whole days since it was made.
      type: int
      returned: always
    not_after:
      description: When its certificate expires.
      type: str
      returned: always
    active:
      description: Whether the controller uses it.
      type: bool
      returned: always
problem:
  description: Why there is no certificate.
  returned: when there is none
  type: str
"""

from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.sealing_controller import (
    fetch_certificate,
    find_controller,
    sealing_keys,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealed_secrets import (
    API_VERSION,
    KIND,
    Object,
    blobs,
    is_synced,
    scope,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealing import parse_certificate


def sealed_secret_info(module: AnsibleModule) -> dict[str, Any]:
    """Read."""
    check_library(module, "kubernetes", "cryptography")
    params = module.params
    client = Client.from_params(params)
    found = client.list(API_VERSION, KIND, params["namespace"])
    names = params["names"]
    listed = [_secret(sealed) for sealed in found if not names or sealed["metadata"]["name"] in names]
    result: dict[str, Any] = {"changed": False, "secrets": listed}
    try:
        controller = find_controller(client, params["controller_namespace"], params["controller_name"])
        result["sealing_keys"] = _keys(client, controller.namespace)
        certificate = parse_certificate(fetch_certificate(client, controller))
    except DbosError as error:
        return {**result, "problem": error.msg}
    result["certificate"] = {
        "controller": str(controller),
        "fingerprint": certificate.fingerprint,
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
    }
    return result


def _secret(sealed: Object) -> dict[str, Any]:
    conditions = (sealed.get("status") or {}).get("conditions") or []
    return {
        "name": sealed["metadata"]["name"],
        "namespace": sealed["metadata"]["namespace"],
        "scope": scope(sealed),
        "sealed_keys": sorted(blobs(sealed)),
        "type": (sealed["spec"].get("template") or {}).get("type") or "Opaque",
        "synced": is_synced(sealed),
        "message": next((entry.get("message") or "" for entry in conditions if entry.get("type") == "Synced"), ""),
    }


def _keys(client: Client, namespace: str) -> list[dict[str, Any]] | None:
    try:
        found = sealing_keys(client, namespace)
    except KubeError as error:
        if error.status != 403:
            raise
        return None
    now = datetime.now(UTC)
    return [
        {
            "name": key.name,
            "fingerprint": key.fingerprint,
            "age_days": (now - key.not_before).days,
            "not_after": key.not_after.isoformat(),
            "active": key.active,
        }
        for key in found
    ]


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "namespace": {"type": "str"},
                "names": {"type": "list", "elements": "str", "default": []},
                "controller_namespace": {"type": "str"},
                "controller_name": {"type": "str"},
            },
            supports_check_mode=True,
        ),
        sealed_secret_info,
    )


if __name__ == "__main__":
    main()

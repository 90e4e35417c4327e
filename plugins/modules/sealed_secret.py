#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sealed_secret
short_description: Seal many Secrets and apply them
version_added: 1.0.0
description:
  - Seals values as C(kubeseal) does, in Python, writes the SealedSecrets side by side, and waits until the Sealed Secrets controller has
    unsealed each as written.
  - A value that is known to be the same keeps its ciphertext, key by key, so that a second run changes nothing.
  - The certificate is read from the controller through the API server, and only if something has to be sealed.
  - Fails before it touches anything when a Secret of the name exists and is not the SealedSecret's, when the controller is absent or goes
    by another name, when the certificate is none, is no controller's or has expired, or when a value or a key that the Secret's type needs
    is missing.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.kubernetes
  - dbos.kubernetes.lease
  - dbos.kubernetes.sealing
  - dbos.kubernetes.sealing.controller
attributes:
  check_mode:
    support: full
    details: Seals nothing. Where there is no controller yet, says so and reports what would change.
  diff_mode:
    support: full
    details: Shows which keys would be sealed, never values nor ciphertext.
  idempotent:
    support: full
    details: Where Secrets may not be read and there is no O(fingerprint_key), changed values go unnoticed; a warning says so.
options:
  state:
    description: With V(absent) the SealedSecrets are deleted, and with them their Secrets, except those they only patched.
    type: str
    choices: [present, absent]
    default: present
  certificate:
    description: PEM text, path or URL of the certificate to seal with. The controller's current one when not given.
    type: str
  idempotency:
    description:
      - How a value is known to be the same. V(live) compares with the Secret in the cluster; V(hmac) with a keyed hash that was kept when
        it was sealed, and with the Secret where there is none; V(presence) takes every key that is there as unchanged.
      - V(auto) takes V(hmac) with a O(fingerprint_key), else V(live), else, where Secrets may not be read, V(presence) with a warning.
    type: str
    choices: [auto, live, hmac, presence]
    default: auto
  reseal_on_certificate_change:
    description:
      - Whether to seal anew what an older certificate sealed. The controller keeps its old keys, and makes a new one every 30 days,
        so this means a change a month.
    type: bool
    default: false
  manifests_directory:
    description:
      - Folder, on the host the module runs on, for the SealedSecrets as they belong in Git, in files C(sealed-<name>.yaml). They hold
        ciphertext, which is public, and change only where a value has changed.
    type: path
  wait:
    description: Whether to wait until the controller has unsealed what was written, and what was found not yet unsealed.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 60
seealso:
  - module: dbos.kubernetes.sealed_secret_pipe
  - module: dbos.kubernetes.sealed_secret_info
"""

EXAMPLES = r"""
- name: Seal what the application needs
  dbos.kubernetes.sealed_secret:
    namespace: dbos
    secrets:
      - name: dbos-app-db
        string_data:
          database-url: "{{ database_url }}"
      - name: conductor-api-key
        string_data:
          api-key: "{{ lookup('ansible.builtin.env', 'CONDUCTOR_API_KEY') }}"

- name: Take over a Secret that was made by hand
  dbos.kubernetes.sealed_secret:
    secrets:
      - name: dbos-tls
        namespace: dbos
        type: kubernetes.io/tls
        adopt: managed
        string_data:
          tls.crt: "{{ lookup('ansible.builtin.file', 'tls.crt') }}"
          tls.key: "{{ tls_key }}"
"""

RETURN = r"""
secrets:
  description: One entry per Secret, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the Secret.
      type: str
      returned: always
    namespace:
      description: Its namespace.
      type: str
      returned: always
    changed_keys:
      description: Keys that were sealed, or would be.
      type: list
      elements: str
      returned: always
    removed_keys:
      description: Keys that were removed, or would be.
      type: list
      elements: str
      returned: always
    synced:
      description: Whether the controller has unsealed it as it stands.
      type: bool
      returned: always
certificate:
  description: The certificate that was sealed with.
  returned: when something was sealed
  type: dict
  contains:
    fingerprint:
      description: SHA-256 of its public key.
      type: str
      returned: success
    not_after:
      description: When it expires.
      type: str
      returned: success
"""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import sealed_files
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import identity
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.sealed_secrets import (
    Change,
    fill_in,
    observe,
    remove,
    wait_synced,
    write,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.sealing_controller import (
    ControllerAbsent,
    fetch_certificate,
    find_controller,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealed_secrets import (
    IDEMPOTENCY,
    Policy,
    derive_mac_key,
    describe,
    is_synced,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealing import Certificate, parse_certificate, seal_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealing_certificate import load_certificate
from ansible_collections.dbos.kubernetes.plugins.module_utils.wanted_secrets import (
    derived_forms,
    parse,
    sealing_spec,
    short_values,
    without_masking,
)


def sealed_secret(module: AnsibleModule) -> dict[str, Any]:
    """Seal and apply, or delete."""
    check_library(module, "kubernetes", "cryptography")
    params = module.params
    module.no_log_values.update(derived_forms(params["secrets"]))
    given = load_certificate(params["certificate"]) if params["certificate"] else None
    wanted = parse(params["secrets"], params["namespace"]) if params["state"] == "present" else []
    if params["manifests_directory"] and len({one.name for one in wanted}) < len(wanted):
        raise DbosError("Two of the Secrets have one name, so their files would too: seal them in two tasks.")
    mac_key = derive_mac_key(params["fingerprint_key"]) if params["fingerprint_key"] else None
    client = Client.from_params(params)
    if params["lease"] and not module.check_mode:
        Lease(client, params["namespace"], params["lease"]).hold()
    if params["state"] == "absent":
        return _absent(module, client)

    certificate = given or (_certificate(module, client) if params["reseal_on_certificate_change"] else None)
    current = certificate.fingerprint if certificate and params["reseal_on_certificate_change"] else None
    policy = Policy(params["idempotency"], mac_key, current, params["force"])
    changes, warnings = observe(client, wanted, policy)
    for warning in [*warnings, *short_values(wanted)]:
        module.warn(warning)
    if any(change.planned.seal_keys for change in changes) and certificate is None:
        certificate = _certificate(module, client)
    _write(module, client, changes, certificate, policy)
    written = _write_files(module, changes)
    return _result(module, changes, certificate, written)


def _certificate(module: AnsibleModule, client: Client) -> Certificate | None:
    """The controller's; None in check mode when there is no controller yet."""
    try:
        controller = find_controller(client, module.params["controller_namespace"], module.params["controller_name"])
    except ControllerAbsent as error:
        if not module.check_mode:
            raise
        module.warn(f"{error.msg} Only because this is check mode, the task goes on.")
        return None
    certificate = parse_certificate(fetch_certificate(client, controller))
    certificate.check(datetime.now(UTC))
    return certificate


def _write(
    module: AnsibleModule, client: Client, changes: list[Change], certificate: Certificate | None, policy: Policy
) -> None:
    if module.check_mode or certificate is None:
        # Without a certificate nothing is to be sealed, unless this is check mode.
        fill_in(changes, None, "", policy)
    else:
        fill_in(changes, partial(seal_all, certificate.public_key), certificate.fingerprint, policy)
    if module.check_mode:
        return
    parallel(lambda change: write(client, change), [change for change in changes if change.changed])
    open_ = [change for change in changes if change.changed or not is_synced(change.manifest)]
    if open_ and module.params["wait"]:
        wait_synced(client, open_, module.params["wait_timeout"])


def _write_files(module: AnsibleModule, changes: list[Change]) -> bool:
    """Whether a manifest for Git has, or would have, changed."""
    if not module.params["manifests_directory"]:
        return False
    folder, written = Path(module.params["manifests_directory"]), False
    for change in changes:
        path = folder / f"sealed-{change.planned.wanted.name}.yaml"
        written |= sealed_files.write(path, sealed_files.text([change.manifest]), check=module.check_mode)
    return written


def _result(
    module: AnsibleModule, changes: list[Change], certificate: Certificate | None, written: bool
) -> dict[str, Any]:
    changed = [change for change in changes if change.changed]
    result: dict[str, Any] = {
        "changed": bool(changed) or written,
        "secrets": [
            {
                "name": change.planned.wanted.name,
                "namespace": change.planned.wanted.namespace,
                "changed_keys": list(change.planned.seal_keys),
                "removed_keys": list(change.planned.removed_keys),
                "synced": not (module.check_mode and change.changed) and is_synced(change.manifest),
            }
            for change in changes
        ],
        "diff": {
            "before": {identity(change.manifest): describe(change.planned.existing) for change in changed},
            "after": {
                identity(change.manifest): describe(change.manifest, change.planned.seal_keys) for change in changed
            },
        },
    }
    if certificate and any(change.planned.seal_keys for change in changes):
        not_after = certificate.not_after.isoformat()
        result["certificate"] = {"fingerprint": certificate.fingerprint, "not_after": not_after}
    return without_masking(module, result)


def _absent(module: AnsibleModule, client: Client) -> dict[str, Any]:
    named = [(item["namespace"] or module.params["namespace"], item["name"]) for item in module.params["secrets"]]
    if not all(namespace for namespace, _name in named):
        module.fail_json(msg="Give each Secret a namespace, or set namespace for all of them.")
    removed = remove(client, named, check=module.check_mode)
    return {
        "changed": bool(removed),
        "secrets": [
            {"name": name, "namespace": namespace, "changed_keys": [], "removed_keys": [], "synced": False}
            for namespace, name in named
        ],
        "diff": {"before": {identity(sealed): describe(sealed) for sealed in removed}, "after": {}},
    }


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                **sealing_spec(),
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "certificate": {"type": "str"},
                "controller_namespace": {"type": "str"},
                "controller_name": {"type": "str"},
                "idempotency": {"type": "str", "choices": list(IDEMPOTENCY), "default": "auto"},
                "reseal_on_certificate_change": {"type": "bool", "default": False},
                "lease": {"type": "str"},
                "manifests_directory": {"type": "path"},
                "wait": {"type": "bool", "default": True},
                "wait_timeout": {"type": "int", "default": 60},
            },
            required_by={"lease": "namespace"},
            required_if=[("idempotency", "hmac", ["fingerprint_key"])],
            supports_check_mode=True,
        ),
        sealed_secret,
    )


if __name__ == "__main__":
    main()

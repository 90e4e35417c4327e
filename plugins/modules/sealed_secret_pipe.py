#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sealed_secret_pipe
short_description: Seal Secrets into manifests, without a cluster
version_added: 1.0.0
description:
  - Returns SealedSecrets, for Git, sealed with a certificate from a file, a URL or a variable. Uses no Kubernetes library and no cluster.
  - Given the manifests as they are in Git, keeps the ciphertext of what is unchanged, so that a changed value changes one line.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.sealing
attributes:
  check_mode:
    support: full
    details: Seals nothing and returns no manifests.
  diff_mode:
    support: full
    details: Shows which keys would be sealed, never values nor ciphertext.
  idempotent:
    support: full
    details: Needs O(previous), and O(fingerprint_key) to notice changed values; without it a warning says so.
options:
  certificate:
    description: PEM text, path or URL of the certificate to seal with.
    type: str
    required: true
  previous:
    description: The manifests as they are, as YAML text of one or more documents.
    type: str
    default: ""
  reseal_on_certificate_change:
    description: Whether to seal anew what another certificate sealed.
    type: bool
    default: false
seealso:
  - module: dbos.kubernetes.sealed_secret
"""

EXAMPLES = r"""
- name: Seal for Git
  dbos.kubernetes.sealed_secret_pipe:
    certificate: sealing-certificate.pem
    fingerprint_key: "{{ vault_fingerprint_key }}"
    previous: "{{ lookup('ansible.builtin.file', 'deploy/secrets.yaml') }}"
    namespace: dbos
    secrets:
      - name: conductor-api-key
        string_data:
          api-key: "{{ conductor_api_key }}"
  register: sealed

- name: Write the manifests
  ansible.builtin.copy:
    dest: deploy/secrets.yaml
    content: "{{ sealed.content }}"
    mode: "0644"
"""

RETURN = r"""
content:
  description: All manifests as YAML text.
  returned: outside check mode
  type: str
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
certificate:
  description: The certificate that was given.
  returned: always
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

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import sealed_files
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealed_secrets import (
    Policy,
    derive_mac_key,
    describe,
    differs,
    manifest,
    plan,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealing import seal_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealing_certificate import load_certificate
from ansible_collections.dbos.kubernetes.plugins.module_utils.wanted_secrets import (
    derived_forms,
    parse,
    sealing_spec,
    without_masking,
)


def sealed_secret_pipe(module: AnsibleModule) -> dict[str, Any]:
    """Seal into manifests."""
    check_library(module, "cryptography", "yaml")
    params = module.params
    module.no_log_values.update(derived_forms(params["secrets"]))
    wanted = parse(params["secrets"], params["namespace"])
    certificate = load_certificate(params["certificate"])
    mac_key = derive_mac_key(params["fingerprint_key"]) if params["fingerprint_key"] else None
    current = certificate.fingerprint if params["reseal_on_certificate_change"] else None
    policy = Policy("auto", mac_key, current, params["force"])
    existing = sealed_files.parse(params["previous"], "The option previous")
    if existing and mac_key is None:
        module.warn("Without fingerprint_key a changed value is not noticed: only new and removed keys are.")

    plans = [plan(one, existing.get((one.namespace, one.name)), None, policy, readable=False) for one in wanted]
    seal = None if module.check_mode else partial(seal_all, certificate.public_key)
    new = [manifest(one, seal, certificate.fingerprint, policy) for one in plans]
    names = [f"{one.wanted.namespace}/{one.wanted.name}" for one in plans]
    gone = sorted(set(existing) - {(one.namespace, one.name) for one in wanted})
    changed = [differs(one.existing, result) for one, result in zip(plans, new, strict=True)]
    result: dict[str, Any] = {
        "changed": any(changed) or bool(gone),
        "secrets": [
            {
                "name": one.wanted.name,
                "namespace": one.wanted.namespace,
                "changed_keys": list(one.seal_keys),
                "removed_keys": list(one.removed_keys),
            }
            for one in plans
        ],
        "certificate": {"fingerprint": certificate.fingerprint, "not_after": certificate.not_after.isoformat()},
    }
    if module._diff:
        before = {f"{namespace}/{name}": describe(sealed) for (namespace, name), sealed in existing.items()}
        after = {name: describe(sealed, one.seal_keys) for name, one, sealed in zip(names, plans, new, strict=True)}
        result["diff"] = {"before": before, "after": after}
    if not module.check_mode:
        result["content"] = sealed_files.text(new)
    return without_masking(module, result)


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **sealing_spec(),
                "certificate": {"type": "str", "required": True},
                "previous": {"type": "str", "default": ""},
                "reseal_on_certificate_change": {"type": "bool", "default": False},
            },
            supports_check_mode=True,
        ),
        sealed_secret_pipe,
    )


if __name__ == "__main__":
    main()

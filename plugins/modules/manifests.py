#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: manifests
short_description: Apply or delete many Kubernetes objects in one call
version_added: 1.0.0
description:
  - Applies all O(resources) side by side by server-side apply with the field manager C(dbos.kubernetes), then watches all of them until they are ready.
  - Unlike M(kubernetes.core.k8s) it starts no wait per document, treats a failed Job as a failure, and waits for kinds such as
    SealedSecret, ScaledObject and APIService by their own conditions.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.kubernetes
  - dbos.kubernetes.lease
attributes:
  check_mode:
    support: full
    details: Uses the API server's dry run. Objects of a namespace or kind that does not exist yet are reported as created.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  resources:
    description: Objects with C(apiVersion), C(kind) and C(metadata.name). Lists in the list are flattened.
    type: list
    elements: dict
    required: true
  namespace:
    description: Namespace of O(lease).
    type: str
  state:
    description: Whether the objects shall exist. With V(absent) they are deleted, in reverse order, and waited for.
    type: str
    choices: [present, absent]
    default: present
  wait:
    description: Whether to wait until all objects are ready, or gone.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Apply a namespace and a ConfigMap
  dbos.kubernetes.manifests:
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    resources:
      - apiVersion: v1
        kind: Namespace
        metadata:
          name: shop
      - apiVersion: v1
        kind: ConfigMap
        metadata:
          name: settings
          namespace: shop
        data:
          colour: blue
"""

RETURN = r"""
changes:
  description: What was changed, or would be, a line each.
  returned: always
  type: list
  elements: str
  sample: [create Namespace shop, create ConfigMap shop/settings]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.documents import (
    absent,
    present,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import (
    check_library,
    run,
)


def manifests(module: AnsibleModule) -> dict[str, Any]:
    """Apply or delete what the task asks for."""
    check_library(module, "kubernetes")
    params = module.params
    client = Client.from_params(params)
    if params["lease"] and not module.check_mode:
        hold(client, params)
    step = present if params["state"] == "present" else absent
    timeout = params["wait_timeout"] if params["wait"] else None
    return step(client, params["resources"], check=module.check_mode, timeout=timeout)


def hold(client: Client, params: dict[str, Any]) -> None:
    """Take the lease; the namespace it lives in may be one of the objects, and is then made before it."""
    lease = Lease(client, params["namespace"], params["lease"])
    namespaces = [item for item in params["resources"] if item.get("kind") == "Namespace"]
    try:
        lease.hold()
    except KubeError as error:
        if error.status != 404 or params["state"] == "absent" or not namespaces:
            raise
        present(client, namespaces, check=False, timeout=None)
        lease.hold()


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "resources": {"type": "list", "elements": "dict", "required": True},
                "namespace": {"type": "str"},
                "lease": {"type": "str"},
                "state": {
                    "type": "str",
                    "choices": ["present", "absent"],
                    "default": "present",
                },
                "wait": {"type": "bool", "default": True},
                "wait_timeout": {"type": "int", "default": 300},
            },
            required_by={"lease": "namespace"},
            supports_check_mode=True,
        ),
        manifests,
    )


if __name__ == "__main__":
    main()

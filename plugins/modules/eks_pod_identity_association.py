#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: eks_pod_identity_association
short_description: Let pods of a service account act as an IAM role
version_added: 1.0.0
description:
  - Makes all pod identity associations of a cluster, but those that add-ons own (see M(dbos.kubernetes.eks_addon)), and takes away what
    is not wanted any more. The add-on C(eks-pod-identity-agent) hands the credentials out.
  - No other collection has a module for them.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.aws
  - dbos.kubernetes.aws.platform
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description: V(absent) deletes the associations in O(associations).
    type: str
    choices: [present, absent]
    default: present
  associations:
    description: The associations. A service account has one at most.
    type: list
    elements: dict
    default: []
    suboptions:
      namespace:
        description: Namespace of the service account. Neither has to exist yet.
        type: str
        required: true
      service_account:
        description: Name of the service account.
        type: str
        required: true
      role_arn:
        description: ARN of the role, which has to trust C(pods.eks.amazonaws.com). Required with O(state=present).
        type: str
        default: ""
      target_role_arn:
        description: ARN of a role, of another account for instance, that the first one takes then.
        type: str
        default: ""
      disable_session_tags:
        description: Whether sessions go without the tags that name cluster, namespace and pod.
        type: bool
        default: false
  role_arns:
    description: ARNs of roles by names that O(associations[].role_arn) may use instead, as M(dbos.kubernetes.eks_prerequisites) returns them.
    type: dict
    default: {}
  purge:
    description: Whether other associations that carry the platform's tag are deleted, with O(state=present).
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Let the shop's pods read its bucket
  dbos.kubernetes.eks_pod_identity_association:
    platform: shop
    associations:
      - namespace: shop
        service_account: shop
        role_arn: arn:aws:iam::123456789012:role/shop-reader
"""

RETURN = r"""
changes:
  description: What has been changed, or would be, a line each.
  returned: always
  type: list
  elements: str
  sample: ["pod identity shop/shop: made"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks, tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks_pod_identity as logic
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def eks_pod_identity_association(module: AnsibleModule) -> dict[str, Any]:
    """What the task asks for."""
    check_library(module, "boto3")
    params = module.params
    cluster, listed = params["platform"], params["associations"]
    account = Account(params)
    if params["state"] == "absent":
        names = [(one["namespace"], one["service_account"]) for one in listed]
        return logic.delete(account, cluster, names, check=module.check_mode)
    all_tags = tags.wanted(cluster, params["tags"])
    wanted = [
        logic.Wanted(cluster, **{**one, "role_arn": eks.role_arn(one["role_arn"], params["role_arns"])}, tags=all_tags)
        for one in listed
    ]
    return logic.ensure(account, wanted, cluster, purge=params["purge"], check=module.check_mode)


def main() -> None:
    """Entry point."""
    association = {
        "namespace": {"type": "str", "required": True},
        "service_account": {"type": "str", "required": True},
        "role_arn": {"type": "str", "default": ""},
        "target_role_arn": {"type": "str", "default": ""},
        "disable_session_tags": {"type": "bool", "default": False},
    }
    spec = {
        **eks.argument_spec(),
        "associations": {"type": "list", "elements": "dict", "default": [], "options": association},
        "role_arns": {"type": "dict", "default": {}},
        "purge": {"type": "bool", "default": True},
    }
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), eks_pod_identity_association)


if __name__ == "__main__":
    main()

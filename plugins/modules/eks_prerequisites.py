#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: eks_prerequisites
short_description: Make the IAM roles, the KMS key and the log group of an EKS cluster
version_added: 1.0.0
description:
  - Makes what has to be there before a cluster, side by side - the IAM roles of its control plane, its nodes and of pods (C(<platform>-eks-cluster),
    C(<platform>-eks-node), C(<platform>-eks-<name>)) with exactly the managed policies named; a KMS key for its Secrets that rotates every year
    (C(alias/<platform>-eks)); and the log group of its control plane, which EKS would make without retention and tags.
  - The modules of amazon.aws need a task for each, make a second key when an answer is lost, and can't tell in check mode what the next needs.
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
    description: V(absent) deletes all of it, once the cluster is gone.
    type: str
    choices: [present, absent]
    default: present
  node_policies:
    description: Managed policies of the nodes' role, by name (AWS' own) or ARN. Others are detached.
    type: list
    elements: str
    default: [AmazonEKSWorkerNodePolicy, AmazonEC2ContainerRegistryPullOnly]
  pod_identity_roles:
    description: Roles for pods, which trust C(pods.eks.amazonaws.com).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Last part of the role's name.
        type: str
        required: true
      policies:
        description: Managed policies by name (AWS' own) or ARN. Others are detached.
        type: list
        elements: str
        required: true
  log_retention_days:
    description: Days that the control plane's logs are kept; one of the numbers that CloudWatch takes.
    type: int
    choices: [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]
    default: 90
  pending_window_in_days:
    description: With O(state=absent) the days, 7 to 30, until AWS really deletes the key; it can be brought back so long.
    type: int
    default: 7
"""

EXAMPLES = r"""
- name: Make them
  dbos.kubernetes.eks_prerequisites:
    platform: shop
    pod_identity_roles:
      - name: vpc-cni
        policies: [AmazonEKS_CNI_Policy]
"""

RETURN = r"""
cluster_role_arn:
  description: The control plane's role. In check mode V((to be made\)) stands for what AWS has not made yet, here and below.
  returned: with O(state=present)
  type: str
  sample: arn:aws:iam::123456789012:role/shop-eks-cluster
node_role_arn:
  description: The nodes' role.
  returned: with O(state=present)
  type: str
  sample: arn:aws:iam::123456789012:role/shop-eks-node
pod_identity_role_arns:
  description: The pods' roles by name.
  returned: with O(state=present)
  type: dict
  sample: {vpc-cni: "arn:aws:iam::123456789012:role/shop-eks-vpc-cni"}
key_arn:
  description: The key for Secrets.
  returned: with O(state=present)
  type: str
  sample: arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab
log_group:
  description: The log group.
  returned: with O(state=present)
  type: str
  sample: /aws/eks/shop/cluster
changes:
  description: What has been changed, or would be, a line each.
  returned: always
  type: list
  elements: str
  sample: ["IAM role shop-eks-node: made"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks, tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks_prerequisites as logic
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def eks_prerequisites(module: AnsibleModule) -> dict[str, Any]:
    """What the task asks for."""
    check_library(module, "boto3")
    params = module.params
    platform = params["platform"]
    account = Account(params)
    pods = {one["name"]: one["policies"] for one in params["pod_identity_roles"]}
    roles = logic.roles(platform, params["node_policies"], pods, eks.partition(account))
    if params["state"] == "absent":
        return logic.delete(account, platform, roles, params["pending_window_in_days"], check=module.check_mode)
    all_tags = tags.wanted(platform, params["tags"])
    return logic.ensure(account, platform, roles, all_tags, params["log_retention_days"], check=module.check_mode)


def main() -> None:
    """Entry point."""
    role = {
        "name": {"type": "str", "required": True},
        "policies": {"type": "list", "elements": "str", "required": True},
    }
    spec = {
        **eks.argument_spec(),
        "node_policies": {"type": "list", "elements": "str", "default": logic.NODE_POLICIES},
        "pod_identity_roles": {"type": "list", "elements": "dict", "default": [], "options": role},
        "log_retention_days": {"type": "int", "choices": logic.RETENTIONS, "default": 90},
        "pending_window_in_days": {"type": "int", "default": 7},
    }
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), eks_prerequisites)


if __name__ == "__main__":
    main()

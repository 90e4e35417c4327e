#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: eks_addon
short_description: Install, change, upgrade or delete the add-ons that EKS manages
version_added: 1.0.0
description:
  - Installs all managed add-ons of a cluster side by side, each at a version that AWS calls compatible with the cluster's at the time of the
    run (C(describe_addon_versions)), with configuration values and pod identities.
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
    description: V(absent) deletes the add-ons in O(addons), and with O(purge) all of the platform.
    type: str
    choices: [present, absent]
    default: present
  addons:
    description: The add-ons.
    type: list
    elements: dict
    default: []
    suboptions:
      addon_name:
        description: Name of the add-on, such as V(vpc-cni).
        type: str
        required: true
      addon_version:
        description:
          - Version, such as V(v1.20.4-eksbuild.1), which has to be compatible with the cluster's.
          - V(default) is the one that AWS calls the default for the cluster's version; an installed one that is newer stays. V(latest) is the newest
            compatible one.
        type: str
        default: default
      configuration_values:
        description: Values, by the schema of the add-on's version. Not touched when not given.
        type: dict
      pod_identity_associations:
        description: IAM roles of the add-on's service accounts. Others that the add-on owns are removed. Not touched when not given.
        type: list
        elements: dict
        suboptions:
          service_account:
            description: Name of the service account, in the add-on's namespace.
            type: str
            required: true
          role_arn:
            description: ARN of the role, which has to trust C(pods.eks.amazonaws.com).
            type: str
            required: true
      resolve_conflicts:
        description: What happens to fields of the add-on's objects that somebody else has set.
        type: str
        choices: [OVERWRITE, NONE, PRESERVE]
        default: OVERWRITE
  kubernetes_version:
    description: Kubernetes version that add-ons have to fit, in quotes. The cluster's when not given, which is one more call.
    type: str
  role_arns:
    description:
      - ARNs of roles by names that O(addons[].pod_identity_associations[].role_arn) may use instead, as
        M(dbos.kubernetes.eks_prerequisites) returns them.
    type: dict
    default: {}
  purge:
    description: Whether other add-ons that carry the platform's tag are deleted.
    type: bool
    default: false
  wait:
    description: Whether to wait until new add-ons are ACTIVE, or deleted ones gone. Updates are always waited for.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most, for each update anew.
    type: int
    default: 1800
notes:
  - An add-on of ordinary pods that is DEGRADED because it has too few of them is waited for up to 15 minutes, as the first nodes may still be
    starting. Any other reason ends the wait.
"""

EXAMPLES = r"""
- name: Install the usual ones at AWS' default versions
  dbos.kubernetes.eks_addon:
    platform: shop
    addons:
      - addon_name: vpc-cni
        pod_identity_associations:
          - service_account: aws-node
            role_arn: arn:aws:iam::123456789012:role/shop-eks-vpc-cni
      - addon_name: kube-proxy
      - addon_name: eks-pod-identity-agent
      - addon_name: coredns
        configuration_values: {replicaCount: 3}
      - addon_name: metrics-server
        addon_version: latest
"""

RETURN = r"""
addons:
  description: The wanted add-ons by name. In check mode V((to be made\)) stands for what AWS has not made yet.
  returned: with O(state=present)
  type: dict
  sample:
    vpc-cni:
      addon_name: vpc-cni
      arn: arn:aws:eks:eu-west-1:123456789012:addon/shop/vpc-cni/0ac1b2d3
      status: ACTIVE
      addon_version: v1.20.4-eksbuild.1
waiting:
  description: The add-ons that are not ACTIVE yet, as M(dbos.kubernetes.aws_wait) takes them.
  returned: with O(state=present)
  type: list
  elements: dict
  sample: [{cluster_name: shop, addon_name: coredns}]
changes:
  description: What has been changed, or would be, a line each.
  returned: always
  type: list
  elements: str
  sample: ["add-on coredns: addon_version"]
"""

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks, tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks_addon as logic
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def eks_addon(module: AnsibleModule) -> dict[str, Any]:
    """What the task asks for."""
    check_library(module, "boto3", "yaml")
    params = module.params
    cluster = params["platform"]
    account = Account(params)
    common = {"check": module.check_mode, "wait": params["wait"], "timeout": params["wait_timeout"]}
    if params["state"] == "absent":
        names = [one["addon_name"] for one in params["addons"]]
        others = account.pages("eks", "list_addons", "addons", clusterName=cluster) if params["purge"] else []
        return eks.delete_all(partial(logic.delete, account, cluster, **common), names, others)
    all_tags = tags.wanted(cluster, params["tags"])
    wanted = [_wanted(one, cluster, params["role_arns"], all_tags) for one in params["addons"]]
    return logic.ensure(account, wanted, cluster, params["kubernetes_version"], purge=params["purge"], **common)


def _wanted(one: dict[str, Any], cluster: str, known: dict[str, str], all_tags: dict[str, str]) -> logic.Wanted:
    identities = one["pod_identity_associations"]
    return logic.Wanted(
        cluster=cluster,
        name=one["addon_name"],
        version=one["addon_version"],
        configuration=one["configuration_values"],
        identities=None
        if identities is None
        else {each["service_account"]: eks.role_arn(each["role_arn"], known) for each in identities},
        resolve_conflicts=one["resolve_conflicts"],
        tags=all_tags,
    )


def main() -> None:
    """Entry point."""
    identity = {
        "service_account": {"type": "str", "required": True},
        "role_arn": {"type": "str", "required": True},
    }
    addon = {
        "addon_name": {"type": "str", "required": True},
        "addon_version": {"type": "str", "default": "default"},
        "configuration_values": {"type": "dict"},
        "pod_identity_associations": {"type": "list", "elements": "dict", "options": identity},
        "resolve_conflicts": {"type": "str", "choices": ["OVERWRITE", "NONE", "PRESERVE"], "default": "OVERWRITE"},
    }
    spec = {
        **eks.argument_spec(),
        "addons": {"type": "list", "elements": "dict", "default": [], "options": addon},
        "kubernetes_version": {"type": "str"},
        "role_arns": {"type": "dict", "default": {}},
        "purge": {"type": "bool", "default": False},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 1800},
    }
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), eks_addon)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: eks_access_entry
short_description: Give IAM roles and users access to an EKS cluster
version_added: 1.0.0
description:
  - Makes all access entries of a cluster, with the access policies of each, and takes away what is not wanted any more.
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
    description: V(absent) deletes the entries of O(admins) and O(access_entries).
    type: str
    choices: [present, absent]
    default: present
  admins:
    description:
      - ARNs of IAM roles (with their path) and users that administer the whole cluster (C(AmazonEKSClusterAdminPolicy)).
      - V(caller) is the identity that runs the module, the role if it is a session of one. What other runs' callers were given stays as long as
        V(caller) is among them.
    type: list
    elements: str
    default: []
  access_entries:
    description: More entries.
    type: list
    elements: dict
    default: []
    suboptions:
      principal_arn:
        description: ARN of an IAM role (with its path) or user, that is not among O(admins).
        type: str
        required: true
      policies:
        description: Access policies; others are taken away.
        type: list
        elements: dict
        default: []
        suboptions:
          policy_arn:
            description: ARN of the policy, or the name of one of EKS' own, such as V(AmazonEKSClusterAdminPolicy).
            type: str
            required: true
          access_scope:
            description: Where it applies.
            type: dict
            suboptions:
              type:
                description: In the whole cluster, or in some namespaces.
                type: str
                choices: [cluster, namespace]
                default: cluster
              namespaces:
                description: The namespaces, with V(namespace).
                type: list
                elements: str
                default: []
      kubernetes_groups:
        description: Groups that RBAC of the cluster may name.
        type: list
        elements: str
        default: []
      type:
        description: Type of the entry; can't be changed. Node groups get theirs from EKS.
        type: str
        choices: [STANDARD, EC2_LINUX]
        default: STANDARD
  purge:
    description: Whether other entries that carry the platform's tag are deleted, with O(state=present).
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Whoever runs this administers the cluster, and developers see their namespace
  dbos.kubernetes.eks_access_entry:
    platform: shop
    admins: [caller]
    access_entries:
      - principal_arn: arn:aws:iam::123456789012:role/developers
        policies:
          - policy_arn: AmazonEKSViewPolicy
            access_scope: {type: namespace, namespaces: [shop]}
"""

RETURN = r"""
access_entries:
  description: The ARNs of the wanted entries.
  returned: with O(state=present)
  type: list
  elements: str
  sample: ["arn:aws:iam::123456789012:role/deployer"]
changes:
  description: What has been changed, or would be, a line each.
  returned: always
  type: list
  elements: str
  sample: ["access entry arn:aws:iam::123456789012:role/deployer: made"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import changes, eks, tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks_access as logic
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.eks_prerequisites import node_role
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def eks_access_entry(module: AnsibleModule) -> dict[str, Any]:
    """What the task asks for."""
    check_library(module, "boto3")
    params = module.params
    cluster = params["platform"]
    account = Account(params)
    if params["state"] == "absent":
        principals = [*params["admins"], *(one["principal_arn"] for one in params["access_entries"])]
        return changes.result(logic.delete(account, cluster, principals, check=module.check_mode))
    partition = eks.partition(account)
    all_tags = tags.wanted(cluster, params["tags"])
    administers = {logic.policy_arn("AmazonEKSClusterAdminPolicy", partition): logic.scope("cluster", [])}
    wanted = [logic.Wanted(cluster, one, administers, tags=all_tags) for one in params["admins"]]
    wanted += [_wanted(one, cluster, partition, all_tags) for one in params["access_entries"]]
    own = {"node_role": node_role(cluster), "purge": params["purge"]}
    return logic.ensure(account, wanted, cluster, **own, check=module.check_mode)


def _wanted(one: dict[str, Any], cluster: str, partition: str, all_tags: dict[str, str]) -> logic.Wanted:
    return logic.Wanted(
        cluster=cluster,
        principal=one["principal_arn"],
        policies={
            logic.policy_arn(policy["policy_arn"], partition): logic.scope(
                policy["access_scope"]["type"], policy["access_scope"]["namespaces"]
            )
            for policy in one["policies"]
        },
        groups=tuple(one["kubernetes_groups"]),
        kind=one["type"],
        tags=all_tags,
    )


def main() -> None:
    """Entry point."""
    scope = {
        "type": {"type": "str", "choices": ["cluster", "namespace"], "default": "cluster"},
        "namespaces": {"type": "list", "elements": "str", "default": []},
    }
    policy = {
        "policy_arn": {"type": "str", "required": True},
        "access_scope": {"type": "dict", "apply_defaults": True, "options": scope},
    }
    entry = {
        "principal_arn": {"type": "str", "required": True},
        "policies": {"type": "list", "elements": "dict", "default": [], "options": policy},
        "kubernetes_groups": {"type": "list", "elements": "str", "default": []},
        "type": {"type": "str", "choices": ["STANDARD", "EC2_LINUX"], "default": "STANDARD"},
    }
    spec = {
        **eks.argument_spec(),
        "admins": {"type": "list", "elements": "str", "default": []},
        "access_entries": {"type": "list", "elements": "dict", "default": [], "options": entry},
        "purge": {"type": "bool", "default": True},
    }
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), eks_access_entry)


if __name__ == "__main__":
    main()

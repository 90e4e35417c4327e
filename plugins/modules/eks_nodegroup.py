#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: eks_nodegroup
short_description: Make, change, upgrade or delete managed node groups of an EKS cluster
version_added: 1.0.0
description:
  - Makes all managed node groups of a cluster side by side, on Amazon Linux 2023. Each has a launch template of the module's, named
    C(<platform>-<group>), with an encrypted gp3 disk, IMDSv2 with a hop limit of 1 (so that no pod can act as its node), and the tags of
    its instances and volumes.
  - What EKS can change in place it changes. What is set when an instance starts (disk, tags, Kubernetes version, image) makes EKS replace the
    nodes, draining one after another.
  - M(community.aws.eks_nodegroup) fails on a second run, does not see a changed label's value, fails on taints and tags, and does not upgrade.
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
    description: V(absent) deletes the groups in O(nodegroups), and with O(purge) all of the platform.
    type: str
    choices: [present, absent]
    default: present
  nodegroups:
    description: The node groups.
    type: list
    elements: dict
    default: []
    suboptions:
      nodegroup_name:
        description: Name of the group.
        type: str
        required: true
      subnets:
        description: Subnets of the nodes. Required to make the group; can't be changed.
        type: list
        elements: str
        default: []
      node_role:
        description: ARN of the nodes' IAM role. Required to make the group; can't be changed.
        type: str
        default: ""
      instance_types:
        description:
          - Instance types, all of one architecture, in order of preference. Can't be changed.
          - For Graviton's, such as V(m7g.large), images have to be built for C(linux/arm64).
        type: list
        elements: str
        default: [m7i.large]
      ami_type:
        description: Kind of image, by default Amazon Linux 2023 for the processors of O(nodegroups[].instance_types). Can't be changed.
        type: str
        choices:
          - AL2023_x86_64_STANDARD
          - AL2023_ARM_64_STANDARD
          - AL2023_x86_64_NEURON
          - AL2023_x86_64_NVIDIA
          - AL2023_ARM_64_NVIDIA
      capacity_type:
        description: How instances are paid. Can't be changed.
        type: str
        choices: [ON_DEMAND, SPOT]
        default: ON_DEMAND
      disk_size:
        description: Size of the root volume in GiB. A change replaces the nodes.
        type: int
        default: 50
      scaling_config:
        description: How many nodes there are.
        type: dict
        suboptions:
          min_size:
            description: At least so many.
            type: int
            default: 2
          max_size:
            description: At most so many.
            type: int
            default: 4
          desired_size:
            description: So many now. When not given, a new group has O(nodegroups[].scaling_config.min_size), and an autoscaler decides later.
            type: int
      labels:
        description: Kubernetes labels of the nodes; others that were set through EKS are removed.
        type: dict
        default: {}
      taints:
        description: Taints of the nodes; others that were set through EKS are removed.
        type: list
        elements: dict
        default: []
        suboptions:
          key:
            description: Key of the taint.
            type: str
            required: true
          value:
            description: Value of the taint.
            type: str
            default: ""
          effect:
            description: What it does to pods that don't tolerate it.
            type: str
            choices: [NO_SCHEDULE, NO_EXECUTE, PREFER_NO_SCHEDULE]
            required: true
      max_unavailable:
        description: Number of nodes that may be replaced at a time in an update.
        type: int
        default: 1
      version:
        description: Kubernetes version of the nodes, in quotes. When not given, a new group has the control plane's, and an existing one keeps its own.
        type: str
      release_version:
        description:
          - Release of the image, such as V(1.35.0-20261110), or V(latest) for the newest of the version at the time of the run.
          - When not given, EKS takes the newest when it makes the group or changes its version, and it is not touched otherwise.
        type: str
      force:
        description:
          - What happens in an update to pods that can't be evicted within EKS' 15 minutes for each node. By default the update fails and names them
            (C(PodEvictionFailure)); with V(true) they are deleted then, disruption budget or not.
        type: bool
        default: false
  purge:
    description: Whether other node groups that carry the platform's tag are deleted.
    type: bool
    default: false
  wait:
    description: Whether to wait until new groups are ACTIVE, or deleted ones gone (only then their launch templates go). Updates are always waited for.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most, for each update anew.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Make two node groups
  dbos.kubernetes.eks_nodegroup:
    platform: shop
    nodegroups:
      - nodegroup_name: default
        subnets: [subnet-0a1, subnet-0b2]
        node_role: arn:aws:iam::123456789012:role/shop-eks-node
        instance_types: [m7g.large]
        scaling_config: {min_size: 2, max_size: 6}
      - nodegroup_name: batch
        subnets: [subnet-0a1]
        node_role: arn:aws:iam::123456789012:role/shop-eks-node
        instance_types: [c7i.xlarge]
        capacity_type: SPOT
        scaling_config: {min_size: 0, max_size: 10}
        labels: {work: batch}
        taints: [{key: work, value: batch, effect: NO_SCHEDULE}]
"""

RETURN = r"""
nodegroups:
  description: The wanted groups by name. In check mode V((to be made\)) stands for what AWS has not made yet.
  returned: with O(state=present)
  type: dict
  sample:
    default:
      nodegroup_name: default
      arn: arn:aws:eks:eu-west-1:123456789012:nodegroup/shop/default/3ec1a2b3
      status: ACTIVE
      version: "1.35"
      release_version: 1.35.0-20261110
      ami_type: AL2023_ARM_64_STANDARD
      scaling_config: {minSize: 2, maxSize: 6, desiredSize: 2}
      launch_template: {id: lt-0123456789abcdef0, name: shop-default, version: "1"}
waiting:
  description: The groups that are not ACTIVE yet, as M(dbos.kubernetes.aws_wait) takes them.
  returned: with O(state=present)
  type: list
  elements: dict
  sample: [{cluster_name: shop, nodegroup_name: default}]
changes:
  description: What has been changed, or would be, a line each.
  returned: always
  type: list
  elements: str
  sample: ["node group default: labels, scaling_config"]
"""

from functools import partial
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks, tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks_nodegroup as logic
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def eks_nodegroup(module: AnsibleModule) -> dict[str, Any]:
    """What the task asks for."""
    check_library(module, "boto3")
    params = module.params
    cluster = params["platform"]
    account = Account(params)
    common = {"check": module.check_mode, "wait": params["wait"], "timeout": params["wait_timeout"]}
    if params["state"] == "absent":
        names = [one["nodegroup_name"] for one in params["nodegroups"]]
        others = account.pages("eks", "list_nodegroups", "nodegroups", clusterName=cluster) if params["purge"] else []
        return eks.delete_all(partial(logic.delete, account, cluster, **common), names, others)
    wanted = [_wanted(one, cluster, tags.wanted(cluster, params["tags"])) for one in params["nodegroups"]]
    return logic.ensure(account, wanted, cluster, purge=params["purge"], **common)


def _wanted(one: dict[str, Any], cluster: str, all_tags: dict[str, str]) -> logic.Wanted:
    scaling = one["scaling_config"]
    return logic.Wanted(
        cluster=cluster,
        name=one["nodegroup_name"],
        subnets=tuple(one["subnets"]),
        node_role=one["node_role"],
        instance_types=tuple(one["instance_types"]),
        min_size=scaling["min_size"],
        max_size=scaling["max_size"],
        desired_size=scaling["desired_size"],
        disk_size=one["disk_size"],
        ami_type=one["ami_type"],
        capacity_type=one["capacity_type"],
        labels={key: str(value) for key, value in one["labels"].items()},
        taints=tuple(one["taints"]),
        max_unavailable=one["max_unavailable"],
        version=one["version"],
        release_version=one["release_version"],
        force=one["force"],
        tags=all_tags,
    )


def main() -> None:
    """Entry point."""
    scaling = {
        "min_size": {"type": "int", "default": 2},
        "max_size": {"type": "int", "default": 4},
        "desired_size": {"type": "int"},
    }
    taint = {
        "key": {"type": "str", "required": True, "no_log": False},  # a label, no key
        "value": {"type": "str", "default": ""},
        "effect": {"type": "str", "required": True, "choices": ["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"]},
    }
    images = [
        "AL2023_x86_64_STANDARD",
        "AL2023_ARM_64_STANDARD",
        "AL2023_x86_64_NEURON",
        "AL2023_x86_64_NVIDIA",
        "AL2023_ARM_64_NVIDIA",
    ]
    group = {
        "nodegroup_name": {"type": "str", "required": True},
        "subnets": {"type": "list", "elements": "str", "default": []},
        "node_role": {"type": "str", "default": ""},
        "instance_types": {"type": "list", "elements": "str", "default": ["m7i.large"]},
        "ami_type": {"type": "str", "choices": images},
        "capacity_type": {"type": "str", "choices": ["ON_DEMAND", "SPOT"], "default": "ON_DEMAND"},
        "disk_size": {"type": "int", "default": 50},
        "scaling_config": {"type": "dict", "apply_defaults": True, "options": scaling},
        "labels": {"type": "dict", "default": {}},
        "taints": {"type": "list", "elements": "dict", "default": [], "options": taint},
        "max_unavailable": {"type": "int", "default": 1},
        "version": {"type": "str"},
        "release_version": {"type": "str"},
        "force": {"type": "bool", "default": False},
    }
    spec = {
        **eks.argument_spec(),
        "nodegroups": {"type": "list", "elements": "dict", "default": [], "options": group},
        "purge": {"type": "bool", "default": False},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 3600},
    }
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), eks_nodegroup)


if __name__ == "__main__":
    main()

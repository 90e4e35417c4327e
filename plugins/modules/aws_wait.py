#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_wait
short_description: Wait for several things that AWS makes at the same time
version_added: 1.0.0
description:
  - Joins what was started with C(wait=false). Waits until all of it is there, and tells every ten seconds for what, how long already, and AWS'
    own status of each.
  - Fails within one look when one of them has failed, with AWS' reason, without waiting for the others. Add-ons that only lack pods are waited
    for up to 15 minutes, as the first nodes may still be starting.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.aws
attributes:
  check_mode:
    support: full
    details: Waits for nothing.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  clusters:
    description: Names of EKS clusters.
    type: list
    elements: str
    default: []
  nodegroups:
    description: Managed node groups.
    type: list
    elements: dict
    default: []
    suboptions:
      cluster_name:
        description: Name of the cluster.
        type: str
        required: true
      nodegroup_name:
        description: Name of the node group.
        type: str
        required: true
  addons:
    description: Managed add-ons.
    type: list
    elements: dict
    default: []
    suboptions:
      cluster_name:
        description: Name of the cluster.
        type: str
        required: true
      addon_name:
        description: Name of the add-on.
        type: str
        required: true
  db_instances:
    description: Identifiers of RDS' database instances.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait at most, for all together.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Wait for what was started
  dbos.kubernetes.aws_wait:
    nodegroups: "{{ eks_nodegroup_result.waiting }}"
    addons: "{{ eks_addon_result.waiting }}"
    db_instances: [shop]
"""

RETURN = r"""
waited:
  description: What was waited for, and for how many seconds in all.
  returned: always
  type: dict
  sample: {seconds: 192, things: [node group default, database shop]}
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import rds_states, states
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import wait_for
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def aws_wait(module: AnsibleModule) -> dict[str, Any]:
    """Wait."""
    check_library(module, "boto3")
    params = module.params
    account = Account(params)
    targets: dict[str, states.Look] = {}
    for name in params["clusters"]:
        targets[f"cluster {name}"] = states.cluster(account, name)
    for one in params["nodegroups"]:
        look = states.nodegroup(account, one["cluster_name"], one["nodegroup_name"])
        targets[f"node group {one['nodegroup_name']}"] = look
    for one in params["addons"]:
        targets[f"add-on {one['addon_name']}"] = states.addon(account, one["cluster_name"], one["addon_name"])
    for name in params["db_instances"]:
        targets[f"database {name}"] = rds_states.look(account, name)
    started = time.monotonic()
    if targets and not module.check_mode:
        wait_for(targets, params["wait_timeout"])
    return {"changed": False, "waited": {"seconds": round(time.monotonic() - started), "things": list(targets)}}


def main() -> None:
    """Entry point."""

    def members(name: str) -> dict[str, Any]:
        options = {key: {"type": "str", "required": True} for key in ("cluster_name", name)}
        return {"type": "list", "elements": "dict", "default": [], "options": options}

    names = {"type": "list", "elements": "str", "default": []}
    spec = {
        **argument_spec(),
        "clusters": names,
        "nodegroups": members("nodegroup_name"),
        "addons": members("addon_name"),
        "db_instances": names,
        "wait_timeout": {"type": "int", "default": 3600},
    }
    run(AnsibleModule(argument_spec=spec, supports_check_mode=True), aws_wait)


if __name__ == "__main__":
    main()

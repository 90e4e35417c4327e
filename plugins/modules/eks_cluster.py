#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: eks_cluster
short_description: Make, change, upgrade or delete an EKS cluster
version_added: 1.0.0
description:
  - Makes a cluster whose administrators are access entries only (authentication mode V(API), no C(aws-auth), no hidden rights of whoever
    made it), whose private endpoint is always on, and without the add-ons that nobody manages (see M(dbos.kubernetes.eks_addon)).
  - Changes an existing one, one kind of change after another as EKS wants it, and upgrades it one minor version at a time. What is not of
    the platform, by its tag, is refused.
  - M(community.aws.eks_cluster) only creates and deletes; its wait does not end when a cluster has failed, and check mode waits for what it
    has not begun.
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
    description: V(absent) deletes the cluster, whose node groups have to be gone before.
    type: str
    choices: [present, absent]
    default: present
  version:
    description:
      - Kubernetes version, in quotes. It must be in AWS' standard support, by C(describe_cluster_versions) at the time of the run, unless
        O(support_type=EXTENDED).
      - Required with O(state=present).
    type: str
  upgrade:
    description:
      - How far a cluster of an older version is upgraded now, towards O(version) - V(all) the way, one minor version after another, or only to
        the V(next), so that add-ons and nodes can follow before RV(upgrade_path) goes on.
    type: str
    choices: [none, next, all]
    default: all
  role_arn:
    description: ARN of the control plane's IAM role. Needed to make the cluster; EKS can't change it later, so then it is not looked at.
    type: str
  subnet_ids:
    description:
      - Subnets, in two availability zones at least, in which EKS puts its network interfaces. Each needs 6 free addresses, 16 are advised;
        this is looked at before a cluster is made.
      - Required with O(state=present).
    type: list
    elements: str
  security_group_ids:
    description: Security groups of these interfaces, beside the one that EKS makes. Not touched when not given.
    type: list
    elements: str
  endpoint_public_access:
    description: Whether the API server has a public endpoint too.
    type: bool
    default: false
  public_access_cidrs:
    description: Blocks of addresses that may use the public endpoint. Required with O(endpoint_public_access=true), else not looked at.
    type: list
    elements: str
    default: []
  public_access_anywhere:
    description: Confirms that O(public_access_cidrs) opens the endpoint to the whole internet.
    type: bool
    default: false
  service_ipv4_cidr:
    description: Block of addresses for Services. EKS chooses when not given; it can't be changed.
    type: str
  logging:
    description: Kinds of control-plane logs that are sent to CloudWatch.
    type: list
    elements: str
    choices: [api, audit, authenticator, controllerManager, scheduler]
    default: [api, audit, authenticator]
  key_arn:
    description:
      - ARN of the KMS key that encrypts Secrets, beside what EKS encrypts anyway. Can be added to a cluster that has none; a cluster that has
        one keeps it, as EKS can't change it.
    type: str
  support_type:
    description: What AWS does when the version's standard support ends. V(STANDARD) upgrades the cluster, V(EXTENDED) charges for it.
    type: str
    choices: [STANDARD, EXTENDED]
    default: STANDARD
  support_warning_days:
    description: Days before the end of standard support from which on a warning is given.
    type: int
    default: 60
  deletion_protection:
    description: Whether AWS refuses to delete the cluster. With O(state=absent) a protected cluster is an error unless this is V(false).
    type: bool
    default: true
  endpoint_check:
    description:
      - Whether an ACTIVE cluster's endpoint is tried from here, by a verified TLS connection within 5 s, so that nothing waits for what can't
        be reached.
    type: bool
    default: false
  proxy:
    description: URL of the HTTP proxy to try it through, such as V(http://proxy.example.com:3128).
    type: str
  wait:
    description: Whether to wait until a cluster that is being made is ACTIVE, or one that is being deleted is gone. Updates are always waited for.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most, for each update anew.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Make the cluster
  dbos.kubernetes.eks_cluster:
    platform: shop
    version: "1.35"
    role_arn: arn:aws:iam::123456789012:role/shop-eks-cluster
    subnet_ids: [subnet-0a1, subnet-0b2]
    endpoint_public_access: true
    public_access_cidrs: [192.0.2.17/32]

- name: Delete it
  dbos.kubernetes.eks_cluster:
    platform: shop
    state: absent
    deletion_protection: false
"""

RETURN = r"""
cluster:
  description: The cluster; null when it is gone. In check mode V((to be made\)) stands for what AWS has not made yet.
  returned: always
  type: dict
  sample:
    name: shop
    arn: arn:aws:eks:eu-west-1:123456789012:cluster/shop
    status: ACTIVE
    version: "1.35"
    endpoint: https://0A1B2C.gr7.eu-west-1.eks.amazonaws.com
    certificate_authority: LS0tLS1CRUdJTi...
    security_group_id: sg-0123456789abcdef0
    vpc_id: vpc-0123456789abcdef0
    role_arn: arn:aws:iam::123456789012:role/shop-eks-cluster
    endpoint_public_access: true
support:
  description: AWS' support of the wanted version.
  returned: with O(state=present)
  type: dict
  sample:
    status: STANDARD_SUPPORT
    standard_until: "2027-03-27"
    days_left: 122
upgrade_path:
  description: Versions that the cluster still has to be upgraded to, one after another. Empty with O(upgrade=all).
  returned: with O(state=present)
  type: list
  elements: str
  sample: ["1.34", "1.35"]
changes:
  description: What has been changed, or would be, a line each.
  returned: always
  type: list
  elements: str
  sample: ["cluster shop: logging"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks, eks_endpoint, tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import eks_cluster as logic
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def eks_cluster(module: AnsibleModule) -> dict[str, Any]:
    """What the task asks for."""
    check_library(module, "boto3")
    params = module.params
    common = {"check": module.check_mode, "wait": params["wait"], "timeout": params["wait_timeout"]}
    if params["state"] == "absent":
        protected = params["deletion_protection"]
        return logic.delete(Account(params), params["platform"], protected=protected, **common)
    cidrs = tuple(params["public_access_cidrs"])
    logic.check_access(params["endpoint_public_access"], cidrs, anywhere=params["public_access_anywhere"])
    if not params["subnet_ids"]:
        raise DbosError("The cluster needs subnets: run the role network before, or set eks_subnet_ids.")
    groups = params["security_group_ids"]
    want = logic.Wanted(
        name=params["platform"],
        version=params["version"],
        subnet_ids=tuple(params["subnet_ids"]),
        role_arn=params["role_arn"],
        security_group_ids=None if groups is None else tuple(groups),
        endpoint_public_access=params["endpoint_public_access"],
        public_access_cidrs=cidrs,
        service_ipv4_cidr=params["service_ipv4_cidr"],
        logging=tuple(params["logging"]),
        key_arn=params["key_arn"],
        support_type=params["support_type"],
        deletion_protection=params["deletion_protection"],
        tags=tags.wanted(params["platform"], params["tags"]),
    )
    result = logic.ensure(
        Account(params),
        want,
        upgrade=params["upgrade"],
        warn_days=params["support_warning_days"],
        warn=module.warn,
        **common,
    )
    cluster = result["cluster"]
    # What is still to be changed may be what makes it reachable.
    settled = not (module.check_mode and result["changed"])
    if params["endpoint_check"] and cluster["status"] == "ACTIVE" and settled:
        public = cluster["endpoint_public_access"]
        eks_endpoint.check(cluster["endpoint"], cluster["certificate_authority"], params["proxy"], public=public)
    return result


def main() -> None:
    """Entry point."""
    spec = {
        **eks.argument_spec(),
        "version": {"type": "str"},
        "upgrade": {"type": "str", "choices": ["none", "next", "all"], "default": "all"},
        "role_arn": {"type": "str"},
        "subnet_ids": {"type": "list", "elements": "str"},
        "security_group_ids": {"type": "list", "elements": "str"},
        "endpoint_public_access": {"type": "bool", "default": False},
        "public_access_cidrs": {"type": "list", "elements": "str", "default": []},
        "public_access_anywhere": {"type": "bool", "default": False},
        "service_ipv4_cidr": {"type": "str"},
        "logging": {
            "type": "list",
            "elements": "str",
            "choices": logic.LOG_TYPES,
            "default": ["api", "audit", "authenticator"],
        },
        "key_arn": {"type": "str", "no_log": False},  # a name, no key
        "support_type": {"type": "str", "choices": ["STANDARD", "EXTENDED"], "default": "STANDARD"},
        "support_warning_days": {"type": "int", "default": 60},
        "deletion_protection": {"type": "bool", "default": True},
        "endpoint_check": {"type": "bool", "default": False},
        "proxy": {"type": "str"},
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 3600},
    }
    run(
        AnsibleModule(
            argument_spec=spec,
            required_if=[("state", "present", ["version", "subnet_ids"])],
            supports_check_mode=True,
        ),
        eks_cluster,
    )


if __name__ == "__main__":
    main()

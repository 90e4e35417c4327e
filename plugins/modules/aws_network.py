#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_network
short_description: Make, check or delete the network of a platform in AWS
version_added: 1.0.0
description:
  - Makes a VPC with public, private and database subnets in two or more zones, an internet gateway, NAT gateways or VPC endpoints, and
    their route tables, or brings them to what is asked for. Or checks a VPC that others made, and changes nothing there.
  - The whole network is one call, which reads everything at once and names all that it would make, also in an empty account. The modules of
    amazon.aws take a task for each object, can't check an empty account, and make NAT gateways and addresses twice when an answer is lost.
  - Only what carries the platform's tag is changed or deleted. Anything else of its name or with its addresses is an error.
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
    details: Zones, ranges and names are those of a real run; ids of what is not there yet are V((to be made\)).
  diff_mode:
    support: full
  idempotent:
    support: full
    details: Also after a run that was killed, and after answers that got lost.
options:
  state:
    description:
      - V(absent) deletes what carries the platform's tag, in the order that AWS allows, and what Kubernetes has left in its VPC. It is refused
        while anything else is in there, and does nothing with O(vpc_id).
    type: str
    choices: [present, absent]
    default: present
  cidr:
    description:
      - Addresses of the VPC, from C(/16) to C(/21), or C(/28) with ranges given. AWS can't change it later.
      - Each zone gets an eighth of it for nodes and pods, and two sixty-fourths for load balancers and databases. There is room for six zones,
        whatever their number now, so that adding one moves nothing.
    type: str
    default: 10.0.0.0/16
  zones:
    description:
      - Names of the zones. By default O(zone_count) zones are chosen of those that the account has, in the order of their names.
      - Local zones, wavelength zones and those few where EKS is not offered are never chosen.
    type: list
    elements: str
    default: []
  zone_count:
    description: How many zones to choose, at least 2.
    type: int
    default: 3
  public_cidrs:
    description: Ranges of the public subnets instead of computed ones, one per zone. Give those of all three purposes or none.
    type: list
    elements: str
    default: []
  private_cidrs:
    description: Ranges of the private subnets.
    type: list
    elements: str
    default: []
  database_cidrs:
    description: Ranges of the database subnets.
    type: list
    elements: str
    default: []
  nat:
    description:
      - How what is in private subnets reaches the internet. V(single) has one NAT gateway for all zones, V(per_zone) survives the loss of a zone.
      - V(none) has no way out, but endpoints for the services of AWS that nodes need. Every image must be in Amazon ECR then.
    type: str
    choices: [single, per_zone, none]
    default: single
  endpoints:
    description:
      - Services that have an interface endpoint with O(nat=none), beside the gateway to Amazon S3. The last part of the service's name is enough.
      - For an existing VPC without a default route they are those that must be there.
    type: list
    elements: str
    default: [ec2, ecr.api, ecr.dkr, eks, eks-auth, elasticloadbalancing, logs, secretsmanager, sts]
  close_default_security_group:
    description: Whether to take all rules from the VPC's default security group, which nothing of the platform uses.
    type: bool
    default: true
  vpc_id:
    description: Id of a VPC that others made. It is checked, and nothing in it is changed or tagged.
    type: str
  public_subnet_ids:
    description: Ids of subnets in O(vpc_id) for load balancers that face the internet.
    type: list
    elements: str
    default: []
  private_subnet_ids:
    description: Ids of subnets in O(vpc_id) for the cluster and its nodes, in two or more zones.
    type: list
    elements: str
    default: []
  database_subnet_ids:
    description: Ids of subnets in O(vpc_id) for databases, in two or more zones. By default those of O(private_subnet_ids).
    type: list
    elements: str
    default: []
  wait:
    description:
      - Whether to wait for NAT gateways and endpoints, which take some minutes and are needed by nodes, not by the cluster itself.
      - Without, RV(pending) names those that don't work yet, and another call goes on, with private routes and with what is to be removed.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 900
"""

EXAMPLES = r"""
- name: Make the network
  dbos.kubernetes.aws_network:
    platform: shop
    region: eu-west-1
    nat: per_zone
  register: network

- name: Check a VPC that others made
  dbos.kubernetes.aws_network:
    platform: shop
    vpc_id: vpc-0a1b2c3d4e5f60718
    private_subnet_ids: [subnet-0a1b2c3d4e5f60718, subnet-0b1b2c3d4e5f60718]

- name: Delete the network
  dbos.kubernetes.aws_network:
    platform: shop
    region: eu-west-1
    state: absent
"""

RETURN = r"""
vpc_id:
  description: Id of the VPC.
  returned: with O(state=present)
  type: str
  sample: vpc-0a1b2c3d4e5f60718
cidr:
  description: Its addresses.
  returned: with O(state=present)
  type: str
  sample: 10.0.0.0/16
zones:
  description: Names of the zones.
  returned: with O(state=present)
  type: list
  elements: str
  sample: [eu-west-1a, eu-west-1b, eu-west-1c]
subnets:
  description: Ids of the subnets, in the order of the zones, by what they are for.
  returned: with O(state=present)
  type: dict
  contains:
    public:
      description: For load balancers that face the internet, and NAT gateways.
      type: list
      elements: str
    private:
      description: For the cluster, its nodes and pods, and internal load balancers.
      type: list
      elements: str
    database:
      description: For databases; without a way out.
      type: list
      elements: str
  sample:
    public: [subnet-01, subnet-02]
    private: [subnet-03, subnet-04]
    database: [subnet-05, subnet-06]
nat_gateways:
  description: The NAT gateways by zone, each with C(id) and C(public_ip), by which others know what comes from the platform.
  returned: with O(state=present)
  type: dict
  sample: {eu-west-1a: {id: nat-0a1b2c3d4e5f60718, public_ip: 203.0.113.7}}
resources:
  description: All that the network consists of, by kind and name, each with its C(id) and what is compared. Empty for O(vpc_id).
  returned: with O(state=present)
  type: dict
  sample:
    subnet shop-public-eu-west-1a: {id: subnet-01, cidr: 10.0.192.0/22, zone: eu-west-1a, public_addresses: false}
pending:
  description: NAT gateways and endpoints that don't work yet; always empty with O(wait).
  returned: with O(state=present)
  type: list
  elements: str
  sample: [NAT gateway shop-eu-west-1a]
changes:
  description: What was changed, or would be.
  returned: always
  type: list
  elements: str
  sample: [create VPC shop]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import network, network_existing, network_removal
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_plan import PURPOSES, Wish
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.network_work import Options
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run

ENDPOINTS = ["ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "elasticloadbalancing", "logs", "secretsmanager", "sts"]


def aws_network(module: AnsibleModule) -> dict[str, Any]:
    """Make, check or delete the network."""
    check_library(module, "boto3")
    params, check = module.params, module.check_mode
    account = Account(params)
    if params["vpc_id"]:
        if params["state"] == "absent":
            return {"changed": False, "changes": []}
        ids = {purpose: params[f"{purpose}_subnet_ids"] for purpose in PURPOSES}
        ids["database"] = ids["database"] or ids["private"]
        existing = network_existing.Existing(params["vpc_id"], ids)
        result = network_existing.check(account, params["platform"], existing, params["endpoints"])
        for text in result.pop("warnings"):
            module.warn(text)
        return result
    if params["state"] == "absent":
        return network_removal.absent(account, params["platform"], params["wait_timeout"], check=check)
    wish = Wish(
        platform=params["platform"],
        region=account.region,
        tags={key: str(value) for key, value in params["tags"].items()},
        cidr=params["cidr"],
        nat=params["nat"],
        endpoints=tuple(params["endpoints"]),
        close_default_group=params["close_default_security_group"],
    )
    options = Options(
        wish=wish,
        zones=params["zones"],
        zone_count=params["zone_count"],
        ranges={purpose: params[f"{purpose}_cidrs"] for purpose in PURPOSES},
        wait=params["wait"],
        timeout=params["wait_timeout"],
    )
    return network.ensure(account, options, check=check)


def main() -> None:
    """Entry point."""
    strings: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "platform": {"type": "str", "required": True},
                "tags": {"type": "dict", "default": {}},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "cidr": {"type": "str", "default": "10.0.0.0/16"},
                "zones": strings,
                "zone_count": {"type": "int", "default": 3},
                **{f"{purpose}_cidrs": strings for purpose in PURPOSES},
                "nat": {"type": "str", "choices": ["single", "per_zone", "none"], "default": "single"},
                "endpoints": {"type": "list", "elements": "str", "default": ENDPOINTS},
                "close_default_security_group": {"type": "bool", "default": True},
                "vpc_id": {"type": "str"},
                **{f"{purpose}_subnet_ids": strings for purpose in PURPOSES},
                "wait": {"type": "bool", "default": True},
                "wait_timeout": {"type": "int", "default": 900},
            },
            supports_check_mode=True,
        ),
        aws_network,
    )


if __name__ == "__main__":
    main()

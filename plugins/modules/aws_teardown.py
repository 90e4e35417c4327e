#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: aws_teardown
short_description: Take a platform on AWS down to nothing
version_added: 1.0.0
description:
  - Finds all that a platform has in an AWS region - by the collection's tag, by the cluster's name on what Kubernetes and EKS
    have made, and by the names that AWS derives from the cluster and the database - plans in which order it can go, and deletes it.
  - Whatever is not the platform's is left. What others have in the platform's VPC is named, and so is what can't be deleted because of it.
  - Ends with a new look at everything, and fails if something is left that was neither to be kept nor is somebody else's.
  - What Kubernetes can delete itself (Services, claims, KEDA) goes better before; what is left of it is found here all the same.
  - It is a module of the collection's own as upstream's take one task and one process for each object, and none finds what
    nobody remembers having made.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.aws
attributes:
  check_mode:
    support: full
    details: Shows the plan, with what has still to be decided, and changes nothing. It needs no O(confirm).
  diff_mode:
    support: none
    details: The table says what becomes of each resource.
  idempotent:
    support: full
    details: Nothing is remembered between runs. A run that was killed is gone on with by the next one.
options:
  platform:
    description: Name of the platform, which is the EKS cluster's name too.
    type: str
    required: true
  database_identifier:
    description: Identifier of the platform's database, if it is not the platform's name.
    type: str
    default: ""
  confirm:
    description:
      - The platform's name once more, without which nothing is deleted.
      - With it, deletion protection of the cluster and the database is taken off.
    type: str
    default: ""
  final_snapshot:
    description:
      - Name of the database's final snapshot, or V(none) for none at all. Must be given if there is a database to be deleted.
      - The snapshot is kept, and with it the key that the database is encrypted with, if that is the platform's.
    type: str
    default: ""
  keep:
    description: What is not deleted; nor is what it needs, such as a kept database's subnets.
    type: list
    elements: str
    choices: [database, keys, logs, repositories, secrets, volumes]
    default: []
  delete_snapshots:
    description: Whether manual snapshots of the database are deleted too. O(final_snapshot) never is.
    type: bool
    default: false
  keep_automated_backups:
    description: Whether the database's automated backups are kept until their retention ends.
    type: bool
    default: false
  delete_images:
    description: Whether repositories that hold images are deleted. If not, such a repository has to be kept.
    type: bool
    default: false
  key_deletion_window:
    description: Days until AWS deletes the keys, 7 to 30. Until then their deletion can be cancelled.
    type: int
    default: 7
  secret_recovery_window:
    description: Days, 7 to 30, for which deleted secrets can be brought back; 0 deletes them at once, for good.
    type: int
    default: 7
  wait_timeout:
    description: Seconds that each kind of resource may take to be gone.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Show what would be deleted, kept and left, and what it costs
  dbos.kubernetes.aws_teardown:
    platform: shop
    region: eu-west-1
    final_snapshot: shop-final
  check_mode: true

- name: Take the platform down, but keep the images
  dbos.kubernetes.aws_teardown:
    platform: shop
    region: eu-west-1
    confirm: "{{ teardown_confirm }}"
    final_snapshot: shop-final
    keep: [repositories]
  register: teardown
"""

RETURN = r"""
deleted:
  description: What was deleted, or would be. In check mode with what goes along, such as a node group's instances.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: VPC
      id: vpc-0a1b2c3d4e5f67890
      name: shop
      why: tag dbos.kubernetes/platform
kept:
  description: What is kept, with the reason and, where the price is known, an estimate of its cost in USD a month.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: database snapshot
      id: shop-final
      name: shop-final
      why: final snapshot
      monthly_cost: 1.9
scheduled:
  description: What AWS deletes by itself later, with the day.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: key
      id: 0d990263-018e-4e65-a703-eff731de951e
      name: shop
      why: AWS deletes it on 2026-12-02
foreign:
  description: What is not the platform's, but in its VPC or under its name. It is left as it is.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: instance
      id: i-0a1b2c3d4e5f67890
      name: build-agent
      why: not ours
left:
  description: What is the platform's and can't be deleted, with the reason. The module fails if there is any, but in check mode.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: subnet
      id: subnet-0a1b2c3d4e5f67890
      name: shop-private-eu-west-1a
      why: instance i-0a1b2c3d4e5f67890 (build-agent), which is not ours, is in it or uses it
unconfirmed:
  description:
    - ARNs that AWS' inventory of tags (the Resource Groups Tagging API) still has after a minute, though the services themselves
      have them no more. It lags behind; run again to see it empty.
  returned: always
  type: list
  elements: str
  sample: []
undecided:
  description: What has to be decided before anything is deleted. Empty but in check mode, where it is no failure.
  returned: always
  type: list
  elements: str
  sample: []
monthly_cost:
  description: What is kept and left costs in USD a month, an estimate from list prices.
  returned: always
  type: float
  sample: 1.9
unpriced:
  description: What is kept or left and not counted in RV(monthly_cost), as its price is not known.
  returned: always
  type: list
  elements: str
  sample: []
table:
  description: All of it for a person.
  returned: always
  type: str
  sample: |-
    Platform shop in eu-west-1
             KIND               ID          NAME  WHY             USD/MONTH
    keep     database snapshot  shop-final  -     final snapshot  1.90
    What is kept or left costs about 1.90 USD a month (an estimate from list prices).
    Nothing of the platform is left but for what is kept.
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import report
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.execute import Executor
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.observe import Observer
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.plan import Options, plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.resources import KEEPABLE
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress


def teardown(module: AnsibleModule) -> dict[str, Any]:
    """Plan, and outside check mode follow the plan."""
    params, platform = module.params, module.params["platform"]
    options = decisions(params)
    if not module.check_mode and params["confirm"] != platform:
        raise DbosError(
            f"Taking platform {platform} down has to be confirmed by its name: teardown_confirm is '{params['confirm']}'. "
            f"Nothing was deleted."
        )
    account = Account(params)
    observer = Observer(account, platform, params["database_identifier"], options.snapshot)
    planned = plan(observer.observe(), options)
    if module.check_mode:
        return report.result(platform, account.region, planned, check=True)
    if planned.undecided:
        raise DbosError(" ".join(planned.undecided) + " Nothing was deleted.")
    executor = Executor(account, platform, options, observer, params["wait_timeout"], Progress())
    after = executor.run(planned)
    gone = executor.deleted.values()
    result = report.result(platform, account.region, after, gone, executor.confirm(), check=False)
    if result["left"]:
        raise DbosError(report.failure(platform, account.region, result["left"]), **result)
    return result


def decisions(params: dict[str, Any]) -> Options:
    """The user's decisions, checked."""
    for name, least in (("key_deletion_window", 7), ("secret_recovery_window", 0)):
        days = params[name]
        if not (7 <= days <= 30 or days == least):
            also = ", or 0" if least == 0 else ""
            raise DbosError(f"{name} is {days}: AWS takes 7 to 30 days{also}.")
    return Options(
        final_snapshot=params["final_snapshot"],
        keep=frozenset(params["keep"]),
        delete_snapshots=params["delete_snapshots"],
        keep_backups=params["keep_automated_backups"],
        delete_images=params["delete_images"],
        key_window=params["key_deletion_window"],
        secret_recovery=params["secret_recovery_window"],
    )


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            **argument_spec(),
            "platform": {"type": "str", "required": True},
            "database_identifier": {"type": "str", "default": ""},
            "confirm": {"type": "str", "default": ""},
            "final_snapshot": {"type": "str", "default": ""},
            "keep": {"type": "list", "elements": "str", "choices": sorted(KEEPABLE), "default": []},
            "delete_snapshots": {"type": "bool", "default": False},
            "keep_automated_backups": {"type": "bool", "default": False},
            "delete_images": {"type": "bool", "default": False},
            "key_deletion_window": {"type": "int", "default": 7, "no_log": False},
            "secret_recovery_window": {"type": "int", "default": 7, "no_log": False},
            "wait_timeout": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    check_library(module, "boto3")
    run(module, teardown)


if __name__ == "__main__":
    main()

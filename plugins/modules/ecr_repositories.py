#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ecr_repositories
short_description: Make, change and delete a platform's repositories in Amazon ECR
version_added: 1.0.0
description:
  - Makes private repositories whose tags can't be moved to another image, encrypted, and with a lifecycle policy that forgets untagged images and
    builds that were never released. Images of recorded versions carry a tag that begins with C(release-), which keeps them.
  - The module community.aws.ecs_ecr needs a task for each repository and fails where what it reads was just made.
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
    details: Repositories that are not there yet have no URI in the result.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description: Whether the repositories are there or not. V(absent) deletes all their images too.
    type: str
    choices: [present, absent]
    default: present
  repositories:
    description: Names of the repositories. Repositories that are not named are left.
    type: list
    elements: str
    required: true
  expire_days:
    description: Days after which images that no tag names, and builds that were never released, are deleted.
    type: int
    default: 30
  scan_on_push:
    description: >-
      Whether an image is scanned for known vulnerabilities when it is pushed. It is basic scanning; where the registry has enhanced scanning, that
      decides instead.
    type: bool
    default: true
  kms_key_id:
    description: Id, alias or ARN of the KMS key to encrypt images with; with AES-256 and no key of KMS when not given. It can't be changed.
    type: str
notes:
  - An image whose pushing is younger than O(expire_days) is never deleted, so give a staged version no longer than that to be recorded.
"""

EXAMPLES = r"""
- name: Make the repositories of application and migration
  dbos.kubernetes.ecr_repositories:
    platform: shop
    region: eu-central-1
    repositories:
      - shop
      - shop-migrate
"""

RETURN = r"""
repositories:
  description: The repositories' URIs by name.
  returned: success
  type: dict
  sample:
    shop: 123456789012.dkr.ecr.eu-central-1.amazonaws.com/shop
registry:
  description: Host of the registry, null while there are no repositories.
  returned: success
  type: str
  sample: 123456789012.dkr.ecr.eu-central-1.amazonaws.com
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.ecr import Repositories
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def ecr_repositories(module: AnsibleModule) -> dict[str, Any]:
    """Bring the repositories into the state that is asked for."""
    repositories = Repositories(Account(module.params), module.params, check=module.check_mode)
    return repositories.present() if module.params["state"] == "present" else repositories.absent()


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            **argument_spec(),
            "platform": {"type": "str", "required": True},
            "tags": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "repositories": {"type": "list", "elements": "str", "required": True},
            "expire_days": {"type": "int", "default": 30},
            "scan_on_push": {"type": "bool", "default": True},
            "kms_key_id": {"type": "str", "no_log": False},  # a name
        },
        supports_check_mode=True,
    )
    check_library(module, "boto3")
    run(module, ecr_repositories)


if __name__ == "__main__":
    main()

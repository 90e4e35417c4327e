#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ecr_mirror
short_description: Copy images of other registries to Amazon ECR
version_added: 1.0.0
description:
  - Makes a repository in Amazon ECR for each image, as the module M(dbos.kubernetes.ecr_repositories) does, and copies the image into it
    through both registries' HTTP APIs, without docker. Lists of images are copied as they are, so that a copy has the digest of its source.
  - A platform whose nodes have no way to the internet runs these copies.
  - A copy that is there is never made again, and its source is not looked at; a tag that has moved at the source stays what it was.
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
    details: In the result, an image that would be copied has its tag in place of the digest.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: A copy that was interrupted goes on where it was.
options:
  images:
    description:
      - Images to copy, as a pod names them, with a tag or a digest. The copy of C(ghcr.io/kedacore/keda:2.21.1) is
        C(<registry>/mirror/ghcr.io/kedacore/keda:2.21.1).
      - They are read as anyone may.
    type: list
    elements: str
    required: true
  registry:
    description: The account's registry, as the lookup P(dbos.kubernetes.ecr_credentials#lookup) gives it.
    type: dict
    required: true
    suboptions:
      host:
        description: Host of the registry.
        type: str
        required: true
      ca_file:
        description: Path of the CA certificate that signed the registry's, if the system's CAs don't vouch for it.
        type: path
      username:
        description: User name.
        type: str
      password:
        description: Password or token.
        type: str
  prefix:
    description: What the names of the repositories begin with.
    type: str
    default: mirror
  platforms:
    description:
      - Operating systems and architectures to copy of images that are for several, such as V(linux/arm64). All when there are none, and only
        then the copy has its source's digest.
    type: list
    elements: str
    default: []
  expire_days:
    description: Days after which images that no tag names are deleted, as in the module M(dbos.kubernetes.ecr_repositories).
    type: int
    default: 30
  scan_on_push:
    description: Whether an image is scanned for known vulnerabilities when it is pushed.
    type: bool
    default: true
  kms_key_id:
    description: Id, alias or ARN of the KMS key to encrypt images with; with AES-256 and no key of KMS when not given.
    type: str
"""

EXAMPLES = r"""
- name: Copy what the cluster runs
  dbos.kubernetes.ecr_mirror:
    platform: shop
    region: eu-central-1
    registry: "{{ lookup('dbos.kubernetes.ecr_credentials', region='eu-central-1') }}"
    images:
      - docker.io/bitnami/sealed-secrets-controller:0.40.0
      - ghcr.io/kedacore/keda:2.21.1
  register: mirror
"""

RETURN = r"""
images:
  description: The copies by digest; keys are as in O(images).
  returned: success
  type: dict
  sample:
    ghcr.io/kedacore/keda:2.21.1: 123456789012.dkr.ecr.eu-central-1.amazonaws.com/mirror/ghcr.io/kedacore/keda@sha256:6c3c624b58db…
copied:
  description: Images that were copied, or would be.
  returned: success
  type: list
  elements: str
  sample: [ghcr.io/kedacore/keda:2.21.1]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import ecr_mirror as mirror
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, registry_options, run


def ecr_mirror(module: AnsibleModule) -> dict[str, Any]:
    """Copy what has no copy yet."""
    params = module.params
    return mirror.ensure(
        Account(params),
        params["images"],
        params["registry"],
        params["prefix"],
        params["platforms"],
        params,
        check=module.check_mode,
    )


def main() -> None:
    """Entry point."""
    registry = {**registry_options(), "host": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={
            **argument_spec(),
            "platform": {"type": "str", "required": True},
            "tags": {"type": "dict", "default": {}},
            "images": {"type": "list", "elements": "str", "required": True},
            "registry": {"type": "dict", "required": True, "options": registry},
            "prefix": {"type": "str", "default": "mirror"},
            "platforms": {"type": "list", "elements": "str", "default": []},
            "expire_days": {"type": "int", "default": 30},
            "scan_on_push": {"type": "bool", "default": True},
            "kms_key_id": {"type": "str", "no_log": False},  # a name
        },
        supports_check_mode=True,
    )
    check_library(module, "boto3")
    run(module, ecr_mirror)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_preflight
short_description: Find what speaks against a release, before anything is released
version_added: 1.0.0
description:
  - Reads the application's versions, the system database (one statement) and the registry, and fails when it finds a hazard, naming the
    fact and the way out of each. All are told at once.
  - Each hazard can be accepted by its name (O(skip)); a warning then says what was accepted.
  - What could not be found out is returned and shown, and is no failure.
  - Writes nothing.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.application
  - dbos.kubernetes.connection
  - dbos.kubernetes.kubernetes
attributes:
  check_mode:
    support: full
    details: A database or namespace that does not exist yet has no hazards, and it is said that nothing is known of them.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  version:
    description: Version that will be released. By default the one that M(dbos.kubernetes.rollback) would go back to.
    type: str
  image:
    description: Its image with the digest. By default what the ledger has for the version.
    type: str
  sdk:
    description:
      - Its DBOS SDK, such as V(go 1.8.0), V(python 3.4.0) or V(typescript 5.3.0).
      - By default what the ledger remembers of the version, or what the image's label C(dbos.kubernetes/sdk) says.
    type: str
  replicas:
    description: The most pods that the version may get.
    type: int
    default: 2
  pool_size:
    description: Connections that one pod opens at most. By default the SDK's own default (20; TypeScript 10).
    type: int
  metrics_role:
    description: Login that scaling and monitoring use; its connection limit counts.
    type: str
  migration:
    description: The migration that will run between this and the release, if any.
    type: dict
    suboptions:
      image:
        description: Its image with the digest; a label C(dbos.kubernetes/sdk) tells which level it leads to.
        type: str
        default: ""
      expected_version:
        description: Schema level that it leads to.
        type: int
  registry:
    description: The platform's registry. Images of other registries are looked up as anyone may.
    type: dict
    default: {}
    suboptions:
      host:
        description: Host, with port if there is one.
        type: str
      ca_file:
        description: File with the CA that signed its certificate.
        type: path
      username:
        description: User.
        type: str
      password:
        description: Password.
        type: str
  skip:
    description: Hazards that are accepted.
    type: list
    elements: str
    default: []
    choices:
      - connections
      - executor_ids
      - go_shutdown
      - missing_images
      - payload_format
      - queue_concurrency
      - registered_version
      - schema_behind
"""

EXAMPLES = r"""
- name: Look for what speaks against version 2 of the shop
  dbos.kubernetes.release_preflight:
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    name: shop
    namespace: shop
    version: v2
    image: "registry.example.com/shop@sha256:{{ '0' * 64 }}"
    sdk: go 1.8.0
    replicas: 10
    database_url: "{{ shop_database_url }}"
    skip: [connections]
"""

RETURN = r"""
findings:
  description: The hazards that were found, those that were accepted last.
  returned: always, also when it fails
  type: list
  elements: dict
  contains:
    hazard:
      description: Its name.
      type: str
    message:
      description: The fact.
      type: str
    way_out:
      description: What to do.
      type: str
    accepted:
      description: Whether O(skip) names it.
      type: bool
unknown:
  description: What could not be found out, a sentence each.
  returned: always, also when it fails
  type: list
  elements: str
"""

import dataclasses
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import release_facts, release_preflight
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import argument_spec, module_database_if_any
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import (
    application_spec,
    check_library,
    registry_options,
    run,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress


def preflight(module: AnsibleModule) -> dict[str, Any]:
    """Read, judge, and fail unless all that was found is accepted."""
    check_library(module, "kubernetes", "psycopg2")
    params = module.params
    migration = params["migration"]
    request = release_facts.Request(
        app=params["name"],
        namespace=params["namespace"],
        owner=params["application_name"] or params["name"],
        version=params["version"],
        image=params["image"] or "",
        sdk=params["sdk"] or "",
        replicas=params["replicas"],
        pool=params["pool_size"],
        metrics_role=params["metrics_role"],
        registry=params["registry"],
        migrates=migration is not None,
        migration_level=migration["expected_version"] if migration else None,
        migration_image=migration["image"] if migration else "",
    )
    with module_database_if_any(module, lambda _told: None) as session:
        facts = release_facts.gather(Client.from_params(params), session, request)
    verdict = release_preflight.judge(facts, params["skip"])
    result = {
        "changed": False,
        "findings": [
            {**dataclasses.asdict(finding), "accepted": finding in verdict.accepted}
            for finding in (*verdict.refused, *verdict.accepted)
        ],
        "unknown": [*facts.unknown],
    }
    crowded = release_preflight.crowded(facts)
    if crowded:
        module.warn(crowded)
    for sentence in facts.unknown:
        Progress().say(sentence)
    for finding in verdict.accepted:
        module.warn(f"Accepted by release_preflight_skip ({finding.hazard}): {finding.message}")
    if verdict.refused:
        raise DbosError(release_preflight.refusal(verdict), **result)
    return result


def main() -> None:
    """Entry point."""
    migration = {"image": {"type": "str", "default": ""}, "expected_version": {"type": "int"}}
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                **application_spec(),
                "version": {"type": "str"},
                "image": {"type": "str"},
                "sdk": {"type": "str"},
                "replicas": {"type": "int", "default": 2},
                "pool_size": {"type": "int"},
                "metrics_role": {"type": "str"},
                "migration": {"type": "dict", "options": migration},
                "registry": {"type": "dict", "default": {}, "options": registry_options()},
                "skip": {
                    "type": "list",
                    "elements": "str",
                    "default": [],
                    "choices": sorted(release_preflight.HAZARDS),
                },
            },
            supports_check_mode=True,
        ),
        preflight,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback
short_description: Go back to an earlier version of a DBOS application
version_added: 1.0.0
description:
  - Promotes the version that was promoted before, or a named one. One whose pods are gone is brought back as the ledger recorded it.
  - Then it tells what the version that is left has made, that is, its runs, unfinished workflows, schedules, queues and registrations,
    and drains, cancels or forks its unfinished work.
  - The version that is left is marked in the ledger until it is promoted again. So a second run neither flips back to it nor goes on
    to an even older one, and a run that was stopped half-way is finished by the next.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.application
  - dbos.kubernetes.connection
  - dbos.kubernetes.connection.writes
  - dbos.kubernetes.kubernetes
  - dbos.kubernetes.lease
attributes:
  check_mode:
    support: full
    details: Tells which version would be gone back to, and everything that the other has made until now.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  version:
    description:
      - The version to go back to; by default the one that was promoted last before, without those that were rolled back.
      - Of a promotion that was stopped half-way, the one that clients are still sent to.
    type: str
  policy:
    description:
      - What becomes of the unfinished work of the version that is left. With V(drain) its own pods end it, as of any version that is no
        longer promoted. V(cancel) cancels it. V(fork) cancels each workflow and forks it to O(version) from its last completed step.
      - A second run with another policy applies that to what is left.
    type: str
    choices: [drain, cancel, fork]
    default: drain
  replicas:
    description: Pods that a version gets which is brought back, while no autoscaler owns their number.
    type: int
    default: 2
  timeout:
    description: Seconds to wait for the pods.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Go back to the version before, and fork what the bad one left
  dbos.kubernetes.rollback:
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    name: shop
    namespace: shop
    policy: fork
    lease: shop
    database_url: "{{ shop_database_url }}"
    ca: "{{ lookup('ansible.builtin.file', 'rds-ca.pem') }}"
    relay:
      namespace: shop
      image: alpine/socat:1.8.0.3
      application: shop
"""

RETURN = r"""
version:
  description: The version that is promoted now, or would be.
  returned: success
  type: str
  sample: v1
from_version:
  description: The version that was left; null when none was.
  returned: success
  type: str
  sample: v2
policy:
  description: What its unfinished work was settled by.
  returned: success
  type: str
steps:
  description: What was done, or would be, in order; empty when the versions were so already.
  returned: success
  type: list
  elements: str
  sample: ["promote v1: takes over again from v2"]
account:
  description: What the version that was left has made, as it was before its work was settled; null when none was left.
  returned: success
  type: dict
  contains:
    since:
      description: From when on; its first pod, or its last promotion if it had several.
      type: str
    runs:
      description: Number of its workflows by status.
      type: dict
      sample: {SUCCESS: 120, PENDING: 2}
    workflows:
      description: Its unfinished workflows, of any age.
      type: list
      elements: dict
      sample:
        - id: 4f1c
          workflow: task
          status: PENDING
          queue: taskQueue
          executor: shop-v2-0
          schedule: null
          created_at: "2026-11-24T10:00:00Z"
    unversioned:
      description: Number of unfinished workflows that name no version; the promoted one takes them.
      type: int
    schedules:
      description: The application's schedules, how often each ran on the version, and whether nothing older came from it.
      type: list
      elements: dict
      sample: [{name: nightly, workflow: tick, status: ACTIVE, runs: 3, new: false}]
    queues:
      description: Names of queues that were registered since.
      type: list
      elements: str
    registered:
      description: Its own row of DBOS' versions, and those of others that came since.
      type: list
      elements: dict
      sample: [{version: v2, latest_since: "2026-11-24T10:01:00Z", created_at: "2026-11-24T10:00:00Z", owner: shop}]
settled:
  description: What became of the unfinished work by O(policy=cancel) or O(policy=fork); empty when there was nothing to settle.
  returned: success
  type: dict
  sample: {cancelled: [], forked: [{from: 4f1c, to: 9ab2}], refused: []}
table:
  description: All of it for a person.
  returned: success
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import rolling_back
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import argument_spec, module_database
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import application_spec, check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import schema


def rollback(module: AnsibleModule) -> dict[str, Any]:
    """Roll back what the task names."""
    check_library(module, "kubernetes", "psycopg2")
    params = module.params
    client = Client.from_params(params)
    request = rolling_back.Request(
        app=params["name"],
        namespace=params["namespace"],
        owner=params["application_name"] or params["name"],
        version=params["version"],
        policy=params["policy"],
        replicas=params["replicas"],
        timeout=params["timeout"],
        allow_newer_schema=params["allow_newer_schema"],
    )
    lease = Lease.from_params(client, params)
    with module_database(module) as database:
        if module.check_mode:
            return rolling_back.Rollback(client, database, request, lease).run(check=True)
        schema.check_writable(schema.level(database), params["allow_newer_schema"])
        with lease:
            return rolling_back.Rollback(client, database, request, lease).run(check=False)


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(writes=True),
                "lease": {"type": "str"},
                **application_spec(),
                "version": {"type": "str"},
                "policy": {"type": "str", "choices": ["drain", "cancel", "fork"], "default": "drain"},
                "replicas": {"type": "int", "default": 2},
                "timeout": {"type": "int", "default": 300},
            },
            supports_check_mode=True,
        ),
        rollback,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: retirement
short_description: Take every version of a DBOS application one legal step further
version_added: 1.0.0
description:
  - One tick of an application. A promotion that a killed run left half done is finished. A version that is not promoted any more, and that
    several reads in a row show without unfinished work, is stopped; once its last pod is gone and it is proven again, it is retired. A
    version without pods whose work returned is revived as the ledger recorded it.
  - While all that runs of a draining version sleeps for longer than ten minutes, on higher ordinals than there are workflows, its upper
    pods are taken in and their workflows requeued for the others, as DBOS' own recovery does. It needs schema level 109.
  - Retiring deletes the version's workload, autoscaler and configuration. The ledger keeps what it was made of, and the proof.
  - Nothing is taken away on missing data, on what a replica says, or while the Service and DBOS do not agree on the promoted version. The
    promoted version and staged ones are left alone.
  - Safe to run every few minutes. While another run holds the Lease of the application it changes nothing and succeeds.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.application
  - dbos.kubernetes.connection
  - dbos.kubernetes.kubernetes
  - dbos.kubernetes.lease
attributes:
  check_mode:
    support: full
    details: Reads as often as the proof needs, and tells what would be done.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  reads:
    description: Reads in a row that must find no unfinished work.
    type: int
    default: 3
  seconds:
    description: Seconds that these reads span.
    type: float
    default: 5
  deadline:
    description: Seconds after which unfinished work of a draining version is reported as C(DrainBlocked).
    type: float
  give_up:
    description: Staged versions that are given up, and so are retired like those that drain.
    type: list
    elements: str
    default: []
  wait:
    description:
      - Seconds for which to go on, tick by tick, until nothing drains and a tick has nothing to do. V(0) is a single tick.
      - In check mode it is always a single one.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Take every version of the shop one step further
  dbos.kubernetes.retirement:
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    name: shop
    namespace: shop
    lease: shop
    database_url: "{{ shop_database_url }}"
    ca: "{{ lookup('ansible.builtin.file', 'rds-ca.pem') }}"
    relay:
      namespace: shop
      image: alpine/socat:1.8.0.3
      application: shop
"""

RETURN = r"""
held_by:
  description: Why nothing was looked at, when another run holds the application's Lease; else null.
  returned: success
  type: str
promoted:
  description: The version that clients are sent to; null when there is none, or nothing was looked at.
  returned: success
  type: str
actions:
  description: What was done, or would be, in all ticks.
  returned: success
  type: list
  elements: dict
  contains:
    verb:
      description: One of promote, revive, prove (its work must be looked at again), compact, stop, retire.
      type: str
    version:
      description: Which version.
      type: str
    reason:
      description: Why.
      type: str
  sample: [{verb: retire, version: v1, reason: "no unfinished work in 3 reads over 5 s, after its last pod was gone"}]
conditions:
  description: What was true of each version before the last tick, a list of C({type, message}) per version.
  returned: success
  type: dict
  sample: {v1: [{type: Drained, message: no unfinished work was seen}]}
evidence:
  description:
    - The proof per version that had no unfinished work in any of the reads, with the keys that M(dbos.kubernetes.workflow_drain) gives it.
    - C(stopped) tells whether its last pod was gone before.
  returned: success
  type: dict
  sample: {v1: {reads: 3, seconds: 5.0, since: "2026-11-24T12:00:00Z", until: "2026-11-24T12:00:05Z", stopped: true}}
"""

import contextlib
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import lifecycle_tick, naming, retiring
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import argument_spec, module_database
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Held, Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import application_spec, check_library, run

UNTOUCHED = {"changed": False, "promoted": None, "actions": [], "conditions": {}, "evidence": {}}


def retirement(module: AnsibleModule) -> dict[str, Any]:
    """One tick, or as many as it takes."""
    check_library(module, "kubernetes", "psycopg2")
    params = module.params
    naming.check_application(params["name"])
    client = Client.from_params(params)
    lease = None if module.check_mode else Lease.from_params(client, params)
    with contextlib.ExitStack() as stack:
        if lease:
            try:
                stack.enter_context(lease)
            except Held as error:
                return {**UNTOUCHED, "held_by": error.msg, "msg": error.msg}
        ticker = retiring.Ticker(
            client,
            stack.enter_context(module_database(module)),
            params["name"],
            params["namespace"],
            params["application_name"] or params["name"],
            lifecycle_tick.Policy(
                reads=params["reads"],
                seconds=params["seconds"],
                deadline=params["deadline"],
                abandoned=frozenset(params["give_up"]),
            ),
            lease,
        )
        found = last = ticker.run()
        end = time.monotonic() + params["wait"]
        while lease and retiring.unfinished(last) and time.monotonic() < end:
            time.sleep(1)
            last = ticker.run()
            found = retiring.joined(found, last)
        return {"held_by": None, **found}


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "lease": {"type": "str"},
                **application_spec(),
                "reads": {"type": "int", "default": 3},
                "seconds": {"type": "float", "default": 5},
                "deadline": {"type": "float"},
                "give_up": {"type": "list", "elements": "str", "default": []},
                "wait": {"type": "int", "default": 0},
            },
            supports_check_mode=True,
        ),
        retirement,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: workflow_recovery
short_description: Find work of a DBOS application that no live executor will take, and repair it
version_added: 1.0.0
description:
  - Finds workflows that a dead executor has left running, versions with unfinished work that nothing runs, work without a version while
    the latest version has no pod, and queues whose limit is used up by dead executors.
  - An executor is dead when it was a pod of this application, and the pod is gone or has ended. With DBOS Conductor, which gives executors
    random names, and for every other name that is not one of a pod's, it is unknown. What a live or an unknown executor has is never touched.
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
    details: Says what would be repaired.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  repair:
    description:
      - V(none) only finds.
      - V(requeue) puts what dead executors have left back into its queue, as the SDKs' own recovery does, for another executor of the
        same version.
      - V(fork) cancels what no live executor will take, and forks it to O(to_version). See M(dbos.kubernetes.workflow_drain).
      - V(revive) brings versions without a pod back as the ledger recorded them.
    type: str
    choices: [none, requeue, fork, revive]
    default: none
  to_version:
    description: The registered version that workflows are forked to.
    type: str
  fork_children:
    description: Forks also workflows that an unfinished parent waits for.
    type: bool
    default: false
  max_attempts:
    description:
      - A workflow that was taken more often is not requeued, but named. The SDKs' own limit, 100 recoveries unless the code sets another,
        holds besides.
    type: int
    default: 101
  replicas:
    description: Pods that a revived version gets at least, unless an autoscaler owns their number.
    type: int
    default: 1
"""

EXAMPLES = r"""
- name: Requeue what lost pods have left
  dbos.kubernetes.workflow_recovery:
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    name: shop
    namespace: shop
    database_url: "{{ owner_url }}"
    ca: "{{ platform_database.ca }}"
    relay:
      namespace: shop
      image: "{{ platform_relay_image }}"
      application: shop
    repair: requeue
  register: recovery
"""

RETURN = r"""
stranded:
  description: What no live executor will take, as it was found before any repair.
  returned: when the database could be read
  type: list
  elements: dict
  contains:
    kind:
      description: One of dead_executor, version_without_pods, latest_without_pods, blocked_queue.
      type: str
    version:
      description: The version.
      type: str
    executor:
      description: The dead executor.
      type: str
    queue:
      description: The queue.
      type: str
    workflows:
      description: Number of workflows.
      type: int
    why:
      description: What is wrong, and the way out.
      type: str
executors:
  description: Who has taken workflows (C(id)), of which C(version), how many (C(pending)), and whether it is alive, dead or unknown (C(state)).
  returned: when the database could be read
  type: list
  elements: dict
requeued:
  description: IDs of the workflows that were put back into their queues.
  returned: when the database could be read
  type: list
  elements: str
forked:
  description: Each forked workflow (C(from)) with its new ID (C(to)).
  returned: when the database could be read
  type: list
  elements: dict
revived:
  description: Versions that were brought back.
  returned: when the database could be read
  type: list
  elements: str
refused:
  description: Workflows or versions that were not repaired (C(id)), with the reason (C(why)).
  returned: when the database could be read
  type: list
  elements: dict
msg:
  description: What could not be read.
  returned: in check mode, when the database or the way to it does not exist yet
  type: str
"""

import contextlib
import functools
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import recovering, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database, argument_spec, module_database
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import application_spec, check_library, run


def workflow_recovery(module: AnsibleModule) -> dict[str, Any]:
    """Find, and repair under the lease."""
    check_library(module, "psycopg2", "kubernetes")
    params = module.params
    client = Client.from_params(params)
    lease = Lease.from_params(client, params)
    with contextlib.ExitStack() as stack:
        if params["repair"] != recovering.NONE and not module.check_mode:
            stack.enter_context(lease)
        return recover(module, client, stack.enter_context(module_database(module)), lease)


def recover(module: AnsibleModule, client: Client, database: Database, lease: Lease) -> dict[str, Any]:
    """See, decide, repair."""
    params = module.params
    owner, how = params["application_name"] or params["name"], params["repair"]
    seen = recovering.see(
        database, owner, functools.partial(version_objects.read, client, params["name"], params["namespace"])
    )
    found = list(recovering.stranded(seen))
    done: dict[str, Any] = {"requeued": [], "forked": [], "revived": [], "refused": []}
    if module.check_mode:
        would = how != recovering.NONE and any(entry["kind"] in recovering.REPAIRED_BY[how] for entry in found)
        return {"changed": would, "stranded": found, "executors": recovering.executors(seen), **done}
    repairer = recovering.Repairer(client, database, lease, owner, params["max_attempts"], params["allow_newer_schema"])
    if how == recovering.REQUEUE:
        done |= repairer.requeue(seen)
    elif how == recovering.FORK:
        done |= repairer.fork(seen, params["to_version"], params["fork_children"])
    elif how == recovering.REVIVE:
        done |= repairer.revive(seen, params["replicas"])
    changed = bool(done["requeued"] or done["forked"] or done["revived"])
    return {"changed": changed, "stranded": found, "executors": recovering.executors(seen), **done}


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(writes=True),
                "lease": {"type": "str"},
                **application_spec(),
                "repair": {"type": "str", "choices": list(recovering.REPAIRS), "default": recovering.NONE},
                "to_version": {"type": "str"},
                "fork_children": {"type": "bool", "default": False},
                "max_attempts": {"type": "int", "default": 101},
                "replicas": {"type": "int", "default": 1},
            },
            required_if=[("repair", "fork", ("to_version",))],
            supports_check_mode=True,
        ),
        workflow_recovery,
        not_yet={"changed": False},
    )


if __name__ == "__main__":
    main()

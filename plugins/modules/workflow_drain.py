#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: workflow_drain
short_description: Prove that a version of a DBOS application has no unfinished work
version_added: 1.0.0
description:
  - A version is drained when several reads in a row, over some seconds and on a primary, found no workflow of it in C(PENDING),
    C(ENQUEUED) or C(DELAYED). A read that fails, or that a replica answers, is no proof.
  - Names what keeps the version, and what each workflow waits for. The topic of a C(Recv) is not recorded by DBOS, so nobody can tell it.
  - The latest version is refused, because work without a version goes to it.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.connection
  - dbos.kubernetes.connection.writes
  - dbos.kubernetes.kubernetes
  - dbos.kubernetes.lease
attributes:
  check_mode:
    support: full
    details: One proof is tried; nothing is waited for.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  application_name:
    description: The name that the application gives itself in DBOS.
    type: str
    required: true
  version:
    description: The version to drain.
    type: str
    required: true
  reads:
    description: Number of reads in a row that make a proof.
    type: int
    default: 3
  seconds:
    description: Seconds between the first and the last of them.
    type: float
    default: 5
  deadline:
    description: Seconds to wait for unfinished workflows.
    type: float
    default: 600
  on_deadline:
    description:
      - What happens when workflows are still unfinished then.
      - V(wait) keeps them and the version, and succeeds with RV(drained=false); the next run goes on waiting. V(fail) keeps them and fails.
      - V(cancel) cancels them, as the SDKs do. A step that runs is not interrupted, but its workflow's result does not count any more.
      - V(fork) cancels each and forks it to O(to_version), as the SDKs do, behind its last recorded step. It keeps its queue, partition,
        time-out and delay. Messages for the original do not reach the fork, which has another ID.
      - V(force) gives them up without touching them, and says so with RV(forced=true).
    type: str
    choices: [wait, fail, cancel, fork, force]
    default: fail
  to_version:
    description: The registered version that workflows are forked to. Its code has to go on from the steps that are recorded.
    type: str
  fork_children:
    description:
      - Forks also workflows that an unfinished parent waits for. Unless the parent is forked with them, it ends with an error.
      - Without it they are refused and keep the version, while the parent waits on for them under their own ID.
    type: bool
    default: false
  namespace:
    description:
      - Namespace of the application. When given, dead executors are told from live ones, and cancelling and forking are done under the
        application's lease.
    type: str
  application:
    description: The application's name in Kubernetes. By default O(application_name).
    type: str
"""

EXAMPLES = r"""
- name: Wait ten minutes for version 1, then move what is left to version 3
  dbos.kubernetes.workflow_drain:
    database_url: "{{ owner_url }}"
    ca: "{{ platform_database.ca }}"
    relay:
      namespace: shop
      image: "{{ platform_relay_image }}"
      application: shop
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    namespace: shop
    application_name: shop
    version: v1
    on_deadline: fork
    to_version: v3
  register: drain
"""

RETURN = r"""
drained:
  description: Whether it is proven that the version has no unfinished work.
  returned: when the database could be read
  type: bool
forced:
  description: Whether it is not, and O(on_deadline=force).
  returned: when the database could be read
  type: bool
unfinished:
  description: What the last read counted.
  returned: when the database could be read
  type: dict
  sample: {pending: 1, enqueued: 0, delayed: 2}
blockers:
  description: The unfinished workflows, the oldest first, at most 100.
  returned: when the database could be read
  type: list
  elements: dict
  contains:
    id:
      description: ID of the workflow.
      type: str
    workflow:
      description: Its name.
      type: str
      sample: task
    status:
      description: PENDING, ENQUEUED or DELAYED.
      type: str
    version:
      description: Its version.
      type: str
    queue:
      description: Its queue; null when it was started directly.
      type: str
    partition:
      description: Its queue's partition; null when it has none.
      type: str
    executor:
      description: Who runs it; null when nobody does.
      type: str
    executor_state:
      description: Whether that one is alive, dead or unknown; null when nobody runs it.
      type: str
    created_at:
      description: When it was created.
      type: str
      sample: "2026-11-23T20:15:00Z"
    age:
      description: Seconds since then.
      type: int
    waits_for:
      description: What it waits for, in words.
      type: str
      sample: the end of its sleep at 2026-11-24T20:15:00Z
    until:
      description: When that ends; null where nobody knows.
      type: str
evidence:
  description: The reads that prove it, or the last ones that do not.
  returned: when the database could be read
  type: dict
  contains:
    version:
      description: The version.
      type: str
    database:
      description: Name of the database.
      type: str
    schema_version:
      description: Level of its schema.
      type: int
    reads:
      description: Number of reads in a row.
      type: int
    seconds:
      description: Seconds between the first and the last.
      type: float
    since:
      description: Time of the first.
      type: str
      sample: "2026-11-24T12:00:00Z"
    until:
      description: Time of the last.
      type: str
      sample: "2026-11-24T12:00:05Z"
    pending:
      description: Workflows in PENDING at the last read.
      type: int
    enqueued:
      description: Workflows in ENQUEUED at the last read.
      type: int
    delayed:
      description: Workflows in DELAYED at the last read.
      type: int
    drained:
      description: Whether the reads are the proof.
      type: bool
cancelled:
  description: IDs of the workflows that were cancelled; those that were forked are among them.
  returned: when the database could be read
  type: list
  elements: str
forked:
  description: Each forked workflow (C(from)) with its new ID (C(to)).
  returned: when the database could be read
  type: list
  elements: dict
refused:
  description: Workflows that were not forked (C(id)), with the reason (C(why)).
  returned: when the database could be read
  type: list
  elements: dict
msg:
  description: What could not be read.
  returned: in check mode, when the database or the way to it does not exist yet
  type: str
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import (
    drain_wait,
    draining,
    executor_state,
    version_objects,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import argument_spec, module_database
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle_tick import Policy
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress


def request_of(params: dict[str, Any]) -> drain_wait.Request:
    """What the task asks for."""
    return drain_wait.Request(
        owner=params["application_name"],
        version=params["version"],
        policy=Policy(reads=params["reads"], seconds=params["seconds"]),
        deadline=params["deadline"],
        on_deadline=params["on_deadline"],
        to_version=params["to_version"],
        children=params["fork_children"],
        allow_newer_schema=params["allow_newer_schema"],
    )


def workflow_drain(module: AnsibleModule) -> dict[str, Any]:
    """Wait, prove, and end what is left if the task says so."""
    params = module.params
    namespace, application = params["namespace"], params["application"] or params["application_name"]
    check_library(module, "psycopg2", *(["kubernetes"] if namespace or params["relay"] else []))
    with contextlib.ExitStack() as stack:
        judge = lease = None
        if namespace:
            client = Client.from_params(params)

            def judge() -> drain_wait.Judge:
                return executor_state.view(version_objects.read(client, application, namespace)).judge

            lease = Lease(client, namespace, params["lease"] or application)
            if params["on_deadline"] in (draining.CANCEL, draining.FORK) and not module.check_mode:
                stack.enter_context(lease)
        database = stack.enter_context(module_database(module))
        hold = lease.check if lease else None
        drainer = drain_wait.Drainer(database, request_of(params), Progress(), judge, hold)
        return drainer.run(check=module.check_mode)


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(writes=True),
                "lease": {"type": "str"},
                "application_name": {"type": "str", "required": True},
                "version": {"type": "str", "required": True},
                "reads": {"type": "int", "default": 3},
                "seconds": {"type": "float", "default": 5},
                "deadline": {"type": "float", "default": 600},
                "on_deadline": {"type": "str", "choices": list(drain_wait.EXITS), "default": drain_wait.FAIL},
                "to_version": {"type": "str"},
                "fork_children": {"type": "bool", "default": False},
                "namespace": {"type": "str"},
                "application": {"type": "str"},
            },
            required_if=[("on_deadline", "fork", ("to_version",))],
            supports_check_mode=True,
        ),
        workflow_drain,
        not_yet={"changed": False},
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: workflow_info
short_description: Read the versions of an application and their unfinished work
version_added: 1.0.0
description:
  - Counts unfinished workflows, which are those in C(PENDING), C(ENQUEUED) and C(DELAYED), per version, queue and executor. One statement
    reads all of it, so it shows one moment, and it costs with the unfinished rows alone.
  - Tells what sleeps, what came late to a version, which is after another was promoted over it, and given the application's namespace
    which executors are dead.
  - Reads schemas of any level; what an old one does not have is left out.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.connection
  - dbos.kubernetes.kubernetes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  application_name:
    description: Reads the rows of this DBOS application and those of none only; all rows when not given.
    type: str
  schema:
    description: Name of the schema.
    type: str
    default: dbos
  namespace:
    description:
      - The application's namespace in Kubernetes. With it, executors are judged by workloads, ledger and pods there.
    type: str
  application:
    description: The application's name in Kubernetes. By default that of O(relay), else O(application_name).
    type: str
  resumable:
    description: Whether to count too what is cancelled or was given up. Costs with the number of such workflows.
    type: bool
    default: false
  format:
    description: Whether the result is shown as a table, or not at all.
    type: str
    choices: [table, none]
    default: table
  sizes:
    description: Whether to return the sizes of the schema's tables too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: See what is unfinished
  dbos.kubernetes.workflow_info:
    database_url: "{{ owner_url }}"
    ca: "{{ platform_database.ca }}"
    relay:
      namespace: dbos
      image: "{{ platform_relay_image }}"
      application: dbos-app
    application_name: dbos-app
    namespace: dbos
  register: work
"""

RETURN = r"""
schema_version:
  description: Level of the schema; null when the database was never migrated.
  returned: when the database could be read
  type: int
  sample: 125
replica:
  description: Whether a read replica answered. What it does not show may exist all the same.
  returned: when the database could be read
  type: bool
versions:
  description:
    - Every version that is registered or has unfinished work, the latest registration first, work without a version last.
  returned: always
  type: list
  elements: dict
  contains:
    version:
      description: Its name; null for work that has no version.
      type: str
      sample: v2
    latest:
      description: Whether it is the latest, which takes the work without a version.
      type: bool
    pending:
      description: Number of workflows that run, or whose executor is gone.
      type: int
    enqueued:
      description: Number of workflows that wait in a queue.
      type: int
    delayed:
      description: Number of workflows that will be enqueued later.
      type: int
    oldest_at:
      description: When the oldest unfinished one was created; null when there is none.
      type: str
      sample: "2026-11-23T20:15:00Z"
    next_due_at:
      description: When the next delayed one is due; null when there is none.
      type: str
    queues:
      description: Counts per queue; C(name) is null for workflows that were started directly.
      type: list
      elements: dict
      sample: [{name: taskQueue, pending: 2, enqueued: 5, delayed: 0}]
    executors:
      description: Pending workflows per executor.
      type: list
      elements: dict
      sample: [{id: dbos-app-v2-0, pending: 2, state: alive}]
      contains:
        id:
          description: Its name, which is its pod's unless Conductor gave it another; null when it has none.
          type: str
        pending:
          description: Number of its workflows.
          type: int
        state:
          description:
            - V(dead) when it was a pod of the application that is gone or has ended; V(alive) when its pod is there, ready or not.
            - V(unknown) when its name is that of no pod of ours, or Conductor may have renamed it. It must not be taken for dead.
          returned: when O(namespace) is given
          type: str
    dead:
      description: Number of workflows of dead executors. Without an executor of the same name nothing ever takes them.
      returned: when O(namespace) is given
      type: int
    unknown:
      description: Number of workflows of executors of which nobody knows.
      returned: when O(namespace) is given
      type: int
    sleeping:
      description: Number of workflows that sleep, as far as their SDK notes until when. They are pending or enqueued too.
      type: int
    next_wake_at:
      description: When the next delayed or sleeping one goes on; null when there is none.
      type: str
    late:
      description: Number of workflows that were created on the version after another one was promoted over it.
      type: int
    late_sources:
      description: Where these came from, the most frequent first.
      type: list
      elements: dict
      contains:
        source:
          description: V(parent), V(schedule), V(fork), V(enqueue) by the version's name, or V(direct) for a start on an executor.
          type: str
        from:
          description: The schedule or the queue; of parents and of forks' originals, the id of one.
          type: str
        workflow:
          description: The workflow's name.
          type: str
        count:
          description: How many there are.
          type: int
        newest_at:
          description: When the newest was created.
          type: str
        example:
          description: The id of one.
          type: str
      sample:
        - {source: schedule, from: nightly, workflow: report, count: 2, newest_at: "2026-11-23T20:15:00Z", example: sched-nightly-2026-11-23T20:15:00Z}
    resumable:
      description: Number of cancelled and given up workflows, which come back under this version when they are resumed.
      type: int
tables:
  description: Tables of the schema with C(name), C(rows) (estimated) and C(bytes) (with indexes), the largest first.
  returned: when O(sizes=true)
  type: list
  elements: dict
msg:
  description: What could not be read.
  returned: in check mode, when the database or the way to it does not exist yet
  type: str
"""

import datetime
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import executor_state, unfinished, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import argument_spec, module_database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import inspection, schema


def workflow_info(module: AnsibleModule) -> dict[str, Any]:
    """Read."""
    params = module.params
    check_library(module, "psycopg2", *(["kubernetes"] if params["relay"] or params["namespace"] else []))
    with module_database(module) as database:
        seen = inspection.read(database, params["application_name"], params["schema"], resumable=params["resumable"])
        found: dict[str, Any] = {
            "changed": False,
            "schema_version": seen["level"] if seen else None,
            "replica": bool(seen and seen["replica"]),
            "versions": unfinished.described(seen, judge(params)) if seen else [],
        }
        if params["format"] == "table":
            found["table"] = unfinished.table(found["versions"], datetime.datetime.now(datetime.UTC))
        if params["sizes"]:
            found["tables"] = schema.table_sizes(database, params["schema"])
        return found


def judge(params: dict[str, Any]) -> Callable[[str | None], str] | None:
    """Tells an executor's state by what Kubernetes has of the application; None when that is not asked for."""
    if not params["namespace"]:
        return None
    application = params["application"] or (params["relay"] or {}).get("application") or params["application_name"]
    if not application:
        raise DbosError("Option namespace needs application, or application_name: whose executors are to be judged?")
    objects = version_objects.read(Client.from_params(params), application, params["namespace"])
    return executor_state.view(objects).judge


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "application_name": {"type": "str"},
                "schema": {"type": "str", "default": "dbos"},
                "namespace": {"type": "str"},
                "application": {"type": "str"},
                "resumable": {"type": "bool", "default": False},
                "format": {"type": "str", "choices": ["table", "none"], "default": "table"},
                "sizes": {"type": "bool", "default": False},
            },
            supports_check_mode=True,
        ),
        workflow_info,
        not_yet={"changed": False, "versions": []},
    )


if __name__ == "__main__":
    main()

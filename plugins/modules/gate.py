#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Let a staged version answer and run a workflow before it is promoted
version_added: 1.0.0
description:
  - Points the Service C(<name>-preview) at the version, asks it over HTTP through the API server, enqueues a test workflow on exactly
    this version by DBOS' own SQL function, and waits for its success. The first gate that is not passed fails the task.
  - The failure tells what the version has made so far, by counts and ids, and which version goes on serving. Nothing is taken back.
  - The Service keeps leading to the version that was gated last.
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
    details: Says what it would ask for, and asks for nothing.
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: Each call with O(workflow) runs another workflow, unless that of a killed call has not ended yet.
options:
  version:
    description: Name of the staged version.
    type: str
    required: true
  port:
    description: Port of the preview Service.
    type: int
    default: 8080
  http:
    description: GET requests, in order. Redirects are not followed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Path with its query.
        type: str
        required: true
      status:
        description: The HTTP status that passes.
        type: int
        default: 200
      contains:
        description: Text that must be in the body.
        type: str
        default: ""
  workflow:
    description: A workflow to run on the version, which needs level 113 of DBOS' schema.
    type: dict
    suboptions:
      name:
        description: Name it is registered with.
        type: str
        required: true
      queue:
        description: A queue that the version's workers serve.
        type: str
        required: true
      inputs:
        description: Its arguments, in order.
        type: list
        elements: raw
        default: []
      class_name:
        description: Name of its class, for SDKs that register one.
        type: str
      timeout:
        description: Seconds until it must have succeeded; it is cancelled then.
        type: int
        default: 60
  failed:
    description: Why the version did not pass a gate outside of this module. Nothing is asked; the task fails with it and the account.
    type: str
"""

EXAMPLES = r"""
- name: Let version v2 of the shop show that it works
  dbos.kubernetes.gate:
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    name: shop
    namespace: shop
    version: v2
    lease: shop
    http:
      - {path: /healthz, contains: ok}
    workflow: {name: task, queue: taskQueue, inputs: [0]}
    database_url: "{{ shop_database_url }}"
    ca: "{{ lookup('ansible.builtin.file', 'rds-ca.pem') }}"
"""

RETURN = r"""
passed:
  description: The gates that were passed, in order.
  returned: success
  type: list
  elements: str
  sample: [GET /healthz, workflow task (shop-v2-gate-1)]
made:
  description: All workflows of the version since it was registered.
  returned: when a gate was not passed
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: str
    workflow:
      description: Its name.
      type: str
    status:
      description: Its status.
      type: str
  sample: [{id: shop-v2-gate-1, workflow: task, status: ERROR}]
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import gating, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database, argument_spec, module_database
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import apply_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import application_spec, check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import gate as statements
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import schema


def gate(module: AnsibleModule) -> dict[str, Any]:
    """Ask all that is asked for, or say what would be."""
    check_library(module, "kubernetes", "psycopg2")
    params = module.params
    subject = gating.Subject(
        app=params["name"],
        namespace=params["namespace"],
        version=params["version"],
        owner=params["application_name"] or params["name"],
        port=params["port"],
    )
    client = Client.from_params(params)
    if module.check_mode:
        return plan(subject, params)
    with contextlib.ExitStack() as stack:
        stack.enter_context(Lease.from_params(client, params))
        database = stack.enter_context(module_database(module))
        try:
            return ask(client, database, subject, params)
        except gating.NotPassed as error:
            made = statements.made(database, subject.owner, subject.version)
            raise gating.NotPassed(
                gating.verdict(error.msg, subject, serving(client, subject), made), made=made
            ) from error


def plan(subject: gating.Subject, params: dict[str, Any]) -> dict[str, Any]:
    """What would be asked, for a person; a workflow is a change."""
    asked = [f"GET {wanted['path']}" for wanted in params["http"]]
    if params["workflow"]:
        asked.append(f"workflow {params['workflow']['name']}")
    for what in asked:
        Progress().say(f"gate {subject.version}: {what}")
    return {"changed": bool(asked), "passed": []}


def ask(client: Client, database: Database, subject: gating.Subject, params: dict[str, Any]) -> dict[str, Any]:
    """One gate after the other."""
    if params["failed"]:
        raise gating.NotPassed(params["failed"])
    workflow = params["workflow"]
    if workflow:
        level = schema.level(database)
        schema.demand_level(level, statements.LEVEL, subject.owner)
        schema.check_writable(level, params["allow_newer_schema"])
    progress, passed = Progress(), []
    applied = apply_all(client, [gating.preview(subject)], check=False)
    for wanted in params["http"]:
        gating.get(client, subject, gating.Http(**wanted))
        passed.append(f"GET {wanted['path']}")
        progress.say(f"passed: {passed[-1]}")
    if workflow:
        id_ = gating.run_workflow(database, subject, gating.Workflow(**workflow), progress)
        passed.append(f"workflow {workflow['name']} ({id_})")
        progress.say(f"passed: {passed[-1]}")
    return {"changed": applied.changed or bool(workflow), "diff": applied.diff, "passed": passed}


def serving(client: Client, subject: gating.Subject) -> str | None:
    """The version that clients are sent to."""
    service = client.get("v1", "Service", subject.app, subject.namespace) or {"spec": {}}
    found: str | None = (service["spec"].get("selector") or {}).get(version_objects.VERSION)
    return found


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(writes=True),
                "lease": {"type": "str"},
                **application_spec(),
                "version": {"type": "str", "required": True},
                "port": {"type": "int", "default": 8080},
                "http": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "options": {
                        "path": {"type": "str", "required": True},
                        "status": {"type": "int", "default": 200},
                        "contains": {"type": "str", "default": ""},
                    },
                },
                "workflow": {
                    "type": "dict",
                    "options": {
                        "name": {"type": "str", "required": True},
                        "queue": {"type": "str", "required": True},
                        "inputs": {"type": "list", "elements": "raw", "default": []},
                        "class_name": {"type": "str"},
                        "timeout": {"type": "int", "default": 60},
                    },
                },
                "failed": {"type": "str"},
            },
            supports_check_mode=True,
        ),
        gate,
    )


if __name__ == "__main__":
    main()

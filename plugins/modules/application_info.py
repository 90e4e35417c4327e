#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: application_info
short_description: The state of a DBOS application, and what in it needs a person
version_added: 1.0.0
description:
  - Reads versions, unfinished work, pods, schema, sizes, secrets, certificates and scaling, and judges them.
  - The database is read as the application itself, with the URL in its Secret, so the module is given no password and
    proves that the application's own credentials work.
  - Every pod is asked for its health on its own readiness path, through the API server.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.kubernetes
attributes:
  check_mode:
    support: full
    details: Reads as always, and fails for nothing that a real run might have deployed.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  application:
    description: The application's name.
    type: str
    required: true
  namespace:
    description: The application's namespace.
    type: str
    required: true
  application_name:
    description: The application's name for DBOS, where it differs from O(application).
    type: str
  database_secret:
    description: The Secret that holds the application's database URL, under the key V(database-url).
    type: str
    default: dbos-app-db
  relay_image:
    description: Image of the relay to a database that this machine does not reach itself. Without it the connection is direct.
    type: str
  expect:
    description: What a deployment asked for; whatever of it is not so needs a person.
    type: dict
    suboptions:
      version:
        description: The version that must run and have registered itself.
        type: str
      promoted:
        description: Whether it must be the promoted one; V(false) for a version that was only staged.
        type: bool
        default: true
      autoscaling:
        description: Whether a ScaledObject must scale the version.
        type: bool
        default: false
  drain_deadline:
    description: Seconds after which a draining version's unfinished work needs a person, as C(DrainBlocked). By default it may take for ever.
    type: float
  require:
    description: Fail when something needs a person.
    type: bool
    default: false
  wait_timeout:
    description: How many seconds to look again, while something needs a person, before that is reported.
    type: int
    default: 0
  path:
    description: A file on the controller to write the report to, as JSON. It holds no secret.
    type: path
  html:
    description:
      - A file on the controller to write the report to, as one page that needs no other file and runs no script.
      - It shows the versions over time, their unfinished work by age, and what keeps them from being retired.
    type: path
  format:
    description: Whether the report is shown as a table, as JSON, or not at all. V(html) shows nothing and demands O(html).
    type: str
    choices: [table, json, html, none]
    default: table
"""

EXAMPLES = r"""
- name: Report on the application, and fail when something needs a person
  dbos.kubernetes.application_info:
    application: dbos-app
    namespace: dbos
    require: true
"""

RETURN = r"""
report:
  description: All that was read.
  returned: success
  type: dict
  contains:
    promoted:
      description: The version that the Service sends requests to.
      type: str
      sample: v2
    promoting:
      description: The version whose promotion is half done.
      type: str
    frozen:
      description: Who has stopped every change, and why; null while nobody has.
      type: dict
      sample: {by: alice, reason: incident 4711 is being investigated}
    versions:
      description:
        - Each version that has a workload, a record in the ledger, a registration or unfinished work, the promoted one first.
        - C(state) is the condition of C(conditions) that matters most. C(ages) counts unfinished work younger than 1 and 10 minutes,
          1 hour, 1 and 7 days, and older. C(promotions), C(retired_at) and C(rolled_back) are what the ledger says.
      type: list
      elements: dict
      sample:
        - version: v2
          state: Promoted
          conditions: [{type: Promoted, message: "promoted 2026-11-24T10:00:00+00:00"}]
          latest: true
          workload: StatefulSet/dbos-app-v2
          replicas: 2
          ready: 2
          pending: 4
          enqueued: 1
          delayed: 0
          oldest_at: "2026-11-24T10:59:00Z"
          next_due_at: null
          ages: [5, 0, 0, 0, 0, 0]
          blockers: 0
          created_at: "2026-11-24T09:58:00Z"
          promotions: ["2026-11-24T10:00:00+00:00"]
          promoted_at: "2026-11-24T10:00:00+00:00"
          retired_at: null
          rolled_back: null
    pods:
      description: Each executor.
      type: list
      elements: dict
      sample: [{name: dbos-app-v2-0, version: v2, ready: true, reason: null, restarts: 0}]
    schema:
      description: Level, and size in bytes of DBOS' tables.
      type: dict
      sample: {level: 125, bytes: 1048576, tables: [{name: workflow_status, bytes: 524288}]}
    secrets:
      description: Each SealedSecret, never values.
      type: list
      elements: dict
      sample: [{name: dbos-app-db, keys: [database-url], exists: true, synced: true}]
    certificates:
      description: Each certificate and its expiry.
      type: list
      elements: dict
      sample: [{name: sealing, not_after: "2036-11-20T00:00:00+00:00", days_left: 3650}]
    scaling:
      description: Each ScaledObject.
      type: list
      elements: dict
      sample: [{name: dbos-app-v2, ready: true, active: true, minimum: 1, maximum: 10}]
    attention:
      description: What needs a person, in sentences.
      type: list
      elements: str
      sample: []
table:
  description: The report for a person.
  returned: when O(format) is V(table) or V(json)
  type: str
"""

import json
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import status, status_page, table
from ansible_collections.dbos.kubernetes.plugins.module_utils.attention import Wanted, attention
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError, PlatformAbsent
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.observation import Observer
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

INTERVAL = 2.0


def info(module: AnsibleModule) -> dict[str, Any]:
    """Look until nothing needs a person, or the time is over."""
    check_library(module, "kubernetes", "psycopg2", "cryptography")
    params = module.params
    try:
        observer = Observer(Client.from_params(params), module)
    except PlatformAbsent as error:
        if module.check_mode:
            Progress().say(f"{error.msg} There is nothing to verify yet.")
            return {"changed": False, "msg": error.msg, "report": {}}
        raise
    expect = params["expect"] or {}
    wanted = Wanted(**expect)
    patience = 0 if module.check_mode else params["wait_timeout"]
    deadline = time.monotonic() + patience
    with Progress().step(f"verifying {params['application']}") as step:
        report = _judged(observer, wanted)
        while report["attention"] and time.monotonic() < deadline:
            step.update(report["attention"][0])
            time.sleep(INTERVAL)
            report = _judged(observer, wanted)
    text = json.dumps(report, indent=2)
    if params["path"] and not module.check_mode:
        _write(params["path"], text)
    if params["html"] and not module.check_mode:
        _write(params["html"], status_page.render(report))
    result: dict[str, Any] = {"changed": False, "report": report}
    if params["format"] in ("table", "json"):
        result["table"] = text if params["format"] == "json" else table.summary(report)
    if report["attention"] and params["require"] and not module.check_mode:
        # The table tells the rest; a report in the failure would only bury the message.
        raise DbosError(" ".join(report["attention"]), table=result.get("table"))
    return result


def _judged(observer: Observer, wanted: Wanted) -> dict[str, Any]:
    report = status.report(observer.observe())
    return {**report, "attention": attention(report, wanted)}


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text.rstrip("\n") + "\n")
    except OSError as error:
        raise DbosError(f"The report could not be written: {error}") from error


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "application": {"type": "str", "required": True},
                "namespace": {"type": "str", "required": True},
                "application_name": {"type": "str"},
                "database_secret": {"type": "str", "default": "dbos-app-db", "no_log": False},
                "relay_image": {"type": "str"},
                "expect": {
                    "type": "dict",
                    "options": {
                        "version": {"type": "str"},
                        "promoted": {"type": "bool", "default": True},
                        "autoscaling": {"type": "bool", "default": False},
                    },
                },
                "drain_deadline": {"type": "float"},
                "require": {"type": "bool", "default": False},
                "wait_timeout": {"type": "int", "default": 0},
                "path": {"type": "path"},
                "html": {"type": "path"},
                "format": {"type": "str", "choices": ["table", "json", "html", "none"], "default": "table"},
            },
            required_if=[("format", "html", ("html",))],
            supports_check_mode=True,
        ),
        info,
    )


if __name__ == "__main__":
    main()

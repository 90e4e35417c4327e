#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: application_teardown
short_description: Take a DBOS application down, with everything that was made for it
version_added: 1.0.0
description:
  - In this order, and waiting for each to be gone with its finalizers. New work is stopped, as the Service leads nowhere, and unfinished
    workflows are drained, cancelled or given up. Then go its autoscaling, its pods, its workloads, Ingresses and Services with their load
    balancers, volume claims and the volumes behind them, the database if asked, Secrets and configuration, the ledger, the Lease, and the
    namespace when it was made by this collection and holds nothing of others.
  - What goes carries the application's name and was made by this collection, or was made by something that was. All else in its namespace
    is left, and named.
  - Unfinished work is counted again right before anything goes, and once more when the last pod is gone. What was not allowed for is
    refused, with pods and Service as they were.
  - Safe to kill at any step. The next run finishes what is left.
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
    details: Lists every object that would go, and what would be kept. Nothing is counted; see M(dbos.kubernetes.teardown_preflight).
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  database_url:
    description:
      - PostgreSQL URL of the server, as the admin who has made the application's owner.
      - Without it there is no database server.
    required: false
  state:
    description: With V(idle) new work is stopped and O(policy) carried out, and nothing goes yet. V(absent) does that too, and the rest.
    type: str
    choices: [idle, absent]
    default: absent
  policy:
    description:
      - What becomes of unfinished workflows. V(refuse) lets none be lost. V(drain) waits until several reads in a row find none,
        V(cancel) cancels them, as the SDKs do, and V(abandon) gives up at most O(abandon).
    type: str
    choices: [refuse, drain, cancel, abandon]
    default: refuse
  abandon:
    description: With O(policy=abandon), the most unfinished workflows that may be lost.
    type: int
  unreadable:
    description: V(abandon) gives up what is in a database that cannot be read.
    type: str
    choices: [refuse, abandon]
    default: refuse
  drain_deadline:
    description: Seconds to wait for unfinished workflows with O(policy=drain).
    type: float
    default: 600
  database:
    description: The application's database and its roles, as M(dbos.kubernetes.database) has made them.
    type: dict
    required: true
    suboptions:
      name:
        description: Name of the database.
        type: str
        required: true
      owner:
        description: The role that owns it.
        type: str
        required: true
      role:
        description: The role that holds the application's privileges.
        type: str
        required: true
      logins:
        description: Logins of the application.
        type: list
        elements: str
        default: []
      metrics:
        description: Logins of scaling and monitoring.
        type: list
        elements: str
        default: []
  drop:
    description: Whether database and roles are dropped. That is refused while roles that are not its own are connected.
    type: bool
    default: false
  server_goes:
    description: Whether the database server is about to go, and the database with it.
    type: bool
    default: false
  registry:
    description: The platform's registry, which may forget the images of the application's versions then. What it refuses is a warning.
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
  timeout:
    description: Seconds that each object may take to be gone, such as a load balancer or a volume.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Take the shop down, once its workflows have ended
  dbos.kubernetes.application_teardown:
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    name: shop
    namespace: shop
    lease: shop
    policy: drain
    database:
      name: shop
      owner: shop_owner
      role: shop_role
    database_url: "{{ platform_database | dbos.kubernetes.database_url }}"
    ca: "{{ platform_database.ca }}"
    relay:
      namespace: shop
      image: alpine/socat:1.8.0.3
      application: shop
"""

RETURN = r"""
changes:
  description: What was done, or would be, a line each, in order.
  returned: success
  type: list
  elements: str
  sample: [delete StatefulSet shop/shop-v1, delete Namespace shop]
cancelled:
  description: Ids of the workflows that were cancelled.
  returned: success
  type: list
  elements: str
kept:
  description: What is left in its namespace, and why.
  returned: success
  type: list
  elements: dict
  sample: [{kind: ConfigMap, namespace: shop, name: notes, why: it was not made by this collection}]
table:
  description: What goes and what is kept, for a person.
  returned: with O(state=absent)
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import counting, naming, tearing_down, unfinished_work
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import (
    argument_spec,
    derived_forms,
    parse_url,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Unreachable
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import (
    application_spec,
    check_library,
    registry_options,
    run,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.roles import Role, Wanted

NOTHING = {"changed": False, "changes": [], "cancelled": [], "kept": []}


def application_teardown(module: AnsibleModule) -> dict[str, Any]:
    """Make it idle, or take it down."""
    check_library(module, "kubernetes", "psycopg2")
    params = module.params
    naming.check_application(params["name"])
    asked = request(params)
    if params["database_url"]:
        module.no_log_values.update(derived_forms(parse_url(params["database_url"]).get("password")))
    client = counting.client_if_any(params)
    if client is None:
        return {**NOTHING, "msg": "There is no platform that anything of it could be on."}
    lease = Lease.from_params(client, params)
    teardown = tearing_down.Teardown(
        client, asked, lease, lambda: counting.server(params, client, check=module.check_mode)
    )
    try:
        if module.check_mode:
            result = teardown.planned() if params["state"] == "absent" else NOTHING
        else:
            result = teardown.absent() if params["state"] == "absent" else teardown.idle()
    except Unreachable as error:
        if not asked.policy.unreadable:
            raise
        result = {**NOTHING, "warnings": [f"{error.msg} It is given up (teardown_unreadable=abandon)."]}
    for warning in teardown.outcome.warnings:
        module.warn(warning)
    # Names only. Masking would garble them where a password is short.
    module.no_log_values.clear()
    return {**result, "invocation": {"module_args": {"name": params["name"], "state": params["state"]}}}


def request(params: dict[str, Any]) -> tearing_down.Request:
    """What the options ask for."""
    found = params["database"]
    first, *spare = found["metrics"] or [None]
    metrics = [Role(first), *(Role(name, member_of=first) for name in spare)] if first else []
    wanted = Wanted(
        found["name"],
        Role(found["owner"]),
        Role(found["role"], login=False),
        tuple(Role(name, member_of=found["role"]) for name in found["logins"]),
        tuple(metrics),
    )
    application = counting.Application(
        params["name"], params["namespace"], params["application_name"] or params["name"], found["name"]
    )
    return tearing_down.Request(
        application,
        unfinished_work.policy_of(params),
        wanted,
        drop=params["drop"],
        server_goes=params["server_goes"],
        drain_deadline=params["drain_deadline"],
        timeout=params["timeout"],
        allow_newer_schema=params["allow_newer_schema"],
        registry=params["registry"],
    )


def main() -> None:
    """Entry point."""
    database = {
        "name": {"type": "str", "required": True},
        "owner": {"type": "str", "required": True},
        "role": {"type": "str", "required": True},
        "logins": {"type": "list", "elements": "str", "default": []},
        "metrics": {"type": "list", "elements": "str", "default": []},
    }
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(writes=True),
                "database_url": {"type": "str", "no_log": True},
                "lease": {"type": "str"},
                **application_spec(),
                "state": {"type": "str", "choices": ["idle", "absent"], "default": "absent"},
                "policy": {"type": "str", "choices": [*unfinished_work.POLICIES], "default": unfinished_work.REFUSE},
                "abandon": {"type": "int"},
                "unreadable": {"type": "str", "choices": ["refuse", "abandon"], "default": "refuse"},
                "drain_deadline": {"type": "float", "default": 600},
                "database": {"type": "dict", "required": True, "options": database},
                "drop": {"type": "bool", "default": False},
                "server_goes": {"type": "bool", "default": False},
                "registry": {"type": "dict", "options": registry_options(), "default": {}},
                "timeout": {"type": "int", "default": 300},
            },
            supports_check_mode=True,
        ),
        application_teardown,
    )


if __name__ == "__main__":
    main()

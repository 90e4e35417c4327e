#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: database
short_description: Make an application's database and its roles
version_added: 1.0.0
description:
  - Makes the system database of a DBOS application and its roles, by a user that needs C(CREATEDB) and C(CREATEROLE) only, such as
    RDS' master user. PostgreSQL 15 to 18.
  - The O(owner) owns the database and migrates it. The O(role) holds the application's privileges and cannot log in; its members
    O(logins) can. The O(metrics_role) is for scaling and monitoring; M(dbos.kubernetes.migration) lets it read the columns that
    those need.
  - Logins take turns. A new password is given to the one that may not log in yet, so that programs which are connected go on as
    the other, until M(dbos.kubernetes.rotation) disables it. While both may log in, a third password is refused.
  - C(PUBLIC) loses its access to the database. On PostgreSQL 16 and newer the admin grants itself the owner's role.
  - Passwords are sent as SCRAM verifiers. Whether one has changed is found out by logging in with it.
  - A database and roles that are there already are adopted. Only roles that this module made, and a database that belongs to such a
    role, are ever dropped.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.connection
  - dbos.kubernetes.kubernetes
  - dbos.kubernetes.lease
attributes:
  check_mode:
    support: full
    details: Where the database cannot be read yet, it says so and reports that it would change.
  diff_mode:
    support: full
    details: Attributes of database and roles; of passwords only that one changes.
  idempotent:
    support: full
options:
  name:
    description: Name of the database. The user of O(database_url) must not be connected to it when O(state=absent).
    type: str
    required: true
  owner:
    description: Role that owns the database.
    type: str
    required: true
  owner_password:
    description: Its password; not looked at when not given.
    type: str
  role:
    description: Role that holds the application's privileges; nobody can log in as it.
    type: str
    required: true
  logins:
    description: Members of O(role) that log in, by turns. With a single one a new password replaces its old one.
    type: list
    elements: str
    default: []
  login_password:
    description: Password of the one of O(logins) whose turn it is; not looked at when not given.
    type: str
  namespace:
    description: Namespace of O(lease).
    type: str
  metrics_role:
    description: Login of scaling and monitoring; none when not given.
    type: str
  metrics_spare:
    description: Member of O(metrics_role) that takes turns with it. Without one a new password replaces the old one.
    type: str
  metrics_password:
    description: Password of the one of the two whose turn it is; not looked at when not given.
    type: str
  metrics_connection_limit:
    description: Connections that each of the two may have at once.
    type: int
    default: 10
  state:
    description:
      - V(absent) ends the sessions of the application's own roles and drops the database with all its content, then the roles.
        It fails while anybody else is connected.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Make the application's database
  dbos.kubernetes.database:
    database_url: "{{ platform_database | dbos.kubernetes.database_url }}"
    ca: "{{ platform_database.ca }}"
    relay:
      namespace: dbos
      image: "{{ platform_relay_image }}"
      application: dbos-app
    name: dbos_app
    owner: dbos_app_owner
    owner_password: "{{ database_owner_password }}"
    role: dbos_app_role
    logins: [dbos_app_a, dbos_app_b]
    login_password: "{{ database_app_password }}"
    metrics_role: dbos_app_metrics
    metrics_spare: dbos_app_metrics_b
    metrics_password: "{{ database_metrics_password }}"
"""

RETURN = r"""
login:
  description: The one of O(logins) whose turn it is.
  returned: when the database could be read and O(state=present)
  type: str
  sample: dbos_app_a
metrics_login:
  description: The one of O(metrics_role) and O(metrics_spare) whose turn it is.
  returned: when the database could be read and O(state=present)
  type: str
  sample: dbos_app_metrics
server_version:
  description: The server's major version.
  returned: when the database could be read
  type: int
  sample: 17
msg:
  description: What could not be read.
  returned: in check mode, when there is no way to the database yet
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.application_database import (
    converge,
    remove,
    wanted,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import (
    MASKABLE,
    Unreadable,
    argument_spec,
    derived_forms,
    module_server,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import (
    check_library,
    run,
)


def database(module: AnsibleModule) -> dict[str, Any]:
    """Make or drop the database."""
    check_library(module, "psycopg2", *(["kubernetes"] if module.params["relay"] else []))
    params = module.params
    asked = wanted(params)
    for role in asked.roles:
        module.no_log_values.update(derived_forms(role.password))
        if role.password and len(role.password) < MASKABLE:
            module.warn(
                f"The password of role {role.name} is so short that Ansible hides its characters wherever they appear "
                "in its output. Choose a longer one."
            )
    if params["lease"] and not module.check_mode:
        Lease(Client.from_params(params), params["namespace"], params["lease"]).hold()
    step = converge if params["state"] == "present" else remove
    try:
        with module_server(module) as server:
            result = step(server, asked, check=module.check_mode)
    except Unreadable as error:
        return {"changed": params["state"] == "present", "msg": error.msg}
    # Names and attributes only. Masking would garble them where a password is short, and others rely on them.
    module.no_log_values.clear()
    return {**result, "invocation": {"module_args": {"name": params["name"], "state": params["state"]}}}


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "lease": {"type": "str"},
                "namespace": {"type": "str"},
                "name": {"type": "str", "required": True},
                "owner": {"type": "str", "required": True},
                "owner_password": {"type": "str", "no_log": True},
                "role": {"type": "str", "required": True},
                "logins": {"type": "list", "elements": "str", "default": []},
                "login_password": {"type": "str", "no_log": True},
                "metrics_role": {"type": "str"},
                "metrics_spare": {"type": "str"},
                "metrics_password": {"type": "str", "no_log": True},
                "metrics_connection_limit": {"type": "int", "default": 10},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            },
            required_by={"lease": "namespace", "metrics_spare": "metrics_role"},
            supports_check_mode=True,
        ),
        database,
    )


if __name__ == "__main__":
    main()

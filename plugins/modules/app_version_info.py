#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_version_info
short_description: Read which versions DBOS knows, and which is the latest
version_added: 1.0.0
description:
  - Reads every row that DBOS keeps of a version, those of other applications in the database too.
  - Works at every schema level. Below 13 there are no versions, and below 103 none is claimed.
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
    description: The application whose latest version is told. Without it, the latest of all is, which is what a client without a name takes.
    type: str
  schema:
    description: Name of the schema.
    type: str
    default: dbos
"""

EXAMPLES = r"""
- name: See the versions
  dbos.kubernetes.app_version_info:
    database_url: "{{ owner_url }}"
    ca: "{{ lookup('ansible.builtin.file', 'rds-ca.pem') }}"
    application_name: shop
  register: known
"""

RETURN = r"""
latest:
  description: The latest version, null when there is none, or when two have the same right to it.
  returned: always
  type: str
  sample: v2
versions:
  description: All versions of the database, the newest first.
  returned: always
  type: list
  elements: dict
  contains:
    version:
      description: Its name.
      type: str
      sample: v2
    latest:
      description: Whether it is the application's latest.
      type: bool
    application:
      description: The application that claimed it; null while none did.
      type: str
      sample: shop
    claimed:
      description: Whether an application claimed it.
      type: bool
    ahead:
      description: Whether it was registered ahead, and not promoted since.
      type: bool
    timestamp:
      description: Time of its first launch or its last promotion, which makes the order; null while it is only registered ahead.
      type: str
      sample: "2026-11-24T09:30:00Z"
    created_at:
      description: When it was registered.
      type: str
      sample: "2026-11-24T09:12:00Z"
schema_version:
  description: Level of the schema; null when the database was never migrated.
  returned: always
  type: int
  sample: 125
msg:
  description: What could not be read.
  returned: in check mode, when the database or the way to it does not exist yet
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import registering
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import argument_spec, module_database
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import schema, versions


def app_version_info(module: AnsibleModule) -> dict[str, Any]:
    """Read."""
    params = module.params
    check_library(module, "psycopg2", *(["kubernetes"] if params["relay"] else []))
    owner, name = params["application_name"], params["schema"]
    with module_database(module) as database:
        found = versions.read(database, name)
        rows = found.rows if found else ()
        return {
            "changed": False,
            "latest": registering.latest(rows, owner),
            "versions": registering.described(rows, owner),
            "schema_version": schema.level(database, name),
        }


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "application_name": {"type": "str"},
                "schema": {"type": "str", "default": "dbos"},
            },
            supports_check_mode=True,
        ),
        app_version_info,
        not_yet={"changed": False, "latest": None, "versions": [], "schema_version": None},
    )


if __name__ == "__main__":
    main()

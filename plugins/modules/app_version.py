#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: app_version
short_description: Register, promote or forget a version of a DBOS application
version_added: 1.0.0
description:
  - Works on the row that DBOS keeps of each version. The latest of an application's versions takes the work that names none, and
    runs its schedules.
  - For applications that this collection does not deploy. A version that M(dbos.kubernetes.release) manages is refused, because its
    Service has to change together with the latest version.
  - Works at every schema level that has versions, which is from 13 on. Below level 103 a row does not say whose it is; all versions of
    the database are then taken for the application's.
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
  diff_mode:
    support: full
    details: The application's versions, the newest first.
  idempotent:
    support: full
options:
  application_name:
    description: The name that the application gives itself in DBOS.
    type: str
    required: true
  version:
    description: The version's name.
    type: str
    required: true
  state:
    description:
      - With V(registered) the version is known to DBOS before its first pod launches, with a timestamp older than any other's, so that
        launching does not make it the latest. A version that is known already stays as it is. The row belongs to no application until
        a pod of the version launches, or it is promoted.
      - With V(promoted) a registered version becomes the latest, and the application's own.
      - With V(absent) DBOS forgets it. Refused for the latest version, and while it has unfinished work. Remove its pods before. One that
        launches later registers the version again, as the latest.
    type: str
    choices: [registered, promoted, absent]
    default: registered
  schema:
    description: Name of the schema.
    type: str
    default: dbos
  namespace:
    description:
      - The application's namespace in Kubernetes. The ledger there is asked whether the version is a managed one, and the
        application's Lease is held before anything is written.
      - By default that of O(relay). Without either, Kubernetes is not asked.
    type: str
  application:
    description: The application's name in Kubernetes. By default that of O(relay), else O(application_name).
    type: str
  lease:
    description:
      - Name of the application whose Lease the run must hold before this module writes. By default O(application).
      - Used when a namespace is known; not looked at in check mode.
    type: str
  force:
    description: Changes a version that has a record in the ledger all the same.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Make version v2 known before its first pod starts
  dbos.kubernetes.app_version:
    database_url: "{{ owner_url }}"
    ca: "{{ lookup('ansible.builtin.file', 'rds-ca.pem') }}"
    application_name: shop
    version: v2

- name: Make it the latest
  dbos.kubernetes.app_version:
    database_url: "{{ owner_url }}"
    ca: "{{ lookup('ansible.builtin.file', 'rds-ca.pem') }}"
    application_name: shop
    version: v2
    state: promoted
"""

RETURN = r"""
versions:
  description: All versions of the database, the newest first; in check mode before the change.
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

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import registering
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database, argument_spec, module_database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import Work
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import schema, versions, work


def app_version(module: AnsibleModule) -> dict[str, Any]:
    """Bring the row to what the task asks for."""
    params = module.params
    relay = params["relay"] or {}
    namespace = params["namespace"] or relay.get("namespace")
    application = params["application"] or relay.get("application") or params["application_name"]
    check_library(module, "psycopg2", *(["kubernetes"] if namespace else []))
    with contextlib.ExitStack() as stack:
        if namespace:
            client = Client.from_params(params)
            if not params["force"]:
                registering.refuse_managed(client, application, namespace, params["version"])
            if not module.check_mode:
                stack.enter_context(Lease(client, namespace, params["lease"] or application))
        return change(module, stack.enter_context(module_database(module)))


def change(module: AnsibleModule, database: Database) -> dict[str, Any]:
    """Read, decide, write."""
    params = module.params
    owner, version, name = params["application_name"], params["version"], params["schema"]
    seen, found = work.read(database, owner, name), versions.read(database, name)
    if seen is None or found is None:
        raise DbosError(
            f"The schema of database {database.name} has no versions, which come with level 13: migrate it with a "
            "current SDK (role migration)."
        )
    wanted = registering.Wanted(owner, version, params["state"])
    unfinished = work.per_version(seen).get(version, Work())
    before = registering.described(found.rows, owner)
    result = {"changed": False, "versions": before, "schema_version": seen["level"]}
    if not registering.change(wanted, found.rows, found.claims, unfinished):
        return result
    schema.check_writable(seen["level"], params["allow_newer_schema"])
    if seen["replica"]:
        raise DbosError("database_url leads to a read replica, which cannot be written to: give the primary's URL.")
    if not module.check_mode:
        registering.carry_out(database, wanted, found.claims, name)
        found = versions.read(database, name) or found
        result["versions"] = registering.described(found.rows, owner)
    return {**result, "changed": True, "diff": difference(wanted, before)}


def difference(wanted: registering.Wanted, before: list[dict[str, Any]]) -> dict[str, Any]:
    """The order of the application's versions, before and after, for a person."""
    mine = [row["version"] for row in before if row["application"] in (wanted.owner, None)]
    others = [version for version in mine if version != wanted.version]
    after = {
        registering.REGISTERED: [*others, wanted.version],
        registering.PROMOTED: [wanted.version, *others],
        registering.ABSENT: others,
    }
    return {"before": {"versions": mine}, "after": {"versions": after[wanted.state]}}


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(writes=True),
                "application_name": {"type": "str", "required": True},
                "version": {"type": "str", "required": True},
                "state": {
                    "type": "str",
                    "choices": [registering.REGISTERED, registering.PROMOTED, registering.ABSENT],
                    "default": registering.REGISTERED,
                },
                "schema": {"type": "str", "default": "dbos"},
                "namespace": {"type": "str"},
                "application": {"type": "str"},
                "lease": {"type": "str"},
                "force": {"type": "bool", "default": False},
            },
            supports_check_mode=True,
        ),
        app_version,
        not_yet={"changed": True, "versions": [], "schema_version": None},
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration
short_description: Migrate an application's system database
version_added: 1.0.0
description:
  - Runs the SDK's own migration (C(dbos migrate), TypeScript's C(dbos schema)) as a uniquely named Job, with the owner's URL from a
    Secret, and grants the application's role what it needs. Then verifies level and privileges in the database, and lets
    O(metrics_role) read the columns that scaling needs.
  - Runs nothing when nothing is pending. That is when the application's role lacks nothing, and a Job of the same image and
    command has once brought the database to its present level or an older one, or the level is O(expected_version) or newer.
  - Migrations of one database run one after the other. An advisory lock is held while a Job runs. A Job that is active, such as one
    whose run was killed, is watched to its end before anything else happens, whoever holds the lock.
  - Fails with the pod's last lines when the Job fails, and early when its image cannot be pulled or its program cannot start.
  - A database that is ahead of the SDK is fine.
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
    details:
      - Creates no Job. RV(to_version) comes from O(cli) or O(expected_version); with neither it is not known, and a change is reported
        when a Job would run.
  diff_mode:
    support: full
    details: The schema's level, with O(cli) in check mode also the pending SQL.
  idempotent:
    support: full
options:
  application:
    description: The application's name.
    type: str
    required: true
  namespace:
    description: Namespace of the Job, its Secret and its ConfigMap.
    type: str
    required: true
  image:
    description: Image with the C(dbos) CLI, pinned by its digest.
    type: str
    required: true
  sdk:
    description:
      - Whose CLI the image has. For V(go) the image's entry point is C(dbos); V(python) needs C(python3), V(typescript)
        C(node) and C(node_modules/.bin/dbos) in the working directory.
      - Python's and TypeScript's CLI want the URL as an argument; it is added inside the process, so that it is in no process list.
    type: str
    choices: [go, python, typescript]
    default: go
  command:
    description:
      - Replaces the whole command. The URL is in the environment variable E(DBOS_SYSTEM_DATABASE_URL).
      - It must grant to O(app_role) too.
    type: list
    elements: str
    default: []
  app_role:
    description: Role that holds the application's privileges.
    type: str
    required: true
  metrics_role:
    description: Role that may read the columns that scaling and monitoring need.
    type: str
  schema:
    description: Name of the schema.
    type: str
    default: dbos
  expected_version:
    description:
      - Schema level that the application's SDK needs. The module fails when the database is behind it in the end, and runs
        nothing when it is there already.
    type: int
  url_secret:
    description: Secret with the owner's URL, as it is used in the cluster.
    type: str
    default: postgres-admin
  url_key:
    description: Key of O(url_secret).
    type: str
    default: database-url
  ca_config_map:
    description:
      - ConfigMap whose key C(ca.crt) is the database's CA, mounted at C(/etc/dbos/database-ca). An empty name mounts none.
    type: str
    default: dbos-database-ca
  timeout:
    description: Seconds that the Job may run, and that another run's migration is waited for.
    type: int
    default: 600
  backoff_limit:
    description: How often a failed pod is tried again.
    type: int
    default: 1
  keep_jobs:
    description: How many ended Jobs of the application are kept.
    type: int
    default: 3
  cli:
    description: Path of a C(dbos) CLI here, of the same SDK version, that tells in check mode what is pending.
    type: path
"""

EXAMPLES = r"""
- name: Migrate the system database
  dbos.kubernetes.migration:
    application: dbos-app
    namespace: dbos
    image: registry.example.com/dbos-migrate@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    app_role: dbos_app_role
    metrics_role: dbos_app_metrics
    database_url: >-
      {{ platform_database | dbos.kubernetes.database_url(user='dbos_app_owner', password=database_owner_password,
      database='dbos_app') }}
    ca: "{{ platform_database.ca }}"
    relay:
      namespace: dbos
      image: "{{ platform_relay_image }}"
      application: dbos-app
"""

RETURN = r"""
from_version:
  description: Schema level before; null when there was none, or when it could not be read in check mode.
  returned: always
  type: int
  sample: 107
to_version:
  description: Schema level after; null in check mode when it is not known.
  returned: always
  type: int
  sample: 125
job:
  description:
    - Name of the Job that migrated; in check mode of the one that would. When nothing was pending, of the last that did,
      or null.
  returned: always
  type: str
  sample: dbos-app-migrate-3
msg:
  description: What could not be read.
  returned: in check mode, when the database or the way to it does not exist yet
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import naming
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import (
    argument_spec,
    derived_forms,
    module_server,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.migrating import Migration
from ansible_collections.dbos.kubernetes.plugins.module_utils.migration_job import Spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def migration(module: AnsibleModule) -> dict[str, Any]:
    """Migrate, or tell what would be done."""
    check_library(module, "psycopg2", "kubernetes")
    params = module.params
    naming.check_application(params["application"])
    client = Client.from_params(params)
    if not module.check_mode:
        naming.check_digest(params["image"], "migration_image")
        if params["lease"]:
            Lease(client, params["namespace"], params["lease"]).hold()
    with module_server(module) as server, server.connect() as database:
        spec = Spec(
            sdk=params["sdk"],
            command=tuple(params["command"]),
            database=f"{server.address}/{database.name}",
            **{key: params[key] for key in OPTIONS},
        )
        work = Migration(
            client,
            database,
            spec,
            params["metrics_role"],
            params["expected_version"],
            params["keep_jobs"],
            tuple(derived_forms(server.settings.get("password"))),
        )
        return work.check(params["cli"], params["sdk"]) if module.check_mode else work.run()


# Options that the Job's specification takes as they are.
OPTIONS = (
    "application",
    "namespace",
    "image",
    "app_role",
    "schema",
    "url_secret",
    "url_key",
    "ca_config_map",
    "timeout",
    "backoff_limit",
)


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "lease": {"type": "str"},
                "application": {"type": "str", "required": True},
                "namespace": {"type": "str", "required": True},
                "image": {"type": "str", "required": True},
                "sdk": {"type": "str", "choices": ["go", "python", "typescript"], "default": "go"},
                "command": {"type": "list", "elements": "str", "default": []},
                "app_role": {"type": "str", "required": True},
                "metrics_role": {"type": "str"},
                "schema": {"type": "str", "default": "dbos"},
                "expected_version": {"type": "int"},
                "url_secret": {"type": "str", "default": "postgres-admin", "no_log": False},
                "url_key": {"type": "str", "default": "database-url", "no_log": False},
                "ca_config_map": {"type": "str", "default": "dbos-database-ca"},
                "timeout": {"type": "int", "default": 600},
                "backoff_limit": {"type": "int", "default": 1},
                "keep_jobs": {"type": "int", "default": 3},
                "cli": {"type": "path"},
            },
            supports_check_mode=True,
        ),
        migration,
        not_yet={"changed": True, "from_version": None, "to_version": None, "job": None},
    )


if __name__ == "__main__":
    main()

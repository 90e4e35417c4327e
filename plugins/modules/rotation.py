#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation
short_description: Move what runs to new credentials, and disable those of before
version_added: 1.0.0
description:
  - The second half of a rotation, after M(dbos.kubernetes.database) has given a new password to a free login and
    M(dbos.kubernetes.sealed_secret) has sealed it. Also after a new key of DBOS Conductor, or another CA of the database.
  - Restarts all versions with a pod that is older than a Secret or ConfigMap it was started with, one pod at a time within its grace,
    the promoted version last. Versions without pods need none, and pods that are made later are new anyway.
  - Then every pod must have a session as the new login. The former one is disabled, its password forgotten, and what is left of its
    sessions ended; KEDA connects anew as the new metrics login, and must be seen to.
  - All this follows from the Secrets, from which logins may log in, and from the pods' ages. Killed at any point, the next run finishes.
    With nothing to finish, nothing changes.
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
    details: Tells what earlier tasks would cause only with O(changing).
  diff_mode:
    support: full
    details: Versions that are restarted and logins that are disabled.
  idempotent:
    support: full
options:
  name:
    description: Name of the application.
    type: str
    required: true
  namespace:
    description: Its namespace.
    type: str
    required: true
  logins:
    description: The application's logins, which take turns.
    type: list
    elements: str
    required: true
  secret:
    description: The Secret whose C(database-url) tells whose turn it is.
    type: str
    default: dbos-app-db
  metrics_logins:
    description: The logins of scaling and monitoring, which take turns.
    type: list
    elements: str
    required: true
  metrics_secret:
    description: The Secret whose C(username) tells whose turn it is. By default O(name) with C(-metrics).
    type: str
  changing:
    description: Names of Secrets and ConfigMaps that earlier tasks would change. Looked at in check mode only.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that a pod may take to be ready again, beyond its grace.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Move the shop to its new password
  dbos.kubernetes.rotation:
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    database_url: "{{ platform_database | dbos.kubernetes.database_url }}"
    ca: "{{ platform_database.ca }}"
    name: shop
    namespace: shop
    logins: [shop_a, shop_b]
    metrics_logins: [shop_metrics, shop_metrics_b]
"""

RETURN = r"""
login:
  description: The application's login from now on.
  returned: success
  type: str
  sample: shop_b
metrics_login:
  description: The login of scaling and monitoring from now on.
  returned: success
  type: str
  sample: shop_metrics_b
restarted:
  description: Versions that were restarted, or would be, in this order.
  returned: success
  type: list
  elements: str
disabled:
  description: Logins that were disabled, or would be.
  returned: success
  type: list
  elements: str
ended_sessions:
  description: Sessions of the application's former login that were no pod's and were ended.
  returned: success
  type: int
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import rotating
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Unreadable, argument_spec, module_server
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def rotation(module: AnsibleModule) -> dict[str, Any]:
    """Finish the rotation."""
    check_library(module, "kubernetes", "psycopg2")
    params = module.params
    request = rotating.Request(
        app=params["name"],
        namespace=params["namespace"],
        application=rotating.Turns(tuple(params["logins"]), params["secret"]),
        metrics=rotating.Turns(
            tuple(params["metrics_logins"]), params["metrics_secret"] or f"{params['name']}-metrics"
        ),
        timeout=params["timeout"],
        changing=frozenset(params["changing"]),
    )
    client = Client.from_params(params)
    lease = Lease.from_params(client, params)
    with contextlib.ExitStack() as stack:
        if not module.check_mode:
            stack.enter_context(lease)
        server = None
        try:
            server = stack.enter_context(module_server(module))
        except Unreadable as error:
            module.warn(error.msg)
        work = rotating.Rotation(client, server, request, lease)
        result = work.run(check=module.check_mode)
    for warning in work.warnings:
        module.warn(warning)
    return result


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "lease": {"type": "str"},
                "name": {"type": "str", "required": True},
                "namespace": {"type": "str", "required": True},
                "logins": {"type": "list", "elements": "str", "required": True},
                # Names of Secrets, no values.
                "secret": {"type": "str", "default": "dbos-app-db", "no_log": False},
                "metrics_logins": {"type": "list", "elements": "str", "required": True},
                "metrics_secret": {"type": "str", "no_log": False},
                "changing": {"type": "list", "elements": "str", "default": []},
                "timeout": {"type": "int", "default": 120},
            },
            supports_check_mode=True,
        ),
        rotation,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lease
short_description: Hold or release an application's Lease
version_added: 1.0.0
description:
  - One writer per application. The Lease C(dbos-<application>) in the application's namespace is held by the run of Ansible
    (host and process, or the AWX job), so all tasks of a run share it.
  - A holder on this machine that is dead is taken over at once, one elsewhere after 60 seconds without renewal. Modules with the
    option C(lease) renew it.
  - Holding and releasing are never reported as a change; freezing and thawing are.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.kubernetes
attributes:
  check_mode:
    support: full
    details: Takes nothing; fails when another live run holds the Lease only outside check mode.
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
  state:
    description:
      - V(present) takes or renews the Lease, V(absent) releases it if this run holds it, and ends the relays of the run.
      - V(frozen) makes every run fail that would change the application, this one's later tasks too, until V(thawed).
    type: str
    choices: [present, absent, frozen, thawed]
    default: present
  by:
    description: Who freezes; shown to whoever is refused.
    type: str
  reason:
    description: Why; shown to whoever is refused.
    type: str
"""

EXAMPLES = r"""
- name: Be the only writer
  dbos.kubernetes.lease:
    application: dbos-app
    namespace: dbos

- name: Stop every change, until state=thawed
  dbos.kubernetes.lease:
    application: dbos-app
    namespace: dbos
    state: frozen
    by: alice
    reason: incident 4711 is being investigated
"""

RETURN = r"""
holder:
  description: The run that this module belongs to.
  returned: always
  type: str
  sample: process 4711 on ci-runner-3
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import PlatformAbsent
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease, current
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.relay import stop_run
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def lease(module: AnsibleModule) -> dict[str, Any]:
    """Take or release."""
    check_library(module, "kubernetes")
    params = module.params
    namespace, application = params["namespace"], params["application"]
    if params["state"] in ("frozen", "thawed"):
        return {"changed": freeze(module), "holder": current().describe()}
    if module.check_mode:
        pass
    elif params["state"] == "present":
        Lease(Client.from_params(params), namespace, application).hold()
    else:
        # Where there is no platform, there is nothing to give up.
        with contextlib.suppress(PlatformAbsent):
            client = Client.from_params(params)
            stop_run(client, namespace, application)
            Lease(client, namespace, application).release()
    return {"changed": False, "holder": current().describe()}


def freeze(module: AnsibleModule) -> bool:
    """Freeze or thaw; whether that changes anything."""
    params = module.params
    client = Client.from_params(params)
    found = Lease(client, params["namespace"], params["application"])
    if module.check_mode:
        wanted = {"by": params["by"], "reason": params["reason"]} if params["state"] == "frozen" else None
        return found.frozen() != wanted
    return found.freeze(params["by"], params["reason"]) if params["state"] == "frozen" else found.thaw()


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "application": {"type": "str", "required": True},
                "namespace": {"type": "str", "required": True},
                "state": {
                    "type": "str",
                    "choices": ["present", "absent", "frozen", "thawed"],
                    "default": "present",
                },
                "by": {"type": "str"},
                "reason": {"type": "str"},
            },
            required_if=[("state", "frozen", ("by", "reason"))],
            supports_check_mode=True,
        ),
        lease,
    )


if __name__ == "__main__":
    main()

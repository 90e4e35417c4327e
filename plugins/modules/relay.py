#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: relay
short_description: Start or end the run's relay to a private database
version_added: 1.0.0
description:
  - Modules with the option C(relay) start the relay when they need it, so this module is optional. V(present) early in a play lets
    the relay's pod start while other tasks work; V(absent) at the end of a play leaves nothing behind until the deadline.
  - Neither is ever reported as a change.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.kubernetes
attributes:
  check_mode:
    support: full
    details: Starts nothing; V(absent) ends what the run has started.
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
    description: Where the relay runs.
    type: str
    required: true
  image:
    description: See the option C(relay.image) of M(dbos.kubernetes.database); needed with O(state=present).
    type: str
  database_host:
    description: Host of the database, as the cluster resolves it; needed with O(state=present).
    type: str
  database_port:
    description: Port of the database.
    type: int
    default: 5432
  deadline:
    description: Seconds after which the relay ends in any case.
    type: int
    default: 1800
  state:
    description: V(present) starts the relay without waiting for it, V(absent) ends all relays that this run has for the application.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: End the run's relay
  dbos.kubernetes.relay:
    application: dbos-app
    namespace: dbos
    state: absent
"""

RETURN = r"""
name:
  description: Name of the relay's Job.
  returned: with O(state=present)
  type: str
  sample: dbos-app-relay-0f9c2d71aa
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import PlatformAbsent
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.relay import Relay, Spec, stop_run
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def relay(module: AnsibleModule) -> dict[str, Any]:
    """Start, or end all."""
    check_library(module, "kubernetes")
    params = module.params
    if params["state"] == "absent":
        # Where there is no platform, there is no relay.
        with contextlib.suppress(PlatformAbsent):
            stop_run(Client.from_params(params), params["namespace"], params["application"])
        return {"changed": False}
    spec = Spec(
        params["namespace"],
        params["image"],
        params["application"],
        params["database_host"],
        params["database_port"],
        params["deadline"],
    )
    if not module.check_mode:
        Relay(Client.from_params(params), spec).start()
    return {"changed": False, "name": spec.name}


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "application": {"type": "str", "required": True},
                "namespace": {"type": "str", "required": True},
                "image": {"type": "str"},
                "database_host": {"type": "str"},
                "database_port": {"type": "int", "default": 5432},
                "deadline": {"type": "int", "default": 1800},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            },
            required_if=[("state", "present", ("image", "database_host"))],
            supports_check_mode=True,
        ),
        relay,
    )


if __name__ == "__main__":
    main()

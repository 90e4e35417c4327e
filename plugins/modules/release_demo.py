#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_demo
short_description: Keep clients asking the sample application while it is released
version_added: 1.0.0
description:
  - Starts a pod that asks the application's Service about thirty times a second and enqueues a workflow with every fiftieth request,
    through the routes of C(examples/go-starter), and stops it again with a count of what failed.
  - For demonstrations. The pod ends by itself after half an hour.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.kubernetes
attributes:
  check_mode:
    support: full
    details: Starts and stops nothing.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Every run starts clients anew, or stops those that run.
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
    description: V(stopped) fails when a request has failed.
    type: str
    choices: [started, stopped]
    required: true
  image:
    description: Image with busybox' C(sh), C(wget), C(timeout) and C(usleep). Required to start.
    type: str
  timeout:
    description: How long the pod may take to start, in seconds.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Let clients ask while a version takes over
  dbos.kubernetes.release_demo:
    application: dbos-app
    namespace: dbos
    state: started
    image: registry.example.com/busybox:1

- name: Count what they have seen
  dbos.kubernetes.release_demo:
    application: dbos-app
    namespace: dbos
    state: stopped
"""

RETURN = r"""
asked:
  description: Requests made.
  returned: when O(state=stopped) and not in check mode
  type: int
  sample: 640
unanswered:
  description: Requests that were not answered with success.
  returned: when O(state=stopped) and not in check mode
  type: int
  sample: 0
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import release_demo
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress


def ask(module: AnsibleModule) -> dict[str, Any]:
    """Start or stop."""
    check_library(module, "kubernetes")
    params = module.params
    client = Client.from_params(params)
    if module.check_mode:
        return {"changed": True}
    application, namespace = params["application"], params["namespace"]
    if params["state"] == "started":
        release_demo.start(client, application, namespace, params["image"], params["timeout"])
        return {"changed": True}
    seen = release_demo.stop(client, application, namespace)
    if seen.unanswered or not seen.asked:
        raise DbosError(f"{seen.unanswered} of {seen.asked} requests failed.", **seen._asdict())
    Progress().say(f"{seen.asked} requests answered, none failed")
    return {"changed": True, **seen._asdict()}


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "application": {"type": "str", "required": True},
                "namespace": {"type": "str", "required": True},
                "state": {"type": "str", "choices": ["started", "stopped"], "required": True},
                "image": {"type": "str"},
                "timeout": {"type": "int", "default": 120},
            },
            required_if=[("state", "started", ["image"])],
            supports_check_mode=True,
        ),
        ask,
    )


if __name__ == "__main__":
    main()

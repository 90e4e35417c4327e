#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: scaling_demo
short_description: Give the sample application work and watch it scale
version_added: 1.0.0
description:
  - Enqueues workflows through the routes of C(examples/go-starter) and shows the replicas rise, and fall when the work is done.
  - Requests go through the API server's service proxy, so nothing needs to reach the cluster's network.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.kubernetes
attributes:
  check_mode:
    support: full
    details: Enqueues nothing.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Every run enqueues work.
options:
  application:
    description: The application's name.
    type: str
    required: true
  namespace:
    description: The application's namespace.
    type: str
    required: true
  workflows:
    description: How many workflows to enqueue.
    type: int
    default: 10
  seconds:
    description: How long each workflow sleeps, in seconds.
    type: int
    default: 60
  timeout:
    description:
      - How long to wait, in seconds, until the replicas have risen, the work is done and the replicas are back.
      - The module fails when they are not.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Show the application scaling with its work
  dbos.kubernetes.scaling_demo:
    application: dbos-app
    namespace: dbos
"""

RETURN = r"""
peak:
  description: The most replicas there were.
  returned: unless in check mode
  type: int
  sample: 5
samples:
  description: Each moment at which the replicas or the unfinished workflows changed.
  returned: unless in check mode
  type: list
  elements: dict
  contains:
    seconds:
      description: Seconds since the start.
      type: int
      sample: 17
    replicas:
      description: Pods of the promoted version.
      type: int
      sample: 5
    unfinished:
      description: Workflows of the queue that are enqueued or running.
      type: int
      sample: 10
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import scaling_demo
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def show(module: AnsibleModule) -> dict[str, Any]:
    """Enqueue and watch."""
    check_library(module, "kubernetes")
    params = module.params
    client = Client.from_params(params)
    if module.check_mode:
        return {"changed": True}
    course = scaling_demo.run(
        client,
        params["namespace"],
        params["application"],
        workflows=params["workflows"],
        seconds=params["seconds"],
        timeout=params["timeout"],
    )
    return {"changed": True, "peak": course.peak, "samples": course.samples}


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "application": {"type": "str", "required": True},
                "namespace": {"type": "str", "required": True},
                "workflows": {"type": "int", "default": 10},
                "seconds": {"type": "int", "default": 60},
                "timeout": {"type": "int", "default": 300},
            },
            supports_check_mode=True,
        ),
        show,
    )


if __name__ == "__main__":
    main()

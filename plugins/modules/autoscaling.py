#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: autoscaling
short_description: Scale a version of a DBOS application with its work
version_added: 1.0.0
description:
  - Applies a KEDA ScaledObject for one version and waits until KEDA can read its metric.
  - With O(database) one query returns the replicas wanted, the larger of what the unfinished work that is due needs and of one more
    than the highest ordinal that is busy. A StatefulSet scales in from its highest ordinal, so no executor that was busy at the
    decision goes; work that is claimed just after it is resumed when the ordinal returns.
  - With O(metrics) KEDA asks the application itself, which needs at least one pod.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.application
  - dbos.kubernetes.kubernetes
  - dbos.kubernetes.lease
attributes:
  check_mode:
    support: full
    details: Uses the API server's dry run. A namespace that does not exist yet is reported as a change.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  version:
    description: The version that scales; by default the one that is promoted.
    type: str
  strategy:
    description: As in M(dbos.kubernetes.release).
    type: str
    choices: [versions, patching]
    default: versions
  state:
    description: With V(absent) the ScaledObject is deleted; the workload keeps its present replicas.
    type: str
    choices: [present, absent]
    default: present
  min_replicas:
    description: The fewest pods. V(0) stops the application while it has no work; it must be confirmed with O(scale_to_zero).
    type: int
    default: 1
  max_replicas:
    description: The most pods. Below Kubernetes 1.35 no more than 10 are used, with a warning.
    type: int
    default: 10
  draining_max_replicas:
    description:
      - The most pods of each version that was promoted once and no longer is. When given, these versions scale between no pod and this
        many, by their own work that is due, and return by themselves when some falls due. A staged version keeps its limits.
      - With O(metrics) their ScaledObjects are deleted instead, as the application's metric says nothing about their work.
    type: int
  scale_to_zero:
    description: Confirms O(min_replicas=0), that is, that no HTTP is served and no schedule fires while there is no work.
    type: bool
    default: false
  concurrency:
    description: Workflows that one executor runs at once, the queue's worker concurrency.
    type: int
    default: 2
  polling_interval:
    description: Seconds between KEDA's reads while there is no pod; with pods the HorizontalPodAutoscaler reads every 15 seconds.
    type: int
    default: 15
  scale_in_delay:
    description: Seconds that fewer replicas must have been enough before pods go.
    type: int
    default: 30
  database:
    description: The system database, as KEDA reaches it. Exactly one of O(database) and O(metrics) is needed.
    type: dict
    suboptions:
      host:
        description: Host name or address.
        type: str
        required: true
      port:
        description: Port.
        type: int
        default: 5432
      name:
        description: Name of the database.
        type: str
        required: true
      user:
        description: Login that may read the columns that scaling needs, unless the Secret has a key C(username).
        type: str
        required: true
      secret:
        description: Name of the Secret in the application's namespace with the login's C(password) and C(username).
        type: str
        required: true
      sslmode:
        description: V(require) encrypts without knowing who answers; a fallback for a KEDA that was not given the database's CA.
        type: str
        choices: [verify-full, require]
        default: verify-full
  metrics:
    description: The application's own metric.
    type: dict
    suboptions:
      path:
        description: Path that answers JSON.
        type: str
        required: true
      port:
        description: Port of the application's Service.
        type: int
        default: 8080
      value:
        description: Where in the JSON the length of the queue is.
        type: str
        default: queue_length
  timeout:
    description: Seconds to wait until the ScaledObject is ready.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Scale version 2 of the shop with its work
  dbos.kubernetes.autoscaling:
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    name: shop
    namespace: shop
    version: v2
    max_replicas: 20
    lease: shop
    database:
      host: db.example.com
      name: shop
      user: shop_metrics
      secret: shop-metrics
"""

RETURN = r"""
scaled_object:
  description: Name of the ScaledObject.
  returned: success
  type: str
  sample: shop-v2
changes:
  description: What was changed, or would be, a line each.
  returned: success
  type: list
  elements: str
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import autoscaling as work
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import application_spec, check_library, run


def autoscaling(module: AnsibleModule) -> dict[str, Any]:
    """Scale as the task asks for."""
    check_library(module, "kubernetes")
    params = module.params
    wanted = work.spec_of(params)
    client = Client.from_params(params)
    with contextlib.ExitStack() as stack:
        if not module.check_mode:
            stack.enter_context(Lease.from_params(client, params))
        wanted = work.named(client, wanted)
        how = {"check": module.check_mode, "timeout": params["timeout"]}
        if params["state"] == "present":
            result, warnings = work.present(client, wanted, draining=params["draining_max_replicas"], **how)
        else:
            result, warnings = work.absent(client, wanted, **how)
    for warning in warnings:
        module.warn(warning)
    return result


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "lease": {"type": "str"},
                **application_spec(),
                "version": {"type": "str"},
                "strategy": {"type": "str", "choices": ["versions", "patching"], "default": "versions"},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "min_replicas": {"type": "int", "default": 1},
                "max_replicas": {"type": "int", "default": 10},
                "draining_max_replicas": {"type": "int"},
                "scale_to_zero": {"type": "bool", "default": False},
                "concurrency": {"type": "int", "default": 2},
                "polling_interval": {"type": "int", "default": 15},
                "scale_in_delay": {"type": "int", "default": 30},
                "database": {
                    "type": "dict",
                    "options": {
                        "host": {"type": "str", "required": True},
                        "port": {"type": "int", "default": 5432},
                        "name": {"type": "str", "required": True},
                        "user": {"type": "str", "required": True},
                        "secret": {"type": "str", "required": True, "no_log": False},
                        "sslmode": {"type": "str", "choices": ["verify-full", "require"], "default": "verify-full"},
                    },
                },
                "metrics": {
                    "type": "dict",
                    "options": {
                        "path": {"type": "str", "required": True},
                        "port": {"type": "int", "default": 8080},
                        "value": {"type": "str", "default": "queue_length"},
                    },
                },
                "timeout": {"type": "int", "default": 120},
            },
            mutually_exclusive=[("database", "metrics")],
            required_one_of=[("database", "metrics")],
            supports_check_mode=True,
        ),
        autoscaling,
    )


if __name__ == "__main__":
    main()

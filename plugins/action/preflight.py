# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks an application's variables on the controller, where the inventory and the roles' specs are."""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.dbos.kubernetes.plugins.module_utils import preflight
from ansible_collections.dbos.kubernetes.plugins.plugin_utils.warm import warm

warm()

ROLES = Path(__file__).resolve().parents[2] / "roles"


def read_specs() -> dict[str, dict[str, dict[str, t.Any]]]:
    """Options of every role of the collection, of all its entry points."""
    found: dict[str, dict[str, dict[str, t.Any]]] = {}
    for path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        found[path.parents[1].name] = {
            name: option for entry in entries.values() for name, option in (entry.get("options") or {}).items()
        }
    return found


class ActionModule(ActionBase):
    """One call, no connection."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(
            {"roles": {"type": "list", "elements": "str", "required": True}}
        )
        variables = task_vars or {}
        specs = read_specs()
        options = {name: option for spec in specs.values() for name, option in spec.items()}
        values = self._values(variables, options)
        problems = [
            *preflight.unknown(self._inventory_names(variables), options, specs),
            *preflight.missing(values, self._required(specs, arguments["roles"])),
            *preflight.wrong_values(values, options),
            *preflight.contradictions(values),
            *self._neighbours(variables),
        ]
        result["warnings"] = list(preflight.short_secrets(values, options))
        result["problems"] = problems
        result["changed"] = False
        if problems:
            result["failed"] = True
            result["msg"] = problems[0] if len(problems) == 1 else "\n".join([f"{len(problems)} problems:", *problems])
        return result

    def _inventory_names(self, variables: dict[str, t.Any]) -> set[str]:
        """Names of what the user sets for this application and its platform, and not of what plays and roles set."""
        hosts = [variables["inventory_hostname"], variables.get("dbos_platform")]
        hostvars = variables["hostvars"]
        return {name for host in hosts if host in hostvars for name in hostvars.raw_get(host)}

    def _values(self, variables: dict[str, t.Any], options: dict[str, t.Any]) -> dict[str, t.Any]:
        """Values of the roles' options, as far as they can be had before the platform exists."""
        found = {}
        for name in options:
            if name not in variables:
                continue
            try:
                found[name] = self._templar.template(variables[name])
            except AnsibleError:
                # It refers to what a later step makes (a built image), or to a platform that is not there yet.
                found[name] = None
        return found

    @staticmethod
    def _required(specs: dict[str, dict[str, dict[str, t.Any]]], roles: list[str]) -> dict[str, str]:
        return {
            name: role
            for role in roles
            for name, option in specs.get(role, {}).items()
            if option.get("required") and "default" not in option
        }

    def _neighbours(self, variables: dict[str, t.Any]) -> list[str]:
        groups, hostvars = variables.get("groups", {}), variables["hostvars"]
        host = variables["inventory_hostname"]
        first = (groups.get("dbos_platforms") or [""])[0]
        places = {}
        for name in groups.get("dbos_apps", []):
            seen = hostvars[name]
            places[name] = (str(seen.get("dbos_platform", first)), str(seen.get("dbos_namespace", "dbos")))
        return list(preflight.neighbours(host, places)) if host in places else []

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of module release, and the version that they describe."""

from __future__ import annotations

from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import registry_options


def options() -> dict[str, dict[str, Any]]:
    """What the version is made of, documented in the module."""
    return {
        "version": {"type": "str", "required": True},
        "image": {"type": "str"},
        "state": {"type": "str", "choices": ["promoted", "staged", "retired"], "default": "promoted"},
        "strategy": {"type": "str", "choices": ["versions", "patching"], "default": "versions"},
        "kind": {"type": "str", "choices": ["auto", "statefulset", "deployment"], "default": "auto"},
        "replicas": {"type": "int", "default": 2},
        "max_replicas": {"type": "int"},
        "port": {"type": "int", "default": 8080},
        "health_path": {"type": "str", "default": "/healthz"},
        "command": {"type": "list", "elements": "str", "default": []},
        "args": {"type": "list", "elements": "str", "default": []},
        "env": {"type": "dict", "default": {}},
        # Names of Secrets and keys, no values.
        "secret_env": {"type": "dict", "default": {}, "no_log": False},
        "files": {"type": "dict", "default": {}},
        "files_path": {"type": "path", "default": "/etc/dbos/app"},
        "resources": {"type": "dict", "default": {}},
        "drain_seconds": {"type": "int", "default": 20},
        "pool_size": {"type": "int"},
        "sdk": {"type": "str"},
        "startup_seconds": {"type": "int", "default": 120},
        "run_as_user": {"type": "int"},
        "pull_secret": {"type": "str", "default": "", "no_log": False},
        "database_secret": {"type": "str", "default": "dbos-app-db", "no_log": False},
        "database_ca": {"type": "bool", "default": True},
        "conductor": {
            "type": "dict",
            "options": {
                "url": {"type": "str", "default": ""},
                "ca_secret": {"type": "str", "default": "", "no_log": False},
                "ca_image": {"type": "str", "default": ""},
            },
        },
        "registry": {"type": "dict", "default": {}, "options": registry_options()},
        "max_live_versions": {"type": "int", "default": 10},
        "timeout": {"type": "int", "default": 300},
    }


def as_text(value: Any) -> str:
    """What an environment variable says: YAML's true and false as programs write them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def spec_of(params: dict[str, Any]) -> workload.Spec:
    """The version's documents as the task describes them; the kind is decided later."""
    given = params["conductor"]
    return workload.Spec(
        app=params["name"],
        kind="",
        owner=params["application_name"] or params["name"],
        command=tuple(params["command"]),
        args=tuple(params["args"]),
        env={name: as_text(value) for name, value in params["env"].items()},
        files={name: str(value) for name, value in params["files"].items()},
        conductor=workload.Conductor(**given) if given else None,
        **{
            name: params[name]
            for name in (
                "namespace",
                "version",
                "image",
                "strategy",
                "port",
                "health_path",
                "secret_env",
                "files_path",
                "resources",
                "drain_seconds",
                "pool_size",
                "startup_seconds",
                "run_as_user",
                "pull_secret",
                "database_secret",
                "database_ca",
            )
        },
    )

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one way every module starts and ends."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.kubeconfig import why_absent
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import (
    DbosError,
    PlatformAbsent,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress


def run(
    module: AnsibleModule,
    function: Callable[[AnsibleModule], dict[str, Any]],
    not_yet: dict[str, Any] | None = None,
) -> None:
    """Run C(function) and exit with its result; a DbosError becomes the module's one clear failure.

    In check mode it is none where an earlier step of a real run makes what is missing: the result is C(not_yet) then.
    Without that only an absent platform is no failure: the step says so and reports that it would change.
    """
    module.no_log_values -= _no_secrets(module.params.get("kubeconfig"))
    try:
        result = function(module)
    except DbosError as error:
        if module.check_mode and error.not_yet and not_yet is not None:
            module.exit_json(**not_yet, msg=error.msg)
        if module.check_mode and isinstance(error, PlatformAbsent):
            told = f"{error.msg} This step would run once it is there."
            # Ansible shows the message of a successful task only with -v.
            Progress().say(told)
            module.exit_json(changed=True, msg=told, **error.result)
        module.fail_json(msg=error.msg, **error.result)
    module.exit_json(**result)


def _no_secrets(kubeconfig: Any) -> set[str]:
    """The option may hold credentials, so Ansible masks it; but messages must name a path, and a cluster."""
    if isinstance(kubeconfig, dict):
        clusters = kubeconfig.get("clusters") or []
        names = [text for entry in clusters for text in (entry.get("name"), entry.get("cluster", {}).get("server"))]
        return {text for text in (*names, why_absent(kubeconfig)) if text}
    return {kubeconfig} if isinstance(kubeconfig, str) and "{" not in kubeconfig else set()


def application_spec() -> dict[str, dict[str, Any]]:
    """Options that name an application, documented in the fragment dbos.kubernetes.application."""
    return {
        "name": {"type": "str", "required": True},
        "namespace": {"type": "str", "required": True},
        "application_name": {"type": "str"},
    }


def registry_options() -> dict[str, dict[str, Any]]:
    """The platform's registry, as all modules take it."""
    return {
        "host": {"type": "str"},
        "ca_file": {"type": "path"},
        "username": {"type": "str"},
        "password": {"type": "str", "no_log": True},
    }


def check_library(module: AnsibleModule, *names: str) -> None:
    """Fail with Ansible's own sentence when a Python library cannot be imported by the module's interpreter."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            module.fail_json(msg=missing_required_lib(name), exception=str(error))

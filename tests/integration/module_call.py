# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls a module of the collection in this process: what Ansible would pass it, and what it answers."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
from typing import Any
from unittest import mock

from ansible.module_utils import _internal, basic
from ansible.module_utils.common import warnings

PACKAGE = "ansible_collections.dbos.kubernetes.plugins.modules"


def call(name: str, /, *, check: bool = False, **arguments: Any) -> dict[str, Any]:
    """The module's result, failures included."""
    module = importlib.import_module(f"{PACKAGE}.{name}")
    payload = {"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check, "_ansible_no_log": True}}
    output = io.StringIO()
    with (
        mock.patch.object(basic, "_ANSIBLE_ARGS", json.dumps(payload).encode()),
        mock.patch.object(basic, "_ANSIBLE_PROFILE", "legacy"),
        mock.patch.object(_internal, "is_controller", False),  # else warnings go to the screen
        mock.patch.dict(warnings._global_warnings, clear=True),  # they are the process'
        contextlib.redirect_stdout(output),
        contextlib.suppress(SystemExit),
    ):
        module.main()
    result: dict[str, Any] = json.loads(output.getvalue())
    return result

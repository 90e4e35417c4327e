# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loads what a deployment's modules import, once: Ansible imports the first task's action plugin in its main process,
and every task runs in a fork of that. (A collection's Python files have no compiled form on disk.)
"""

from __future__ import annotations

import contextlib
import importlib

_MODULES = (
    "application_info",
    "autoscaling",
    "database",
    "images",
    "lease",
    "manifests",
    "migration",
    "relay",
    "release",
    "sealed_secret",
)


def warm() -> None:
    """Import them; whatever cannot be imported is reported by the task that needs it."""
    libraries = ["kubernetes.client", "kubernetes.config", "kubernetes.stream.ws_client", "psycopg2"]
    modules = [f"ansible_collections.dbos.kubernetes.plugins.modules.{name}" for name in _MODULES]
    for name in libraries + modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)

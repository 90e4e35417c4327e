# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loads what modules import, once: Ansible imports a task's action plugin in its main process, and every task runs in a
fork of that. (A collection's Python files have no compiled form on disk.)
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterable
from pathlib import Path

_DEPLOYMENT = (
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


_AWS = (
    "aws_network",
    "aws_teardown",
    "aws_wait",
    "ecr_mirror",
    "ecr_repositories",
    "eks_access_entry",
    "eks_addon",
    "eks_cluster",
    "eks_nodegroup",
    "eks_pod_identity_association",
    "eks_prerequisites",
    "rds_instance",
)
_AWS_LIBRARIES = ("botocore.session", "botocore.client", "botocore.auth", "botocore.awsrequest", "botocore.httpsession")


def warm() -> None:
    """Load what a deployment needs; for the platform's lookups too, where there is a sign of AWS."""
    signs = any(name.startswith("AWS_") for name in os.environ) or Path("~/.aws").expanduser().exists()
    libraries = ("kubernetes.client", "kubernetes.config", "kubernetes.stream.ws_client", "psycopg2")
    _load((*libraries, *(_AWS_LIBRARIES if signs else ())), _DEPLOYMENT)


def warm_aws() -> None:
    """Load what a platform on AWS is made with."""
    _load(_AWS_LIBRARIES, _AWS)


def _load(libraries: Iterable[str], modules: Iterable[str]) -> None:
    """Import them; whatever cannot be imported is reported by the task that needs it."""
    for name in (*libraries, *(f"ansible_collections.dbos.kubernetes.plugins.modules.{name}" for name in modules)):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of an application, its versions and their objects: one place that builds and refuses them."""

from __future__ import annotations

import re

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

# A StatefulSet's pods carry the label controller-revision-hash=<name>-<10 characters>, and a label has at most 63:
# a longer name is accepted by the API server and never gets a pod.
LONGEST_WORKLOAD = 52
MANAGER = "dbos.kubernetes"
PATCHING = "patching"

# Service names must begin with a letter (RFC 1035); the application's name is one.
_APPLICATION = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_DIGEST = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")


def check_application(app: str) -> None:
    """Refuse a name that cannot name a Service, and so no application."""
    if not _APPLICATION.fullmatch(app):
        raise DbosError(
            f"The application's name '{app}' is no DNS label: use lower-case letters, digits and dashes, a letter "
            "first, at most 63 characters. Change dbos_app or the host's name."
        )


def check_version(app: str, version: str, strategy: str) -> None:
    """Refuse a version that cannot be part of object names, or is too long together with the application's name."""
    if strategy == PATCHING:
        if not _LABEL.fullmatch(version):
            raise DbosError(f"The version '{version}' is no label value: at most 63 letters, digits, dots, dashes, _.")
    elif not _VERSION.fullmatch(version):
        proposal = re.sub(r"[^a-z0-9]+", "-", version.lower()).strip("-")
        raise DbosError(
            f"The version '{version}' is no DNS label: use lower-case letters, digits and dashes"
            + (f", such as '{proposal}'." if proposal else ".")
        )
    name = workload_name(app, version, strategy)
    if name == preview_name(app):
        raise DbosError(f"The version '{version}' would take the name of the Service {name}. Choose another.")
    if len(name) > LONGEST_WORKLOAD:
        raise DbosError(
            f"The workload's name '{name}' has {len(name)} characters, {LONGEST_WORKLOAD} are the most: a StatefulSet "
            "with a longer name never gets a pod. Shorten dbos_app or release_version."
        )


def check_digest(image: str, option: str = "release_image") -> None:
    """Refuse an image that is not pinned: a restarted pod of an old version would pull new code."""
    if not _DIGEST.fullmatch(image):
        raise DbosError(
            f"The image '{image}' is not pinned by a digest (name@sha256:…), so a version would not stay what it is. "
            f"Let the role images resolve it, or give {option} with its digest."
        )


def workload_name(app: str, version: str, strategy: str) -> str:
    """One workload per version, or a single one that is rolled in place."""
    return app if strategy == PATCHING else f"{app}-{version}"


def preview_name(app: str) -> str:
    """The Service that leads to the version that is gated."""
    return f"{app}-preview"


def labels(app: str, version: str | None = None, component: str | None = None) -> dict[str, str]:
    """The labels every object of ours carries."""
    found = {"name": app, "instance": app, "version": version, "component": component, "managed-by": MANAGER}
    return {f"app.kubernetes.io/{key}": value for key, value in found.items() if value is not None}


def selector(app: str, version: str) -> dict[str, str]:
    """What selects the executors of one version, and nothing else: no Job, no relay, no ledger record."""
    found = {"name": app, "version": version, "component": "executor"}
    return {f"app.kubernetes.io/{key}": value for key, value in found.items()}

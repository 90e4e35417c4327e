# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Charts and manifest files as documents. Charts are only rendered: nothing of helm's stays in the cluster."""

# Below the modules, there is no run_command: pylint: disable=ansible-bad-function

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.dbos.kubernetes.plugins.module_utils.addons import Object, without_hooks
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError


class Chart(NamedTuple):
    """Where a chart is: a folder, an archive, an oci:// URL, or a name in a repository."""

    reference: str
    version: str | None
    repository: str | None


def render(helm: str, chart: Chart, name: str, namespace: str, values: dict[str, Any], kubernetes: str) -> list[Object]:
    """The chart's documents, CRDs included, as C(helm template) makes them for that version of Kubernetes."""
    program = shutil.which(helm)
    if program is None:
        raise DbosError(
            f"The program {helm} is needed to render the chart {chart.reference}. Install Helm, or name it."
        )
    command = [program, "template", name, chart.reference, "--namespace", namespace, "--include-crds", "--values", "-"]
    command += ["--kube-version", kubernetes]
    if chart.version:
        command += ["--version", chart.version]
    if chart.repository:
        command += ["--repo", chart.repository]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        where = f" of {chart.repository}" if chart.repository else ""
        raise DbosError(f"The chart {chart.reference} {chart.version or ''}{where} cannot be rendered: {said}")
    return without_hooks(documents(done.stdout, chart.reference))


def read(paths: Sequence[str]) -> list[Object]:
    """All documents of manifest files."""
    found = []
    for path in paths:
        try:
            found += documents(Path(path).expanduser().read_text(encoding="utf-8"), path)
        except OSError as error:
            raise DbosError(f"The manifests {path} cannot be read: {error.strerror}.") from error
    return found


def documents(text: str, source: str) -> list[Object]:
    """The objects of a YAML text."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        found = [document for document in yaml.load_all(text, Loader=loader) if document]
    except yaml.YAMLError as error:
        raise DbosError(f"{source} is no YAML: {error}.") from error
    for document in found:
        if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
            raise DbosError(f"{source} holds a document that is no Kubernetes object.")
    return found

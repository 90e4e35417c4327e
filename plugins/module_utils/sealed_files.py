# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SealedSecrets as text and as files for Git."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealed_secrets import KIND, Object, exported

_MODE = 0o644  # ciphertext is public


def text(sealed: Sequence[Object]) -> str:
    """YAML of one document each; a value stays on one line, so that its change is one line in Git."""
    import yaml

    documents = [exported(one) for one in sealed]
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump_all(documents, Dumper=dumper, explicit_start=True, sort_keys=True, width=2**30))


def parse(content: str, source: str) -> dict[tuple[str, str], Object]:
    """The SealedSecrets of a YAML text, by namespace and name."""
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        documents = [document for document in yaml.load_all(content, Loader=loader) if document]
    except yaml.YAMLError as error:
        raise DbosError(f"{source} is no YAML: {error}.") from error
    found = {}
    for document in documents:
        if not isinstance(document, dict) or document.get("kind") != KIND:
            raise DbosError(f"{source} holds something else than SealedSecrets; use a file of their own.")
        metadata = document["metadata"]
        found[(metadata.get("namespace", ""), metadata["name"])] = document
    return found


def read(path: Path) -> str:
    """The file's text; empty when it does not exist."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise DbosError(f"{path} cannot be read: {error.strerror}.") from error


def write(path: Path, content: str, *, check: bool) -> bool:
    """Bring the file to C(content); True when that is, or would be, a change."""
    if read(path) == content:
        return False
    if check:
        return True
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(content)
        Path(temporary).chmod(_MODE)
        Path(temporary).replace(path)
    except OSError as error:
        raise DbosError(f"{path} cannot be written: {error.strerror}.") from error
    return True

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backs the sealing keys up, encrypted, in one process: no private key becomes a module's argument or result."""

from __future__ import annotations

import os
import tempfile
import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.plugins.action import ActionBase

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError, PlatformAbsent
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.sealing_controller import (
    ControllerAbsent,
    find_controller,
    key_secrets,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.sealing_keys import Object, combined, parse


class ActionModule(ActionBase):
    """See the module's documentation."""

    _supports_check_mode = True
    _supports_diff = False
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(
            argument_spec={
                **argument_spec(),
                "path": {"type": "path", "required": True},
                "passphrase": {"type": "str", "required": True, "no_log": True},
                "controller_namespace": {"type": "str"},
                "controller_name": {"type": "str"},
            }
        )
        check = self._task.check_mode
        try:
            return {**result, **backup(options, check=check)}
        except (PlatformAbsent, ControllerAbsent) as error:
            if check:
                return {**result, "changed": True, "names": [], "msg": f"{error.msg} The keys would be backed up then."}
            return {**result, "failed": True, "msg": error.msg}
        except DbosError as error:
            return {**result, "failed": True, "msg": error.msg}


def backup(options: dict[str, t.Any], *, check: bool) -> dict[str, t.Any]:
    """Bring the file up to date; changed only if a key was missing from it."""
    if not options["passphrase"]:
        raise DbosError("The backup of the sealing keys needs a passphrase, and it is empty.")
    path = Path(options["path"]).expanduser()
    vault = VaultLib([("default", VaultSecret(options["passphrase"].encode()))])
    client = Client.from_params(options)
    controller = find_controller(client, options["controller_namespace"], options["controller_name"])
    cluster = key_secrets(client, controller.namespace)
    if not cluster:
        raise DbosError(f"The controller {controller} has no sealing keys in namespace {controller.namespace}.")
    before = _read(path, vault)
    after = combined(cluster, before or [])
    changed = after != before
    if changed and not check:
        _write(path, vault, after)
    return {"changed": changed, "path": str(path), "names": [secret["metadata"]["name"] for secret in after]}


def _read(path: Path, vault: VaultLib) -> list[Object] | None:
    try:
        encrypted = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DbosError(f"The backup {path} cannot be read: {error.strerror}.") from error
    try:
        text = vault.decrypt(encrypted)
    except AnsibleError as error:
        raise DbosError(
            f"{path} exists and does not open with this passphrase; it was left alone. "
            "Give the passphrase it was made with, or another path."
        ) from error
    return parse(yaml.safe_load(text), str(path))


def _write(path: Path, vault: VaultLib, secrets: list[Object]) -> None:
    """Only ciphertext reaches the disk, and the old file stays until the new one is whole."""
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": secrets})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            stream.write(vault.encrypt(text))
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise DbosError(f"The backup {path} cannot be written: {error.strerror}.") from error

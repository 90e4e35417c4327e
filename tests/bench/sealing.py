"""Part (c): sealing in one call of the module against kubeseal."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The module's own program, without Ansible's start: what one more Secret in a task costs.
MODULE = """
import sys
import ansible.module_utils.basic as basic
basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.dbos.kubernetes.plugins.modules import sealed_secret_pipe
sys.argv = ["module", sys.argv[1]]
sealed_secret_pipe.main()
"""


class Sealing:
    """The same values for both; the certificate is of the kind and length that the controller makes."""

    def __init__(self, folder: Path, kubectl: str, kubeseal: str, environment: dict[str, str]) -> None:
        self._folder, self._kubectl, self._kubeseal, self._environment = folder, kubectl, kubeseal, environment
        self._certificate = folder / "certificate.pem"
        options = "-x509 -newkey rsa:4096 -nodes -days 1 -subj /CN=bench -keyout /dev/null -out"
        self._run(["openssl", "req", *options.split(), str(self._certificate)])

    def module(self, secrets: int, values: int) -> Callable[[], None]:
        """One call of sealed_secret_pipe."""
        items = [{"name": name, "string_data": data} for name, data in _secrets(secrets, values).items()]
        arguments: dict[str, Any] = {
            "certificate": str(self._certificate),
            "namespace": "bench",
            "secrets": items,
        }
        path = self._folder / f"module-{secrets}-{values}.json"
        path.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        return lambda: self._run([sys.executable, "-c", MODULE, str(path)])

    def one_process(self, values: int) -> Callable[[], None]:
        """One kubeseal for one Secret of many values."""
        ((name, data),) = _secrets(1, values).items()
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": "bench"},
            "stringData": data,
        }
        path = self._folder / "secret.json"
        path.write_text(json.dumps(secret))
        return lambda: self._run([self._kubeseal, "--cert", str(self._certificate)], path)

    def pipelines(self, secrets: int) -> Callable[[], None]:
        """The guide's `kubectl create secret … | kubeseal`, once per Secret."""

        def run() -> None:
            for name, data in _secrets(secrets, 1).items():
                literals = [f"--from-literal={key}={value}" for key, value in data.items()]
                with tempfile.TemporaryFile() as manifest:
                    create = [self._kubectl, "create", "secret", "generic", name, "--namespace", "bench", *literals]
                    subprocess.run([*create, "--dry-run=client", "-o", "yaml"], stdout=manifest, check=True)
                    manifest.seek(0)
                    seal = [self._kubeseal, "--cert", str(self._certificate), "--format", "yaml"]
                    subprocess.run(seal, stdin=manifest, stdout=subprocess.DEVNULL, check=True)

        return run

    def _run(self, command: list[str], stdin: Path | None = None) -> None:
        with (stdin or Path("/dev/null")).open() as source:
            done = subprocess.run(
                command, stdin=source, capture_output=True, text=True, check=False, env=self._environment
            )
        if done.returncode:
            raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _secrets(secrets: int, values: int) -> dict[str, dict[str, str]]:
    return {
        f"secret-{number:03}": {
            f"key-{key:04}": f"value {number} {key}, as long as a password may be" for key in range(values)
        }
        for number in range(secrets)
    }

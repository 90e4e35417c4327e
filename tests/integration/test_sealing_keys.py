# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sealing keys' life: renewal, resealing, backup, and a restore into a fresh controller."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from module_call import call
from process_kit import until
from sealing_kit import key_pair

# The controller that all tests share gets another key, and forgets it again.
pytestmark = pytest.mark.alone

PASSPHRASE = "correct horse battery staple"
LABEL = "sealedsecrets.bitnami.com/sealed-secrets-key"
IMAGE = "addons/sealed-secrets-controller:0.40.0"

Play = Callable[..., Any]


@pytest.fixture(scope="module")
def renew(platform: Any) -> Iterator[Callable[[], str]]:
    """Gives the controller a new key, as it makes one itself every 30 days; taken away again at the end."""
    made = []

    def run() -> str:
        name = f"sealed-secrets-key-renewed-{len(made)}"
        certificate, key = key_pair(days=365)
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": "kube-system", "labels": {LABEL: "active"}},
            "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": certificate.decode(), "tls.key": key.decode()},
        }
        made.append(name)
        platform.kubectl("create", "-f", "-", stdin=json.dumps(secret))
        restart(platform, "kube-system", "sealed-secrets")
        return name

    yield run
    for name in made:
        platform.kubectl("delete", "secret", name, "-n", "kube-system", "--ignore-not-found")
    restart(platform, "kube-system", "sealed-secrets")


def restart(platform: Any, namespace: str, name: str) -> None:
    platform.kubectl("rollout", "restart", f"deployment/{name}", "-n", namespace)
    platform.kubectl("rollout", "status", f"deployment/{name}", "-n", namespace, "--timeout=120s")


def backup(ansible_playbook: Play, tmp_path: Path, path: Path, *arguments: str, **options: Any) -> Any:
    """Runs the role's entry point for schedules."""
    playbook = tmp_path / "backup.yml"
    task = {
        "name": "Back up",
        "ansible.builtin.import_role": {"name": "dbos.kubernetes.addons", "tasks_from": "backup"},
    }
    play = {"name": "Back up", "hosts": "dbos_platforms", "gather_facts": False, "tasks": [task]}
    playbook.write_text(yaml.safe_dump([play]))
    extra = {"addons_sealing_keys_backup": str(path), "addons_sealing_keys_passphrase": PASSPHRASE, **options}
    return ansible_playbook(playbook, "-vvv", *arguments, extra_vars=extra, check=False)


def opened(path: Path) -> list[dict[str, Any]]:
    text = VaultLib([("default", VaultSecret(PASSPHRASE.encode()))]).decrypt(path.read_bytes())
    items: list[dict[str, Any]] = yaml.safe_load(text)["items"]
    return items


def test_backup_renewal_resealing_and_restore(
    ansible_playbook: Play, renew: Callable[[], str], platform: Any, namespace: str, tmp_path: Path
) -> None:
    path = tmp_path / "safe" / "keys.yml"
    promised = backup(ansible_playbook, tmp_path, path, "--check")
    assert promised.changed == 1, promised.output
    assert not path.exists()

    first = backup(ansible_playbook, tmp_path, path)
    assert (first.returncode, first.changed) == (0, 1), first.output
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().startswith(b"$ANSIBLE_VAULT;1.1;AES256")
    assert [entry.name for entry in path.parent.iterdir()] == ["keys.yml"]
    assert backup(ansible_playbook, tmp_path, path).changed == 0

    arguments = {"kubeconfig": str(platform.kubeconfig), "namespace": namespace}
    secrets = [{"name": "renewed", "string_data": {"a": "x"}}]
    old = call("sealed_secret", **arguments, secrets=secrets)["certificate"]["fingerprint"]
    sealed_before = sealed(platform, namespace)
    renewed = renew()
    result = call("sealed_secret", **arguments, secrets=secrets)
    assert not result["changed"], result  # old keys stay valid
    again = call("sealed_secret", **arguments, secrets=secrets, reseal_on_certificate_change=True)
    assert again["secrets"][0]["changed_keys"] == ["a"]
    assert again["secrets"][0]["synced"]
    assert again["certificate"]["fingerprint"] != old
    assert not call("sealed_secret", **arguments, secrets=secrets, reseal_on_certificate_change=True)["changed"]

    second = backup(ansible_playbook, tmp_path, path)
    assert second.changed == 1, second.output
    names = [key["metadata"]["name"] for key in opened(path)]
    assert renewed in names
    assert len(names) >= 2
    platform.kubectl("delete", "secret", renewed, "-n", "kube-system")
    assert backup(ansible_playbook, tmp_path, path).changed == 0  # a lost key is what the backup is for
    assert renewed in [key["metadata"]["name"] for key in opened(path)]

    private = [line for key in opened(path) for line in decoded(key).splitlines() if len(line) > 20]
    for run in (promised, first, second):
        assert PASSPHRASE not in run.output
        assert not [line for line in private if line in run.output]

    restored_unseals(platform, namespace, path, tmp_path, [sealed_before, sealed(platform, namespace)])


def decoded(secret: dict[str, Any]) -> str:
    return base64.b64decode(secret["data"]["tls.key"]).decode()


def sealed(platform: Any, namespace: str) -> str:
    found = json.loads(platform.kubectl("get", "sealedsecret", "renewed", "-n", namespace, "-o", "json"))
    return json.dumps({**found, "status": {}})


def restored_unseals(platform: Any, namespace: str, path: Path, tmp_path: Path, manifests: list[str]) -> None:
    """A controller without these keys refuses; after the documented restore it takes each."""
    platform.kubectl("apply", "-f", "-", stdin=json.dumps(fresh_controller(platform, namespace)))
    platform.kubectl("rollout", "status", "deployment/fresh", "-n", namespace, "--timeout=120s")
    assert [verify(platform, namespace, manifest) for manifest in manifests] == [False, False]
    password = tmp_path / "passphrase"
    password.write_text(PASSPHRASE)
    keys = subprocess.run(
        ["ansible-vault", "view", "--vault-password-file", str(password), str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    platform.kubectl("-n", namespace, "apply", "--server-side", "-f", "-", stdin=keys)
    restart(platform, namespace, "fresh")
    assert [verify(platform, namespace, manifest) for manifest in manifests] == [True, True]


def verify(platform: Any, namespace: str, manifest: str) -> bool:
    url = f"/api/v1/namespaces/{namespace}/services/http:fresh:/proxy/v1/verify"

    def answered() -> str:
        """The controller's word, and not the API server's about the way to it, nor that it is asked too much."""
        answer = platform.kubectl("create", "--raw", url, "-f", "-", stdin=manifest, check=False)
        away = any(word in answer.lower() for word in ("no endpoints", "trying to reach", "too many"))
        return "" if away else f"answer: {answer}"

    return "rror" not in until("answered", answered)


def fresh_controller(platform: Any, namespace: str) -> dict[str, Any]:
    """A controller of its own namespace only, that leaves everybody's status alone."""
    labels = {"app": "fresh"}
    rules = [
        {"apiGroups": [""], "resources": ["secrets", "events"], "verbs": ["get", "list", "watch", "create", "update"]},
        {"apiGroups": ["bitnami.com"], "resources": ["sealedsecrets"], "verbs": ["get", "list", "watch"]},
    ]
    container = {
        "name": "controller",
        "image": f"{platform.node}:5443/{IMAGE}",
        "command": ["/usr/local/bin/controller"],
        "args": ["--all-namespaces=false", "--update-status=false", "--listen-addr", ":8080"],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    }
    binding = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "fresh"}
    template = {"metadata": {"labels": labels}, "spec": {"serviceAccountName": "fresh", "containers": [container]}}

    def document(api: str, kind: str, **body: Any) -> dict[str, Any]:
        return {"apiVersion": api, "kind": kind, "metadata": {"name": "fresh", "namespace": namespace}, **body}

    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            document("v1", "ServiceAccount"),
            document("rbac.authorization.k8s.io/v1", "Role", rules=rules),
            document(
                "rbac.authorization.k8s.io/v1",
                "RoleBinding",
                roleRef=binding,
                subjects=[{"kind": "ServiceAccount", "name": "fresh"}],
            ),
            document("v1", "Service", spec={"selector": labels, "ports": [{"port": 8080}]}),
            document(
                "apps/v1",
                "Deployment",
                spec={"selector": {"matchLabels": labels}, "strategy": {"type": "Recreate"}, "template": template},
            ),
        ],
    }


def test_a_backup_of_somebody_else_is_left_alone(ansible_playbook: Play, platform: Any, tmp_path: Path) -> None:
    path = tmp_path / "keys.yml"
    vault = VaultLib([("default", VaultSecret(b"another passphrase"))])
    path.write_bytes(before := vault.encrypt("something else"))
    refused = backup(ansible_playbook, tmp_path, path)
    assert refused.stat("failed") == 1
    assert "does not open with this passphrase" in refused.output
    assert path.read_bytes() == before


def test_no_backup_without_a_passphrase(ansible_playbook: Play, platform: Any, tmp_path: Path) -> None:
    refused = backup(ansible_playbook, tmp_path, tmp_path / "keys.yml", addons_sealing_keys_passphrase="")
    assert "addons_sealing_keys_passphrase must be as well" in refused.output
    assert not (tmp_path / "keys.yml").exists()

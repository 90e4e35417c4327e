# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sealing on the real controller and with the real kubeseal, both ways."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from module_call import call
from process_kit import until
from sealing_kit import foreign_certificate

from ansible_collections.dbos.kubernetes.plugins.module_utils import sealing

Seal = Callable[..., dict[str, Any]]
ODD = 'it\'s "q" %41 @ / \\ ü€ \n$(x) {{ y }}'
CONTROLLER = ("--controller-name", "sealed-secrets", "--controller-namespace", "kube-system")


@pytest.fixture
def seal(platform: Any, namespace: str) -> Seal:
    """Calls sealed_secret in the test's namespace; it must succeed unless C(fails=True)."""

    def run(*secrets: dict[str, Any], fails: bool = False, **options: Any) -> dict[str, Any]:
        options = {"namespace": namespace, "kubeconfig": str(platform.kubeconfig), **options}
        result = call("sealed_secret", secrets=list(secrets), **options)
        assert bool(result.get("failed")) == fails, result
        return result

    return run


@pytest.fixture
def get(platform: Any, namespace: str) -> Callable[[str, str], dict[str, Any]]:
    """An object of the test's namespace."""
    return lambda kind, name: json.loads(platform.kubectl("get", kind, name, "-n", namespace, "-o", "json"))


@pytest.fixture
def kubeseal(platform: Any) -> Callable[..., str]:
    def run(*arguments: str, stdin: str = "") -> str:
        command = [platform.program("kubeseal"), "--kubeconfig", str(platform.kubeconfig), *CONTROLLER, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout

    return run


def values(secret: dict[str, Any]) -> dict[str, str]:
    return {key: base64.b64decode(value or "").decode() for key, value in secret["data"].items()}


@pytest.fixture(scope="module")
def key_file(platform: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The controller's private keys, as kubeseal's recovery wants them."""
    label = "sealedsecrets.bitnami.com/sealed-secrets-key"
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_text(platform.kubectl("get", "secret", "-n", "kube-system", "-l", label, "-o", "json"))
    return path


@pytest.mark.parametrize("scope", sealing.SCOPES)
def test_the_controller_and_kubeseal_unseal_ours(
    seal: Seal, get: Any, kubeseal: Any, key_file: Path, namespace: str, scope: str
) -> None:
    name = f"ours-{scope}"
    secret = {"name": name, "scope": scope, "string_data": {"odd": ODD, "empty": "", "long": "x" * 200}}
    first = seal({**secret, "template": {"labels": {"a": "b"}, "data": {"url": "pg://{{ .long }}"}}})
    assert first["secrets"] == [
        {
            "name": name,
            "namespace": namespace,
            "changed_keys": ["empty", "long", "odd"],
            "removed_keys": [],
            "synced": True,
        }
    ]
    live = get("secret", name)
    assert values(live) == {**secret["string_data"], "url": "pg://" + "x" * 200}
    assert live["metadata"]["labels"] == {"a": "b"}

    sealed = get("sealedsecret", name)
    kubeseal("--validate", stdin=json.dumps(sealed))
    recovered = kubeseal("--recovery-unseal", f"--recovery-private-key={key_file}", stdin=json.dumps(sealed))
    assert values(json.loads(recovered)) == {**secret["string_data"], "url": "pg://" + "x" * 200}

    again = seal({**secret, "template": {"labels": {"a": "b"}, "data": {"url": "pg://{{ .long }}"}}})
    assert not again["changed"]
    assert get("sealedsecret", name)["spec"] == sealed["spec"]


@pytest.mark.parametrize("scope", sealing.SCOPES)
def test_what_kubeseal_made_is_read_kept_and_taken_over(
    seal: Seal, get: Any, kubeseal: Any, platform: Any, namespace: str, scope: str
) -> None:
    name = f"theirs-{scope}"
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": {"same": "s", "other": "old", "gone": "g"},
    }
    sealed = yaml.safe_load(kubeseal("--scope", scope, "--format", "yaml", stdin=json.dumps(manifest)))
    platform.kubectl("apply", "-f", "-", stdin=json.dumps(sealed))
    wait_synced(get, name)

    result = seal({"name": name, "scope": scope, "string_data": {"same": "s", "other": "new"}})["secrets"][0]
    assert (result["changed_keys"], result["removed_keys"], result["synced"]) == (["other"], ["gone"], True)
    assert values(get("secret", name)) == {"same": "s", "other": "new"}
    after = get("sealedsecret", name)
    assert after["spec"]["encryptedData"]["same"] == sealed["spec"]["encryptedData"]["same"]


def wait_synced(get: Any, name: str) -> None:
    def synced() -> bool:
        status = get("sealedsecret", name).get("status") or {}
        return any(one["status"] == "True" for one in status.get("conditions") or [])

    until("unsealed", synced)


def test_a_hundred_at_once_and_a_change_of_one(seal: Seal) -> None:
    secrets = [{"name": f"many-{number}", "string_data": {"key": f"value {number}"}} for number in range(100)]
    assert seal(*secrets)["changed"]
    secrets[7]["string_data"] = {"key": "another"}
    changed = [one["name"] for one in seal(*secrets)["secrets"] if one["changed_keys"]]
    assert changed == ["many-7"]


def test_check_mode_tells_and_creates_nothing(seal: Seal, platform: Any, namespace: str) -> None:
    result = seal({"name": "checked", "string_data": {"a": "b"}}, check=True)
    assert result["changed"]
    assert result["secrets"][0]["changed_keys"] == ["a"]
    assert "checked" not in platform.kubectl("get", "sealedsecret,secret", "-n", namespace)
    absent = seal({"name": "checked", "string_data": {"a": "b"}}, check=True, namespace="not-there-yet")
    assert absent["changed"]


def test_drift_is_healed(seal: Seal, get: Any, platform: Any, namespace: str) -> None:
    secret = {"name": "drift", "string_data": {"a": "right", "b": "stays"}}
    seal(secret)
    wrong = base64.b64encode(b"wrong").decode()
    platform.kubectl("patch", "secret", "drift", "-n", namespace, "-p", json.dumps({"data": {"a": wrong}}))
    assert seal(secret)["secrets"][0]["changed_keys"] == ["a"]
    assert values(get("secret", "drift")) == secret["string_data"]


def test_a_change_of_scope_and_of_type(seal: Seal, get: Any) -> None:
    seal({"name": "moved", "string_data": {"a": "x"}})
    for scope in ("cluster-wide", "namespace-wide", "strict"):
        result = seal({"name": "moved", "scope": scope, "string_data": {"a": "x"}})
        assert result["secrets"][0] | {"namespace": ""} == {
            "name": "moved",
            "namespace": "",
            "changed_keys": ["a"],
            "removed_keys": [],
            "synced": True,
        }
        annotations = get("sealedsecret", "moved")["metadata"]["annotations"]
        assert [key for key in annotations if key.endswith("-wide")] == (
            [] if scope == "strict" else [f"sealedsecrets.bitnami.com/{scope}"]
        )


def test_a_secret_that_is_not_ours_is_refused_before_anything_is_touched_and_adopted_when_asked(
    seal: Seal, get: Any, platform: Any, namespace: str
) -> None:
    for name in ("foreign-managed", "foreign-patch"):
        platform.kubectl("create", "secret", "generic", name, "-n", namespace, "--from-literal=old=1")
    secrets = [{"name": f"foreign-{mode}", "string_data": {"new": "2"}} for mode in ("managed", "patch")]
    refused = seal({"name": "innocent", "string_data": {"a": "b"}}, *secrets, fails=True)
    assert "foreign-managed" in refused["msg"]
    assert "nothing was touched" in refused["msg"]
    assert "innocent" not in platform.kubectl("get", "sealedsecret,secret", "-n", namespace)
    assert values(get("secret", "foreign-patch")) == {"old": "1"}

    adopting = [{**one, "adopt": str(one["name"]).removeprefix("foreign-")} for one in secrets]
    assert seal(*adopting, check=True)["changed"]
    assert all(one["synced"] for one in seal(*adopting)["secrets"])
    assert values(get("secret", "foreign-managed")) == {"new": "2"}
    assert values(get("secret", "foreign-patch")) == {"old": "1", "new": "2"}
    assert not seal(*adopting)["changed"]
    assert seal(*adopting, state="absent")["changed"]
    assert values(get("secret", "foreign-patch")) == {"old": "1", "new": "2"}


def test_absent_removes_the_secret_too(seal: Seal, platform: Any, namespace: str) -> None:
    secret = {"name": "short-lived", "string_data": {"a": "b"}}
    seal(secret)
    assert seal({"name": "short-lived"}, state="absent", check=True)["changed"]
    assert seal({"name": "short-lived"}, state="absent")["changed"]
    assert not seal({"name": "short-lived"}, state="absent")["changed"]
    platform.kubectl("wait", "--for=delete", "secret/short-lived", "-n", namespace, "--timeout=120s")


def test_a_certificate_of_another_cluster(seal: Seal, get: Any, tmp_path: Path) -> None:
    path = tmp_path / "other.pem"
    path.write_bytes(foreign_certificate(days=30))
    secret = {"name": "wrong-certificate", "string_data": {"a": "b"}}
    refused = seal(secret, fails=True, certificate=str(path), wait_timeout=120)
    assert "no key could decrypt" in refused["msg"]
    assert "another controller" in refused["msg"]
    assert seal(secret)["secrets"][0]["synced"]  # the next run, with the right one, heals it
    assert values(get("secret", "wrong-certificate")) == {"a": "b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"controller_name": "sealed-secrets-controller"}, r"kube-system/sealed-secrets: set controller_namespace"),
        ({"controller_namespace": "default"}, r"kube-system/sealed-secrets: set controller_namespace"),
        ({"certificate": "/nowhere.pem"}, "/nowhere.pem cannot be read"),
        ({"certificate": "-----BEGIN NOTHING-----"}, "no PEM certificate"),
        ({"certificate": "http://127.0.0.1:1/cert.pem"}, "cannot be fetched"),
        ({"namespace": "not-there"}, 'namespaces "not-there" not found'),
        ({"host": "https://127.0.0.1:1", "kubeconfig": None}, "does not answer"),
    ],
)
def test_bad_input_is_one_clear_error(seal: Seal, options: dict[str, Any], message: str) -> None:
    refused = seal({"name": "never", "string_data": {"a": "harmless"}}, fails=True, **options)
    assert message in refused["msg"]


def test_an_expired_certificate_is_refused_with_its_date(seal: Seal, tmp_path: Path) -> None:
    path = tmp_path / "expired.pem"
    path.write_bytes(foreign_certificate(days=-1))
    assert "expired on" in seal({"name": "never", "string_data": {"a": "b"}}, fails=True, certificate=str(path))["msg"]


def test_manifests_for_git_change_only_where_a_value_does(seal: Seal, kubeseal: Any, tmp_path: Path) -> None:
    secrets = [{"name": f"git-{name}", "string_data": {"k": "1", "l": "A"}} for name in ("a", "b")]
    assert seal(*secrets, manifests_directory=str(tmp_path))["changed"]
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(before) == {"sealed-git-a.yaml", "sealed-git-b.yaml"}
    for text in before.values():
        kubeseal("--validate", stdin=text)
    assert not seal(*secrets, manifests_directory=str(tmp_path))["changed"]
    secrets[0]["string_data"] = {"k": "2", "l": "A"}
    assert seal(*secrets, manifests_directory=str(tmp_path))["changed"]
    after = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert after["sealed-git-b.yaml"] == before["sealed-git-b.yaml"]
    lines = zip(before["sealed-git-a.yaml"].splitlines(), after["sealed-git-a.yaml"].splitlines(), strict=True)
    assert [new.split(":")[0].strip() for old, new in lines if old != new] == ["k"]


def test_what_the_pipe_seals_the_controller_unseals(
    platform: Any, kubeseal: Any, get: Any, namespace: str, tmp_path: Path
) -> None:
    path = tmp_path / "certificate.pem"
    path.write_text(kubeseal("--fetch-cert"))
    arguments = {
        "certificate": str(path),
        "namespace": namespace,
        "fingerprint_key": "k" * 40,
        "secrets": [{"name": "piped", "string_data": {"one": "1", "letter": "A"}}],
    }
    first = call("sealed_secret_pipe", **arguments)
    platform.kubectl("apply", "-f", "-", stdin=first["content"])
    wait_synced(get, "piped")
    assert values(get("secret", "piped")) == {"one": "1", "letter": "A"}
    again = call("sealed_secret_pipe", **arguments, previous=first["content"])
    assert not again["changed"]
    assert again["content"] == first["content"]
    arguments["secrets"][0]["string_data"]["one"] = "2"
    changed = call("sealed_secret_pipe", **arguments, previous=first["content"])
    assert changed["secrets"][0]["changed_keys"] == ["one"]


def test_info_tells_state_and_ages(seal: Seal, platform: Any, namespace: str) -> None:
    seal({"name": "told", "scope": "namespace-wide", "type": "example.com/kind", "string_data": {"a": "hidden-value"}})
    info = call("sealed_secret_info", kubeconfig=str(platform.kubeconfig), namespace=namespace, names=["told", "no"])
    assert info["secrets"] == [
        {
            "name": "told",
            "namespace": namespace,
            "scope": "namespace-wide",
            "sealed_keys": ["a"],
            "type": "example.com/kind",
            "synced": True,
            "message": "",
        }
    ]
    assert info["certificate"]["controller"] == "kube-system/sealed-secrets"
    assert info["certificate"]["fingerprint"] in [key["fingerprint"] for key in info["sealing_keys"]]
    assert "hidden-value" not in json.dumps(info)


def test_no_value_appears_in_any_result(seal: Seal) -> None:
    needle = "n33dle-'\"\\\n-value"
    spellings = [needle, json.dumps(needle)[1:-1], base64.b64encode(needle.encode()).decode()]
    secret = {"name": "leak", "string_data": {"a": needle}}
    results = [
        seal(secret, check=True),
        seal(secret),
        seal(secret, namespace="not-there", fails=True),
        seal({**secret, "type": "kubernetes.io/tls"}, fails=True),
    ]
    for spelling in spellings:
        assert spelling not in json.dumps(results)
        assert spelling not in repr(results)


def test_without_the_right_to_read_secrets_it_still_works_and_says_what_it_cannot_know(
    seal: Seal, get: Any, platform: Any, namespace: str
) -> None:
    sealer = ["--serviceaccount", f"{namespace}:sealer", "-n", namespace]
    platform.kubectl("create", "serviceaccount", "sealer", "-n", namespace)
    rights = ["--verb=get,create,update,patch,watch,list", "--resource=sealedsecrets.bitnami.com"]
    platform.kubectl("create", "role", "sealer", "-n", namespace, *rights)
    platform.kubectl("create", "rolebinding", "sealer", "--role=sealer", *sealer)
    token = platform.kubectl("create", "token", "sealer", "-n", namespace).strip()
    kubeconfig = yaml.safe_load(platform.kubeconfig.read_text())
    kubeconfig["users"][0]["user"] = {"token": token}
    limited = {"kubeconfig": kubeconfig}
    first = seal({"name": "limited", "string_data": {"a": "first"}}, **limited)
    assert first["secrets"][0]["synced"]
    assert "Secrets may not be read" in json.dumps(first["warnings"])
    again = seal({"name": "limited", "string_data": {"a": "second"}}, **limited)
    assert not again["changed"]
    assert "changed values" in json.dumps(again["warnings"])
    assert seal({"name": "limited", "string_data": {"a": "second"}}, **limited, force=True)["changed"]
    assert values(get("secret", "limited")) == {"a": "second"}
    refused = seal({"name": "limited", "string_data": {"a": "x"}}, **limited, idempotency="live", fails=True)
    assert "forbidden" in refused["msg"]
    key = {"fingerprint_key": "f" * 40}
    seal({"name": "hashed", "string_data": {"a": "1"}}, **limited, **key)
    assert not seal({"name": "hashed", "string_data": {"a": "1"}}, **limited, **key)["changed"]
    assert seal({"name": "hashed", "string_data": {"a": "2"}}, **limited, **key)["changed"]

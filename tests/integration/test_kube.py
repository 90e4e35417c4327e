# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Kubernetes layer against the real API server: apply, watch, wait, lease, errors."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import PlatformAbsent
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube import lease, watch
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import apply_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Unreachable
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.documents import absent, present


@pytest.fixture(scope="module")
def client(platform: Any) -> Client:
    return Client.from_params({"kubeconfig": str(platform.kubeconfig)})


def config_map(namespace: str, name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def secret(namespace: str, value: str) -> dict[str, Any]:
    metadata = {"name": "hidden", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"password": value}}


KILLED = """
import json, os, pathlib, sys
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
path = pathlib.Path(sys.argv[1])
for kubeconfig in (str(path), json.loads(path.read_text())):
    print(Client.from_params({"kubeconfig": kubeconfig}).version(), flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_killed_process_leaves_no_key_of_a_kubeconfig(platform: Any, root: Path, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(platform.kubectl("config", "view", "--raw", "-o", "json"))
    assert "client-key-data" in kubeconfig.read_text()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(kubeconfig)],
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(root / "collections")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == -9 and len(run.stdout.splitlines()) == 2, run.stderr
    assert list(temporary.iterdir()) == []


def test_apply_reports_creation_once(client: Client, namespace: str) -> None:
    documents = [config_map(namespace, f"c{number}", key="value") for number in range(12)]
    planned = present(client, documents, check=True, timeout=None)
    assert planned["changed"] and len(planned["changes"]) == 12
    assert client.list("v1", "ConfigMap", namespace, field_selector="metadata.name=c0") == []
    assert present(client, documents, check=False, timeout=30)["changed"]
    assert not present(client, documents, check=False, timeout=30)["changed"]
    assert not present(client, documents, check=True, timeout=None)["changed"]


def test_secret_values_stay_out_of_the_diff_and_still_count(client: Client, namespace: str) -> None:
    apply_all(client, [secret(namespace, "first-value")], check=False)
    result = apply_all(client, [secret(namespace, "second-value")], check=False)
    assert result.changed
    assert "value" not in str(result.diff).replace("<hidden", "")
    assert not apply_all(client, [secret(namespace, "second-value")], check=False).changed


def test_check_mode_plans_into_a_namespace_that_does_not_exist(client: Client) -> None:
    documents = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "not-there"}},
        config_map("not-there", "c", key="value"),
    ]
    result = present(client, documents, check=True, timeout=None)
    assert result["changes"] == ["create Namespace not-there", "create ConfigMap not-there/c"]
    assert client.get("v1", "Namespace", "not-there") is None


def test_absent_deletes_what_is_there_and_waits(client: Client, namespace: str) -> None:
    documents = [config_map(namespace, "going", key="value"), config_map(namespace, "never-there")]
    present(client, documents[:1], check=False, timeout=30)
    assert absent(client, documents, check=True, timeout=30)["changes"] == [f"delete ConfigMap {namespace}/going"]
    assert absent(client, documents, check=False, timeout=30)["changed"]
    assert not absent(client, documents, check=False, timeout=30)["changed"]


def test_refusal_names_object_and_cause(client: Client, namespace: str) -> None:
    bad = config_map(namespace, "Not_A_Name")
    with pytest.raises(KubeError, match=rf"ConfigMap {namespace}/Not_A_Name could not be applied.*lowercase"):
        apply_all(client, [bad], check=False)


def test_unknown_kind_says_what_to_install(client: Client, namespace: str) -> None:
    with pytest.raises(KubeError, match=r"does not know Thing of example\.com/v1"):
        client.path("example.com/v1", "Thing", "x", namespace)
    assert client.get("example.com/v1", "Thing", "x", namespace) is None


def test_wait_follows_a_change_by_watching(client: Client, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = watch.Target("v1", "ConfigMap", "late", namespace)
    # Whoever looks finds nothing: what is seen was told.
    monkeypatch.setattr(client, "get", lambda *_target: None)

    def later() -> None:
        time.sleep(1)
        client.apply(config_map(namespace, "late", state="no"))
        time.sleep(1)
        client.apply(config_map(namespace, "late", state="yes"))

    def judge(obj: dict[str, Any]) -> watch.State:
        return watch.State(obj["data"]["state"] == "yes", f"state {obj['data']['state']}")

    writer = threading.Thread(target=later)
    writer.start()
    seen = watch.wait(client, [target], 120, judge=judge)
    writer.join()
    assert seen[target]["data"]["state"] == "yes"


def test_wait_times_out_naming_what_is_missing(client: Client, namespace: str) -> None:
    with pytest.raises(watch.Timeout, match=f"Secret {namespace}/nowhere: does not exist"):
        watch.wait(client, [watch.Target("v1", "Secret", "nowhere", namespace)], 1)


def test_lease_has_one_holder(client: Client, namespace: str) -> None:
    me = lease.current()
    mine = lease.Lease(client, namespace, "shop", me)
    assert mine.hold()
    assert not mine.hold()
    elsewhere = dataclasses.replace(me, host="elsewhere")
    with pytest.raises(lease.Held, match=rf"process {me.pid} on {socket.gethostname()}, seen \d+ s ago"):
        lease.Lease(client, namespace, "shop", elsewhere).hold()
    assert not lease.Lease(client, namespace, "shop", elsewhere).release()
    assert mine.release()
    assert lease.Lease(client, namespace, "shop", elsewhere).hold()


def test_dead_local_holder_is_taken_over_at_once(client: Client, namespace: str) -> None:
    me = lease.current()
    lease.Lease(client, namespace, "dead", dataclasses.replace(me, start="1")).hold()
    assert lease.Lease(client, namespace, "dead", me).hold()


def test_silent_remote_holder_is_taken_over_after_its_time(client: Client, namespace: str) -> None:
    elsewhere = dataclasses.replace(lease.current(), host="elsewhere")
    lease.Lease(client, namespace, "silent", elsewhere).hold()
    past = {"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}}
    client.patch("coordination.k8s.io/v1", "Lease", "dbos-silent", namespace, past)
    assert lease.Lease(client, namespace, "silent").hold()


def test_two_runs_racing_for_a_lease_get_one_winner(client: Client, namespace: str) -> None:
    me = lease.current()
    won: list[int] = []

    def race(number: int) -> None:
        try:
            lease.Lease(client, namespace, "race", dataclasses.replace(me, host=f"host{number}")).hold()
            won.append(number)
        except lease.Held:
            pass

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_absent_platform_and_silent_server_differ(tmp_path: Any) -> None:
    with pytest.raises(PlatformAbsent, match="no Kubernetes platform yet"):
        Client.from_params({"kubeconfig": str(tmp_path / "none")})
    with pytest.raises(Unreachable, match=r"https://127\.0\.0\.1:9 does not answer"):
        Client.from_params({"host": "https://127.0.0.1:9"}).version()

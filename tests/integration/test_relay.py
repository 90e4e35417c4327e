"""The way to the private database: one relay per run, for nobody else, and gone in the end."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import open_server
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube import relay as relays

from .database_kit import Kit
from .process_kit import until

RELAYS = "app.kubernetes.io/component=relay"


@pytest.fixture(scope="module")
def kit(platform: Any, namespace: str) -> Kit:
    platform.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    return Kit(platform, namespace)


@pytest.fixture(autouse=True)
def new_run(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test is a run of its own."""
    kit.run = kit.new_run()
    monkeypatch.setenv("DBOS_KUBERNETES_RUN", kit.run)
    yield
    kit.platform.kubectl("delete", "job", "-n", kit.namespace, "-l", RELAYS, "--cascade=foreground", "--wait=true")


def params(kit: Kit, **changes: Any) -> dict[str, Any]:
    relay = {"deadline": 600, **kit.relay, **changes}
    return {"kubeconfig": str(kit.platform.kubeconfig), "database_url": kit.url(), "ca": kit.ca, "relay": relay}


def test_one_relay_per_run(kit: Kit) -> None:
    for _call in range(2):
        assert not kit.ok("workflow_info", database_url=kit.url())["changed"]
    [job] = kit.objects("jobs", RELAYS)
    kit.ok("workflow_info", database_url=kit.url(), run=kit.new_run())
    assert len(kit.objects("jobs", RELAYS)) == 2

    # the end of a play takes its own only
    ended = kit.ok("relay", application=kit.app, namespace=kit.namespace, state="absent")
    assert not ended["changed"]
    until("one relay is left", lambda: len(kit.objects("jobs", RELAYS)) == 1)
    assert kit.objects("jobs", RELAYS)[0]["metadata"]["name"] != job["metadata"]["name"]


def test_started_early(kit: Kit) -> None:
    host = kit.platform.node
    started = kit.ok(
        "relay", application=kit.app, namespace=kit.namespace, image=kit.relay["image"], database_host=host
    )
    assert not started["changed"]
    kit.ok("workflow_info", database_url=kit.url())
    assert [job["metadata"]["name"] for job in kit.objects("jobs", RELAYS)] == [started["name"]]


def test_nothing_is_created_in_check_mode_where_there_is_no_namespace(kit: Kit) -> None:
    relay = kit.relay | {"namespace": "nowhere-at-all"}
    checked = kit.ok("database", check=True, **kit.database_options(relay=relay))
    assert checked["changed"]
    assert "Namespace nowhere-at-all does not exist" in checked["msg"]
    assert kit.ok("workflow_info", check=True, database_url=kit.url(), relay=relay)["versions"] == []
    assert "nowhere-at-all" in kit.refused("workflow_info", database_url=kit.url(), relay=relay)


def test_check_mode_leaves_nothing(kit: Kit) -> None:
    kit.ok("workflow_info", check=True, database_url=kit.url())
    until("the relay is gone", lambda: not kit.objects("jobs", RELAYS) and not kit.objects("pods", RELAYS))


def test_gone_by_its_deadline(kit: Kit) -> None:
    """A run that is killed closes nothing."""
    kit.ok("workflow_info", database_url=kit.url(), relay=kit.relay | {"deadline": 300})
    assert kit.objects("pods", RELAYS)
    [job] = kit.objects("jobs", RELAYS)
    assert job["spec"]["activeDeadlineSeconds"] == 300
    # Now: a relay may need longer to start than a test should wait.
    over = {"spec": {"activeDeadlineSeconds": 1}}
    kit.platform.kubectl("patch", "job", job["metadata"]["name"], "-n", kit.namespace, "-p", json.dumps(over))
    until("the relay is gone", lambda: not kit.objects("jobs", RELAYS) and not kit.objects("pods", RELAYS))
    # and the run, if it lives after all, gets another
    kit.ok("workflow_info", database_url=kit.url())


def test_no_door_for_others(kit: Kit) -> None:
    kit.ok("workflow_info", database_url=kit.url())
    [pod] = kit.objects("pods", RELAYS)
    address = pod["status"]["podIP"]
    with pytest.raises(OSError):
        socket.create_connection((address, 5432), timeout=3)

    kit.apply(neighbour(kit, f"nc -w 3 {address} 5432 </dev/null && echo open || echo closed"))
    until(
        "the neighbour has tried",
        lambda: [pod["status"]["phase"] for pod in kit.objects("pods", "job-name=neighbour")] == ["Succeeded"],
    )
    said = kit.platform.kubectl("logs", "-n", kit.namespace, "job/neighbour").splitlines()
    assert "closed" in said
    assert "open" not in said

    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert not spec.get("volumes")
    assert spec["containers"][0]["args"][1].startswith(f"TCP:{kit.platform.node}:5432")
    assert "secret" not in json.dumps(pod)


def neighbour(kit: Kit, command: str) -> dict[str, Any]:
    """A Job of somebody else in the same namespace."""
    container = {
        "name": "neighbour",
        "image": f"{kit.platform.node}:5443/tools/busybox:1",
        "command": ["sh", "-c", command],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"restartPolicy": "Never", "securityContext": security, "containers": [container]}
    spec = {"template": {"spec": pod}, "ttlSecondsAfterFinished": 600}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "neighbour"}, "spec": spec}


def break_stream(kit: Kit, session: int) -> None:
    """Kill the relay's pod, and see the session end."""
    kit.platform.kubectl("delete", "pod", "-n", kit.namespace, "-l", RELAYS, "--wait=true")
    until("the session has ended", lambda: not kit.rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", session))


def test_reads_reconnect(kit: Kit) -> None:
    with open_server(params(kit)) as server, server.connect() as database:
        [(first,)] = database.read("SELECT pg_backend_pid()")
        break_stream(kit, first)
        [(second,)] = database.read("SELECT pg_backend_pid()")
        assert first != second


def test_writes_are_never_repeated(kit: Kit) -> None:
    with open_server(params(kit)) as server, server.connect() as database:
        [(session,)] = database.write("SELECT pg_backend_pid()")
        break_stream(kit, session)
        with pytest.raises(DbosError):
            database.write("SELECT 1")


def test_much_at_once(kit: Kit) -> None:
    """Nothing is lost or mixed up where many sessions carry megabytes both ways."""
    from concurrent.futures import ThreadPoolExecutor

    with open_server(params(kit)) as server:

        def exchange(number: int) -> tuple[str, int]:
            with server.connect() as database:
                text = str(number) * 1_000_000
                return database.read("SELECT %s || repeat('x', 3000000)", (text,))[0][0][:1], number

        with ThreadPoolExecutor(8) as pool:
            for seen, number in pool.map(exchange, range(8)):
                assert seen == str(number)


def test_an_image_that_cannot_be_pulled(kit: Kit) -> None:
    relay = kit.relay | {"image": f"{kit.platform.node}:5443/tools/nothing:1"}
    said = kit.refused("workflow_info", database_url=kit.url(), relay=relay)
    assert said.startswith("The relay to the database cannot run: ")
    assert "ull" in said  # ImagePullBackOff, or what the pull itself said
    until("the relay is gone", lambda: not kit.objects("jobs", RELAYS))


def test_a_relay_that_is_refused(kit: Kit) -> None:
    with kit.quota("none", pods=0):
        said = kit.refused("workflow_info", database_url=kit.url())
    assert "exceeded quota: none" in said
    until("the relay is gone", lambda: not kit.objects("jobs", RELAYS))


def test_an_image_that_is_no_relay(kit: Kit) -> None:
    relay = kit.relay | {"image": f"{kit.platform.node}:5443/tools/busybox:1"}
    assert "can't open 'TCP-LISTEN:" in kit.refused("workflow_info", database_url=kit.url(), relay=relay)


def test_nobody_listens_at_the_target(kit: Kit) -> None:
    url = kit.url().replace(":5432/", ":5999/")
    said = kit.refused("workflow_info", database_url=url)
    assert said.startswith(f"PostgreSQL at {kit.platform.node}:5999 cannot be reached from the cluster: ")
    assert "refused" in said


def test_names_differ_by_run_and_target(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    def name(**changes: Any) -> str:
        known = {"namespace": "n", "image": "i", "application": "shop", "host": "h", "port": 5432}
        return relays.Spec(**{**known, **changes}).name

    first = name()
    assert first == name()
    assert first != name(host="other")
    monkeypatch.setenv("DBOS_KUBERNETES_RUN", kit.new_run())
    assert first != name()
    assert len(name(application="a" * 63)) <= 63
    assert os.environ["DBOS_KUBERNETES_RUN"] not in name()

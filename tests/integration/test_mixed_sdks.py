"""Versions of one application in Go and in Python after each other, and a Python 2.x that drains beside them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .module_call import call
from .process_kit import free_port, until
from .python_kit import EXAMPLE, build, interpreter
from .release_kit import Kit, sample_image

OLD = Path(__file__).parent / "python-2.31.1/requirements.txt"
LONG = 3600
# A client of the newer SDK that sends work to a version by name.
SEND = """
import sys
from dbos import DBOSClient
client = DBOSClient(system_database_url=sys.argv[1], application_name="shop")
options = {"workflow_name": "task", "queue_name": "taskQueue", "app_version": sys.argv[2], "workflow_id": sys.argv[3]}
client.enqueue(options, 1)
client.destroy()
"""


@pytest.fixture(scope="module")
def kit(
    platform: Any, ansible_playbook: Any, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kit]:
    one = Kit(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("mixed"))
    one.prepare()
    yield one
    one.forget()


@pytest.fixture(scope="module")
def go(kit: Kit, root: Path) -> str:
    return sample_image(kit, root)


@pytest.fixture(scope="module")
def python(kit: Kit, root: Path) -> str:
    return kit.digest("python-starter", build=[build(root / EXAMPLE, "python-starter")])


class OldExecutor:
    """Version v0: the Python sample with the SDK's last 2.x, as a process here."""

    def __init__(self, kit: Kit, root: Path, log: Path) -> None:
        self.port = free_port()
        self.log = log
        given = {
            "DBOS_SYSTEM_DATABASE_URL": kit.url("a"),
            "DBOS_APPLICATION_NAME": kit.app,
            "DBOS__APPVERSION": "v0",
            "DBOS__VMID": "shop-v0-0",
            "DBOS_DRAIN_SECONDS": "0",
            "DBOS_POOL_SIZE": "5",
            "PORT": str(self.port),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [interpreter(OLD), "main.py"],
                cwd=root / EXAMPLE,
                env={**os.environ, **given},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until("v0 launched", lambda: '"ready"' in self.said())

    def said(self) -> str:
        assert self.process.poll() is None, self.log.read_text()
        return self.log.read_text()

    def enqueue(self, seconds: int) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/enqueue/{seconds}", timeout=30) as answer:
            return str(json.load(answer)["workflow_id"])

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def old(kit: Kit, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OldExecutor]:
    executor = OldExecutor(kit, root, tmp_path_factory.mktemp("v0") / "log")
    yield executor
    executor.end()


def preflight(kit: Kit, version: str, image: str, **options: Any) -> dict[str, Any]:
    return call(
        "release_preflight",
        name=kit.app,
        namespace=kit.namespace,
        kubeconfig=str(kit.platform.kubeconfig),
        database_url=kit.url("owner"),
        ca=(kit.platform.directory / "pki/ca.crt").read_text(),
        registry={"host": f"{kit.platform.node}:5443", "ca_file": str(kit.platform.directory / "pki/ca.crt")},
        pool_size=5,
        version=version,
        image=image,
        **options,
    )


def enqueue(kit: Kit, pod: str, seconds: int) -> str:
    where = f"/api/v1/namespaces/{kit.namespace}/pods/{pod}:8080/proxy/enqueue/{seconds}"
    return str(json.loads(kit.kubectl("get", "--raw", where))["workflow_id"])


def row(kit: Kit, identity: str) -> tuple[Any, ...]:
    """Status, executor and version."""
    columns = "status, executor_id, application_version"
    return kit.sql(f"SELECT {columns} FROM dbos.workflow_status WHERE workflow_uuid = %s", identity)[0]


def ends(kit: Kit, identity: str, executor: str, version: str) -> None:
    until("done", lambda: row(kit, identity)[0] == "SUCCESS")
    assert row(kit, identity) == ("SUCCESS", executor, version)


def test_an_old_python_is_named_before_a_new_one_is_released(kit: Kit, old: OldExecutor, python: str) -> None:
    parked = old.enqueue(LONG)
    until("parked", lambda: row(kit, parked)[0] == "PENDING")
    result = preflight(kit, "v2", python)
    assert result["failed"] and [one["hazard"] for one in result["findings"]] == ["payload_format"]
    assert "Version v0 (an SDK of before that, as its rows show) still has 1 workflow unfinished" in result["msg"]
    assert "version v2 (SDK python 3.4.0)" in result["msg"]
    accepted = preflight(kit, "v2", python, skip=["payload_format"])
    assert not accepted.get("failed") and "Version v0" in str(accepted["warnings"])


def test_go_and_python_after_each_other(kit: Kit, old: OldExecutor, go: str, python: str) -> None:
    settings = {"replicas": 1, "timeout": 180, "pool_size": 5}
    kit.released("v1", go, **settings)
    parked = enqueue(kit, "shop-v1-0", 20)
    until("runs on Go", lambda: row(kit, parked) == ("PENDING", "shop-v1-0", "v1"))

    # The ledger knows the one by its log, the label tells the other.
    result = preflight(kit, "v2", python, skip=["payload_format"])
    assert not result.get("failed"), result
    assert result["unknown"] == []
    memory = {"requests": {"cpu": "5m", "memory": "96Mi"}}
    kit.released("v2", python, **settings, resources=memory)
    assert kit.latest() == "v2"
    seen = kit.kubectl(
        "get", "controllerrevision", "-n", kit.namespace, "-o", "jsonpath={.items[*].metadata.annotations}"
    )
    assert '"dbos.kubernetes/sdk":"go 1.8.0"' in seen and '"dbos.kubernetes/sdk":"python 3.4.0"' in seen

    def through_the_service() -> str | None:
        """The API server may take a moment to see where the Service leads now; v1 gets what comes until then."""
        identity = str(json.loads(kit.http("/enqueue/1"))["workflow_id"])
        return identity if row(kit, identity)[2] == "v2" else None

    ends(kit, until("led to v2", through_the_service), "shop-v2-0", "v2")
    ends(kit, enqueue(kit, "shop-v1-0", 1), "shop-v1-0", "v1")
    ends(kit, parked, "shop-v1-0", "v1")
    # The old one runs its own work on the new schema, beside both.
    ends(kit, old.enqueue(1), "shop-v0-0", "v0")


def test_what_a_new_python_sends_to_an_old_one_is_lost_to_it(kit: Kit, old: OldExecutor, root: Path) -> None:
    """The fact that payload_format tells."""
    new = interpreter(root / EXAMPLE / "requirements.txt")
    subprocess.run([new, "-c", SEND, kit.url("a"), "v0", "sent"], check=True, capture_output=True, timeout=120)
    until("failed on v0", lambda: "NoneType" in old.said())
    assert row(kit, "sent") == ("PENDING", "shop-v0-0", "v0")
    ends(kit, old.enqueue(1), "shop-v0-0", "v0")

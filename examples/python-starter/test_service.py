"""The sample's own checks: `python -m pytest` in this directory; they need no DBOS."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest
import settings
from service import Server, Service, UnknownQueueError, UnknownWorkflowError


class FakeBackend:
    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def enqueue(self, seconds: int) -> str:
        if self.broken:
            raise RuntimeError("database is gone")
        return "w1"

    def status(self, workflow_id: str) -> dict[str, Any]:
        if workflow_id != "w1":
            raise UnknownWorkflowError(workflow_id)
        return {"status": "SUCCESS"}

    def queue_length(self, queue: str) -> int:
        if queue != "taskQueue":
            raise UnknownQueueError(queue)
        return 7


def service(backend: FakeBackend | None = None, draining: bool = False) -> Service:
    one = Service()
    one.backend, one.draining = backend, draining
    return one


READY, BROKEN = service(FakeBackend()), service(FakeBackend(broken=True))
LAUNCHING, DRAINING = service(), service(FakeBackend(), draining=True)


@pytest.mark.parametrize(
    ("one", "path", "status", "body"),
    [
        (LAUNCHING, "/healthz", 503, "launching"),
        (LAUNCHING, "/enqueue/1", 503, "not launched"),
        (READY, "/healthz", 200, "ok"),
        (DRAINING, "/healthz", 503, "draining"),
        (READY, "/enqueue/60", 200, "'w1'"),
        (READY, "/enqueue/soon", 400, "whole number"),
        (READY, "/enqueue/-1", 400, "whole number"),
        (READY, "/workflow/w1", 200, "SUCCESS"),
        (READY, "/workflow/w%202", 404, 'no workflow "w 2"'),
        (READY, "/metrics/taskQueue", 200, "7"),
        (READY, "/metrics/taskqueue", 404, "no queue"),
        (BROKEN, "/enqueue/1", 500, "database is gone"),
        (READY, "/", 404, "no route"),
        (READY, "/metrics/", 404, "no route"),
        (READY, "/metrics/a/b", 404, "no route"),
    ],
)
def test_routes(one: Service, path: str, status: int, body: str) -> None:
    answer = one.answer(path)
    assert answer[0] == status and body in str(answer[1])


def test_the_server_answers_json_and_closes_without_waiting_for_idle_clients() -> None:
    server = Server(0, READY)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    with urllib.request.urlopen(f"{url}/metrics/taskQueue?x=1") as response:
        assert json.load(response) == {"queue_length": 7}
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}/nothing", data=b"posted")
    with refused.value as error:
        assert error.code == 404 and "no route" in json.load(error)["error"]
    server.shutdown()
    server.server_close()


def test_settings() -> None:
    read = settings.read({"DBOS_SYSTEM_DATABASE_URL": "postgresql://h/d"})
    assert (read.application, read.port, read.drain_seconds, read.conductor_key) == ("dbos-app", 8080, 20, None)
    assert read.pool_size is None
    pooled = settings.read({"DBOS_SYSTEM_DATABASE_URL": "postgresql://h/d", "DBOS_POOL_SIZE": "5"})
    assert pooled.pool_size == 5
    with pytest.raises(ValueError, match="DBOS_SYSTEM_DATABASE_URL"):
        settings.read({})
    for text in ("soon", "-1", "1.5"):
        with pytest.raises(ValueError, match=f"DBOS_DRAIN_SECONDS is '{text}'"):
            settings.read({"DBOS_SYSTEM_DATABASE_URL": "x", "DBOS_DRAIN_SECONDS": text})

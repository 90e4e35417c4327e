"""A promotion as clients see it, and what ours takes beyond a plain `kubectl rollout status`."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests/integration")]

from load_kit import Clients

LAST = "SELECT version_timestamp / 1000.0::float FROM dbos.application_versions WHERE version_name = %s"
VERSIONS = "SELECT workflow_uuid, application_version FROM dbos.workflow_status"
ROUNDS = 3
OVERHEAD = 3.0  # the aim, in seconds

Sql = Callable[..., list[tuple[Any, ...]]]
Deploy = Callable[..., str]


class Newcomers:
    """Clients that connect anew for each request: the time of each, and the workflow that it made."""

    def __init__(self, host: str) -> None:
        self.made: list[tuple[float, str]] = []
        self._host = host
        self._end = threading.Event()

    @contextmanager
    def asking(self) -> Iterator[None]:
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()

    def _ask(self) -> None:
        while not self._end.wait(0.05):
            connection = http.client.HTTPConnection(self._host, 8080, timeout=10)
            connection.request("GET", "/enqueue/0")
            self.made.append((time.time(), json.loads(connection.getresponse().read())["workflow_id"]))
            connection.close()


def measure_promotion(deploy: Deploy, kubectl: Callable[..., str], sql: Sql, command: list[str]) -> None:
    """(g) from the command to all new work on the new version, and the longest gap; (h) the overhead of ours."""
    deploy()
    host = kubectl("get", "service", "bench", "--namespace", "bench-collection", "-o", "jsonpath={.spec.clusterIP}")
    taken, late, gaps, failures = [], [], [], 0
    for number in range(ROUNDS):
        version = f"g{number}"
        deploy("-e", f"release_version={version}", "-e", "release_state=staged")
        newcomers = Newcomers(host)
        with Clients(host, 8080) as clients, newcomers.asking():
            go = time.time()
            deploy("-e", f"release_version={version}")
        versions = dict(sql(VERSIONS))
        promoted = float(sql(LAST, version)[0][0])
        taken.append(promoted - go)
        late.append(max(at for at, made in newcomers.made if versions[made] != version) - promoted)
        gaps.append(clients.longest)
        failures += len(clients.failures)
    print(f"(g) from the start of deploy.yml to the promotion: {statistics.median(taken):.2f} s")
    print(f"(g) the last new work of the version before, after the promotion: {statistics.median(late):.2f} s")
    print(f"(g) the longest that any of 50 requests a second took meanwhile: {max(gaps):.2f} s; {failures} failed")
    over = [_overhead(deploy, sql, command, f"h{number}") for number in range(ROUNDS)]
    middle = statistics.median(over)
    verdict = "reached" if middle <= OVERHEAD else "MISSED"
    print(f"(h) promoted after 'kubectl rollout status' came back: {middle:.2f} s   aim ≤ {OVERHEAD:g} s {verdict}")


def _overhead(deploy: Deploy, sql: Sql, command: list[str], version: str) -> float:
    """Seconds from the moment a plain rollout status ends to that of the promotion, both watching one workload."""
    ended: list[float] = []
    name = f"statefulset/bench-{version}"

    def follow() -> None:
        there = [*command, "wait", "--for=create", name, "--namespace", "bench-collection", "--timeout=120s"]
        subprocess.run(there, check=True, stdout=subprocess.DEVNULL)
        done = [*command, "rollout", "status", name, "--namespace", "bench-collection"]
        subprocess.run(done, check=True, stdout=subprocess.DEVNULL)
        ended.append(time.time())

    thread = threading.Thread(target=follow)
    thread.start()
    deploy("-e", f"release_version={version}")
    thread.join()
    return float(sql(LAST, version)[0][0]) - ended[0]

"""The tick with 1, 10 and 100 versions: its statements on workflows, its requests to the API server, and its time."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from counting_proxy import CountingProxy

ROOT = Path(__file__).resolve().parents[2]
PATHS = [str(ROOT / "collections"), str(ROOT / "tests/integration")]
sys.path += PATHS

from ansible_collections.dbos.kubernetes.plugins.filter.database_url import database_url
from ansible_collections.dbos.kubernetes.plugins.module_utils import (
    ledger,
    lifecycle,
    lifecycle_tick,
    retiring,
    workload,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database, open_server
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import apply_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

NAME, APP = "bench_tick", "bench"
SIZES = (1, 10, 100)
TIMES = 7
SLOWER = 2.0  # the aim: 100 versions against 1
MODULE = f"""
import json, sys
sys.path += {PATHS!r}
from module_call import call
print(json.dumps(call("retirement", check=True, **json.load(sys.stdin))))
"""
WORK = """
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_version, application_name, queue_name,
    executor_id, created_at, updated_at)
SELECT 'work-' || v || '-' || n, (ARRAY['ENQUEUED', 'PENDING', 'DELAYED'])[n], 'task', v, %s, 'taskQueue',
    %s || '-' || v || '-0', 1790000000000, 1790000000000 FROM unnest(%s) v, generate_series(1, 3) n
"""
REGISTER = """
INSERT INTO dbos.application_versions (version_id, version_name, version_timestamp, created_at, application_name)
SELECT v, v, 1000 + n, 0, %s FROM unnest(%s) WITH ORDINALITY AS found(v, n)
"""


class Counted:
    """A session that counts the statements that read workflows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.name, self.session = database.name, database.session
        self.statements = 0

    def read(self, sql: Any, parameters: Any = ()) -> Any:
        text = sql if isinstance(sql, str) else sql.as_string(self._database.session)
        self.statements += " dbos.workflow_status" in text.replace('"', "")
        return self._database.read(sql, parameters)


def documents(version: str) -> list[dict[str, Any]]:
    """A version that waits for its work without pods: its ledger record and its workload."""
    spec = workload.Spec(
        APP, NAME.replace("_", "-"), version, f"example.com/app@sha256:{'0' * 64}", lifecycle.STATEFUL_SET, APP
    )
    stateful = workload.workload(spec)
    stateful["spec"]["replicas"] = 0
    record = ledger.record(spec, 1)
    record["metadata"]["annotations"] = {ledger.PROMOTED_ANNOTATION: "2026-11-24T12:00:00+00:00"}
    return [record, stateful]


def measure(directory: Path, node: str) -> None:
    """Prints a line per number of versions, then the verdict."""
    admin = {
        "host": node,
        "user": "dbos_admin",
        "password": (directory / "postgresql/admin-password").read_text().strip(),
        "sslmode": "verify-full",
        "sslrootcert": str(directory / "pki/ca.crt"),
    }
    namespace = NAME.replace("_", "-")
    direct = Client.from_params({"kubeconfig": str(directory / "kubeconfig")})
    direct.delete("v1", "Namespace", namespace)
    while direct.get("v1", "Namespace", namespace):
        time.sleep(0.5)
    direct.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    with closing(psycopg2.connect(dbname="postgres", **admin)) as server, server.cursor() as cursor:
        server.autocommit = True
        cursor.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {NAME}")
        try:
            url = database_url(admin | {"port": 5432, "ca": ""}, admin["user"], admin["password"], NAME)
            migrate = [str(directory / "bin/dbos"), "migrate", "-D", f"{url}&sslrootcert={admin['sslrootcert']}"]
            subprocess.run(migrate, check=True, capture_output=True)
            given = {"database_url": url, "ca": Path(admin["sslrootcert"]).read_text()}
            options = {**given, "kubeconfig": str(directory / "kubeconfig"), "name": APP, "namespace": namespace}
            with open_server(given) as opened, opened.connect() as database:
                _report(directory, direct, database, options)
        finally:
            direct.delete("v1", "Namespace", namespace)
            cursor.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


def _report(directory: Path, direct: Client, database: Database, options: dict[str, Any]) -> None:
    made: list[str] = []
    taken: dict[int, float] = {}
    counts: dict[tuple[int, int], list[str]] = {}
    for size in SIZES:
        fresh = [f"v{number}" for number in range(len(made), size)]
        made += fresh
        database.write(REGISTER.replace("1000", str(1000 + size)), (APP, fresh))
        database.write(WORK, (APP, APP, fresh))
        parallel(direct.create, [document for version in fresh for document in documents(version)])
        service = workload.service(APP, NAME.replace("_", "-"), 8080, made[-1])
        apply_all(direct, [service], check=False)
        with CountingProxy(directory / "kubeconfig").running() as proxy:
            counted = Counted(database)
            _tick(Client.from_params({"kubeconfig": proxy.kubeconfig}), counted)
        counts[counted.statements, len(proxy.requests)] = sorted(proxy.requests)
        taken[size] = _median(options)
        print(
            f"(f) tick with {size:3} versions: {counted.statements} statement, {len(proxy.requests)} requests, "
            f"{taken[size] * 1000:6.1f} ms"
        )
    ratio = taken[SIZES[-1]] / taken[SIZES[0]]
    differing = "" if len(counts) == 1 else f"NOT CONSTANT: {list(counts.values())}"
    print(f"(f) statements and requests: {differing or 'constant'}")
    print(f"(f) {SIZES[-1]} versions against {SIZES[0]}: {ratio:.2f}   aim ≤ {SLOWER:g} ", end="")
    print("reached" if ratio <= SLOWER else "MISSED", flush=True)


def _tick(client: Client, database: Any) -> None:
    """One that only looks: nothing is written without a lease."""
    retiring.Ticker(client, database, APP, NAME.replace("_", "-"), APP, lifecycle_tick.Policy(), None).run()


def _median(options: dict[str, Any]) -> float:
    """Seconds of the module in a process of its own, as Ansible runs it."""
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", MODULE], input=json.dumps(options), capture_output=True, text=True, check=True
        )
        taken.append(time.perf_counter() - started)
        result = json.loads(done.stdout)
        if result.get("failed"):
            raise SystemExit(f"The tick failed: {result['msg']}")
    return statistics.median(taken)

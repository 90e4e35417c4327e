"""The drain check on large tables, against the loop of DBOS' documentation and a plain query.

Times are the least of several warm ones, each way alike: what else the machine does only adds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "collections"), str(ROOT / "tests/integration")]

from python_kit import EXAMPLE, interpreter

from ansible_collections.dbos.kubernetes.plugins.filter.database_url import database_url
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database, open_server
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import work

NAME = "bench_drain"
VERSIONS = 5
UNFINISHED = 5000
MILLISECONDS, FASTER, SAME = 5.0, 100, 1.5  # the aims

FINISHED = """
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_version, application_name, queue_name,
    executor_id, created_at, updated_at, completed_at, recovery_attempts)
SELECT 'done-' || lpad(n::text, 12, '0'), CASE mod(n, 50) WHEN 0 THEN 'ERROR' ELSE 'SUCCESS' END, 'task',
    'v' || 1 + mod(n, %(versions)s), 'bench', 'taskQueue', 'bench-v' || 1 + mod(n, %(versions)s) || '-' || mod(n, 3),
    1700000000000 + n * 10, 1700000000000 + n * 10, 1700000000000 + n * 10 + 900, 1
FROM generate_series(%(first)s, %(last)s) n
"""
LEFT = """
INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_version, application_name, queue_name,
    executor_id, created_at, updated_at, delay_until_epoch_ms, recovery_attempts)
SELECT 'left-' || lpad(n::text, 12, '0'), (ARRAY['ENQUEUED', 'PENDING', 'DELAYED'])[1 + mod(n / 7, 3)], 'task',
    'v' || 1 + mod(n, %(versions)s), 'bench', 'taskQueue', 'bench-v' || 1 + mod(n, %(versions)s) || '-' || mod(n, 3),
    1790000000000 + n, 1790000000000 + n, 1900000000000, 1
FROM generate_series(1, %(unfinished)s) n
"""
PLAIN = """
SELECT status, count(*) FROM dbos.workflow_status
WHERE application_version = 'v1' AND status IN ('PENDING', 'ENQUEUED', 'DELAYED') GROUP BY status
"""
# What the documentation tells people to do before they retire a version; it asks for the first two of the statuses.
LOOP = """
import json, sys, time
from dbos import DBOSClient
client = DBOSClient(system_database_url=sys.argv[1], application_name="bench")
taken = []
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    for version in client.list_application_versions():
        client.list_workflows(app_version=version["version_name"], status=sys.argv[3:])
    taken.append(time.perf_counter() - started)
print(json.dumps(taken))
"""


def measure(directory: Path, node: str, rows: list[int]) -> None:
    """For each number of finished rows: our check, the loop and the query, side by side."""
    platform = {"host": node, "user": "dbos_admin", "sslmode": "verify-full"}
    password = (directory / "postgresql/admin-password").read_text().strip()
    ca = directory / "pki/ca.crt"
    with own_database(platform | {"password": password, "sslrootcert": str(ca)}):
        url = database_url(platform, password=password, database=NAME, sslrootcert=str(ca))
        migrate = [str(directory / "bin/dbos"), "migrate", "-D", url]
        subprocess.run(migrate, check=True, capture_output=True, timeout=300)
        with open_server({"database_url": url, "ca": ca.read_text()}) as server, server.connect() as database:
            prepare(database)
            there, baseline = 0, 0.0
            for wanted in rows:
                fill(database, there, wanted)
                there = wanted
                baseline = compare(database, url, wanted, baseline)


@contextmanager
def own_database(login: dict[str, Any]) -> Iterator[None]:
    """A database for the time of the measurement."""
    with closing(psycopg2.connect(**login, dbname="postgres")) as admin, admin.cursor() as cursor:
        admin.autocommit = True
        cursor.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {NAME}")
    try:
        yield
    finally:
        with closing(psycopg2.connect(**login, dbname="postgres")) as admin, admin.cursor() as cursor:
            admin.autocommit = True
            cursor.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def prepare(database: Database) -> None:
    """The unfinished work and the versions."""
    database.write(LEFT, {"versions": VERSIONS, "unfinished": UNFINISHED})
    database.write(
        "INSERT INTO dbos.workflow_input (workflow_uuid, inputs) SELECT workflow_uuid, '[]' FROM dbos.workflow_status"
    )
    for version in range(1, VERSIONS + 1):
        database.write(
            "INSERT INTO dbos.application_versions (version_id, version_name, version_timestamp, application_name) "
            "VALUES (%s, %s, %s, 'bench')",
            (f"v{version}", f"v{version}", version),
        )


def fill(database: Database, there: int, wanted: int) -> None:
    """More finished work; its indexes are made again afterwards, which is faster."""
    indexes = database.read(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'dbos' AND tablename = 'workflow_status' "
        "AND indexname <> 'workflow_status_pkey'"
    )
    for name, _definition in indexes:
        database.write(f'DROP INDEX dbos."{name}"')
    database.write(FINISHED, {"versions": VERSIONS, "first": there + 1, "last": wanted})
    for _name, definition in indexes:
        database.write(definition)
    database.write("VACUUM ANALYZE dbos.workflow_status")


def compare(database: Database, url: str, finished: int, baseline: float) -> float:
    """Prints a line for each way; returns the time of ours, which shall not grow with the finished rows."""

    def ours() -> int:
        seen = work.read(database, "bench")
        return sum(found.unfinished for found in work.per_version(seen or {}).values())

    def plain() -> int:
        return sum(int(count) for _status, count in database.read(PLAIN))

    if (ours(), plain()) != (UNFINISHED, UNFINISHED // VERSIONS):
        raise SystemExit(f"The ways disagree on what is unfinished: {ours()} of all, {plain()} of one version.")
    checked = least(ours, 100)
    others = {
        "list_workflows loop as documented, blind to DELAYED": loop(url, "ENQUEUED", "PENDING"),
        "the same loop with DELAYED": loop(url, "ENQUEUED", "PENDING", "DELAYED"),
        "plain status IN query, one version only": least(plain, 5),
    }
    print(f"(e) {finished:,} finished, {UNFINISHED:,} unfinished workflows in {VERSIONS} versions")
    told("drain check, all versions", checked, f"aim ≤ {MILLISECONDS:g} ms", checked <= MILLISECONDS)
    if baseline:
        grown = checked / baseline
        told("the same through that with fewer finished rows", grown, f"aim ≤ {SAME:g}", grown <= SAME, unit="")
    for what, theirs in others.items():
        ratio = theirs / checked
        told(what, theirs, f"{ratio:.0f} times ours, aim ≥ {FASTER}", ratio >= FASTER)
    return checked


def told(what: str, figure: float, aim: str, reached: bool, unit: str = "ms") -> None:
    print(f"    {what:<52} {figure:9.2f} {unit:<2}   {aim} {'reached' if reached else 'MISSED'}", flush=True)


def least(action: Callable[[], object], times: int) -> float:
    """Milliseconds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return min(taken) * 1000


def loop(url: str, *statuses: str) -> float:
    """Milliseconds of the documentation's way with the real client."""
    python = interpreter(ROOT / EXAMPLE / "requirements.txt")
    done = subprocess.run(
        [python, "-c", LOOP, url, "5", *statuses], check=True, capture_output=True, text=True, timeout=3600
    )
    return float(min(json.loads(done.stdout.splitlines()[-1]))) * 1000

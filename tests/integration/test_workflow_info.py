"""Unfinished work, read at every schema level there may be, by the indexes that make it cheap."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import open_server
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import inspection, work

from .database_kit import Kit
from .module_call import call
from .process_kit import until
from .python_kit import EXAMPLE, interpreter
from .schema_kit import LEVELS, insert, make, owner

ROW = (
    "INSERT INTO dbos.workflow_status "
    "(workflow_uuid, status, application_version, queue_name, executor_id, created_at, updated_at"
)

NOW = 1_790_000_000_000


@pytest.fixture(scope="module")
def kit(platform: Any, namespace: str) -> Iterator[Kit]:
    kit = Kit(platform, namespace)
    kit.ok("database", **kit.database_options())
    yield kit
    kit.remove()


def fill(
    kit: Kit, rows: list[tuple[str, str | None, str | None, str | None]], *, more: str = "", values: str = ""
) -> None:
    """Rows (status, version, queue, executor), a second apart; C(more) columns with the same C(values) in all."""
    with owner(kit) as cursor:
        cursor.execute("SELECT count(*) FROM dbos.workflow_status")
        first = cursor.fetchone()[0]
        for number, row in enumerate(rows, first):
            moment = 1_700_000_000_000 + number * 1000
            cursor.execute(
                f"{ROW}{more}) VALUES (%s, %s, %s, %s, %s, %s, %s{values})", (f"w{number}", *row, moment, moment)
            )


def read(kit: Kit, **options: Any) -> dict[str, Any]:
    found = call("workflow_info", database_url=kit.owner_url(), ca=kit.ca, **options)
    assert not found.get("failed"), found
    return found


def test_a_database_that_was_never_migrated(kit: Kit) -> None:
    found = read(kit, sizes=True)
    assert (found["schema_version"], found["versions"], found["tables"]) == (None, [], [])


@pytest.mark.parametrize("level", LEVELS)
def test_every_level(kit: Kit, level: int) -> None:
    make(kit, level)
    fill(
        kit,
        [
            ("PENDING", "v1", "q", "e-0"),
            ("ENQUEUED", "v1", "q", "e-0"),
            ("SUCCESS", "v1", "q", "e-0"),
            ("PENDING", None, None, "e-1"),
        ],
    )
    found = read(kit)
    assert found["schema_version"] == level
    assert [(row["version"], row["pending"], row["enqueued"]) for row in found["versions"]] == [
        ("v1", 1, 1),
        (None, 1, 0),
    ]
    resumable = read(kit, resumable=True, application_name="shop")["versions"]
    assert [row["resumable"] for row in resumable] == [0, 0]


NAMED = {"status": "ENQUEUED", "application_version": "v1", "name": "report"}
PROMOTED = {"v1": 100, "v2": 200, "v3": 300, "staged": 1}


# Before each of these levels one of the columns is missing that tell where work came from.
@pytest.mark.parametrize("level", [13, 18, 40, 41, 125])
def test_work_that_came_late_tells_from_where(kit: Kit, level: int) -> None:
    make(kit, level)
    for version, timestamp in PROMOTED.items():
        insert(
            kit,
            "application_versions",
            {"version_id": version, "version_name": version, "version_timestamp": timestamp},
        )
    schedule = {"schedule_name": "nightly"} if level >= 41 else {}
    rows: list[dict[str, Any]] = [
        {"workflow_uuid": "in-time", "created_at": 199, "queue_name": "mail"},
        {"workflow_uuid": "enqueued-1", "created_at": 201, "queue_name": "mail"},
        {"workflow_uuid": "enqueued-2", "created_at": 205, "queue_name": "mail", "status": "DELAYED"},
        {"workflow_uuid": "enqueued-3", "created_at": 205, "queue_name": "mail", "status": "SUCCESS"},
        {"workflow_uuid": "direct", "created_at": 201, "status": "PENDING"},
        {"workflow_uuid": "recovered", "created_at": 201, "queue_name": "_dbos_internal_queue"},
        {"workflow_uuid": "child", "created_at": 201, "queue_name": "mail", "parent_workflow_id": "mother"},
        {"workflow_uuid": "fork", "created_at": 201, "queue_name": "_dbos_internal_queue", "forked_from": "original"},
        {"workflow_uuid": "sched-nightly-x", "created_at": 201, "queue_name": "_dbos_internal_queue", **schedule},
        {"workflow_uuid": "v2-in-time", "created_at": 250, "application_version": "v2"},
        {"workflow_uuid": "v3-is-the-latest", "created_at": 900, "application_version": "v3"},
        {"workflow_uuid": "staged-is-not-draining", "created_at": 900, "application_version": "staged"},
        {"workflow_uuid": "nobody-knows", "created_at": 900, "application_version": "never registered"},
    ]
    insert(kit, "workflow_status", *(NAMED | row for row in rows))
    found = {row["version"]: row for row in read(kit)["versions"]}
    assert {version: row["late"] for version, row in found.items() if row["late"]} == {"v1": 7}
    told = {(one["source"], one["from"], one["count"], one["example"]) for one in found["v1"]["late_sources"]}
    assert told == {
        ("enqueue", "mail", 2, "enqueued-1"),
        ("direct", None, 2, "direct"),
        ("parent", "mother", 1, "child"),
        ("fork", "original", 1, "fork"),
        ("schedule", "nightly" if level >= 41 else None, 1, "sched-nightly-x"),
    }


def test_two_applications_with_names_alike(kit: Kit) -> None:
    """Neither sees the other's versions and work, both see what is nobody's."""
    make(kit, 125)
    for position, (version, application) in enumerate(
        [("v1", "shop"), ("v1.1", "shop-2"), ("v2", "shop"), ("v1.10", "shop-2"), ("v1-1", None)], 1
    ):
        known = {"version_id": version, "version_name": version, "version_timestamp": position * 100}
        insert(kit, "application_versions", known | {"application_name": application})
        for status in ("PENDING", "ENQUEUED", "DELAYED"):
            row = {"workflow_uuid": f"{version}-{status}", "status": status, "application_version": version}
            insert(kit, "workflow_status", row | {"application_name": application, "created_at": 1000})
    seen = {name: read(kit, application_name=name)["versions"] for name in ("shop", "shop-2", "shop-", "sho")}
    versions = {name: [row["version"] for row in rows] for name, rows in seen.items()}
    assert versions == {
        "shop": ["v1-1", "v2", "v1"],
        "shop-2": ["v1-1", "v1.10", "v1.1"],
        "shop-": ["v1-1"],
        "sho": ["v1-1"],
    }
    for rows in seen.values():
        assert all((row["pending"], row["enqueued"], row["delayed"]) == (1, 1, 1) for row in rows)
        assert [row["latest"] for row in rows] == [True, *[False] * (len(rows) - 1)]
    # a version's successor is one of its own application: v2 is not v1.1's
    assert {row["version"]: row["late"] for row in seen["shop-2"]} == {"v1-1": 0, "v1.10": 3, "v1.1": 3}


def test_resumable_work_is_counted_on_request(kit: Kit) -> None:
    make(kit, 125)
    fill(kit, [("CANCELLED", "v1", None, None), ("MAX_RECOVERY_ATTEMPTS_EXCEEDED", "v1", None, None)])
    fill(kit, [("ERROR", "v1", None, None), ("CANCELLED", None, None, None)])
    assert read(kit)["versions"] == []
    found = read(kit, resumable=True)["versions"]
    assert [(row["version"], row["resumable"], row["pending"]) for row in found] == [("v1", 2, 0), (None, 1, 0)]


SLEEPER = """
import sys, threading
from dbos import DBOS, DBOSConfig, SetWorkflowID
DBOS(config={"name": "shop", "system_database_url": sys.argv[1], "application_version": "v1", "executor_id": "sleeper"})
@DBOS.workflow()
def child():
    DBOS.recv("news", timeout_seconds=7200)
@DBOS.workflow()
def mother():
    DBOS.start_workflow(child)
    DBOS.sleep(3600)
DBOS.launch()
with SetWorkflowID("mother"):
    DBOS.start_workflow(mother)
threading.Event().wait()
"""


def test_a_real_workflow_that_sleeps_and_its_child(kit: Kit, root: Path, tmp_path: Path) -> None:
    make(kit, 125)
    (tmp_path / "ca.crt").write_text(kit.ca)
    login = {"database": kit.database, "sslrootcert": str(tmp_path / "ca.crt")}
    url = kit.url(f"{kit.database}_owner", "owner-secret", **login)
    python = interpreter(root / EXAMPLE / "requirements.txt")
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen([python, "-c", SLEEPER, url], stdout=log, stderr=log, cwd=tmp_path)
    try:
        # Its child records the end of its patience as a sleep, too.
        slept = "SELECT 1 FROM dbos.operation_outputs WHERE function_name = 'DBOS.sleep' AND workflow_uuid = 'mother'"
        until("asleep", lambda: kit_rows(kit, slept))
        latest = int(time.time() * 1000)
        until("two pending", lambda: len(kit_rows(kit, "SELECT 1 FROM dbos.workflow_status")) == 2)
    except AssertionError:
        pytest.fail((tmp_path / "log").read_text())
    finally:
        running.kill()
        running.wait()
    known = {"version_id": "v2", "version_name": "v2", "application_name": "shop"}
    with owner(kit) as cursor:
        cursor.execute("SELECT created_at FROM dbos.workflow_status WHERE workflow_uuid = 'mother'")
        promoted = cursor.fetchone()[0]
        cursor.execute("UPDATE dbos.application_versions SET version_timestamp = %s", (promoted - 1000,))
        cursor.execute(
            "UPDATE dbos.workflow_status SET created_at = %s WHERE workflow_uuid <> 'mother'", (promoted + 9,)
        )
    insert(kit, "application_versions", known | {"version_timestamp": promoted + 1})
    _v2, v1 = read(kit, application_name="shop")["versions"]
    assert (v1["pending"], v1["sleeping"]) == (2, 1)
    assert work.timestamp(promoted + 3_600_000) <= v1["next_wake_at"] <= work.timestamp(latest + 3_600_000)
    assert [(one["source"], one["from"]) for one in v1["late_sources"]] == [("parent", "mother")]


def kit_rows(kit: Kit, text: str) -> list[tuple[Any, ...]]:
    with owner(kit) as cursor:
        cursor.execute(text)
        return list(cursor.fetchall())


WORKLOAD = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "shop-v1"},
    "spec": {
        "serviceName": "shop-v1",
        "replicas": 1,
        "selector": {"matchLabels": {"app.kubernetes.io/name": "shop", "app.kubernetes.io/component": "executor"}},
        "template": {"spec": {"containers": [{"name": "app", "image": "none.invalid/app:1"}]}},
    },
}


def test_executors_are_judged_by_their_pods(kit: Kit) -> None:
    """A pod that cannot even start is none that is gone."""
    make(kit, 125)
    rows = [("PENDING", "v1", "q", executor) for executor in ("shop-v1-0", "shop-v1-1", "shop-v1-1", "local", None)]
    fill(kit, [*rows, ("ENQUEUED", "v1", "q", "shop-v1-7")])
    labels = {"app.kubernetes.io/name": "shop", "app.kubernetes.io/component": "executor"}
    labels |= {"app.kubernetes.io/version": "v1"}
    template = WORKLOAD["spec"]["template"] | {"metadata": {"labels": labels}}
    kit.apply(
        WORKLOAD
        | {"metadata": {"name": "shop-v1", "labels": labels}, "spec": WORKLOAD["spec"] | {"template": template}}
    )
    until("the pod is there", lambda: kit.objects("pod", "app.kubernetes.io/name=shop"))
    where = {"namespace": kit.namespace, "kubeconfig": str(kit.platform.kubeconfig)}
    assert "needs application" in call("workflow_info", database_url=kit.owner_url(), ca=kit.ca, **where)["msg"]
    found = read(kit, application="shop", **where)
    [v1] = found["versions"]
    states = {one["id"]: one["state"] for one in v1["executors"]}
    assert states == {"shop-v1-0": "alive", "shop-v1-1": "dead", "local": "unknown", None: "unknown"}
    assert (v1["dead"], v1["unknown"]) == (2, 2)
    assert "shop-v1-1" in found["table"]
    assert "table" not in read(kit, format="none")

    kit.platform.kubectl("delete", "statefulset", "shop-v1", "-n", kit.namespace, "--cascade=orphan")
    [v1] = read(kit, application_name="shop", **where)["versions"]
    assert (v1["dead"], v1["unknown"]) == (0, 4)  # nobody knows any more whose names these were
    kit.platform.kubectl("delete", "pod", "shop-v1-0", "-n", kit.namespace, "--wait=false")


def test_all_of_it(kit: Kit) -> None:
    make(kit, 125)
    fill(
        kit,
        [
            ("PENDING", "v1", "mail", "shop-v1-0"),
            ("PENDING", "v1", None, "shop-v1-1"),
            ("PENDING", "v1", "mail", "shop-v1-1"),
            ("ENQUEUED", "v1", "mail", "shop-v1-0"),
            ("ENQUEUED", None, "mail", None),
            ("SUCCESS", "v0", "mail", "shop-v0-0"),
            ("ERROR", "v2", None, "shop-v2-0"),
            ("CANCELLED", "v2", None, "shop-v2-0"),
            ("MAX_RECOVERY_ATTEMPTS_EXCEEDED", "v2", None, "shop-v2-0"),
            ("PENDING", "stray", None, None),
        ],
    )
    fill(kit, [("DELAYED", "v2", "mail", None)], more=", delay_until_epoch_ms", values=", 1800000000000")
    fill(kit, [("PENDING", "v1", "theirs", "other-0")], more=", application_name", values=", 'other'")
    with owner(kit) as cursor:
        for name, timestamp, application in (("v1", NOW, None), ("v2", NOW + 1, "shop"), ("theirs", NOW + 2, "other")):
            cursor.execute(
                "INSERT INTO dbos.application_versions "
                "(version_id, version_name, version_timestamp, created_at, application_name) "
                "VALUES (%s, %s, %s, 0, %s)",
                (name, name, timestamp, application),
            )

    found = read(kit, application_name="shop", sizes=True)
    assert found["schema_version"] == 125
    assert found["replica"] is False
    quiet = {"sleeping": 0, "late": 0, "late_sources": [], "resumable": 0}
    v2, v1, stray, none = found["versions"]
    assert v2 == quiet | {
        "version": "v2", "latest": True, "pending": 0, "enqueued": 0, "delayed": 1,
        "oldest_at": "2023-11-14T22:13:30Z", "next_due_at": "2027-01-15T08:00:00Z",
        "next_wake_at": "2027-01-15T08:00:00Z",
        "queues": [{"name": "mail", "pending": 0, "enqueued": 0, "delayed": 1}], "executors": [],
    }  # fmt: skip
    assert v1 == quiet | {
        "version": "v1", "latest": False, "pending": 3, "enqueued": 1, "delayed": 0,
        "oldest_at": "2023-11-14T22:13:20Z", "next_due_at": None, "next_wake_at": None,
        "queues": [
            {"name": "mail", "pending": 2, "enqueued": 1, "delayed": 0},
            {"name": None, "pending": 1, "enqueued": 0, "delayed": 0},
        ],
        "executors": [{"id": "shop-v1-0", "pending": 1}, {"id": "shop-v1-1", "pending": 2}],
    }  # fmt: skip
    assert (stray["version"], stray["latest"], stray["pending"]) == ("stray", False, 1)
    assert (none["version"], none["enqueued"]) == (None, 1)
    assert "workflow_status" in {table["name"] for table in found["tables"]}
    assert all(table["bytes"] >= 0 for table in found["tables"])

    everybody = read(kit)
    assert [row["version"] for row in everybody["versions"]] == ["theirs", "v2", "v1", "stray", None]
    assert {row["version"]: row["pending"] for row in everybody["versions"]}["v1"] == 4


def test_a_password_of_one_character_garbles_no_count(kit: Kit) -> None:
    make(kit, 125)
    fill(kit, [("PENDING", "v1", "q1", "e-1")])
    kit.ok("database", **kit.database_options(owner_password="1"))
    try:
        found = kit.ok("workflow_info", database_url=kit.url(f"{kit.database}_owner", "1", database=kit.database))
        assert (found["schema_version"], found["versions"][0]["pending"]) == (125, 1)
    finally:
        kit.ok("database", **kit.database_options())


def test_cost_is_that_of_unfinished_rows(kit: Kit) -> None:
    make(kit, 125)
    with owner(kit) as cursor:
        cursor.execute(
            f"{ROW}) SELECT 'done' || n, 'SUCCESS', 'v' || n % 5, 'q', 'e', n, n FROM generate_series(1, 200000) n"
        )
        cursor.execute(
            "INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, completed_at_epoch_ms) "
            "SELECT 'done' || n, 0, 'DBOS.sleep', n FROM generate_series(1, 50000) n"
        )
        cursor.execute("ANALYZE dbos.workflow_status, dbos.operation_outputs")
    fill(kit, [("PENDING", "v1", "q", "e-0"), ("DELAYED", "v1", "q", None)])

    url = {"database_url": kit.owner_url(), "ca": kit.ca, "relay": {"deadline": 600, **kit.relay}}
    with open_server({"kubeconfig": str(kit.platform.kubeconfig), **url}) as server, server.connect() as database:
        [row] = work.versions(database, "shop")
        assert (row["pending"], row["delayed"]) == (1, 1)
        asked: list[str] = []
        reading = database.read

        def explain(sql: Any, parameters: Any = ()) -> Any:
            text = sql if isinstance(sql, str) else sql.as_string(database.session)
            if "unfinished" in text:
                asked.extend(line for (line,) in reading("EXPLAIN " + text, parameters))
            return reading(sql, parameters)

        database.read = explain  # type: ignore[method-assign]
        work.versions(database, "shop")
        inspection.read(database, "shop")
    plan = "\n".join(asked)
    assert "Seq Scan on workflow_status" not in plan
    assert "Seq Scan on operation_outputs" not in plan
    assert "idx_workflow_status_delayed" in plan
    assert "idx_operation_outputs_completed_at" in plan

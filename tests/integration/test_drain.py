"""Draining on the real platform: what keeps a version is named, what proves that nothing does, and each exit."""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import module_call
import pytest
from process_kit import until
from release_kit import Kit, sample_image

HOUR = 3_600_000


class Shop(Kit):
    """The application with its versions v1, v2 and v3, the last promoted; one pod each."""

    def drain(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """What workflow_drain answers of v1, by default at once."""
        common = {
            "database_url": self.url("owner"), "kubeconfig": str(self.platform.kubeconfig), "namespace": self.namespace,
            "application_name": self.app, "version": "v1", "deadline": 0, "on_deadline": "wait", "seconds": 0.2,
        }  # fmt: skip
        return module_call.call("workflow_drain", check=check, **{**common, **options})

    def ask_v1(self, path: str) -> str:
        """The id that a route of v1's first pod answers with."""
        where = f"/api/v1/namespaces/{self.namespace}/pods/{self.app}-v1-0:8080/proxy{path}"
        return str(json.loads(self.kubectl("get", "--raw", where))["workflow_id"])

    def insert(self, status: str = "ENQUEUED", **columns: Any) -> str:
        """A row as a client's enqueue writes it, for version v1 unless told otherwise."""
        id_ = f"row-{uuid.uuid4()}"
        row = {
            "workflow_uuid": id_, "status": status, "name": "task", "application_version": "v1",
            "application_name": self.app, "queue_name": "elsewhere", **columns,
        }  # fmt: skip
        marks = ", ".join(["%s"] * len(row))
        self.sql(f"INSERT INTO dbos.workflow_status ({', '.join(row)}) VALUES ({marks})", *row.values())
        return id_

    def status(self, id_: str) -> str:
        return str(self.sql("SELECT status FROM dbos.workflow_status WHERE workflow_uuid = %s", id_)[0][0])

    def forget_v1(self) -> None:
        """End all that keeps v1, as the SDKs' cancel does."""
        self.sql(
            "UPDATE dbos.workflow_status SET status = 'CANCELLED', owner_xid = NULL, queue_name = NULL "
            "WHERE application_version = 'v1' AND status IN ('PENDING', 'ENQUEUED', 'DELAYED')"
        )


@pytest.fixture(scope="module")
def shop(
    platform: Any, ansible_playbook: Any, namespace: str, root: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    one = Shop(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("drain"))
    one.prepare()
    image = sample_image(one, root)
    for version in ("v1", "v2", "v3"):
        one.released(version, image, replicas=1)
    yield one
    one.forget()


@pytest.fixture
def v1(shop: Shop) -> Iterator[Shop]:
    """With nothing unfinished on v1, before and after."""
    yield shop
    shop.forget_v1()


def sleeping(shop: Shop) -> str:
    id_ = shop.ask_v1("/enqueue/3600")
    until("sleeping", lambda: shop.sql("SELECT 1 FROM dbos.operation_outputs WHERE workflow_uuid = %s", id_))
    return id_


def waiting(shop: Shop) -> str:
    id_ = shop.ask_v1("/wait/paid")
    until("waiting", lambda: shop.sql("SELECT 1 FROM dbos.operation_outputs WHERE workflow_uuid = %s", id_))
    return id_


def started(shop: Shop) -> str:
    id_ = shop.ask_v1("/start/3600")
    until("started", lambda: shop.sql("SELECT 1 FROM dbos.operation_outputs WHERE workflow_uuid = %s", id_))
    return id_


def delayed(shop: Shop) -> str:
    return shop.insert("DELAYED", queue_name="taskQueue", delay_until_epoch_ms=int(time.time() * 1000) + HOUR)


def on_another_queue(shop: Shop) -> str:
    return shop.insert()


def on_a_partition(shop: Shop) -> str:
    return shop.insert(queue_name="parts", queue_partition_key="eu")


@pytest.mark.parametrize(
    ("make", "counted", "queue", "words"),
    [
        (sleeping, "pending", "taskQueue", "end of its sleep at"),
        (waiting, "pending", None, "a message (Recv) or an event (GetEvent); its topic is not recorded"),
        (started, "pending", None, "end of its sleep at"),
        (delayed, "delayed", "taskQueue", "end of its delay at"),
        (on_another_queue, "enqueued", "elsewhere", "take it from queue elsewhere"),
        (on_a_partition, "enqueued", "parts", "partition eu of queue parts"),
    ],
)
def test_each_alone_keeps_the_version_and_is_named(v1: Shop, make: Any, counted: str, queue: str, words: str) -> None:
    id_ = make(v1)
    found = v1.drain()
    assert found["drained"] is False and found["changed"] is False, found
    assert found["unfinished"] == {"pending": 0, "enqueued": 0, "delayed": 0, counted: 1}
    (blocker,) = found["blockers"]
    assert blocker["id"] == id_ and blocker["queue"] == queue and words in blocker["waits_for"], blocker
    assert blocker["executor_state"] == ("alive" if counted == "pending" else None)
    failed = v1.drain(on_deadline="fail")
    assert failed["failed"] and id_ in failed["msg"] and words in failed["msg"]
    forced = v1.drain(on_deadline="force")
    assert forced["forced"] and not forced["drained"] and v1.status(id_) != "CANCELLED"


def test_a_message_ends_the_wait_and_the_version_is_drained(v1: Shop) -> None:
    id_ = waiting(v1)
    answer: dict[str, Any] = {}
    thread = threading.Thread(target=lambda: answer.update(v1.drain(deadline=90, on_deadline="fail", reads=3)))
    thread.start()
    v1.sql("SELECT dbos.send_message(%s, '\"now\"'::json, 'paid')", id_)
    thread.join()
    assert answer["drained"], answer
    assert answer["evidence"]["reads"] == 3 and answer["evidence"]["schema_version"] == 125
    assert v1.status(id_) == "SUCCESS"


def test_the_latest_version_and_one_that_nobody_knows_are_refused(v1: Shop) -> None:
    assert "is the latest" in v1.drain(version="v3")["msg"]
    assert "no version v11" in v1.drain(version="v11")["msg"]
    assert "cannot be forked to version v9" in (delayed(v1) and v1.drain(on_deadline="fork", to_version="v9")["msg"])


def test_cancel_ends_what_is_left(v1: Shop) -> None:
    ids = sorted([sleeping(v1), delayed(v1), on_a_partition(v1)])
    assert v1.drain(check=True, on_deadline="cancel")["changed"]
    found = v1.drain(on_deadline="cancel")
    assert found["drained"] and found["changed"] and found["cancelled"] == ids, found
    assert {v1.status(id_) for id_ in ids} == {"CANCELLED"}
    again = v1.drain(on_deadline="cancel")
    assert again["drained"] and not again["changed"]


def test_a_fork_goes_on_where_its_original_was(v1: Shop) -> None:
    """The sleep that Go recorded is not begun again; a delay and a partition stay what they are.

    Started without the queue: a cancelled sleeper keeps its place among its executor's two until it would have ended.
    """
    asleep, late, part = started(v1), delayed(v1), on_a_partition(v1)
    (recorded,) = v1.sql("SELECT output FROM dbos.operation_outputs WHERE workflow_uuid = %s", asleep)[0]
    # Over by now for whoever reads it, and only then: the original may not end before it is forked.
    end = base64.b64encode(str(int(base64.b64decode(recorded)) - HOUR).encode()).decode()
    v1.sql("UPDATE dbos.operation_outputs SET output = %s WHERE workflow_uuid = %s", end, asleep)
    found = v1.drain(on_deadline="fork", to_version="v2")
    assert found["drained"], found
    forks = {entry["from"]: entry["to"] for entry in found["forked"]}
    assert set(forks) == {asleep, late, part}
    assert v1.status(asleep) == "CANCELLED" and v1.status(forks[late]) == "DELAYED"
    until("done", lambda: v1.status(forks[asleep]) == "SUCCESS")
    rows = v1.sql(
        "SELECT application_version, forked_from, queue_name, application_name FROM dbos.workflow_status "
        "WHERE workflow_uuid = %s",
        forks[asleep],
    )
    assert rows == [("v2", asleep, "_dbos_internal_queue", v1.app)]
    steps = v1.sql("SELECT output FROM dbos.operation_outputs WHERE workflow_uuid = %s", forks[asleep])
    assert steps == [(end,)]
    partition = v1.sql("SELECT queue_partition_key FROM dbos.workflow_status WHERE workflow_uuid = %s", forks[part])
    assert partition == [("eu",)]
    v1.sql(
        "UPDATE dbos.workflow_status SET status = 'CANCELLED' WHERE workflow_uuid = ANY(%s)", [forks[late], forks[part]]
    )


def test_what_is_blocked_goes_on_two_versions_further(v1: Shop) -> None:
    """A wait that v1 began is ended by a message to its fork, which v3 runs; nobody ever saw both unfinished."""
    blocked = waiting(v1)
    found = v1.drain(on_deadline="fork", to_version="v3")
    assert found["drained"] and [entry["from"] for entry in found["forked"]] == [blocked], found
    fork = found["forked"][0]["to"]
    written = v1.sql(
        "SELECT original.status, original.xmin = input.xmin FROM dbos.workflow_status original, "
        "dbos.workflow_input input WHERE original.workflow_uuid = %s AND input.workflow_uuid = %s",
        blocked, fork,
    )  # fmt: skip
    assert written == [("CANCELLED", True)]
    v1.sql("SELECT dbos.send_message(%s, '\"now\"'::json, 'paid')", fork)
    until("done", lambda: v1.status(fork) == "SUCCESS")
    rows = v1.sql(
        "SELECT application_version, executor_id, forked_from FROM dbos.workflow_status WHERE workflow_uuid = %s", fork
    )
    assert rows == [("v3", f"{v1.app}-v3-0", blocked)]
    assert v1.status(blocked) == "CANCELLED"


def test_a_child_is_not_taken_from_a_parent_that_waits_for_it(v1: Shop) -> None:
    parent = v1.insert(application_version="v2", queue_name="nobody")
    child = v1.insert(parent_workflow_id=parent)
    refused = v1.drain(on_deadline="fork", to_version="v2")
    assert refused["failed"] and refused["refused"] == [{"id": child, "why": f"workflow {parent} waits for it"}]
    assert v1.status(child) == "ENQUEUED" and "fork_children" in refused["msg"]
    told = v1.drain(on_deadline="fork", to_version="v2", fork_children=True)
    assert told["drained"] and [entry["from"] for entry in told["forked"]] == [child]
    v1.sql("UPDATE dbos.workflow_status SET status = 'CANCELLED' WHERE queue_name IN ('nobody', 'elsewhere')")


def test_a_database_that_ends_its_sessions_in_mid_drain_proves_nothing(v1: Shop) -> None:
    """Every session of ours is ended again and again: the wait goes on, and the proof is made when that is over."""
    id_ = on_another_queue(v1)
    answer: dict[str, Any] = {}
    drain = threading.Thread(target=lambda: answer.update(v1.drain(deadline=120, on_deadline="fail", seconds=1)))
    drain.start()
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE application_name = 'dbos.kubernetes' AND datname = current_database()"
    )
    for _ in range(5):
        until("cut", lambda: v1.sql(cut)[0][0])
    assert drain.is_alive() and not answer
    v1.sql("UPDATE dbos.workflow_status SET status = 'CANCELLED' WHERE workflow_uuid = %s", id_)
    drain.join()
    assert answer["drained"], answer


def test_a_database_that_cannot_be_reached_is_an_error_never_drained(v1: Shop) -> None:
    url = v1.url("owner").replace(f"{v1.platform.node}:5432", f"{v1.platform.node}:1")
    found = v1.drain(database_url=url)
    assert found["failed"] and "drained" not in found

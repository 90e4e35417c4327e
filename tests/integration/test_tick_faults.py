"""What may happen to a tick and to a drain: the database fails over, the API server is lost, kill -9 at any write."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain, count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from database_kit import Call
from database_kit import Kit as DatabaseKit
from fault_kit import Cable, at_each_write, killed_after
from module_call import call
from postgresql_kit import Server
from process_kit import until
from release_kit import Kit

from ansible_collections.dbos.kubernetes.plugins.module_utils import ledger, lifecycle, naming, scaling, workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import apply_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel
from ansible_collections.dbos.kubernetes.plugins.module_utils.version_objects import PROMOTING

KEDA = "keda.sh/v1alpha1"
KEDAS = [(KEDA, "ScaledObject"), (KEDA, "TriggerAuthentication")]
# Of which a version is made, the ledger aside.
KINDS = [
    ("apps/v1", "StatefulSet"),
    ("policy/v1", "PodDisruptionBudget"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    *KEDAS,
]
RECORD = ("apps/v1", "ControllerRevision")
LEASE = ("coordination.k8s.io/v1", "Lease")
IMAGE = f"example.com/shop@sha256:{'0' * 64}"
# More than any node has: pods are made and go, and nothing ever runs.
RESOURCES = {"requests": {"cpu": "1000"}}
ROWS = "SELECT workflow_uuid, status, executor_id, queue_name, recovery_attempts FROM dbos.workflow_status ORDER BY 1"
VERSIONS = "SELECT version_name FROM dbos.application_versions ORDER BY version_timestamp"
PENDING = (
    "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_version, application_name, executor_id,"
    " recovery_attempts) VALUES ('work', 'PENDING', 'task', 'v1', 'shop', %s, 1)"
)
ASLEEP = (
    "INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output, completed_at_epoch_ms)"
    " VALUES ('work', 0, 'DBOS.sleep', %s, %s)"
)
REGISTER = """
TRUNCATE dbos.workflow_status, dbos.application_versions, dbos.operation_outputs CASCADE;
INSERT INTO dbos.application_versions (version_id, version_name, version_timestamp, created_at, application_name)
SELECT v, v, 1000 + n, 0, 'shop' FROM unnest(%s) WITH ORDINALITY AS found(v, n)
"""
HOUR = 3_600_000


def register(sql: Callable[..., Any], *versions: str) -> None:
    """These are registered, the last one is the latest, and there is no work."""
    sql(REGISTER, [*versions])


class Shop(Kit):
    """An application of two versions, made anew for each life."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.client = Client.from_params({"kubeconfig": str(self.platform.kubeconfig)})

    def begin(self, *, deployed: bool = True, replicas: int = 1, latest: str = "v2") -> None:
        """v2 is promoted over v1; without C(deployed) v1 was retired since."""
        self.clear()
        register(self.sql, *sorted(["v1", "v2"], key=latest.__eq__))
        specs = {version: self.spec(version) for version in ("v1", "v2")}
        records = [ledger.record(spec, 1) for spec in specs.values()]
        for record in records:
            record["metadata"]["annotations"] = {ledger.PROMOTED_ANNOTATION: "2026-11-24T12:00:00+00:00"}
        if not deployed:
            records[0]["metadata"]["annotations"][ledger.RETIRED_ANNOTATION] = "2026-11-24T13:00:00+00:00"
        made = [workload.service(self.app, self.namespace, 8080, "v2"), *workload.documents(specs["v2"])]
        made += workload.documents(specs["v1"]) if deployed else []
        parallel(self.client.create, records)
        apply_all(self.client, made, check=False)
        if deployed:
            scale = {"spec": {"replicas": replicas}}
            self.client.patch("apps/v1", "StatefulSet", "shop-v1", self.namespace, scale, subresource="scale")
            until("pods", lambda: len(self.pods_of_v1()) == replicas)

    def clear(self) -> None:
        """All goes but the promoted version's workload."""
        mine = f"app.kubernetes.io/name={self.app}"
        old = f"{mine},app.kubernetes.io/version notin (v2)"
        selectors = [*((kind, old) for kind in KINDS), (LEASE, old), (RECORD, ledger.selector(self.app))]
        parallel(lambda one: self.delete_all(*one), selectors)
        until("gone", lambda: not self.pods_of_v1() and not self.held_by_keda())

    def delete_all(self, kind: tuple[str, str], selector: str) -> None:
        self.client.json("DELETE", f"{self.client.path(*kind, None, self.namespace)}?labelSelector={quote(selector)}")

    def spec(self, version: str) -> workload.Spec:
        return workload.Spec(
            self.app, self.namespace, version, IMAGE, lifecycle.STATEFUL_SET, self.app,
            files={"version": version}, resources=RESOURCES,
        )  # fmt: skip

    def pods_of_v1(self) -> list[str]:
        selector = f"app.kubernetes.io/name={self.app},app.kubernetes.io/version=v1"
        return [pod["metadata"]["name"] for pod in self.client.list("v1", "Pod", self.namespace, selector)]

    def held_by_keda(self) -> list[dict[str, Any]]:
        """What it has to let go of before it is gone."""
        return [*chain(*(self.client.list(*kind, self.namespace) for kind in KEDAS))]

    def scale_by_keda(self) -> None:
        """KEDA owns the replicas of v1, and is told not to move them."""
        trigger = scaling.DatabaseTrigger(self.platform.node, 5432, self.database, "metrics", "shop-metrics")
        spec = scaling.Spec(
            self.app, self.namespace, "v1", "versions", lifecycle.STATEFUL_SET, self.app, minimum=1, maximum=2,
            concurrency=2, interval=30, scale_in_delay=60, trigger=trigger,
        )  # fmt: skip
        documents = scaling.documents(spec, (1, 36))
        documents[-1]["metadata"]["annotations"] = {"autoscaling.keda.sh/paused": "true"}
        apply_all(self.client, documents, check=False)

    def tick(self, **changed: Any) -> dict[str, Any]:
        common = {
            "kubeconfig": str(self.platform.kubeconfig), "name": self.app, "namespace": self.namespace,
            "lease": self.app, "database_url": self.url("owner"), "reads": 2, "seconds": 0.05,
        }  # fmt: skip
        return call("retirement", **{**common, **changed})

    def go_on(self) -> None:
        """Ticks until there is nothing left to do."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            result = self.tick()
            assert not result.get("failed"), result
            drained = any(one["type"] == "Drained" for one in result["conditions"].get("v1", []))
            if not result["actions"] and not drained:
                return
        raise AssertionError(f"the versions find no rest: {result}")

    def state(self) -> dict[str, Any]:
        """All there is of the application, but times and what only tells a run from another."""
        mine = f"app.kubernetes.io/name={self.app}"
        kinds = [*((kind, mine) for kind in KINDS), (RECORD, ledger.selector(self.app))]
        found = parallel(lambda one: self.client.list(*one[0], self.namespace, one[1]), kinds)
        return {
            # KEDA takes a moment to let go of what is deleted.
            "objects": sorted(_seen(obj) for obj in chain(*found) if "deletionTimestamp" not in obj["metadata"]),
            "work": self.sql(ROWS),
            "versions": [version for (version,) in self.sql(VERSIONS)],
        }

    def record(self, version: str) -> dict[str, str]:
        """The annotations of the version's only ledger record."""
        records = self.client.list(*RECORD, self.namespace, ledger.selector(self.app))
        (found,) = [one for one in records if one["data"]["version"] == version]
        return dict(found["metadata"]["annotations"])


def _seen(obj: dict[str, Any]) -> str:
    metadata, spec = obj["metadata"], obj.get("spec", {})
    marks = sorted(key for key in metadata.get("annotations") or {} if key.startswith("dbos.kubernetes/"))
    kept = metadata["uid"] if obj["kind"] == "StatefulSet" and metadata["name"].endswith("-v2") else ""
    return f"{obj['kind']} {metadata['name']} {spec.get('replicas')} {spec.get('selector')} {marks} {kept}"


@pytest.fixture(scope="module")
def shop(
    platform: Any, ansible_playbook: Any, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    one = Shop(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("faults"))
    one.prepare()
    yield one
    one.clear()
    one.forget()


# Each life begins with what a tick finds.


def draining(shop: Shop) -> None:
    """v2's promotion is half done; v1, which KEDA scales, has no work."""
    shop.begin(latest="v1")
    shop.scale_by_keda()
    service = workload.service(shop.app, shop.namespace, 8080, "v1")
    service["metadata"]["annotations"] = {PROMOTING: "v2"}
    shop.client.apply(service)


def returning(shop: Shop) -> None:
    """v1 was retired, and has running work of its second pod again."""
    shop.begin(deployed=False)
    shop.sql(PENDING, "shop-v1-1")


def parked(shop: Shop) -> None:
    """v1 keeps three pods for a workflow that sleeps on the third."""
    shop.begin(replicas=3)
    shop.sql(PENDING, "shop-v1-2")
    end = int(time.time() * 1000) + HOUR
    shop.sql(ASLEEP, base64.b64encode(str(end).encode()).decode(), end)


def is_retired(shop: Shop) -> None:
    proof = json.loads(shop.record("v1")[ledger.EVIDENCE_ANNOTATION])
    assert proof["stopped"] and proof["reads"] == 2 and proof["database"] == shop.database
    assert ledger.RETIRED_ANNOTATION in shop.record("v1")
    selector = shop.get("service", "shop")["spec"]["selector"]
    assert selector == naming.selector("shop", "v2") and shop.latest() == "v2"
    for kind in ("statefulset", "poddisruptionbudget"):
        assert shop.names(kind) == ["shop-v2"]
    assert sorted(shop.names("service")) == ["shop", "shop-v2"]
    until("let go", lambda: not shop.held_by_keda())


def is_back(shop: Shop) -> None:
    assert shop.get("statefulset", "shop-v1")["spec"]["replicas"] == 2
    assert ledger.RETIRED_ANNOTATION not in shop.record("v1")
    assert "shop-v1" in shop.names("service") and "shop-v1" in shop.names("poddisruptionbudget")
    assert shop.sql(ROWS) == [("work", "PENDING", "shop-v1-1", None, 1)]


def is_compact(shop: Shop) -> None:
    assert shop.pods_of_v1() == ["shop-v1-0"]
    assert shop.get("statefulset", "shop-v1")["spec"]["replicas"] == 1
    assert shop.sql(ROWS) == [("work", "ENQUEUED", "shop-v1-2", "_dbos_internal_queue", 1)]


@pytest.mark.parametrize(
    ("begin", "has_ended"),
    [(draining, is_retired), (returning, is_back), (parked, is_compact)],
    ids=["retire", "revive", "compact"],
)
def test_a_tick_that_is_killed_at_any_write_is_finished_by_the_next(
    shop: Shop, begin: Callable[[Shop], None], has_ended: Callable[[Shop], None]
) -> None:
    """Between any two writes to the API server or to DBOS' tables: it always ends the same."""
    begin(shop)
    assert not killed_after(None, shop.go_on)
    has_ended(shop)
    undisturbed = shop.state()
    for writes in count():
        begin(shop)
        killed = killed_after(writes, shop.go_on)
        shop.go_on()
        assert shop.state() == undisturbed, f"killed after {writes} writes"
        if not killed:
            break
    assert writes > 5


@pytest.mark.parametrize(
    "where",
    [
        "before PATCH .*/statefulsets/shop-v1/scale",
        "after DELETE .*/statefulsets/shop-v1",
        "before PUT .*/controllerrevisions/shop-v1",
    ],
)
def test_the_api_server_is_lost_in_the_middle_of_a_tick(
    shop: Shop, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its proof, half-way through a retirement, and right before that is written down."""
    shop.begin()
    lost: list[str] = []
    with Cable(shop.platform.node, 6443) as cable, monkeypatch.context() as patch:

        def pull(what: str) -> None:
            if re.match(where, what) and not lost:
                lost.append(what)
                cable.pull()

        at_each_write(patch, pull)
        result = until("lost", lambda: _of(shop.tick(kubeconfig=cable.kubeconfig(shop.platform)), lost))
    assert result.get("failed") and "does not answer" in result["msg"] and "\n" not in result["msg"], result
    assert ledger.RETIRED_ANNOTATION not in shop.record("v1")
    assert shop.names("poddisruptionbudget") == (["shop-v2"] if "PUT" in where else ["shop-v1", "shop-v2"])
    shop.go_on()
    is_retired(shop)


def _of(result: dict[str, Any], lost: list[str]) -> dict[str, Any] | None:
    """The tick in which the connection was lost; those before it did their part."""
    assert lost or not result.get("failed"), result
    return result if lost else None


@pytest.mark.parametrize(
    ("change", "subresource", "fails"),
    [({"status": {"collisionCount": 7}}, "status", False), ({"spec": {"replicas": 1}}, "scale", True)],
    ids=["how-it-is", "what-it-shall-be"],
)
def test_a_workload_that_changes_right_before_it_is_deleted(
    shop: Shop, change: dict[str, Any], subresource: str, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its controller tells how it is at any time, which is no reason to keep it; another has a say in the rest."""
    shop.begin()
    seen: list[str] = []

    def interfere(what: str) -> None:
        if re.match("before DELETE .*/statefulsets/shop-v1", what) and not seen:
            seen.append(what)
            shop.client.patch("apps/v1", "StatefulSet", "shop-v1", shop.namespace, change, subresource=subresource)

    with monkeypatch.context() as patch:
        at_each_write(patch, interfere)
        result = until("retired", lambda: (found := shop.tick()) and seen and found)
    assert bool(result.get("failed")) == fails, result
    assert not fails or "was changed while it was being retired" in result["msg"]
    assert (shop.names("statefulset") == ["shop-v1", "shop-v2"]) == fails
    shop.go_on()
    is_retired(shop)


@pytest.fixture
def pair(platform: Any) -> Iterator[tuple[Server, Server]]:
    """A primary with a migrated database, whose commits wait for the standby that follows it."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dbos-failover-")))
        directory.chmod(0o755)
        primary = Server(platform.directory / "postgresql/server/bin", directory / "primary")
        stack.callback(primary.stop)
        primary.initialise()
        primary.start()
        primary.sql("CREATE DATABASE shop")
        migrate = [platform.program("dbos"), "migrate", "-D", primary.url("shop")]
        subprocess.run(migrate, check=True, capture_output=True, timeout=120)
        primary.stop()
        standby = primary.standby(directory / "standby")
        primary.start(synchronous_standby_names="*")
        stack.callback(standby.stop)
        standby.start()
        yield primary, standby


def test_the_database_fails_over_in_mid_drain(shop: Shop, pair: tuple[Server, Server]) -> None:
    """The replica lags, and shows a version without work; what it has received is there once it is the primary."""
    primary, standby = pair
    shop.begin()
    register(lambda text, *values: primary.sql(text, *values, database="shop"), "v1", "v2")
    until("received", lambda: standby.sql(VERSIONS, database="shop") == [("v1",), ("v2",)])
    standby.sql("SELECT pg_wal_replay_pause()")
    until("paused", lambda: standby.sql("SELECT pg_get_wal_replay_pause_state()") == [("paused",)])
    primary.sql(PENDING, "shop-v1-0", database="shop")
    with Cable("127.0.0.1", primary.port) as endpoint:
        url = primary.url("shop", endpoint.port)
        options = {"application_name": shop.app, "version": "v1", "reads": 2, "seconds": 0.2, "deadline": 600}
        drain = Call("workflow_drain", {**options, "database_url": url}, DatabaseKit.new_run()).start()
        try:
            asks(drain, primary, 1)
            primary.kill()
            until("looked for in vain", lambda: endpoint.refused)
            kept(shop, url, "cannot be used")
            endpoint.lead("127.0.0.1", standby.port)
            asks(drain, standby, 2)
            assert standby.sql(ROWS, database="shop") == []
            kept(shop, url, "replica")
            standby.sql("SELECT pg_promote()")
            assert standby.sql(ROWS, database="shop") == [("work", "PENDING", "shop-v1-0", None, 1)]
            asks(drain, standby, 1)
            result = shop.tick(database_url=url)
            assert not result.get("failed") and result["actions"] == [], result
            standby.sql("UPDATE dbos.workflow_status SET status = 'SUCCESS'", database="shop")
            answer = drain.end()
        finally:
            drain.process.kill()
        assert answer["drained"] and answer["evidence"]["reads"] == 2, answer
        assert [action["verb"] for action in shop.tick(database_url=url)["actions"]] == ["stop"]


def asks(drain: Call, server: Server, times: int) -> None:
    """The drain asks that server for work, so many times from now on, and does not end."""
    seen: set[Any] = set()
    query = (
        "SELECT query_start FROM pg_stat_activity WHERE application_name = 'dbos.kubernetes' AND state = 'idle'"
        " AND query LIKE '%%workflow_status%%' AND query NOT LIKE '%%pg_attribute%%' AND query_start > %s"
    )
    ((now,),) = server.sql("SELECT clock_timestamp()")

    def enough() -> bool:
        seen.update(server.sql(query, now))
        return len(seen) >= times or drain.process.poll() is not None

    until("asked", enough)
    assert drain.process.poll() is None, drain.end()


def kept(shop: Shop, url: str, why: str) -> None:
    """A tick fails for that reason, and has changed nothing."""
    result = shop.tick(database_url=url)
    assert result.get("failed") and why in result["msg"] and "\n" not in result["msg"], result
    assert shop.get("statefulset", "shop-v1")["spec"]["replicas"] == 1

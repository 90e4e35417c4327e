"""Applications are taken down: no work is lost unasked, nothing of others goes, and nothing of theirs is left."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from fault_kit import killed_after
from module_call import call
from process_kit import until

from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease

pytestmark = pytest.mark.slow

KINDS = (
    "statefulset,deployment,service,configmap,secret,sealedsecret,job,controllerrevision,serviceaccount,"
    "poddisruptionbudget,scaledobject,triggerauthentication,persistentvolumeclaim"
)
NO_BACKUP = {"addons_sealing_keys_backup": ""}


@dataclass(frozen=True)
class App:
    """One application, and what a person would look at."""

    platform: Any
    name: str

    @property
    def namespace(self) -> str:
        return f"test-{self.name}"

    @property
    def database(self) -> str:
        return self.name.replace("-", "_")

    def options(self, **more: Any) -> dict[str, Any]:
        """Of module application_teardown."""
        roles = {name: f"{self.database}_{name}" for name in ("owner", "role")}
        logins = {"logins": [f"{self.database}_a", f"{self.database}_b"]}
        metrics = {"metrics": [f"{self.database}_metrics", f"{self.database}_metrics_b"]}
        return {
            **reach(self.platform),
            "name": self.name,
            "namespace": self.namespace,
            "database": {"name": self.database, **roles, **logins, **metrics},
            "timeout": 300,
            **more,
        }

    @property
    def named(self) -> dict[str, str]:
        """As module teardown_preflight takes it."""
        return {"name": self.name, "namespace": self.namespace, "database": self.database}

    def sql(self, text: str, *values: Any) -> list[Any]:
        with closing(psycopg2.connect(**self.platform.database(self.database))) as session, session.cursor() as cursor:
            session.autocommit = True
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def begin(self, status: str = "ENQUEUED", version: str | None = "v1") -> str:
        """A workflow that nobody takes; its queue is known to none."""
        id_ = f"row-{uuid.uuid4()}"
        self.sql(
            "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_version, application_name,"
            " recovery_attempts, queue_name) VALUES (%s, %s, 'task', %s, %s, 0, 'elsewhere')",
            id_, status, version, self.name,
        )  # fmt: skip
        return id_

    def status(self, id_: str) -> str:
        return str(self.sql("SELECT status FROM dbos.workflow_status WHERE workflow_uuid = %s", id_)[0][0])

    def end(self, id_: str) -> None:
        self.sql("UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = %s", id_)

    def objects(self) -> dict[str, str]:
        """Uids by kind and name."""
        text = self.platform.kubectl("get", KINDS, "-n", self.namespace, "-o", "json")
        return {f"{obj['kind']}/{obj['metadata']['name']}": obj["metadata"]["uid"] for obj in json.loads(text)["items"]}

    def selected(self) -> str:
        path = r"jsonpath={.spec.selector.app\.kubernetes\.io/component}"
        return str(self.platform.kubectl("get", "service", self.name, "-n", self.namespace, "-o", path))

    def exists(self) -> bool:
        return bool(self.platform.kubectl("get", "namespace", self.namespace, "--ignore-not-found").strip())


def reach(platform: Any) -> dict[str, Any]:
    """Connection options of the modules."""
    admin = platform.database()
    where = f"{admin['user']}:{admin['password']}@{admin['host']}:5432/postgres?sslmode=verify-full"
    return {
        "kubeconfig": str(platform.kubeconfig),
        "database_url": f"postgresql://{where}",
        "ca": (platform.directory / "pki/ca.crt").read_text(),
    }


def preflight(platform: Any, *apps: App, **options: Any) -> dict[str, Any]:
    """In check mode it holds no Leases, and says what it would refuse."""
    return call(
        "teardown_preflight", check=True, **{**reach(platform), "applications": [app.named for app in apps], **options}
    )


@pytest.fixture(scope="module")
def pair(platform: Any) -> Iterator[tuple[App, App]]:
    apps = App(platform, f"left-{uuid.uuid4().hex[:6]}"), App(platform, f"right-{uuid.uuid4().hex[:6]}")
    try:
        yield apps
    finally:
        for app in apps:
            platform.kubectl("delete", "namespace", app.namespace, "--ignore-not-found")
            platform.forget(app.name)


@pytest.fixture(scope="module")
def teardown(
    pair: tuple[App, App], ansible_playbook: Callable[..., Any], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Runs teardown.yml on an inventory with both of them, which this deploys."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "examples").symlink_to(root / "examples")
    inventory = folder / "inventories/local"
    inventory.mkdir(parents=True)
    (inventory / "group_vars").symlink_to(root / "inventories/local/group_vars")
    hosts = {
        "dbos_platforms": {"hosts": {"local": {"platform_kind": "local"}}},
        "dbos_apps": {"hosts": {app.name: {"dbos_platform": "local", "dbos_namespace": app.namespace} for app in pair}},
    }
    (inventory / "hosts.yml").write_text(yaml.safe_dump(hosts))

    def run(*arguments: str, playbook: str = "teardown.yml", **variables: Any) -> Any:
        return ansible_playbook(playbook, *arguments, inventory=inventory, extra_vars=variables, check=False)

    deployed = run(playbook="deploy.yml")
    assert deployed.returncode == 0, deployed.output
    return run


def both(pair: tuple[App, App]) -> str:
    return ",".join(app.name for app in pair)


class TestRefused:
    """Nothing is touched."""

    @pytest.fixture(autouse=True)
    def _untouched(self, pair: tuple[App, App], teardown: Callable[..., Any]) -> Iterator[None]:
        before = [app.objects() for app in pair]
        yield
        assert [app.objects() for app in pair] == before
        assert [app.selected() for app in pair] == ["executor", "executor"]

    def test_a_plan_lists_everything_and_what_is_kept(self, pair, teardown):
        right = pair[1]
        busy = right.begin()
        run = teardown("--check")
        right.end(busy)
        assert run.returncode == 0, run.output
        for app in pair:
            for kind, name in (entry.split("/") for entry in app.objects()):
                implied = kind in ("Secret", "ControllerRevision") or name in ("kube-root-ca.crt", "default")
                assert implied or f"{kind:<21}  {app.namespace}" in run.output, f"{kind} {name}\n{run.output}"
            assert f"delete  Namespace              -                  {app.namespace}"[:30] in run.output
            assert f"{app.database}" in run.output.split("keep    Database", 1)[1]
        assert "Nothing was taken down: 1 unfinished workflow (1 enqueued)" in " ".join(run.output.split())

    def test_without_the_names(self, teardown, pair):
        run = teardown(teardown_confirm=pair[0].name)
        assert run.returncode != 0
        assert f"teardown_confirm={both(pair)}" in " ".join(run.output.split()), run.output

    def test_a_platform_without_its_applications(self, teardown):
        run = teardown("--limit", "local", teardown_scope="platform", teardown_confirm="local")
        assert run.returncode != 0
        assert "Run without --limit" in " ".join(run.output.split()), run.output

    def test_a_platform_whose_keys_open_what_is_in_git(self, teardown):
        run = teardown("--check", teardown_scope="platform", secrets_manifests_directory="/sealed", **NO_BACKUP)
        assert run.returncode != 0
        said = " ".join(run.output.split())
        assert "The sealing keys go with platform local, and nothing else opens the manifests in /sealed" in said

    def test_both_when_one_is_busy(self, pair, teardown):
        busy = pair[1].begin()
        try:
            run = teardown(teardown_confirm=both(pair))
        finally:
            pair[1].end(busy)
        said = " ".join(run.output.split())
        assert run.returncode != 0
        assert f"1 unfinished workflow (1 enqueued) (1 of {pair[1].name}" in said, run.output
        assert "teardown_abandon=1" in said

    def test_both_when_the_number_is_another_by_now(self, pair, teardown):
        busy = [pair[1].begin(), pair[0].begin("DELAYED")]
        try:
            run = teardown(teardown_confirm=both(pair), teardown_abandon=1)
        finally:
            for app, id_ in zip(reversed(pair), busy, strict=True):
                app.end(id_)
        assert run.returncode != 0
        assert "teardown_abandon is 1, but there are 2 unfinished workflows now" in " ".join(run.output.split())

    def test_what_cannot_be_read(self, pair, platform):
        for wrong, says in (
            (
                {"database_url": reach(platform)["database_url"].replace("dbos_admin:", "dbos_admin:x")},
                "wrong password",
            ),
            ({"ca": None}, "cannot be used|verified"),
            ({"database_url": "postgresql://a:b@127.0.0.1:9/postgres"}, "cannot be used"),
        ):
            result = preflight(platform, *pair, **wrong)
            assert "teardown_unreadable=abandon" in result["refused"], result
            assert any(word in result["refused"] for word in says.split("|")), result
            result = call("teardown_preflight", **{**reach(platform), "applications": [pair[0].named], **wrong})
            assert result["failed"], result
            given_up = preflight(platform, *pair, unreadable="abandon", **wrong)
            assert not given_up["refused"], given_up
            assert "It is given up" in str(given_up["warnings"])

    def test_what_another_run_works_on(self, pair, teardown):
        lease = Lease(Client.from_params(kube(pair[1])), pair[1].namespace, pair[1].name)
        try:
            with lease:  # it is renewed, as by a run that is at work
                run = teardown(teardown_confirm=both(pair))
        finally:
            lease.release()
        assert run.returncode != 0
        assert f"Another run is changing application {pair[1].name}" in " ".join(run.output.split()), run.output

    def test_what_does_not_drain(self, pair):
        busy = pair[1].begin(version=None)
        for name, owner in (("yearly", pair[1].name), ("of-others", "others")):
            pair[1].sql(
                "INSERT INTO dbos.workflow_schedules (schedule_id, schedule_name, workflow_name, schedule, status,"
                " context, application_name) VALUES (%s, %s, 'task', '0 0 0 1 1 *', 'ACTIVE', '{}', %s)",
                name, name, owner,
            )  # fmt: skip
        try:
            result = call("application_teardown", **pair[1].options(state="idle", policy="drain", drain_deadline=0))
        finally:
            pair[1].end(busy)
            pair[1].sql("DELETE FROM dbos.workflow_schedules")
            call("lease", state="absent", application=pair[1].name, namespace=pair[1].namespace, **kube(pair[1]))
        assert result["failed"]
        assert busy in result["msg"], result
        assert "Schedules make new work meanwhile: yearly. Pause them" in result["msg"], result

    def test_more_than_was_given_up(self, pair):
        busy = [pair[1].begin() for _ in range(2)]
        try:
            result = call("application_teardown", **pair[1].options(policy="abandon", abandon=1))
        finally:
            for id_ in busy:
                pair[1].end(id_)
            call("lease", state="absent", application=pair[1].name, namespace=pair[1].namespace, **kube(pair[1]))
        assert result["failed"]
        assert "there are 2 unfinished workflows now" in result["msg"]

    def test_a_policy_that_is_not_whole(self, pair):
        for options in ({"policy": "abandon"}, {"policy": "drain", "abandon": 3}):
            assert "teardown_abandon is the number" in call("application_teardown", **pair[1].options(**options))["msg"]

    def test_what_others_have_on_the_platform_counts_too(self, pair, platform):
        busy = pair[1].begin()
        try:
            # Other tests' databases may go while they are counted.
            refused = preflight(platform, pair[0], scope="platform", policy="drain", unreadable="abandon")
        finally:
            pair[1].end(busy)
        assert {"name": pair[1].name, "namespace": pair[1].namespace} in refused["found"]
        assert f"Application {pair[1].name} in namespace {pair[1].namespace} is not in" in str(refused["warnings"])
        assert refused["sealing_keys"]
        assert f"{pair[1].database} (not in the inventory), database {pair[1].database}" in refused["refused"]


def kube(app: App) -> dict[str, str]:
    return {"kubeconfig": str(app.platform.kubeconfig)}


class TestTakenDown:
    """What is drained, one alone whose work is given up, and the other by a run that is killed again and again."""

    def test_once_it_has_drained(self, pair, teardown):
        busy = pair[0].begin()
        threading.Timer(3, pair[0].end, (busy,)).start()
        result = call("application_teardown", **pair[0].options(state="idle", policy="drain", drain_deadline=60))
        call("lease", state="absent", application=pair[0].name, namespace=pair[0].namespace, **kube(pair[0]))
        assert not result.get("failed"), result
        assert pair[0].selected() == "stopped"
        assert pair[0].status(busy) == "SUCCESS"

    def test_one_alone_with_its_database(self, pair, teardown, platform):
        before = pair[1].objects()
        pair[0].begin()
        variables = {"teardown_confirm": pair[0].name, "teardown_database": "drop", "teardown_abandon": "1"}
        run = teardown("--limit", pair[0].name, **variables)
        assert run.returncode == 0, run.output
        assert not pair[0].exists()
        with closing(psycopg2.connect(**platform.database())) as session, session.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname = %s", (pair[0].database,))
            assert not cursor.fetchall()
            cursor.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", (pair[0].database,))
            assert not cursor.fetchall()
        assert pair[1].objects() == before
        again = teardown("--limit", pair[0].name, **variables)
        assert (again.returncode, again.changed) == (0, 0), again.output

    def test_what_was_never_there_is_no_obstacle(self, pair, platform):
        """The first of the two is gone, its database as well."""
        assert preflight(platform, pair[0], drop=True)["unfinished"] == 0

    def test_killed_at_any_step_and_cancelled(self, pair):
        app = pair[1]
        ids = [app.begin(), app.begin("PENDING"), app.begin("DELAYED", version=None)]
        cancelled: list[str] = []

        def work() -> None:
            result = call("application_teardown", **app.options(policy="cancel", lease=app.name))
            assert not result.get("failed"), result

        for run in count():
            assert run < 60
            if not killed_after(5, work):
                break
        assert run > 3
        assert not app.exists()
        cancelled += [id_ for id_ in ids if app.status(id_) == "CANCELLED"]
        assert cancelled == ids
        again = call("application_teardown", **app.options())
        assert not again["changed"], again
        assert not app.exists()


def claim(name: str, app: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": app, "app.kubernetes.io/component": "executor"}
    spec = {
        "accessModes": ["ReadWriteOnce"], "volumeName": f"{app}-volume", "storageClassName": "",
        "resources": {"requests": {"storage": "1Mi"}},
    }  # fmt: skip
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "labels": labels}, "spec": spec
    }  # fmt: skip


class TestInTheCloud:
    """Load balancers and volumes: their controllers are not here, so the tests are."""

    @pytest.fixture
    def app(self, platform: Any) -> Iterator[App]:
        app = App(platform, f"cloud-{uuid.uuid4().hex[:6]}")
        labels = {f"app.kubernetes.io/{key}": app.name for key in ("name", "instance")}
        ours = {"app.kubernetes.io/managed-by": "dbos.kubernetes"}
        balancer = {
            "apiVersion": "v1", "kind": "Service", "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
            "metadata": {
                "name": f"{app.name}-public", "labels": labels | ours,
                "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
            },
        }  # fmt: skip
        volume = {
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": f"{app.name}-volume", "finalizers": ["tests/held"]},
            "spec": {
                "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/none"},
                "claimRef": {"namespace": app.namespace, "name": "data"},
                "persistentVolumeReclaimPolicy": "Delete", "storageClassName": "",
            },
        }  # fmt: skip
        ledger = {"app.kubernetes.io/component": "ledger"}
        record = {
            "apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1,
            "data": {"version": "v1", "documents": [{"spec": {"template": {"spec": {"containers": []}}}}]},
            "metadata": {"name": f"{app.name}-v1", "labels": labels | ours | ledger},
        }  # fmt: skip
        note = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note"}, "data": {"of": "a person"}}
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": app.namespace, "labels": ours}}
        platform.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(space))
        documents = [balancer, claim("data", app.name), record, note]
        platform.kubectl("apply", "-n", app.namespace, "-f", "-", stdin=yaml.safe_dump_all(documents))
        get = ["get", "pvc", "data", "-n", app.namespace, "-o"]
        volume["spec"]["claimRef"]["uid"] = platform.kubectl(*get, "jsonpath={.metadata.uid}")
        platform.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(volume))
        until("bound", lambda: platform.kubectl(*get, "jsonpath={.status.phase}") == "Bound")
        yield app
        for kind, name in (("service", f"{app.name}-public"), ("pv", f"{app.name}-volume")):
            self.let_go(app, kind, name)
        platform.kubectl("delete", "namespace", app.namespace, "--ignore-not-found", "--wait=false")
        platform.kubectl("delete", "pv", f"{app.name}-volume", "--ignore-not-found", "--wait=false")

    @staticmethod
    def let_go(app: App, kind: str, name: str) -> None:
        patch = ["--type=merge", "-p", '{"metadata":{"finalizers":null}}']
        app.platform.kubectl("patch", kind, name, "-n", app.namespace, *patch, check=False)

    @staticmethod
    def take_down(app: App, **options: Any) -> dict[str, Any]:
        return call("application_teardown", **{**app.options(**options), "database_url": None})

    def test_are_waited_for(self, app):
        results: list[dict[str, Any]] = []
        thread = threading.Thread(target=lambda: results.append(self.take_down(app)))
        thread.start()
        get = ["get", "-o", "jsonpath={.metadata.deletionTimestamp}", "-n", app.namespace]
        until("deleted", lambda: app.platform.kubectl(*get, "service", f"{app.name}-public"))
        assert "PersistentVolumeClaim/data" in app.objects()
        self.let_go(app, "service", f"{app.name}-public")
        until("claim gone", lambda: "PersistentVolumeClaim/data" not in app.objects())
        # What provisioned the volume deletes it.
        app.platform.kubectl("delete", "pv", f"{app.name}-volume", "--wait=false")
        assert thread.is_alive()
        assert f"ControllerRevision/{app.name}-v1" in app.objects()
        self.let_go(app, "pv", f"{app.name}-volume")
        thread.join(300)
        assert not results[0].get("failed"), results
        kept = {(one["kind"], one["name"]): one["why"] for one in results[0]["kept"]}
        assert kept == {
            ("ConfigMap", "note"): "it was not made by this collection",
            ("Namespace", app.namespace): "it is not empty",
        }
        assert set(app.objects()) == {"ConfigMap/kube-root-ca.crt", "ConfigMap/note", "ServiceAccount/default"}

    def test_are_named_when_they_stay(self, app):
        result = self.take_down(app, timeout=1)
        assert result["failed"]
        assert f"Service {app.namespace}/{app.name}-public is not gone after 1 s" in result["msg"]
        assert "load-balancer-cleanup" in result["msg"]


class TestNoPlatform:
    """What was never built has nothing to be counted."""

    def test_without_a_kubeconfig_and_a_server(self, tmp_path):
        nothing = {"kubeconfig": str(tmp_path / "none"), "database_url": "postgresql://a:b@127.0.0.1:9/postgres"}
        named = [{"name": "shop", "namespace": "shop", "database": "shop"}]
        options = {"scope": "platform", "server_goes": True, "applications": named, "directory": str(tmp_path)}
        result = call("teardown_preflight", **nothing, **options)
        assert (result.get("failed"), result["unfinished"]) == (None, 0), result
        (tmp_path / "postgresql/data/base/16400").mkdir(parents=True)
        result = call("teardown_preflight", **nothing, **options)
        assert "teardown_unreadable=abandon" in result["msg"], result
        assert not call("teardown_preflight", **nothing, **options, unreadable="abandon").get("failed")

    def test_that_does_not_answer(self, tmp_path):
        config = tmp_path / "config"
        cluster = {"name": "gone", "cluster": {"server": "https://127.0.0.1:9"}}
        context = {"name": "gone", "context": {"cluster": "gone", "user": "gone"}}
        users = [{"name": "gone", "user": {"token": "none"}}]
        found = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "gone"}
        config.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **found}))
        result = call("teardown_preflight", kubeconfig=str(config), scope="platform")
        assert "does not answer" in result["msg"], result
        assert not call("teardown_preflight", kubeconfig=str(config), scope="platform", unreadable="abandon").get(
            "failed"
        )

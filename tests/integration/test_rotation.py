"""New credentials while versions live: restarted one by one, killed half-way, proven in the database, revived later."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
import release_kit
from process_kit import until

from ansible_collections.dbos.kubernetes.plugins.module_utils import freshness, reviving, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Holder, Lease

from .database_kit import Kit

NOTHING = {"restarted": [], "disabled": [], "changed": False}


class Shop(Kit):
    """An application whose steps are called one by one, as rotate.yml does; C(turn) counts its rotations."""

    turn = 0

    @property
    def passwords(self) -> dict[str, str]:
        """Of logins and metrics login in this turn."""
        return {"login_password": f"app-{self.turn}", "metrics_password": f"metrics-{self.turn}"}

    @property
    def logins(self) -> tuple[str, str]:
        """Whose turn it is, of the application and of the metrics."""
        return f"{self.database}_{'ab'[self.turn % 2]}", f"{self.database}_metrics{'_b' if self.turn % 2 else ''}"

    def plain(self, module: str, **options: Any) -> dict[str, Any]:
        """A module that does without the database."""
        return self.ok(module, ca=None, relay=None, namespace=self.namespace, **options)

    def make_database(self) -> None:
        made = self.ok("database", **self.database_options(**self.passwords))
        assert (made["login"], made["metrics_login"]) == self.logins

    def seal(self, *smtp: str) -> None:
        login, metrics = self.logins
        ca = "/etc/dbos/database-ca/ca.crt"
        url = self.url(login, self.passwords["login_password"], database=self.database, sslrootcert=ca)
        values = {
            "dbos-app-db": {"database-url": url},
            f"{self.app}-metrics": {"username": metrics, "password": self.passwords["metrics_password"]},
            "smtp": {"password": smtp[0] if smtp else "mail"},
        }
        self.plain("sealed_secret", secrets=[{"name": name, "string_data": data} for name, data in values.items()])

    def trust(self, bundle: str) -> None:
        metadata = {"name": "dbos-database-ca"}
        self.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": bundle}})

    def release(self, version: str, image: str, **options: Any) -> dict[str, Any]:
        settings = {
            "name": self.app,
            "namespace": self.namespace,
            "database_url": self.owner_url(),
            "version": version,
            "image": image,
            "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}},
            "secret_env": {"SMTP_PASSWORD": {"secret": "smtp", "key": "password"}},
            "replicas": 1,
            "drain_seconds": 10,
            "timeout": 180,
        }
        return self.ok("release", **settings | options)

    def rotation_options(self) -> dict[str, Any]:
        name = self.database
        return {
            "database_url": self.url(),
            "name": self.app,
            "namespace": self.namespace,
            "logins": [f"{name}_a", f"{name}_b"],
            "metrics_logins": [f"{name}_metrics", f"{name}_metrics_b"],
        }

    def rotate(self, **options: Any) -> dict[str, Any]:
        """What the last step says."""
        result = self.ok("rotation", **{**self.rotation_options(), **options})
        return {key: result[key] for key in NOTHING}

    def pods(self) -> dict[str, dict[str, Any]]:
        found = self.objects("pods", f"app.kubernetes.io/name={self.app},app.kubernetes.io/component=executor")
        return {pod["metadata"]["name"]: pod for pod in found}

    def connected(self) -> dict[str, set[str]]:
        """Logins of each pod's sessions; of KEDA's (they have no pod of ours) under an empty name."""
        names = {pod["status"].get("podIP"): name for name, pod in self.pods().items()}
        rows = self.rows(
            "SELECT host(client_addr), usename FROM pg_stat_activity WHERE usename LIKE %s AND usename NOT LIKE %s",
            f"{self.database}%",
            "%owner",
        )
        found: dict[str, set[str]] = {}
        for address, login in rows:
            found.setdefault(names.get(address, ""), set()).add(login)
        return found

    def enabled(self) -> set[str]:
        rows = self.rows(
            "SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname LIKE %s AND rolname NOT LIKE %s",
            f"{self.database}%",
            "%owner",
        )
        return {row[0] for row in rows}

    def workflows(self) -> dict[str, tuple[str, int, str]]:
        rows = self.rows(
            "SELECT workflow_uuid, status, recovery_attempts, executor_id FROM dbos.workflow_status",
            database=self.database,
            user=f"{self.database}_owner",
            password="owner-secret",
        )
        return {row[0]: row[1:] for row in rows}

    def work(self, pod: str, how: str, seconds: int) -> str:
        """Work that a pod is given: to C(enqueue) for any pod of its version, or to C(start) itself."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}:8080/proxy/{how}/{seconds}"
        return str(json.loads(self.platform.kubectl("get", "--raw", path))["workflow_id"])


@pytest.fixture(scope="module")
def image(
    platform: Any, ansible_playbook: Callable[..., Any], root: Any, tmp_path_factory: pytest.TempPathFactory
) -> str:
    kit = release_kit.Kit(platform, ansible_playbook, "unused", tmp_path_factory.mktemp("image"))
    return release_kit.sample_image(kit, root)


@pytest.fixture(scope="module")
def shop(platform: Any, namespace: str, image: str) -> Iterator[Shop]:
    """v0 is in the ledger only, v1 drains, v2 drains without pods, v3 is promoted and scaled by KEDA."""
    kit = Shop(platform, namespace)
    name = kit.database
    kit.make_database()
    url = f"{kit.owner_url()}&sslrootcert={platform.directory}/pki/ca.crt"
    migrate = [platform.program("dbos"), "migrate", "--app-role", f"{name}_role", "-D", url]
    subprocess.run(migrate, check=True, capture_output=True, timeout=120)
    for statement in (
        f"GRANT USAGE ON SCHEMA dbos TO {name}_metrics",
        f"GRANT SELECT ON dbos.workflow_status, dbos.application_versions TO {name}_metrics",
    ):
        kit.rows(statement, database=name, user=f"{name}_owner", password="owner-secret")
    kit.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": kit.app}})
    kit.trust(kit.ca)
    kit.seal()
    for version in ("v0", "v1", "v2", "v3"):
        kit.release(version, image, replicas=2 if version == "v1" else 1)
    platform.kubectl("delete", "statefulset", f"{kit.app}-v0", "-n", namespace)
    platform.kubectl("scale", "statefulset", f"{kit.app}-v2", "--replicas=0", "-n", namespace)
    kit.plain(
        "autoscaling",
        name=kit.app,
        version="v3",
        max_replicas=2,
        polling_interval=2,
        database={"host": platform.node, "name": name, "user": f"{name}_metrics", "secret": f"{kit.app}-metrics"},
    )
    until("three pods", lambda: len(kit.pods()) == 3)
    yield kit
    platform.kubectl("delete", "scaledobject,statefulset", "--all", "-n", namespace)
    kit.remove()


def test_killed_at_every_step_and_finished_by_the_next_run(shop: Shop) -> None:
    former = shop.logins
    assert shop.rotate() == NOTHING
    until("KEDA's session", lambda: former[1] in shop.connected().get("", set()))
    shop.turn += 1
    login, metrics = shop.logins

    # Killed after the first step: nobody uses the new logins, so they are taken back, and given again.
    shop.make_database()
    assert shop.enabled() == {*former, login, metrics}
    assert shop.rotate() == {"restarted": [], "disabled": [login, metrics], "changed": True}
    shop.make_database()

    told = shop.rotate(check=True, changing=["dbos-app-db"])
    assert told == {"restarted": ["v1", "v3"], "disabled": [login, metrics], "changed": True}
    other = {"env": [{"name": "URL", "valueFrom": {"secretKeyRef": {"name": "dbos-app-db", "key": "database-url"}}}]}
    pod = {"metadata": {"name": "another"}, "spec": {"containers": [{"name": "c", "image": "none.invalid/x", **other}]}}
    shop.apply({"apiVersion": "v1", "kind": "Pod", **pod})

    # Killed after the second step, and in the middle of the third, while work runs.
    short = [shop.work(f"{shop.app}-v1-{ordinal}", "enqueue", 6) for ordinal in (0, 1)]
    long = shop.work(f"{shop.app}-v1-1", "start", 60)  # on the pod that is the first to go, long before this is done
    until("work runs", lambda: "ENQUEUED" not in str(shop.workflows()))
    shop.seal()
    killed = shop.start("rotation", **shop.rotation_options())
    until("restarting", lambda: freshness.RESTARTED in str(shop.pods().get(f"{shop.app}-v1-1")), 180)
    killed.process.kill()
    killed.process.communicate()
    assert shop.enabled() == {*former, login, metrics}

    # The next run finishes, but not while somebody else needs the former login.
    refused = shop.refused("rotation", **shop.rotation_options())
    assert f"Login {former[0]} stays enabled: pod another was started before Secret dbos-app-db changed" in refused
    shop.platform.kubectl("delete", "pod", "another", "-n", shop.namespace)
    assert shop.rotate() == {"restarted": [], "disabled": [*former], "changed": True}
    assert shop.rotate() == NOTHING

    # KEDA leaves and comes back as it likes.
    seen = until("KEDA's session", lambda: found if "" in (found := shop.connected()) else None)
    assert seen.pop("") == {metrics}
    assert seen == {name: {login} for name in shop.pods()}
    assert shop.enabled() == {login, metrics}
    for name, password in zip(former, ("app-0", "metrics-0"), strict=True):
        with pytest.raises(psycopg2.OperationalError):
            shop.rows("SELECT 1", database=shop.database, user=name, password=password)

    # No work was lost or done twice: what fitted into the grace ended undisturbed, the rest went on where it was.
    until("all done", lambda: {one[0] for one in shop.workflows().values()} == {"SUCCESS"})
    done = shop.workflows()
    assert sorted(done) == sorted([*short, long])
    assert [done[one][1] for one in short] == [1, 1]
    assert done[long][1] >= 2


def test_a_version_that_is_revived_has_the_new_credentials(shop: Shop) -> None:
    client = Client.from_params({"kubeconfig": str(shop.platform.kubeconfig)})
    objects = version_objects.read(client, shop.app, shop.namespace)
    lease = Lease(client, shop.namespace, shop.app, Holder(**json.loads(shop.run)))
    reviving.revive(client, objects, "v0", 1, lease)
    pod = f"{shop.app}-v0-0"
    until("connected", lambda: shop.connected().get(pod) == {shop.logins[0]})
    assert shop.rotate() == NOTHING


def test_another_ca_is_a_rotation_too(shop: Shop, image: str) -> None:
    """A bundle of the former and the next one, as long as the server may show either."""
    before = {name: pod["metadata"]["uid"] for name, pod in shop.pods().items()}
    another = (shop.platform.directory / "pki/front-proxy-ca.crt").read_text()
    shop.trust(f"{shop.ca}\n{another}")
    assert shop.rotate() == {"restarted": ["v0", "v1", "v3"], "disabled": [], "changed": True}
    after = {name: pod["metadata"]["uid"] for name, pod in shop.pods().items()}
    assert before.keys() == after.keys()
    assert not {*before.values()} & {*after.values()}
    assert shop.rotate() == NOTHING

    # The restart is no version of its own, and the next release of the same leaves it alone.
    records = len(shop.objects("controllerrevisions", "app.kubernetes.io/component=ledger"))
    assert not shop.release("v3", image)["changed"]
    assert len(shop.objects("controllerrevisions", "app.kubernetes.io/component=ledger")) == records == 4
    assert {name: pod["metadata"]["uid"] for name, pod in shop.pods().items()} == after


def test_any_secret_of_a_version_is_one(shop: Shop) -> None:
    """As a new key of Conductor, which this SDK reads with DBOS' enterprise package only."""
    sets = [f"{shop.app}-v0", f"{shop.app}-v1"]
    shop.platform.kubectl("scale", "statefulset", *sets, "--replicas=0", "-n", shop.namespace)
    until("one version left", lambda: len(shop.pods()) == 1)
    shop.seal("another")
    assert shop.rotate() == {"restarted": ["v3"], "disabled": [], "changed": True}
    assert shop.rotate() == NOTHING

"""The preflight of a release against a real database, registry and ledger, and as a step of deploy.yml."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .database_kit import Kit
from .module_call import call
from .release_kit import Kit as Releases
from .release_kit import sample_image
from .schema_kit import insert, make, owner

SHOP = "shop"
GO, PY2, PY3 = "go 1.8.0", "python 2.31.1", "python 3.4.0"
# The columns of every row that a version keeps; the rest is each test's own.
ROW = {"status": "PENDING", "name": "task", "created_at": 1, "updated_at": 1, "application_name": SHOP}


@pytest.fixture(scope="module")
def kit(platform: Any, namespace: str) -> Iterator[Kit]:
    kit = Kit(platform, namespace)
    kit.ok("database", **kit.database_options(relay=None))
    make(kit, 125)
    yield kit
    kit.ok("database", **kit.database_options(relay=None, state="absent"))


@pytest.fixture(scope="module")
def image(platform: Any, ansible_playbook: Any, root: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample application's digest."""
    return sample_image(Releases(platform, ansible_playbook, "unused", tmp_path_factory.mktemp("images")), root)


@pytest.fixture(autouse=True)
def _clean(kit: Kit) -> Iterator[None]:
    yield
    kit.platform.kubectl("delete", "controllerrevision", "--all", "-n", kit.namespace)
    make(kit, 125)


def preflight(kit: Kit, version: str | None = "v2", *, check: bool = False, **options: Any) -> dict[str, Any]:
    given = {
        "name": SHOP,
        "namespace": kit.namespace,
        "version": version,
        "kubeconfig": str(kit.platform.kubeconfig),
        "database_url": kit.owner_url(),
        "ca": kit.ca,
        "metrics_role": f"{kit.database}_metrics",
        "registry": {"host": f"{kit.platform.node}:5443", "ca_file": str(kit.platform.directory / "pki/ca.crt")},
        "pool_size": 5,
        **options,
    }
    return call("release_preflight", check=check, **{key: value for key, value in given.items() if value is not None})


def found(result: dict[str, Any]) -> list[str]:
    return [finding["hazard"] for finding in result["findings"] if not finding["accepted"]]


def remember(kit: Kit, version: str, image: str, sdk: str = "") -> None:
    """A record of the ledger, as the release of that version leaves it."""
    labels = {"name": SHOP, "instance": SHOP, "managed-by": "dbos.kubernetes", "component": "ledger"}
    annotations = {"dbos.kubernetes/sdk": sdk} if sdk else {}
    kit.apply({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "revision": 1,
        "metadata": {
            "name": f"{SHOP}-{version}-0",
            "labels": {f"app.kubernetes.io/{key}": value for key, value in labels.items()},
            "annotations": annotations,
        },
        "data": {"version": version, "template": "t", "identity": {"image": image}, "documents": []},
    })  # fmt: skip


def work(kit: Kit, identity: str, version: str | None, **columns: Any) -> None:
    row = {"workflow_uuid": identity, "application_version": version, **ROW, **columns}
    insert(kit, "workflow_status", {name: value for name, value in row.items() if value is not None})


def test_a_labelled_image_and_an_idle_application_have_no_hazards(kit: Kit, image: str) -> None:
    began = time.monotonic()
    result = preflight(kit, image=image)
    assert not result.get("failed"), result
    assert (result["findings"], result["unknown"], result["changed"]) == ([], [], False)
    assert time.monotonic() - began < 5  # 0.1 s on a quiet machine


def test_what_is_not_known_is_said_and_stops_nothing(kit: Kit) -> None:
    result = preflight(kit, image="registry.invalid/shop@sha256:" + "0" * 64)
    assert not result.get("failed") and result["findings"] == []
    assert "The SDK of v2 is not known: set release_sdk" in result["unknown"][0]
    assert "registry.invalid does not resolve" in result["unknown"][1]
    absent = kit.url(f"{kit.database}_owner", "owner-secret", database=f"{kit.database}_none")
    assert preflight(kit, image="shop", database_url=absent)["failed"]
    told = preflight(kit, image="shop", database_url=absent, check=True)
    assert not told.get("failed") and "cannot be read yet" in told["unknown"][0]


def test_every_hazard_that_the_database_shows_is_named_at_once(kit: Kit, image: str) -> None:
    remember(kit, "v0", image, PY2)
    remember(kit, "v1", image, GO)
    insert(kit, "queues", {"queue_id": "q", "name": "mail", "concurrency": 3, "created_at": 1, "updated_at": 1})
    for number in range(2):
        work(kit, f"held-{number}", "v0", queue_name="mail", executor_id="shop-v0-0", inputs="[]")
    work(kit, "run", "v1", executor_id="local")
    work(kit, "of another", "v0", executor_id="local", application_name="shop-2")
    everything = {"image": image, "sdk": "go 1.8.0", "replicas": 1000}
    result = preflight(kit, **everything)
    assert result["failed"]
    assert sorted(found(result)) == ["connections", "executor_ids", "payload_format", "queue_concurrency"]
    assert "Version v0 (SDK python 2.31.1) still has 2 workflows unfinished" in result["msg"]
    assert "1 workflow of version v1 run on executor 'local'" in result["msg"]
    assert "hold 2 of the 3 workflows that queue mail runs at once (v0: 2)" in result["msg"]
    assert "v2 (1000 pods x 5): 5000, metrics and KEDA: 10" in result["msg"]

    # Each by its name, and no other.
    names = set(found(result))
    for name in names:
        one = preflight(kit, **everything, skip=[name])
        assert set(found(one)) == names - {name}
        assert f"release_preflight_skip ({name})" in str(one["warnings"])
    assert not preflight(kit, **everything, skip=sorted(names)).get("failed")


def test_rows_tell_an_old_sdk_that_nothing_else_tells(kit: Kit, image: str) -> None:
    work(kit, "asleep", "v1", inputs="[]", status="DELAYED", delay_until_epoch_ms=10**15)
    result = preflight(kit, image=image)
    assert found(result) == ["payload_format"] and "as its rows show" in result["msg"]
    work(kit, "newer", "v3")
    assert found(preflight(kit, image=image)) == ["payload_format"]


def test_going_back_to_an_old_sdk_reads_the_ledger(kit: Kit, image: str) -> None:
    remember(kit, "v1", image, PY2)
    assert found(preflight(kit, "v1")) == []
    work(kit, "anybody's", None, status="ENQUEUED", queue_name="mail")
    result = preflight(kit, "v1")
    assert found(result) == ["payload_format"] and "1 workflow without a version wait" in result["msg"]
    assert "ledger has no version v7" in preflight(kit, "v7")["msg"]


@pytest.mark.parametrize("level", [47, 102, 107, 113])
def test_schemas_of_other_levels(kit: Kit, image: str, level: int) -> None:
    make(kit, level)
    assert found(preflight(kit, image=image)) == (["schema_behind"] if level >= 13 else [])
    migration = {"image": image}
    assert found(preflight(kit, image=image, migration=migration)) == []
    told = preflight(kit, image=image, migration={"expected_version": 121})
    assert "the migration leads to 121" in told["msg"]
    quiet = preflight(kit, image=image, migration={})
    assert not quiet.get("failed") and "whether the migration leads there" in quiet["unknown"][0]


def test_a_schema_of_the_beginning_tells_its_level_only(kit: Kit, image: str) -> None:
    make(kit, 7)
    result = preflight(kit, image=image, migration={"expected_version": 125})
    assert not result.get("failed") and "level 7) is too old to tell more" in result["unknown"][0]
    with owner(kit) as cursor:
        cursor.execute("DROP SCHEMA dbos CASCADE")
    result = preflight(kit, image=image, migration={"image": image})
    assert not result.get("failed") and result["unknown"] == []


def test_a_live_version_whose_image_is_gone(kit: Kit, image: str) -> None:
    repository = image.partition("@")[0]
    remember(kit, "v1", f"{repository}@sha256:{'0' * 64}", GO)
    # Nobody needs the image of a version without pods and work.
    assert found(preflight(kit, image=image)) == []
    work(kit, "asleep", "v1")
    result = preflight(kit, image=image)
    assert found(result) == ["missing_images"] and f"{repository}@sha256:000" in result["msg"]
    # A registry that does not answer is another thing.
    quiet = preflight(kit, image=image, registry={"host": f"{kit.platform.node}:5443"}, sdk=GO)
    assert not quiet.get("failed") and "is not trusted" in quiet["unknown"][0]


def test_a_version_that_its_code_names_otherwise(kit: Kit, image: str) -> None:
    remember(kit, "v1", image, GO)
    now = int(time.time() * 1000) + 5000
    insert(
        kit,
        "application_versions",
        {"version_id": "a", "version_name": "v1", "version_timestamp": 1, "created_at": now},
        {
            "version_id": "b",
            "version_name": "0.1.0",
            "version_timestamp": now,
            "created_at": now,
            "application_name": SHOP,
        },
    )
    for version in ("v1", "v2"):
        result = preflight(kit, version, image=image)
        assert found(result) == ["registered_version"]
        assert "Version v1 of the same image registered as 0.1.0" in result["msg"]
    # What was built again may be mended.
    other = f"{image.partition('@')[0]}@sha256:{'1' * 64}"
    assert "registered_version" not in found(preflight(kit, image=other, sdk=GO))


def test_without_a_version_it_is_the_one_that_a_rollback_goes_back_to(kit: Kit, image: str) -> None:
    remember(kit, "v1", image, PY2)
    remember(kit, "v2", image, PY3)
    for number, version in enumerate(("v1", "v2")):
        times = f"dbos.kubernetes/promoted=2026-01-0{number + 1}T00:00:00+00:00"
        kit.platform.kubectl("annotate", "controllerrevision", f"{SHOP}-{version}-0", times, "-n", kit.namespace)
    labels = {"app.kubernetes.io/managed-by": "dbos.kubernetes"}
    selector = {"app.kubernetes.io/name": SHOP, "app.kubernetes.io/version": "v2"}
    kit.apply({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SHOP, "labels": labels},
        "spec": {"selector": selector, "ports": [{"port": 80}]},
    })  # fmt: skip
    work(kit, "newer", "v2")
    result = preflight(kit, version=None)
    assert found(result) == ["payload_format"]
    assert "Version v1 (SDK python 2.31.1) cannot read what version v2 enqueues" in result["msg"]


def test_deploy_stops_before_anything_is_released(
    ansible_playbook: Callable[..., Any], converged: Any, platform: Any, tmp_path: Path
) -> None:
    # Whatever versions other tests have released by then.
    jobs = ("get", "jobs,statefulsets,controllerrevisions", "-n", converged.namespace, "-o", "name")
    before = platform.kubectl(*jobs)
    asked = {**converged.variables, "release_version": "v9", "release_sdk": "go 1.0.9"}
    refused = ansible_playbook("deploy.yml", extra_vars=asked, check=False)
    assert "which ends running workflows as CANCELLED" in refused.output
    # The version that is there was seen to have a newer SDK.
    assert "release_preflight_skip: [go_shutdown, payload_format]" in refused.output
    assert platform.kubectl(*jobs) == before
    wrong = tmp_path / "skip.json"
    wrong.write_text(json.dumps({"release_preflight_skip": ["go_shutdwn"]}))
    misspelt = ansible_playbook("deploy.yml", f"-e@{wrong}", extra_vars=converged.variables, check=False)
    assert "release_preflight_skip must be a list of connections, executor_ids" in misspelt.output

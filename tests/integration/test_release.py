"""Versions of the sample application on the real platform: first, second, refused, broken, healed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from process_kit import until
from release_kit import Kit, sample_image


@pytest.fixture(scope="module")
def image(platform: Any, ansible_playbook: Any, root: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample application's digest."""
    return sample_image(Kit(platform, ansible_playbook, "unused", tmp_path_factory.mktemp("images")), root)


@pytest.fixture(scope="module")
def kit(
    platform: Any, ansible_playbook: Any, namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kit]:
    one = Kit(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("release"))
    one.prepare()
    yield one
    one.forget()


def test_check_mode_before_anything_is_there(kit: Kit, image: str) -> None:
    result = kit.release("v1", image, "--check")
    assert not result["failed"], result["output"]
    assert result["changed"]
    assert kit.names("statefulset") == []


@pytest.fixture(scope="module")
def first(kit: Kit, image: str) -> dict[str, Any]:
    return kit.released("v1", image)


def test_a_first_version_runs_whole(kit: Kit, first: dict[str, Any], image: str) -> None:
    assert [action["verb"] for action in first["actions"]] == ["record", "apply", "promote"]
    assert first["kind"] == "StatefulSet" and first["promoted"]
    workload = kit.get("statefulset", "shop-v1")
    assert workload["status"]["readyReplicas"] == 2
    assert workload["spec"]["template"]["spec"]["containers"][0]["image"] == image
    assert kit.http("/healthz")
    assert kit.versions()["v1"][1] == "shop" and kit.latest() == "v1"
    assert kit.get("poddisruptionbudget", "shop-v1")["spec"]["maxUnavailable"] == 1


def test_a_second_run_changes_nothing(kit: Kit, first: dict[str, Any], image: str) -> None:
    again = kit.released("v1", image)
    assert not again["changed"], again["output"]
    assert again["actions"] == []


def test_replicas_of_others_are_undone_unless_an_autoscaler_owns_them(
    kit: Kit, first: dict[str, Any], image: str
) -> None:
    kit.kubectl("scale", "statefulset", "shop-v1", "--replicas=1", "-n", kit.namespace)
    healed = kit.released("v1", image)
    assert [action["verb"] for action in healed["actions"]] == ["scale"]
    assert kit.get("statefulset", "shop-v1")["spec"]["replicas"] == 2
    kit.kubectl("autoscale", "statefulset", "shop-v1", "--min=3", "--max=4", "-n", kit.namespace)
    try:
        kit.kubectl("scale", "statefulset", "shop-v1", "--replicas=3", "-n", kit.namespace)
        assert kit.released("v1", image)["actions"] == []
        changed = kit.released("v1", image, resources={"requests": {"cpu": "6m"}})
        assert [action["verb"] for action in changed["actions"]] == ["record", "apply"]
        assert kit.get("statefulset", "shop-v1")["spec"]["replicas"] == 3
    finally:
        kit.kubectl("delete", "hpa", "shop-v1", "-n", kit.namespace)
    # Back to what was recorded before.
    back = kit.released("v1", image)
    assert [action["verb"] for action in back["actions"]] == ["record", "apply", "scale"]
    assert kit.released("v1", image)["actions"] == []


def test_the_ledger_outlives_the_workload(kit: Kit, first: dict[str, Any], image: str) -> None:
    before = kit.kubectl(
        "get", "controllerrevision", "-n", kit.namespace, "-l", "app.kubernetes.io/component=ledger", "-o", "name"
    )
    assert before.count("shop-v1-") >= 1
    record = json.loads(kit.kubectl("get", before.split()[0], "-n", kit.namespace, "-o", "json"))
    assert "ownerReferences" not in record["metadata"]
    record["data"]["version"] = "other"
    refused = kit.kubectl("replace", "-f", "-", stdin=json.dumps(record), check=False)
    assert "immutable" in refused
    # More often than a StatefulSet keeps revisions of its own, of which it prunes the oldest.
    for turn in range(15):
        roll = {"spec": {"template": {"metadata": {"annotations": {"turn": str(turn)}}}}}
        kit.kubectl("patch", "statefulset", "shop-v1", "-n", kit.namespace, "--type=merge", "-p", json.dumps(roll))
        until("seen", lambda: _observed(kit.get("statefulset", "shop-v1")))
    kit.kubectl("delete", "statefulset", "shop-v1", "-n", kit.namespace)
    until("deleted", lambda: not kit.kubectl("get", "pods", "-n", kit.namespace, "-o", "name").strip())
    after = kit.kubectl(
        "get", "controllerrevision", "-n", kit.namespace, "-l", "app.kubernetes.io/component=ledger", "-o", "name"
    )
    assert after == before
    revived = kit.released("v1", image)
    assert [action["verb"] for action in revived["actions"]] == ["apply"]


def _observed(workload: dict[str, Any]) -> bool:
    return bool(workload["status"].get("observedGeneration") == workload["metadata"]["generation"])


def test_another_configuration_needs_another_version(kit: Kit, first: dict[str, Any], image: str) -> None:
    refused = kit.release("v1", image, env={"COLOUR": "red"})
    assert refused["failed"] and "another env" in refused["msg"]


def test_a_second_version_takes_over_only_when_promoted(kit: Kit, first: dict[str, Any], image: str) -> None:
    staged = kit.released("v2", image, env={"COLOUR": "red"}, state="staged", files={"colours.txt": "red\n"})
    assert [action["verb"] for action in staged["actions"]] == ["record", "register", "apply"]
    assert kit.latest() == "v1" and kit.versions()["v2"] == (1, "shop")
    assert kit.get("service", "shop")["spec"]["selector"]["app.kubernetes.io/version"] == "v1"
    promoted = kit.released("v2", image, env={"COLOUR": "red"}, files={"colours.txt": "red\n"})
    assert [action["verb"] for action in promoted["actions"]] == ["promote"]
    assert kit.latest() == "v2"
    service = kit.get("service", "shop")
    assert service["spec"]["selector"]["app.kubernetes.io/version"] == "v2"
    assert "dbos.kubernetes/promoting" not in service["metadata"].get("annotations", {})
    # And back: the older version is made the latest again.
    back = kit.released("v1", image)
    assert kit.latest() == "v1" and back["promoted"]


def test_a_half_done_promotion_is_finished(kit: Kit, first: dict[str, Any], image: str) -> None:
    kit.kubectl("annotate", "service", "shop", "dbos.kubernetes/promoting=v1", "-n", kit.namespace)
    finished = kit.released("v1", image)
    assert [action["reason"] for action in finished["actions"]] == ["an earlier run was stopped half-way"]
    assert "dbos.kubernetes/promoting" not in kit.get("service", "shop")["metadata"].get("annotations", {})


def test_a_version_of_the_codes_own_is_noticed(kit: Kit, first: dict[str, Any], image: str) -> None:
    """Played by a database trigger: what is registered as v9 becomes 0.1.0, as by an SDK that ignores the variable."""
    kit.sql(
        "CREATE FUNCTION dbos.own() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.version_name := '0.1.0'; RETURN NEW; END $$;"
        "CREATE TRIGGER own BEFORE INSERT ON dbos.application_versions FOR EACH ROW WHEN (NEW.version_name = 'v9')"
        " EXECUTE FUNCTION dbos.own()"
    )
    try:
        result = kit.release("v9", image)
        assert result["failed"] and "0.1.0" in result["msg"], result["output"]
        assert kit.get("service", "shop")["spec"]["selector"]["app.kubernetes.io/version"] == "v1"
    finally:
        kit.sql("DROP TRIGGER own ON dbos.application_versions; DROP FUNCTION dbos.own()")
        kit.kubectl("delete", "statefulset", "shop-v9", "-n", kit.namespace)
        kit.sql("DELETE FROM dbos.application_versions WHERE version_name = '0.1.0'")


def test_a_crash_ends_the_run_with_its_last_lines(kit: Kit, first: dict[str, Any], image: str) -> None:
    result = kit.release(
        "broken",
        image,
        secret_env={"DBOS_DRAIN": {"secret": "dbos-app-db", "key": "database-url"}},
        command=["/usr/local/bin/dbos-app", "nonsense"],
        env={"GODEBUG": "x"},
        database_secret="wrong",
    )
    assert result["failed"]
    assert 'secret "wrong" not found' in result["msg"], result["msg"]
    kit.kubectl("delete", "statefulset", "shop-broken", "-n", kit.namespace)
    kit.kubectl(
        "apply",
        "-n",
        kit.namespace,
        "-f",
        "-",
        stdin=json.dumps(
            kit.secret(
                "wrong",
                {"database-url": kit.url("a", "/etc/dbos/database-ca/ca.crt").replace(kit.password, "wrong-password")},
            )
        ),
    )
    result = kit.release("crashing", image, database_secret="wrong")
    assert result["failed"] and "exit code 1" in result["msg"] and "password authentication failed" in result["msg"], (
        result["msg"]
    )
    assert "wrong-password" not in result["output"]
    assert kit.latest() == "v1"
    kit.released("crashing", image, env={"NOW": "mended"}, state="staged")
    kit.kubectl("delete", "statefulset", "shop-crashing", "-n", kit.namespace)


def test_an_image_that_cannot_be_pulled(kit: Kit, first: dict[str, Any], image: str) -> None:
    result = kit.release("missing", image[:-4] + "0000", state="staged")
    assert result["failed"] and "ImagePull" in result["msg"], result["msg"]
    kit.kubectl("delete", "statefulset", "shop-missing", "-n", kit.namespace)


def test_conductor_without_the_enterprise_package(kit: Kit, first: dict[str, Any], image: str) -> None:
    kit.kubectl(
        "apply", "-n", kit.namespace, "-f", "-", stdin=json.dumps(kit.secret("conductor-api-key", {"api-key": "k"}))
    )
    result = kit.release("conducted", image, state="staged", conductor={})
    assert result["failed"] and "enterprise package" in result["msg"], result["msg"]
    kit.kubectl("delete", "statefulset", "shop-conducted", "-n", kit.namespace)


def test_pods_that_the_namespace_refuses(kit: Kit, first: dict[str, Any], image: str) -> None:
    result = kit.release("rooted", image, state="staged", run_as_user=0)
    assert result["failed"] and "its pods are refused" in result["msg"], result["msg"]
    kit.kubectl("delete", "statefulset", "shop-rooted", "-n", kit.namespace)


def test_the_connection_to_conductor_is_proven_and_changes_the_next_kind(
    kit: Kit, first: dict[str, Any], platform: Any
) -> None:
    """Played by a shell: what counts is the sentence that every SDK logs. A claimed row stands for its registration."""
    digest = kit.digest(f"{platform.node}:5443/tools/busybox:1")
    secret = kit.secret("conductor-api-key", {"api-key": "k"})
    kit.kubectl("apply", "-n", kit.namespace, "-f", "-", stdin=json.dumps(secret))
    serve = "mkdir /tmp/www && echo ok > /tmp/www/healthz && exec httpd -f -p 8080 -h /tmp/www"

    def play(version: str, says: str) -> dict[str, Any]:
        kit.sql(
            "INSERT INTO dbos.application_versions"
            " (version_id, version_name, version_timestamp, created_at, application_name)"
            " VALUES (gen_random_uuid(), %s, 1, 1, 'shop') ON CONFLICT DO NOTHING",
            version,
        )
        command = ["/bin/sh", "-c", f"echo {says}; {serve}"]
        return kit.release(version, digest, state="staged", conductor={}, command=command, replicas=1)

    silent = play("silent", "hello")
    assert silent["failed"] and "did not connect to Conductor" in silent["msg"], silent["output"]
    talking = play("talking", "Connected to DBOS conductor")
    assert not talking["failed"] and talking["kind"] == "StatefulSet", talking["output"]
    following = play("following", "Connected to DBOS conductor")
    assert not following["failed"] and following["kind"] == "Deployment", following["output"]
    assert kit.get("deployment", "shop-following")["status"]["readyReplicas"] == 1
    mine = "app.kubernetes.io/version in (silent,talking,following)"
    kit.kubectl("delete", "statefulset,deployment", "-l", mine, "-n", kit.namespace)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"version": "1.2.3"}, "such as '1-2-3'"),
        ({"version": "v" * 48}, "52 are the most"),
        ({"image": "shop:latest"}, "not pinned"),
        ({"conductor": {"url": "ws://conductor.example.com"}}, "not in the cluster"),
        ({"env": {"DBOS__VMID": "x"}}, "must not set DBOS__VMID"),
    ],
)
def test_bad_input_touches_nothing(kit: Kit, image: str, options: dict[str, Any], text: str) -> None:
    before = kit.names("statefulset"), kit.names("controllerrevision")
    result = kit.release(**{"version": "v1", "image": image, **options})
    assert result["failed"] and text in result["msg"], result["msg"]
    assert (kit.names("statefulset"), kit.names("controllerrevision")) == before


def test_patching_rolls_one_workload(
    platform: Any, ansible_playbook: Any, namespace_name: str, image: str, tmp_path: Path
) -> None:
    one = Kit(platform, ansible_playbook, f"{namespace_name}-patching", tmp_path)
    one.kubectl("create", "namespace", one.namespace)
    try:
        one.prepare()
        patching = {"strategy": "patching", "replicas": 1}
        one.released("PATCHING_ENABLED", image, **patching)
        assert one.released("PATCHING_ENABLED", image, **patching)["actions"] == []
        rolled = one.released("PATCHING_ENABLED", image, env={"COLOUR": "red"}, **patching)
        assert [action["verb"] for action in rolled["actions"]] == ["record", "apply"]
        workload = one.get("statefulset", "shop")
        assert workload["status"]["updateRevision"] == workload["status"]["currentRevision"]
        assert list(one.versions()) == ["PATCHING_ENABLED"] and one.http("/healthz")
    finally:
        one.kubectl("delete", "namespace", one.namespace, "--wait=false")
        one.forget()


def test_replicas_that_no_node_has_room_for_are_warned_of(kit: Kit, first: dict[str, Any], image: str) -> None:
    result = kit.released("v1", image, max_replicas=5000, resources={"requests": {"cpu": "4m"}})
    assert any("Pending unless nodes are added" in warning for warning in result["warnings"]), result["output"]


def test_no_secret_is_shown(kit: Kit, first: dict[str, Any], image: str) -> None:
    result = kit.release("v1", image, "--diff", "-vvv", resources={"requests": {"cpu": "7m"}})
    assert kit.password not in result["output"]

"""Versions registered, promoted and forgotten at every schema level, beside those of another application."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .database_kit import Kit
from .module_call import call
from .python_kit import EXAMPLE, interpreter
from .schema_kit import insert, make, owner

SHOP, SHOP_2 = "shop", "shop-2"
RECORD = {
    "apiVersion": "apps/v1",
    "kind": "ControllerRevision",
    "revision": 1,
    "data": {"version": "v1", "template": "t", "identity": {}, "documents": []},
}


@pytest.fixture(scope="module")
def kit(platform: Any, namespace: str) -> Iterator[Kit]:
    kit = Kit(platform, namespace)
    kit.ok("database", **kit.database_options(relay=None))
    yield kit
    kit.ok("database", **kit.database_options(relay=None, state="absent"))


def info(kit: Kit, application: str | None = SHOP) -> dict[str, Any]:
    options = {"application_name": application} if application else {}
    found = call("app_version_info", database_url=kit.owner_url(), ca=kit.ca, **options)
    assert not found.get("failed"), found
    return found


def change(kit: Kit, version: str, state: str = "registered", **options: Any) -> dict[str, Any]:
    given = {"application_name": SHOP, "version": version, "state": state, **options}
    return call("app_version", database_url=kit.owner_url(), ca=kit.ca, **given)


def changed(kit: Kit, *arguments: Any, **options: Any) -> bool:
    """Whether it changed anything; told alike in check mode before, and False when it is done again."""
    told = change(kit, *arguments, check=True, **options)
    before = rows(kit)
    assert not told.get("failed"), told
    done = change(kit, *arguments, **options)
    assert not done.get("failed"), done
    assert (told["changed"], told.get("diff")) == (done["changed"], done.get("diff"))
    assert done["changed"] == (rows(kit) != before)
    after = rows(kit)
    again = change(kit, *arguments, **options)
    assert (again["changed"], rows(kit)) == (False, after), again
    return bool(done["changed"])


def refused(kit: Kit, *arguments: Any, **options: Any) -> str:
    before = rows(kit)
    found = change(kit, *arguments, **options)
    assert found.get("failed"), found
    assert rows(kit) == before
    assert change(kit, *arguments, check=True, **options)["msg"] == found["msg"]
    return str(found["msg"])


def rows(kit: Kit) -> list[tuple[Any, ...]]:
    with owner(kit) as cursor:
        cursor.execute("SELECT to_jsonb(v)::text FROM dbos.application_versions v ORDER BY version_name")
        return list(cursor.fetchall())


def launched(kit: Kit, version: str, timestamp: int, application: str | None = None) -> None:
    """What a pod's launch leaves; without an application as the SDKs did it before level 103."""
    named = {"application_name": application} if application else {}
    insert(
        kit,
        "application_versions",
        {"version_id": version, "version_name": version, "version_timestamp": timestamp} | named,
    )


def unfinished(kit: Kit, version: str, status: str, application: str | None = None) -> None:
    named = {"application_name": application} if application else {}
    insert(
        kit,
        "workflow_status",
        {"workflow_uuid": f"{version}-{status}-{application}", "status": status, "application_version": version}
        | named,
    )


def finish(kit: Kit) -> None:
    with owner(kit) as cursor:
        cursor.execute("UPDATE dbos.workflow_status SET status = 'SUCCESS'")


def test_before_there_is_anything(kit: Kit) -> None:
    assert info(kit)["schema_version"] is None
    assert "role migration" in change(kit, "v1")["msg"]
    elsewhere = kit.owner_url().replace(f"/{kit.database}?", "/not_there?")
    given = {"database_url": elsewhere, "ca": kit.ca, "application_name": SHOP, "check": True}
    assert call("app_version", version="v1", **given)["changed"] is True
    assert call("app_version_info", **given)["versions"] == []


@pytest.mark.parametrize("level", [1, 12])
def test_levels_without_versions(kit: Kit, level: int) -> None:
    make(kit, level)
    assert (info(kit)["schema_version"], info(kit)["versions"], info(kit)["latest"]) == (level, [], None)
    assert "level 13" in change(kit, "v1")["msg"]


@pytest.mark.parametrize("level", [13, 36, 100, 102, 103, 107, 125])
def test_the_life_of_a_version_at_every_level(kit: Kit, level: int) -> None:
    make(kit, level)
    claims = level >= 103
    assert changed(kit, "v1")
    assert changed(kit, "v1", "promoted") == claims  # the only one is the latest, whatever its time
    launched(kit, "v1-1", 1_700_000_000_000, SHOP if claims else None)
    assert changed(kit, "v2")
    assert not changed(kit, "v1-1")
    assert info(kit)["latest"] == ("v1" if claims else "v1-1")
    assert changed(kit, "v1-1", "promoted") == claims
    assert info(kit)["latest"] == "v1-1"
    assert changed(kit, "v2", "promoted")
    assert changed(kit, "v1", "promoted")
    found = info(kit)
    assert found["latest"] == "v1"
    told = [(row["version"], row["latest"], row["application"], row["ahead"]) for row in found["versions"]]
    mine = SHOP if claims else None
    assert told == [("v1", True, mine, False), ("v2", False, mine, False), ("v1-1", False, mine, False)]
    assert "not registered" in refused(kit, "v3", "promoted")

    assert "is the latest" in refused(kit, "v1", "absent")
    for status in ("PENDING", "ENQUEUED", "DELAYED"):
        unfinished(kit, "v2", status)
        assert f"1 {status.lower()}" in refused(kit, "v2", "absent")
        finish(kit)
    assert changed(kit, "v2", "absent")
    assert not changed(kit, "v3", "absent")
    assert [row["version"] for row in info(kit)["versions"]] == ["v1", "v1-1"]


def test_two_applications_with_names_alike(kit: Kit) -> None:
    """Each has its own latest, and neither can touch the other's."""
    make(kit, 125)
    for position, (version, application) in enumerate(
        [("v1", SHOP), ("v1.1", SHOP), ("v1-2", SHOP_2), ("v1.10", SHOP_2), ("V1", None)]
    ):
        launched(kit, version, 1_700_000_000_000 + position, application)
    # the last one is unclaimed: the latest of both
    assert {name: info(kit, name)["latest"] for name in (SHOP, SHOP_2)} == {SHOP: "V1", SHOP_2: "V1"}
    assert changed(kit, "v1", "promoted")
    assert changed(kit, "v1-2", "promoted", application_name=SHOP_2)
    latest = {name: info(kit, name)["latest"] for name in (SHOP, SHOP_2, None)}
    assert latest == {SHOP: "v1", SHOP_2: "v1-2", None: "v1-2"}
    assert len(info(kit, SHOP)["versions"]) == 5

    before = rows(kit)
    assert f"by application '{SHOP_2}'" in refused(kit, "v1.10", "promoted")
    assert f"by application '{SHOP}'" in refused(kit, "v1", "registered", application_name=SHOP_2)
    assert not changed(kit, "v1.10", "absent")
    assert rows(kit) == before

    # the other's work under a version of that name is no reason to keep a row; that of nobody is
    unfinished(kit, "v1.1", "PENDING", SHOP_2)
    unfinished(kit, "V1", "ENQUEUED")
    assert changed(kit, "v1.1", "absent")
    assert "1 enqueued" in refused(kit, "V1", "absent", application_name=SHOP_2)
    assert changed(kit, "V1", "promoted", application_name=SHOP_2)
    assert {row["version"]: row["application"] for row in info(kit)["versions"]}["V1"] == SHOP_2
    assert info(kit, SHOP)["latest"] == "v1"


LAUNCH = """
import sys
from dbos import DBOS
DBOS(config={"name": "shop", "system_database_url": sys.argv[1], "application_version": sys.argv[2]})
DBOS.launch()
print(DBOS.get_latest_application_version()["version_name"])
DBOS.destroy()
"""


def test_a_real_application_takes_the_same_version_for_the_latest(kit: Kit, root: Path, tmp_path: Path) -> None:
    make(kit, 125)
    (tmp_path / "ca.crt").write_text(kit.ca)
    login = {"database": kit.database, "sslrootcert": str(tmp_path / "ca.crt")}
    url = kit.url(f"{kit.database}_owner", "owner-secret", **login)
    python = interpreter(root / EXAMPLE / "requirements.txt")

    def launch(version: str) -> str:
        done = subprocess.run(
            [python, "-c", LAUNCH, url, version], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert launch("v1") == "v1"
    assert changed(kit, "v2")
    assert launch("v2") == "v1"
    claimed = {row["version"]: row["application"] for row in info(kit)["versions"]}
    assert claimed == {"v1": SHOP, "v2": SHOP}
    assert changed(kit, "v2", "promoted")
    assert launch("v1") == "v2"
    assert changed(kit, "v1", "absent")
    assert launch("v1") == "v1"  # it registers itself again, and is the latest then


def test_a_clock_that_was_wrong_once_stops_no_promotion(kit: Kit) -> None:
    make(kit, 125)
    launched(kit, "v1", 9_000_000_000_000, SHOP)
    launched(kit, "v2", 9_000_000_000_000, SHOP)
    assert info(kit)["latest"] is None
    assert changed(kit, "v2", "promoted")
    assert info(kit)["latest"] == "v2"


def test_above_the_newest_tested_level_writing_needs_a_confirmation(kit: Kit) -> None:
    make(kit, 125)
    with owner(kit) as cursor:
        cursor.execute("UPDATE dbos.dbos_migrations SET version = 126")
    assert info(kit)["schema_version"] == 126
    message = refused(kit, "v1")
    assert "126" in message
    assert "125" in message
    assert "allow_newer_schema" in message
    assert changed(kit, "v1", allow_newer_schema=True)
    assert not changed(kit, "v1")  # nothing is written


def test_another_schema(kit: Kit) -> None:
    make(kit, 125)
    with owner(kit) as cursor:
        cursor.execute('DROP SCHEMA IF EXISTS "Shop ""x""" CASCADE')
        cursor.execute('ALTER SCHEMA dbos RENAME TO "Shop ""x"""')
    try:
        for state in ("registered", "promoted"):
            assert change(kit, "v1", state, schema='Shop "x"')["changed"]
        assert change(kit, "v2", schema='Shop "x"')["changed"]
        assert change(kit, "v2", "absent", schema='Shop "x"')["changed"]
    finally:
        with owner(kit) as cursor:
            cursor.execute('DROP SCHEMA "Shop ""x""" CASCADE')


def test_what_the_ledger_knows_is_left_to_release(kit: Kit) -> None:
    make(kit, 125)
    launched(kit, "v1", 1_700_000_000_000, SHOP)
    labels = {
        "app.kubernetes.io/name": SHOP,
        "app.kubernetes.io/instance": SHOP,
        "app.kubernetes.io/component": "ledger",
        "app.kubernetes.io/managed-by": "dbos.kubernetes",
    }
    kit.apply(RECORD | {"metadata": {"name": "shop-v1-abc", "labels": labels}})
    where = {"namespace": kit.namespace, "kubeconfig": str(kit.platform.kubeconfig)}
    for state in ("registered", "promoted", "absent"):
        message = refused(kit, "v1", state, **where)
        assert "shop-v1-abc" in message
        assert "force" in message
    # an application of another name, and a version of another name, are not managed
    assert changed(kit, "v2", **where)
    assert not changed(kit, "v1", application="shop-2", **where)
    assert changed(kit, "v2", "promoted", force=True, **where)
    assert not changed(kit, "v2", "promoted", **where)
    assert changed(kit, "v1", "promoted", force=True, **where)

    frozen = {"application": SHOP, **where}
    assert call("lease", state="frozen", by="alice", reason="an incident", **frozen)["changed"]
    assert "frozen by alice" in change(kit, "v2", "promoted", force=True, **where)["msg"]
    assert call("lease", state="thawed", **frozen)["changed"]


def test_through_the_relay_the_ledger_is_looked_at_by_itself(kit: Kit) -> None:
    make(kit, 125)
    kit.apply(
        RECORD
        | {
            "metadata": {
                "name": "record",
                "labels": {
                    "app.kubernetes.io/name": kit.app,
                    "app.kubernetes.io/instance": kit.app,
                    "app.kubernetes.io/component": "ledger",
                    "app.kubernetes.io/managed-by": "dbos.kubernetes",
                },
            }
        }
    )
    given = {"database_url": kit.owner_url(), "application_name": "a-name-in-dbos"}
    assert "ledger record is record" in kit.refused("app_version", version="v1", **given)
    assert kit.ok("app_version", version="v2", **given)["changed"]
    found = kit.ok("app_version_info", **given)
    assert [row["version"] for row in found["versions"]] == ["v2"]
    assert "secret" not in json.dumps({key: value for key, value in found.items() if key != "invocation"})
    holder = kit.objects("lease.coordination.k8s.io")
    assert [lease["metadata"]["name"] for lease in holder if kit.app in lease["metadata"]["name"]] == [
        f"dbos-{kit.app}"
    ]

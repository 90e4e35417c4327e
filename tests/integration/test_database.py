"""A database and its roles on the local platform's private PostgreSQL, by an admin that is no superuser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .database_kit import Kit

PASSWORDS = {
    "quotes": 'it\'s "so" `said`; DROP ROLE dbos_admin; --',
    "URL": "p@ss/word:with?a&lot=of#it",
    "percent": "50%s 100% %20 %%",
    "spaces": "  leading and trailing  ",
    "backslash": r"C:\new\table $HOME ${HOME} {{ x }}",
    "unicode": "пароль-密码-🔑",
    "one": "1",
    "long": "x" * 200,
}


@pytest.fixture(scope="module")
def kit(platform: Any, namespace: str) -> Iterator[Kit]:
    kit = Kit(platform, namespace)
    yield kit
    kit.remove()


@pytest.fixture
def made(kit: Kit) -> dict[str, Any]:
    """The options of a database that is there."""
    options = kit.database_options()
    kit.ok("database", **options)
    return options


def test_made_once_as_the_check_said(kit: Kit) -> None:
    options = kit.database_options()
    kit.ok("database", **kit.database_options(state="absent"))

    checked = kit.ok("database", check=True, **options)
    assert checked["changed"]
    assert not kit.rows("SELECT 1 FROM pg_roles WHERE rolname = %s", options["owner"])

    made = kit.ok("database", **options)
    assert made["changed"]
    assert made["diff"] == checked["diff"]
    assert "secret" not in str(made)

    again = kit.ok("database", **options)
    assert not again["changed"]
    assert again["diff"] == {"before": {}, "after": {}}


def test_who_may_do_what(kit: Kit, made: dict[str, Any]) -> None:
    found = {
        name: (login, limit, superuser, create_db, create_role)
        for name, login, limit, superuser, create_db, create_role in kit.rows(
            "SELECT rolname, rolcanlogin, rolconnlimit, rolsuper, rolcreatedb, rolcreaterole "
            "FROM pg_roles WHERE rolname LIKE %s",
            kit.database + r"\_%",
        )
    }
    name = kit.database
    assert found == {
        f"{name}_owner": (True, -1, False, False, False),
        f"{name}_role": (False, -1, False, False, False),
        f"{name}_a": (True, -1, False, False, False),
        f"{name}_b": (False, -1, False, False, False),
        f"{name}_metrics": (True, 10, False, False, False),
        f"{name}_metrics_b": (False, 10, False, False, False),
    }
    [(owner, public)] = kit.rows(
        "SELECT pg_get_userbyid(datdba), has_database_privilege('public', oid, 'CONNECT') "
        "FROM pg_database WHERE datname = %s",
        name,
    )
    assert (owner, public) == (f"{name}_owner", False)
    # Members of the privilege role get in by it; so does the Go SDK into the maintenance database.
    assert kit.rows("SELECT current_user", database=name, user=f"{name}_a", password="app-secret") == [(f"{name}_a",)]
    assert kit.rows("SELECT 1", database="postgres", user=f"{name}_a", password="app-secret") == [(1,)]


def test_drift_is_repaired(kit: Kit, made: dict[str, Any]) -> None:
    name = kit.database
    with kit.cursor() as admin:
        admin.execute(f"GRANT CONNECT ON DATABASE {name} TO PUBLIC")
        admin.execute(f"ALTER ROLE {name}_metrics_b CONNECTION LIMIT 100")
        admin.execute(f"REVOKE {name}_role FROM {name}_a")
    repaired = kit.ok("database", **made)
    assert sorted(repaired["diff"]["after"]) == [f"database {name}", f"role {name}_a", f"role {name}_metrics_b"]
    assert not kit.ok("database", **made)["changed"]


@pytest.mark.parametrize("kind", PASSWORDS)
def test_any_password(kit: Kit, made: dict[str, Any], kind: str) -> None:
    password = PASSWORDS[kind]
    name = kit.database
    changed = kit.ok("database", **made | {"owner_password": password})
    assert changed["changed"]
    assert list(changed["diff"]["after"]) == [f"role {name}_owner"]
    assert not kit.ok("database", **made | {"owner_password": password})["changed"]
    assert kit.rows("SELECT 1", database=name, user=f"{name}_owner", password=password) == [(1,)]
    # and through a URL, as pods use it
    kit.ok("workflow_info", database_url=kit.url(f"{name}_owner", password, database=name))
    if len(password) > 1:
        assert password not in str(changed)
    warned = any("so short" in str(warning) for warning in changed.get("warnings", []))
    assert warned == (len(password) == 1)


def test_a_password_that_somebody_changed_is_noticed(kit: Kit, made: dict[str, Any]) -> None:
    name = kit.database
    with kit.cursor() as admin:
        admin.execute(f"ALTER ROLE {name}_owner PASSWORD 'other'")
    repaired = kit.ok("database", **made)
    assert list(repaired["diff"]["after"]) == [f"role {name}_owner"]
    assert kit.rows("SELECT 1", database=name, user=f"{name}_owner", password="owner-secret") == [(1,)]


def test_a_new_password_is_the_free_logins(kit: Kit) -> None:
    """What is connected goes on; the former login is for module rotation to disable."""
    kit.ok("database", **kit.database_options(state="absent"))
    options, name = kit.database_options(), kit.database
    assert kit.ok("database", **options)["login"] == f"{name}_a"
    # So short that Ansible would mask it in the names.
    new = options | {"login_password": "b", "metrics_password": "e"}
    turned = kit.ok("database", **new)
    assert (turned["login"], turned["metrics_login"]) == (f"{name}_b", f"{name}_metrics_b")
    assert sorted(turned["diff"]["after"]) == [f"role {name}_b", f"role {name}_metrics_b"]
    assert not kit.ok("database", **new)["changed"]
    for login, password in (("a", "app-secret"), ("b", "b"), ("metrics", "metrics-secret"), ("metrics_b", "e")):
        assert kit.rows("SELECT 1", database=name, user=f"{name}_{login}", password=password) == [(1,)]
    assert "a rotation to another one is unfinished" in kit.refused("database", **options | {"login_password": "third"})
    kit.ok("database", **kit.database_options(state="absent"))


def test_a_database_of_the_admin_is_handed_to_the_owner(kit: Kit) -> None:
    kit.remove()
    with kit.cursor() as admin:
        admin.execute(f"CREATE DATABASE {kit.database}")
    adopted = kit.ok("database", **kit.database_options())
    assert adopted["diff"]["before"][f"database {kit.database}"]["owner"] == "dbos_admin"
    assert not kit.ok("database", **kit.database_options())["changed"]


# Bad input: one clear error each, nothing touched


def test_wrong_password(kit: Kit) -> None:
    said = kit.refused("database", **kit.database_options(database_url=kit.url(password="wrong-secret")))
    assert said == f"PostgreSQL at {kit.platform.node}:5432 refuses user dbos_admin: wrong password."


def test_a_host_that_the_cluster_cannot_resolve(kit: Kit) -> None:
    kit.server = kit.server | {"host": "database.invalid"}
    try:
        said = kit.refused("database", **kit.database_options())
    finally:
        kit.server = kit.server | {"host": kit.platform.node}
    assert said.startswith("PostgreSQL at database.invalid:5432 cannot be reached from the cluster: ")
    assert "no such host" in said or "resolve" in said or "not known" in said


def test_a_host_that_does_not_resolve_here(kit: Kit) -> None:
    url = kit.url().replace(f"@{kit.platform.node}:", "@database.invalid:")
    said = kit.refused("database", **kit.database_options(database_url=url, relay=None))
    assert said.startswith("Host database.invalid of the database does not resolve here")


def test_wrong_ca(kit: Kit, tmp_path: Any) -> None:
    import subprocess

    command = (
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=other -keyout {tmp_path}/key -out {tmp_path}/crt"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    said = kit.refused("database", **kit.database_options(), ca=(tmp_path / "crt").read_text())
    assert "is not signed by the given CA" in said
    assert "no PEM certificate" in kit.refused("database", **kit.database_options(), ca="/etc/ca.crt")


def test_a_certificate_for_another_host(kit: Kit) -> None:
    url = kit.url().replace(f"@{kit.platform.node}:", "@127.0.0.1:")
    said = kit.refused(
        "database",
        **kit.database_options(database_url=url.replace("127.0.0.1", "localhost") + f"&hostaddr={kit.platform.node}"),
    )
    assert "is for another host" in said


def test_a_database_that_is_not_there(kit: Kit) -> None:
    said = kit.refused("workflow_info", database_url=kit.url(database="nowhere"))
    assert said == f"PostgreSQL at {kit.platform.node}:5432 has no database nowhere: run role database first."


def test_a_url_that_is_none_is_not_echoed(kit: Kit) -> None:
    said = kit.refused("database", **kit.database_options(database_url="postgresql://a:b%zzsecret@h/x"))
    assert "secret" not in said
    assert "Percent-encode" in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"owner": "x" * 64}, "needs 1 to 63 bytes"),
        ({"name": "pg_mine"}, "cannot be used"),
        ({"role": 'a"b'}, "cannot be used"),
        ({"metrics_role": "same", "role": "same"}, "asked for twice"),
        ({"owner_password": ""}, "is empty"),
        ({"role": "postgres"}, "is a superuser"),
    ],
)
def test_bad_names(kit: Kit, changes: dict[str, Any], words: str) -> None:
    assert words in kit.refused("database", **kit.database_options(**changes))


def test_roles_of_somebody_else(kit: Kit) -> None:
    """An admin without the admin option on a role is told what it lacks."""
    other = f"{kit.database}_dba"
    with kit.cursor() as admin:
        admin.execute(f"CREATE ROLE {other} LOGIN CREATEDB CREATEROLE PASSWORD 'dba-secret'")
    try:
        kit.ok("database", **kit.database_options())
        said = kit.refused(
            "database", **kit.database_options(database_url=kit.url(other, "dba-secret"), owner_password="new-secret")
        )
        assert f"user {other} needs CREATEDB and CREATEROLE" in said
    finally:
        with kit.cursor() as admin:
            admin.execute(f"DROP ROLE {other}")


# Removal


def test_not_dropped_under_others(kit: Kit, made: dict[str, Any]) -> None:
    name = kit.database
    other = f"{name}_visitor"
    with kit.cursor() as admin:
        admin.execute(f"CREATE ROLE {other} LOGIN PASSWORD 'visitor-secret' IN ROLE {name}_role")
    try:
        with kit.cursor(database=name, user=other, password="visitor-secret"):
            assert f"is in use by {other}" in kit.refused("database", **made | {"state": "absent"})
    finally:
        with kit.cursor() as admin:
            admin.execute(f"DROP ROLE {other}")


def test_dropped_with_its_own_sessions(kit: Kit, made: dict[str, Any]) -> None:
    name = kit.database
    absent = made | {"state": "absent"}
    with kit.cursor(database=name, user=f"{name}_a", password="app-secret"):
        assert kit.ok("database", check=True, **absent)["changed"]
        assert kit.rows("SELECT 1 FROM pg_database WHERE datname = %s", name)
        assert kit.ok("database", **absent)["changed"]
    assert not kit.rows("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", name + r"\_%")
    assert not kit.rows("SELECT 1 FROM pg_database WHERE datname = %s", name)
    assert not kit.ok("database", **absent)["changed"]


def test_a_database_that_is_not_ours_stays(kit: Kit) -> None:
    kit.remove()
    with kit.cursor() as admin:
        admin.execute(f"CREATE DATABASE {kit.database}")
        try:
            assert "did not make" in kit.refused("database", **kit.database_options(state="absent"))
        finally:
            admin.execute(f"DROP DATABASE {kit.database}")

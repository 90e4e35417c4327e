"""From what is seen to what is wanted: decided apart from PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.application_database import wanted
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import logins, roles, schema, work
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.roles import Role, Wanted

WANTED = Wanted(
    "shop",
    Role("shop_owner", password="owner-secret"),
    Role("shop_role", login=False),
    (Role("shop_a", password="app-secret", member_of="shop_role"), Role("shop_b", login=False, member_of="shop_role")),
    (Role("shop_metrics", password="metrics-secret", connection_limit=10),),
)


def verifier(password: str, role: str) -> str:
    return f"SCRAM of {role}"


def role(**changes: Any) -> dict[str, Any]:
    known = {"login": True, "connection_limit": -1, "superuser": False, "creates": False, "ours": True}
    return {**known, "serves": True, "maintenance": True, "member_of": [], **changes}


def as_wanted(**changes: Any) -> dict[str, Any]:
    """What is seen after all is done."""
    return {
        "version": 17,
        "user": "admin",
        "database": {
            "owner": "shop_owner",
            "access": {name: ["CONNECT"] for name in ("shop_owner", "shop_role", "shop_metrics")},
        },
        "roles": {
            "shop_owner": role(),
            "shop_role": role(login=False),
            "shop_a": role(member_of=["shop_role"]),
            "shop_b": role(login=False, member_of=["shop_role"]),
            "shop_metrics": role(connection_limit=10),
        },
        **changes,
    }


def texts(plan: roles.Plan) -> list[str]:
    return [text.format(*names) for text, names, _values in [*plan.together, *plan.after]]


def test_nothing_to_do() -> None:
    plan = roles.plan(WANTED, as_wanted(), set(), verifier)
    assert not plan.changed
    assert plan.diff_before == plan.diff_after == {}


@pytest.mark.parametrize(
    ("version", "options"), [(15, ""), (16, " WITH SET TRUE, INHERIT TRUE"), (18, " WITH SET TRUE, INHERIT TRUE")]
)
def test_from_nothing(version: int, options: str) -> None:
    plan = roles.plan(WANTED, as_wanted(version=version, roles={}, database=None), set(), verifier)
    done = texts(plan)
    assert f"GRANT shop_owner TO CURRENT_USER{options}" in done
    # an owner must be ours before it can be given a database
    assert done.index(f"GRANT shop_owner TO CURRENT_USER{options}") < done.index(
        "CREATE DATABASE shop OWNER shop_owner TEMPLATE template0 ENCODING 'UTF8'"
    )
    assert "REVOKE ALL ON DATABASE shop FROM PUBLIC" in done
    assert all(not text.startswith("CREATE DATABASE") for text, _names, _values in plan.together)
    assert sum(text.startswith("CREATE ROLE") for text in done) == len(WANTED.roles)


def test_no_plain_password_travels_or_shows() -> None:
    plan = roles.plan(WANTED, as_wanted(roles={}, database=None), set(), verifier)
    everything = str([plan.together, plan.after, plan.diff_before, plan.diff_after, WANTED])
    assert "secret" not in everything
    assert "SCRAM of shop_a" in everything


def test_only_a_wrong_password_is_set() -> None:
    plan = roles.plan(WANTED, as_wanted(), {"shop_a"}, verifier)
    assert plan.together == [("ALTER ROLE {} PASSWORD %s", ("shop_a",), ("SCRAM of shop_a",))]
    assert list(plan.diff_after) == ["role shop_a"]


def test_a_superuser_is_refused() -> None:
    seen = as_wanted()
    seen["roles"]["shop_role"]["superuser"] = True
    with pytest.raises(DbosError, match="is a superuser"):
        roles.plan(WANTED, seen, set(), verifier)


def test_an_admin_that_is_the_owner_does_not_lock_itself_out() -> None:
    seen = as_wanted(user="shop_owner")
    seen["roles"]["shop_owner"] |= {"superuser": True, "creates": True, "connection_limit": 3, "serves": False}
    assert not roles.plan(WANTED, seen, set(), verifier).changed


def test_a_closed_maintenance_database_is_opened_for_the_go_sdk() -> None:
    seen = as_wanted()
    seen["roles"]["shop_role"]["maintenance"] = False
    assert texts(roles.plan(WANTED, seen, set(), verifier)) == ["GRANT CONNECT ON DATABASE postgres TO shop_role"]


def test_only_what_we_made_is_dropped() -> None:
    seen = as_wanted()
    seen["roles"]["shop_metrics"]["ours"] = False
    dropped = [text for text in texts(roles.plan_removal(WANTED, seen)) if text.startswith("DROP")]
    assert dropped == [
        "DROP DATABASE shop WITH (FORCE)",
        "DROP ROLE shop_b",
        "DROP ROLE shop_a",
        "DROP ROLE shop_role",
        "DROP ROLE shop_owner",
    ]
    seen["roles"]["shop_owner"]["ours"] = False
    with pytest.raises(DbosError, match="did not make"):
        roles.plan_removal(WANTED, seen)


def options(**changes: Any) -> dict[str, Any]:
    known = {
        "name": "shop", "owner": "shop_owner", "owner_password": None, "role": "shop_role", "logins": [],
        "login_password": None, "metrics_role": None, "metrics_spare": None, "metrics_password": None,
        "metrics_connection_limit": 10,
    }  # fmt: skip
    return {**known, **changes}


def turns(*able: str, wrong: str = "", password: str | None = "new") -> tuple[str | None, list[str]]:
    """Whose turn it is, and who may log in afterwards, of two that exist."""
    pair = tuple(Role(name, password=password, member_of="shop_role") for name in ("a", "b"))
    seen = {"roles": {name: role(login=name in able) for name in ("a", "b")}}
    settled = logins.settle(Wanted("shop", Role("o"), Role("r"), pair), seen, {*wrong})
    assert sum(one.password is not None for one in settled.logins) <= 1
    return logins.active(settled.logins), [one.name for one in settled.logins if one.login]


def test_logins_take_turns() -> None:
    assert turns() == ("a", ["a"])
    assert turns("a") == ("a", ["a"])
    assert turns("b", wrong="a") == ("b", ["b"])
    # a new password is the free one's, and the other goes on
    assert turns("a", wrong="ab") == ("b", ["a", "b"])
    assert turns("b", wrong="ab") == ("a", ["a", "b"])
    # the same again, before the former one is disabled
    assert turns("a", "b", wrong="a") == ("b", ["a", "b"])
    with pytest.raises(DbosError, match="a rotation to another one is unfinished"):
        turns("a", "b", wrong="ab")


def test_without_a_password_every_login_stays() -> None:
    assert turns(password=None) == ("a", ["a"])
    assert turns("b", password=None) == ("b", ["b"])
    assert turns("a", "b", password=None) == ("a", ["a", "b"])


def test_a_single_login_gets_its_new_password_in_place() -> None:
    asked = wanted(options(logins=["a"], login_password="new"))
    settled = logins.settle(asked, {"roles": {"a": role()}}, {"a"})
    assert settled == asked
    assert roles.plan(settled, {**as_wanted(), "roles": {"a": role(member_of=["shop_role"])}}, {"a"}, verifier).changed


def test_a_metrics_login_is_optional() -> None:
    asked = wanted(options())
    assert asked.metrics == ()
    assert asked.guests == (asked.application,)


@given(st.text(max_size=70))
def test_a_name_is_taken_whole_or_not_at_all(name: str) -> None:
    try:
        wanted(options(name=name))
    except DbosError:
        return
    assert 0 < len(name.encode()) <= 63
    assert not set(name) & set("\"'%\\\0")


def test_levels() -> None:
    schema.demand_level(125, 125, "shop")
    schema.demand_level(999, 125, "shop")
    for behind in (124, None):
        with pytest.raises(DbosError, match="Run role migration"):
            schema.demand_level(behind, 125, "shop")


counts = st.integers(1, 9)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "version": st.sampled_from(["v1", "v2", None]),
            "status": st.sampled_from(["PENDING", "ENQUEUED", "DELAYED"]),
            "queue": st.sampled_from(["q", None]),
            "executor": st.sampled_from(["e-0", None]),
            "count": counts,
            "oldest": st.integers(0, 2_000_000_000_000),
            "due": st.one_of(st.none(), st.integers(0, 2_000_000_000_000)),
        }
    )
)


@given(rows=rows)
def test_no_row_is_lost_in_the_summary(rows: list[dict[str, Any]]) -> None:
    found = work.summary([{"version": "v2", "timestamp": 2}, {"version": "v1", "timestamp": 1}], rows)
    assert [entry["version"] for entry in found][:2] == ["v2", "v1"]
    assert [entry["latest"] for entry in found][:2] == [True, False]
    for status in ("pending", "enqueued", "delayed"):
        total = sum(row["count"] for row in rows if row["status"].lower() == status)
        assert sum(entry[status] for entry in found) == total
        assert sum(queue[status] for entry in found for queue in entry["queues"]) == total
    assert sum(one["pending"] for entry in found for one in entry["executors"]) == sum(
        entry["pending"] for entry in found
    )
    for entry in found:
        oldest = [row["oldest"] for row in rows if row["version"] == entry["version"]]
        assert entry["oldest_at"] == (work.timestamp(min(oldest)) if oldest else None)

"""What may become of a version's row: decided apart from PostgreSQL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import Observed, Registration, Work
from ansible_collections.dbos.kubernetes.plugins.module_utils.registering import Wanted, change, described, latest
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.versions import Row

V1 = Row("v1", 100, 100, "shop")
AHEAD = Row("v2", 1, 200, None)
THEIRS = Row("v9", 900, 900, "shop-2")
ROWS = (V1, AHEAD, THEIRS)


def wanted(version: str, state: str, owner: str = "shop") -> Wanted:
    return Wanted(owner, version, state)


@pytest.mark.parametrize(
    ("version", "state", "changes"),
    [
        ("v1", "registered", False),
        ("v2", "registered", False),
        ("v3", "registered", True),
        ("v1", "promoted", False),
        ("v2", "promoted", True),
        ("v2", "absent", True),
        ("v3", "absent", False),
        ("v9", "absent", False),  # not ours to forget
    ],
)
def test_what_is_to_be_done(version: str, state: str, changes: bool) -> None:
    assert change(wanted(version, state), ROWS, True, Work()) is changes


@pytest.mark.parametrize(
    ("version", "state", "unfinished", "why"),
    [
        ("v9", "registered", Work(), "registered by application 'shop-2'"),
        ("v9", "promoted", Work(), "registered by application 'shop-2'"),
        ("v3", "promoted", Work(), "not registered"),
        ("v1", "absent", Work(), "is the latest"),
        ("v2", "absent", Work(delayed=1), "1 delayed"),
    ],
)
def test_what_is_refused(version: str, state: str, unfinished: Work, why: str) -> None:
    with pytest.raises(DbosError, match=why):
        change(wanted(version, state), ROWS, True, unfinished)


def test_a_latest_that_nobody_claimed_is_promoted_where_it_can_be_claimed() -> None:
    rows = (Row("v1", 100, 100, None),)
    assert change(wanted("v1", "promoted"), rows, True, Work())
    assert not change(wanted("v1", "promoted"), rows, False, Work())


def test_two_with_one_timestamp_are_no_latest() -> None:
    rows = (V1, V1._replace(version="v1-1"))
    assert latest(rows, "shop") is None
    assert change(wanted("v1", "promoted"), rows, True, Work())
    with pytest.raises(DbosError, match="is the latest"):
        change(wanted("v1", "absent"), rows, True, Work())


def test_each_application_has_its_latest() -> None:
    assert [latest(ROWS, owner) for owner in ("shop", "shop-2", "new", None)] == ["v1", "v9", "v2", "v9"]
    told = {row["version"]: row for row in described(ROWS, "shop")}
    assert [version for version, row in told.items() if row["latest"]] == ["v1"]
    assert [*told] == ["v9", "v1", "v2"]
    assert told["v2"] == {
        "version": "v2", "latest": False, "application": None, "claimed": False, "ahead": True, "timestamp": None,
        "created_at": "1970-01-01T00:00:00Z",
    }  # fmt: skip


OWNERS = st.sampled_from([None, "shop", "shop-2"])
TABLES = st.lists(st.builds(Row, st.sampled_from(["v1", "v2", "v1-1", "v3"]), st.integers(1, 5), st.just(0), OWNERS),
                  unique_by=lambda row: row.version)  # fmt: skip


@given(
    TABLES, st.sampled_from(["v1", "v2", "v4"]), st.sampled_from(["registered", "promoted", "absent"]), st.booleans()
)
def test_the_latest_is_never_forgotten_and_nothing_of_anothers_is_touched(
    rows: list[Row], version: str, state: str, busy: bool
) -> None:
    newest = latest(rows, "shop")
    known = Observed(registrations=tuple(Registration(row.version, row.timestamp, row.owner) for row in rows))
    assert newest in (None, known.latest("shop"))
    try:
        changes = change(wanted(version, state), rows, True, Work(pending=int(busy)))
    except DbosError:
        return
    mine = next((row for row in rows if row.version == version), None)
    if mine is not None and mine.owner == "shop-2":
        assert (state, changes) == ("absent", False)
    if state == "absent" and changes:
        assert newest not in (None, version)
        assert not busy

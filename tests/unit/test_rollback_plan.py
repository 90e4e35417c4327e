"""Which version a rollback goes back to, however often it is run and wherever it was stopped."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import Observed, Record, RolledBack
from ansible_collections.dbos.kubernetes.plugins.module_utils.rollback_plan import Choice, choose


def time(number: int) -> str:
    return f"2026-11-24T10:00:{number:02}+00:00"


def record(version: str, *promotions: int, back: str | None = None) -> Record:
    mark = RolledBack(time(50), back) if back else None
    return Record(version, 1, {}, "t", promotions=tuple(map(time, promotions)), rolled_back=mark)


def world(selected: str | None, *records: Record, **more: Any) -> Observed:
    return Observed(selected=selected, records=records, **more)


V1, V2, V3 = record("v1", 1), record("v2", 2), record("v3", 3)


def test_back_to_the_version_before() -> None:
    assert choose(world("v3", V1, V2, V3), None) == Choice("v3", "v2")


def test_back_to_a_named_version() -> None:
    assert choose(world("v3", V1, V2, V3), "v1") == Choice("v3", "v1")


def test_a_second_run_finds_it_done_and_does_not_flip_back() -> None:
    after = world("v1", record("v1", 1, 9), record("v2", 2, back="v1"))
    assert choose(after, None) == choose(after, "v1") == Choice("v2", "v1", done=True)


def test_a_second_run_does_not_go_on_to_an_even_older_version() -> None:
    assert choose(world("v2", V1, record("v2", 2, 9), record("v3", 3, back="v2")), None).to == "v2"


def test_but_a_named_one_is_gone_to() -> None:
    after = world("v2", V1, record("v2", 2, 9), record("v3", 3, back="v2"))
    assert choose(after, "v1") == Choice("v2", "v1")
    assert choose(after, "v3") == Choice("v2", "v3")


def test_the_next_bad_version_skips_the_one_before_that_was_rolled_back() -> None:
    assert choose(world("v3", record("v1", 1, 4), record("v2", 2, back="v1"), record("v3", 5)), None).to == "v1"


def test_a_mark_of_another_time_is_not_taken_for_this_rollback() -> None:
    """v1, v2, back to v1, v3, and v1 deployed again: the version before is v3."""
    after = world("v1", record("v1", 1, 4, 8), record("v2", 2, back="v1"), record("v3", 6))
    assert choose(after, None) == Choice("v1", "v3")


def test_what_was_stopped_after_the_mark_goes_on_to_the_same_version() -> None:
    assert choose(world("v3", V1, V2, record("v3", 3, back="v1")), None) == Choice("v3", "v1")


def test_what_was_stopped_in_the_promotion_is_finished() -> None:
    half = world("v3", V1, V2, record("v3", 3, back="v2"), promoting="v2")
    assert choose(half, None) == choose(half, "v2") == Choice("v3", "v2", done=False)


def test_another_half_done_promotion_is_undone() -> None:
    assert choose(world("v1", V1, record("v2"), promoting="v2"), None) == Choice("v2", "v1")


def test_a_named_version_that_is_promoted_already() -> None:
    assert choose(world("v3", V1, V2, V3), "v3") == Choice(None, "v3", done=True)


@pytest.mark.parametrize(
    ("seen", "named", "said"),
    [
        (world(None), None, "No version is promoted"),
        (world("v1", V1), None, "no version that was promoted before"),
        (world("v2", V2, record("v1", 1, back="v0")), None, "no version that was promoted before"),
        (world("v2", V1, V2), "v9", "no record of it, only of v1, v2"),
    ],
)
def test_what_cannot_be_gone_back_to_is_refused(seen: Observed, named: str | None, said: str) -> None:
    with pytest.raises(DbosError, match=said):
        choose(seen, named)


STEPS = st.lists(st.sampled_from(["deploy", "back", "again"]), min_size=2, max_size=12)


@given(STEPS, st.integers(0, 3))
def test_every_history_ends_where_it_should(steps: list[str], stop: int) -> None:
    """Deployments and rollbacks in any order, each rollback stopped anywhere once and repeated: as if never stopped."""
    seen, clock, deployed = world("v0", record("v0", 0)), 0, 0
    for step in steps:
        clock += 1
        if step == "deploy":
            deployed += 1
            new = Record(f"v{deployed}", 1, {}, "t", promotions=(f"{clock:04}",))
            seen = dataclasses.replace(seen, selected=new.version, records=(*seen.records, new))
            continue
        try:
            choice = choose(seen, None)
        except DbosError:
            continue
        if step == "again":
            assert choose(rolled(seen, choice, clock, 9), None) in (
                Choice(choice.bad, choice.to, done=True),
                Choice(None, choice.to, done=True),
            )
        half = rolled(seen, choice, clock, stop)
        assert (choose(half, None).bad, choose(half, None).to) == (choice.bad, choice.to)
        seen = rolled(half, choose(half, None), clock, 9)


def rolled(seen: Observed, choice: Choice, clock: int, steps: int) -> Observed:
    """What is there after the first so many steps: mark, intend, select, remember."""
    if choice.done:
        return seen
    records = {one.version: one for one in seen.records}
    if steps > 0 and choice.bad:
        mark = RolledBack(f"{clock:04}", choice.to)
        records[choice.bad] = dataclasses.replace(records[choice.bad], rolled_back=mark)
    if steps > 1:
        seen = dataclasses.replace(seen, promoting=choice.to)
    if steps > 2:
        seen = dataclasses.replace(seen, selected=choice.to)
    if steps > 3:
        there = records[choice.to]
        promotions = (*there.promotions, f"{clock:04}")
        records[choice.to] = dataclasses.replace(there, promotions=promotions, rolled_back=None)
        seen = dataclasses.replace(seen, promoting=None)
    return dataclasses.replace(seen, records=tuple(records.values()))

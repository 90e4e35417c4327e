"""Who is alive, who is dead, and who nobody can tell."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils import executor_state, lifecycle
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.executor_state import View
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import schema, work
from ansible_collections.dbos.kubernetes.plugins.module_utils.version_objects import Objects

KINDS = {"shop-v1": "StatefulSet", "shop-v2": "Deployment", "shop-v1-1": "StatefulSet"}
RANDOM_NAME = "shop-v2-6f7d8c9b5-x2k4z"
PHASES = ["Pending", "Running", "Succeeded", "Failed", "Unknown"]
LIVING = ["Pending", "Running", "Unknown"]


def judge(executor: str | None, *, conductor: tuple[str, ...] = (), **pods: str) -> str:
    named = {name.replace("_", "-"): phase for name, phase in pods.items()}
    return View(KINDS, named, conductor).judge(executor)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", ["shop-v1-0", "shop-v1-12", RANDOM_NAME])
def test_a_pod_that_exists_lives_unless_it_ended(name: str, phase: str) -> None:
    assert View(KINDS, {name: phase}, ()).judge(name) == ("alive" if phase in LIVING else "dead")


@pytest.mark.parametrize("name", ["shop-v1-0", "shop-v1-1", "shop-v1-1-0", RANDOM_NAME])
def test_a_pod_of_ours_that_is_gone_is_dead(name: str) -> None:
    assert judge(name, shop_v1_7="Running") == "dead"


@pytest.mark.parametrize("name", ["shop-v1-0", RANDOM_NAME])
def test_with_conductor_a_name_that_is_gone_may_be_anybodys(name: str) -> None:
    assert judge(name, conductor=tuple(KINDS)) == "unknown"
    assert View(KINDS, {name: "Running"}, tuple(KINDS)).judge(name) == "alive"


@pytest.mark.parametrize(
    "name",
    [
        None, "", "local", "0", "shop-v1", "shop-v1-", "shop-v1-00", "shop-v1-0-0", "shop-v1-x", "shop-v3-0",
        "shop-v2-0", "xshop-v1-0", "shop-v1-0\n", "shop-v2-aeiou-x2k4z", "b0c9a3f2-6d3c-4d8e-9a65-3d0b2f0d9a11",
    ],
)  # fmt: skip
def test_what_is_no_pod_name_of_ours_is_unknown(name: str | None) -> None:
    assert judge(name) == "unknown"


NAMES = st.one_of(
    st.none(), st.text(max_size=30), st.sampled_from(["shop-v1-0", "shop-v1-3", "shop-v1-1-0", RANDOM_NAME])
)


@given(
    executor=NAMES,
    workloads=st.dictionaries(st.sampled_from([*KINDS]), st.sampled_from(["StatefulSet", "Deployment"])),
    pods=st.dictionaries(NAMES.filter(bool), st.sampled_from(PHASES)),
    conductor=st.sets(st.sampled_from([*KINDS])),
)
def test_dead_is_never_said_of_a_pod_that_lives_nor_where_conductor_or_a_stranger_may_run(
    executor: str | None, workloads: dict[str, str], pods: dict[str, str], conductor: set[str]
) -> None:
    found = View(workloads, pods, conductor).judge(executor)
    lives = executor in pods and pods[executor] in LIVING
    assert (found == "alive") == lives
    if found == "dead":
        owners = [name for name in workloads if (executor or "").startswith(f"{name}-")]
        assert owners
        assert not set(owners) <= conductor
        # nothing that is learned of others brings it back to life, and its own pod does
        others = {name: "Running" for name in pods if name != executor}
        assert View(workloads, others, conductor).judge(executor) == "dead"
        assert View(workloads, {**pods, executor: "Running"}, conductor).judge(executor) == "alive"


def document(kind: str, name: str, *variables: str) -> dict[str, Any]:
    container = {"name": "app", "env": [{"name": variable, "value": ""} for variable in variables]}
    template = {"spec": {"containers": [container]}}
    return {"kind": kind, "metadata": {"name": name}, "spec": {"template": template}}


def test_the_view_knows_what_only_the_ledger_still_has() -> None:
    gone = {"data": {"documents": [{"kind": "Service", "metadata": {"name": "x"}}, document("StatefulSet", "shop-v0")]}}
    there = document("Deployment", "shop-v2", "DBOS_CONDUCTOR_KEY")
    pods = [{"metadata": {"name": "shop-v2-x"}}, {"metadata": {"name": "old"}, "status": {"phase": "Failed"}}]
    view = executor_state.view(Objects("shop", "ns", [there], pods, [gone], [], None))
    assert view.workloads == {"shop-v0": "StatefulSet", "shop-v2": "Deployment"}
    assert view.pods == {"shop-v2-x": "Unknown", "old": "Failed"}
    assert view.conductor == {"shop-v2"}
    assert view.judge("shop-v0-0") == "dead"


ROWS = st.fixed_dictionaries(
    {
        "version": st.sampled_from([None, "v1", "v2"]),
        "status": st.sampled_from(["PENDING", "ENQUEUED", "DELAYED"]),
        "count": st.integers(1, 10**7),
        "oldest": st.integers(0, 2 * 10**12),
    }
)


@given(st.lists(ROWS))
def test_no_row_is_lost_between_reading_and_deciding(rows: list[dict[str, Any]]) -> None:
    found = work.per_version({"work": rows, "replica": False})
    assert set(found) == {row["version"] for row in rows}
    for version, told in found.items():
        mine = [row for row in rows if row["version"] == version]
        assert told.unfinished == sum(row["count"] for row in mine)
        assert told.delayed == sum(row["count"] for row in mine if row["status"] == "DELAYED")
        assert told.oldest == min(row["oldest"] for row in mine) / 1000
    assert all(isinstance(told, lifecycle.Work) for told in found.values())


def test_writing_stays_within_tested_levels() -> None:
    for level in (0, 13, 103, schema.NEWEST_TESTED):
        schema.check_writable(level, False)
    schema.check_writable(schema.NEWEST_TESTED + 1, True)
    with pytest.raises(DbosError, match=r"126.*125.*allow_newer_schema"):
        schema.check_writable(126, False)
    with pytest.raises(DbosError, match="role migration"):
        schema.check_writable(None, True)

"""What goes, in which order, and what may be lost: decided apart from cluster and database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.filter.applications import applications
from ansible_collections.dbos.kubernetes.plugins.module_utils import counting, teardown_plan, unfinished_work
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.unfinished_work import Count, Policy, Refused

OURS = {"app.kubernetes.io/managed-by": "dbos.kubernetes"}


def obj(kind: str, name: str, app: str = "", owner: str = "", **labels: str) -> dict[str, Any]:
    """C(owner) is another object's kind and name."""
    metadata: dict[str, Any] = {"name": name, "namespace": "shop", "uid": f"{kind}/{name}", "labels": labels}
    if app:
        metadata["labels"] |= {"app.kubernetes.io/name": app, **({} if owner else OURS)}
    if owner:
        owned_by, owner_name = owner.split("/")
        metadata["ownerReferences"] = [{"uid": owner, "kind": owned_by, "name": owner_name}]
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata}


SPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "uid": "ns", "labels": OURS}}
MINE = [
    obj("Secret", "db", "shop", owner="SealedSecret/db"),
    obj("Service", "shop", "shop"),
    obj("SealedSecret", "db", "shop"),
    obj("Lease", "dbos-shop", "shop"),
    obj("Pod", "shop-v1-0", "shop", owner="StatefulSet/shop-v1"),
    obj("ControllerRevision", "shop-v1-ledger", "shop"),
    obj("StatefulSet", "shop-v1", "shop"),
    obj("ScaledObject", "shop-v1", "shop"),
    obj("HorizontalPodAutoscaler", "keda-shop-v1", owner="ScaledObject/shop-v1"),
    obj("PersistentVolumeClaim", "data-shop-v1-0", **{
        "app.kubernetes.io/name": "shop", "app.kubernetes.io/component": "executor",
    }),
    obj("Endpoints", "shop", "shop"),
]  # fmt: skip
KUBERNETES = [obj("ConfigMap", "kube-root-ca.crt"), obj("ServiceAccount", "default")]
SHARED = obj("ConfigMap", "dbos-database-ca", **OURS)


def planned(*more: dict[str, Any], space: dict[str, Any] | None = SPACE, **options: Any) -> teardown_plan.Plan:
    return teardown_plan.plan("shop", "shop", space, [*MINE, *KUBERNETES, SHARED, *more], **options)


def names(objects: list[dict[str, Any]]) -> list[str]:
    return [f"{one['kind']}/{one['metadata']['name']}" for one in objects]


def test_everything_of_it_goes_in_order_and_the_namespace_last() -> None:
    found = planned()
    assert names(found.going) == [
        "ScaledObject/shop-v1",
        "HorizontalPodAutoscaler/keda-shop-v1",
        "StatefulSet/shop-v1",
        "Pod/shop-v1-0",
        "Service/shop",
        "PersistentVolumeClaim/data-shop-v1-0",
        "SealedSecret/db",
        "Secret/db",
        "ControllerRevision/shop-v1-ledger",
        "Lease/dbos-shop",
        "ConfigMap/dbos-database-ca",
        "Namespace/shop",
    ]
    assert found.kept == []
    # What has an owner that goes is not listed for a person.
    assert "Secret" not in [row[1] for row in teardown_plan.rows(found)]


@pytest.mark.parametrize(
    ("stranger", "why"),
    [
        (obj("ConfigMap", "note"), "it was not made by this collection"),
        (obj("Deployment", "x", **{"app.kubernetes.io/managed-by": "Helm"}), "it is Helm's"),
        (obj("Ingress", "x", **{"app.kubernetes.io/name": "shop"}), "it was not made by this collection"),
        (obj("Secret", "x", owner="Certificate/x"), "it is Certificate x's"),
    ],
)
def test_what_is_not_ours_stays_and_keeps_the_namespace(stranger: dict[str, Any], why: str) -> None:
    found = planned(stranger)
    assert [(one.kind, one.why) for one in found.kept] == [(stranger["kind"], why), ("Namespace", "it is not empty")]
    assert not found.namespace_goes
    assert stranger not in found.going


def test_another_application_keeps_what_both_use() -> None:
    found = planned(obj("StatefulSet", "mail-v1", "mail"), obj("Pod", "mail-v1-0", owner="StatefulSet/mail-v1"))
    assert [(one.kind, one.name) for one in found.kept] == [
        ("Application", "mail"), ("ConfigMap", "dbos-database-ca"), ("Namespace", "shop"),
    ]  # fmt: skip
    assert found.shared == []


def test_a_namespace_of_others_and_one_that_was_not_read_stay() -> None:
    foreign = {**SPACE, "metadata": {"name": "shop", "uid": "ns", "labels": {}}}
    assert [one.why for one in planned(space=foreign).kept] == ["it was not made by this collection"]
    found = planned(unread=["widgets: Kubernetes refused it"])
    assert [one.name for one in found.kept] == ["widgets", "shop"]


def test_the_relay_of_this_run_is_left_to_it() -> None:
    relay = obj("Job", "shop-relay", "shop", **{"dbos.kubernetes/run": "this"})
    assert "Job/shop-relay" not in names(planned(relay, run="this").going)
    assert planned(relay, run="this").namespace_goes
    assert "Job/shop-relay" in names(planned(relay, run="another").going)


@given(st.permutations([*MINE, *KUBERNETES, SHARED]), st.sets(st.integers(0, len(MINE) - 1)))
def test_the_order_does_not_depend_on_what_was_read_first(found: list[dict[str, Any]], gone: set[int]) -> None:
    """Nor does it matter which of it a killed run has deleted already: owners are deleted before what they own."""
    left = [one for one in found if one not in [MINE[number] for number in gone]]
    uids = {one["metadata"]["uid"] for one in left}
    orphans = [one for one in left if any(o["uid"] not in uids for o in one["metadata"].get("ownerReferences") or [])]
    left = [one for one in left if one not in orphans]  # Kubernetes collects them
    plan = teardown_plan.plan("shop", "shop", SPACE, left)
    order = [teardown_plan.stage_of(one["kind"]) for one in plan.objects]
    assert order == sorted(order, key=list(teardown_plan.STAGES).index)
    assert plan.namespace_goes
    assert len(plan.objects) == len([one for one in left if one in MINE and one["kind"] != "Endpoints"])


COUNTS = st.lists(
    st.builds(
        Count,
        st.sampled_from(["shop", "mail"]), st.sampled_from(["shop", "mail"]),
        st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.sampled_from(["", "no answer"]), st.booleans(),
    ),
    max_size=3,
)  # fmt: skip
POLICIES = st.builds(
    lambda how, n, unreadable: Policy(how, n if how == "abandon" else None, unreadable),
    st.sampled_from(unfinished_work.POLICIES), st.integers(0, 9), st.booleans(),
)  # fmt: skip


@given(COUNTS, POLICIES, st.booleans())
def test_nothing_is_lost_that_was_not_given_up(counts: list[Count], policy: Policy, most: bool) -> None:
    total = sum(one.total for one in counts)
    unread = any(one.error for one in counts)
    strangers = any(one.total and not one.known for one in counts)
    try:
        warnings = unfinished_work.judge(counts, policy, most=most)
    except Refused as error:
        assert error.msg.startswith("Nothing was taken down")
        assert total or unread
        return
    assert policy.unreadable or not unread
    assert len(warnings) == sum(bool(one.error) for one in counts)
    assert policy.how != "refuse" or not total
    assert policy.how not in ("drain", "cancel") or not strangers
    if policy.how == "abandon" and total:
        assert total <= policy.abandon if most else total == policy.abandon  # type: ignore[operator]


def test_a_refusal_has_the_number_and_the_ways_out() -> None:
    counts = [Count("shop", "shop", pending=1, enqueued=2), Count("mail", "mail")]
    with pytest.raises(Refused) as refused:
        unfinished_work.judge(counts, Policy())
    assert "3 unfinished workflows (1 pending, 2 enqueued) (3 of shop, database shop)" in refused.value.msg
    assert "teardown_abandon=3" in refused.value.msg
    assert refused.value.result == {"unfinished": 3}


def test_a_policy_has_a_number_or_needs_none() -> None:
    for policy in (Policy("abandon"), Policy("cancel", 3)):
        with pytest.raises(DbosError, match="teardown_abandon is the number"):
            unfinished_work.check(policy)


def test_a_server_that_never_had_a_database(tmp_path: Any) -> None:
    assert not counting.never_made(None)
    assert counting.never_made(str(tmp_path))
    for number in ("1", "4", "5", "pgsql_tmp"):
        (tmp_path / "postgresql/data/base" / number).mkdir(parents=True)
    assert counting.never_made(str(tmp_path))
    (tmp_path / "postgresql/data/base/16384").mkdir()
    assert not counting.never_made(str(tmp_path))


def test_an_inventory_says_what_its_applications_are_called() -> None:
    hosts: dict[str, dict[str, Any]] = {
        "web-shop": {},
        "mail": {"dbos_app": "post", "dbos_namespace": "post", "dbos_platform": "two", "database_name": "letters"},
    }
    first, second = applications(hosts, list(hosts), ["one", "two"])
    assert (first["platform"], second["platform"]) == ("one", "two")
    assert first["application"] == {
        "name": "web-shop", "namespace": "dbos", "application_name": "web-shop", "database": "web_shop",
    }  # fmt: skip
    assert second["application"]["database"] == "letters"

"""What becomes of a platform's resources in AWS, in which order, and what it costs."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import costs
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import plan as plans
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import report
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import resources as kinds
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.plan import Options, Plan, plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.resources import Key, Resource
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

SNAPSHOT = Options(final_snapshot="shop-final")
DATABASE = Resource(
    kinds.DATABASE,
    "shop",
    why="tag",
    needs=frozenset(
        {
            (kinds.SUBNET_GROUP, "shop"),
            (kinds.PARAMETER_GROUP, "shop-postgres17"),
            (kinds.GROUP, "sg-1"),
            (kinds.KEY, "k"),
        }
    ),
    status="available",
    detail={"class": "db.t4g.medium", "gigabytes": 20, "storage": "gp3"},
)
AROUND = [
    Resource(kinds.SUBNET_GROUP, "shop", needs=frozenset({(kinds.SUBNET, "subnet-1"), (kinds.SUBNET, "subnet-2")})),
    Resource(kinds.PARAMETER_GROUP, "shop-postgres17"),
    Resource(kinds.GROUP, "sg-1", needs=frozenset({(kinds.VPC, "vpc-1")})),
    Resource(kinds.SUBNET, "subnet-1", needs=frozenset({(kinds.VPC, "vpc-1")})),
    Resource(kinds.SUBNET, "subnet-2", needs=frozenset({(kinds.VPC, "vpc-1")})),
    Resource(kinds.SUBNET, "subnet-3", needs=frozenset({(kinds.VPC, "vpc-1")})),
    Resource(kinds.VPC, "vpc-1"),
    Resource(kinds.KEY, "k"),
    Resource(kinds.ALIAS, "alias/shop-eks", needs=frozenset({(kinds.KEY, "k")})),
]


def keys(current: Plan, *actions: str) -> set[Key]:
    return {one.resource.key for one in current.having(*actions)}


@st.composite
def inventories(draw: st.DrawFn) -> list[Resource]:
    """Resources that need one another as readers say: what goes first needs what goes later."""
    drawn = draw(st.lists(st.sampled_from([*kinds.AFTER, "sqs queue"]), max_size=14))
    made: list[Resource] = []
    for number, kind in enumerate(sorted(drawn, key=lambda kind: plans.ORDER.get(kind, 99), reverse=True)):
        later = [
            one for one in made if kind in kinds.AFTER and one.kind in kinds.AFTER and kind in kinds.before(one.kind)
        ]
        needs = draw(st.sets(st.sampled_from([one.key for one in later]), max_size=3)) if later else set()
        made.append(Resource(kind, f"r{number}", ours=draw(st.integers(0, 4)) > 0, why="tag", needs=frozenset(needs)))
    # What goes along goes with something that is deleted before the rest of its kind would be.
    result = []
    for one in made:
        parents = [p.key for p in made if one.kind in kinds.AFTER and p.kind in kinds.before(one.kind) and p.ours]
        along = draw(st.none() | st.sampled_from(parents)) if one.ours and parents else None
        result.append(replace(one, goes_with=along))
    return draw(st.permutations(result))


DECISIONS = st.builds(
    Options,
    final_snapshot=st.sampled_from(["none", "shop-final"]),
    keep=st.frozensets(st.sampled_from(sorted(kinds.KEEPABLE))),
    delete_snapshots=st.booleans(),
    keep_backups=st.booleans(),
    delete_images=st.just(True),
)


def follow(inventory: list[Resource], options: Options, most: int = 10**6) -> list[Resource]:
    """What is left when so many steps have been done: what goes along is gone, keys are scheduled."""
    left = {one.key: one for one in inventory}
    while steps := plan(left.values(), options).steps:
        for step in steps:
            if most == 0:
                return list(left.values())
            most -= 1
            gone = left.pop(step.resource.key)
            if gone.kind in (kinds.KEY, kinds.SECRET):
                left[gone.key] = replace(gone, scheduled="2026-12-02")
            if gone.kind == kinds.DATABASE and options.snapshot:
                needs = frozenset(key for key in gone.needs if key[0] == kinds.KEY)
                final = Resource(kinds.SNAPSHOT, options.snapshot, needs=needs)
                left[final.key] = final
            along = {gone.key}
            while more := {one.key for one in left.values() if one.ours and one.goes_with in along} - along:
                along |= more
            for key in along - {gone.key}:
                left.pop(key, None)
    return list(left.values())


@settings(deadline=None)
@given(inventories(), DECISIONS)
def test_nothing_goes_before_what_needs_it(inventory: list[Resource], options: Options) -> None:
    current = plan(inventory, options)
    place = {step.resource.key: number for number, step in enumerate(current.steps)}
    going = keys(current, plans.DELETE, plans.ALONG)
    for one in inventory:
        for need in one.needs & place.keys():
            assert one.key in going, f"{need} is deleted though {one.key} stays"
            if one.key in place:
                assert place[one.key] < place[need]


@settings(deadline=None)
@given(inventories(), DECISIONS)
def test_what_is_foreign_or_kept_stays_with_all_that_it_needs(inventory: list[Resource], options: Options) -> None:
    current = plan(inventory, options)
    there = {one.key: one for one in inventory}
    steps = keys(current, plans.DELETE)
    assert steps <= {one.key for one in inventory if one.ours}
    stay = [one for one in inventory if one.key in keys(current, plans.KEEP, plans.FOREIGN)]
    assert not steps & (kinds.closure(stay, there).keys() | {one.key for one in stay})
    for name in options.keep:
        wanted = {one.key for one in inventory if one.ours and one.kind == kinds.KEEPABLE[name] and not one.goes_with}
        assert not steps & wanted
    assert len(current.decisions) == len(inventory)


@settings(deadline=None)
@given(inventories(), DECISIONS, st.integers(0, 15))
def test_a_teardown_that_was_cut_off_ends_like_a_whole_one(
    inventory: list[Resource], options: Options, done: int
) -> None:
    whole = follow(inventory, options)
    assert not plan(whole, options).steps
    assert {one.key for one in follow(follow(inventory, options, done), options)} == {one.key for one in whole}


def test_nothing_is_planned_for_nothing() -> None:
    assert plan([], Options()) == Plan(())
    assert report.table("shop", "eu-west-1", Plan(()), [], {}) == "Nothing of platform shop is in eu-west-1."


def test_kinds_wait_for_one_another_in_no_circle_and_in_the_order_they_are_listed_in() -> None:
    for kind, after in kinds.AFTER.items():
        assert all(plans.ORDER[one] < plans.ORDER[kind] for one in after)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (kinds.NODE_GROUP, kinds.ADDON),
        (kinds.ADDON, kinds.CLUSTER),
        (kinds.NODE_GROUP, kinds.INTERFACE),
        (kinds.DATABASE, kinds.SUBNET_GROUP),
        (kinds.DATABASE, kinds.GROUP),
        (kinds.CLUSTER, kinds.LOAD_BALANCER),
        (kinds.LOAD_BALANCER, kinds.INTERFACE),
        (kinds.INTERFACE, kinds.GROUP),
        (kinds.NAT, kinds.ADDRESS),
        (kinds.SUBNET, kinds.VPC),
        (kinds.CLUSTER, kinds.LOG_GROUP),
        (kinds.LOG_GROUP, kinds.KEY),
        (kinds.CLUSTER, kinds.ROLE),
    ],
)
def test_kinds_go_in_the_order_that_aws_needs(first: str, then: str) -> None:
    assert first in kinds.before(then)


def test_the_database_goes_beside_the_nodes() -> None:
    assert kinds.NODE_GROUP not in kinds.before(kinds.DATABASE)
    assert kinds.DATABASE not in kinds.before(kinds.CLUSTER)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(), "give the name of a final snapshot"),
        (Options(final_snapshot="taken"), "There is a database snapshot taken already"),
    ],
)
def test_a_database_is_not_deleted_without_a_decision(options: Options, words: str) -> None:
    current = plan([DATABASE, Resource(kinds.SNAPSHOT, "taken", ours=False)], options)
    assert len(current.undecided) == 1 and words in current.undecided[0]


def test_no_snapshot_is_asked_for_where_none_can_be_made_or_none_is_needed() -> None:
    broken = replace(DATABASE, status="incompatible-network")
    assert "AWS can make no final snapshot" in plan([broken], SNAPSHOT).undecided[0]
    assert not plan([broken], Options(final_snapshot="none")).undecided
    assert not plan([DATABASE], Options(keep=frozenset({"database"}))).undecided
    going = replace(DATABASE, status="deleting", detail={"deleting": True})
    assert not plan([going], Options()).undecided


def test_a_final_snapshot_has_a_name_that_aws_takes() -> None:
    for name in ("1shop", "shop--final", "shop-", "shop_final", "s" * 256):
        with pytest.raises(DbosError, match="can't be the name of a database snapshot"):
            Options(final_snapshot=name)


def test_images_are_not_deleted_without_a_decision() -> None:
    full = Resource(kinds.REPOSITORY, "shop/app", detail={"images": 12})
    assert plan([full], Options()).undecided == (
        "Repository shop/app holds 12 images: set teardown_delete_images: true, or keep it "
        "(teardown_keep: [repositories]).",
    )
    assert not plan([full], Options(delete_images=True)).undecided
    assert not plan([full], Options(keep=frozenset({"repositories"}))).undecided
    assert not plan([replace(full, detail={"images": 0})], Options()).undecided


def test_a_kept_database_keeps_what_it_stands_in_and_no_more() -> None:
    secret = Resource("credentials of a database", "arn", goes_with=DATABASE.key)
    assert secret.key in keys(plan([DATABASE, *AROUND, secret], SNAPSHOT), plans.ALONG)
    current = plan([DATABASE, *AROUND, secret], Options(keep=frozenset({"database"})))
    assert keys(current, plans.DELETE) == {(kinds.SUBNET, "subnet-3")}
    reasons = {one.resource.key: one.reason for one in current.having(plans.KEEP)}
    assert reasons[(kinds.SUBNET_GROUP, "shop")] == "needed by database shop, which is kept"
    assert reasons[(kinds.ALIAS, "alias/shop-eks")] == "its key is kept"
    assert reasons[secret.key] == "with database shop, which is kept"


def test_a_final_snapshot_keeps_the_key_that_it_is_encrypted_with() -> None:
    assert (kinds.KEY, "k") in keys(plan([DATABASE, *AROUND], SNAPSHOT), plans.KEEP)
    assert (kinds.KEY, "k") in keys(plan([DATABASE, *AROUND], Options(final_snapshot="none")), plans.DELETE)
    final = Resource(kinds.SNAPSHOT, "shop-final", needs=frozenset({(kinds.KEY, "k")}))
    assert (kinds.KEY, "k") in keys(plan([final, *AROUND], SNAPSHOT), plans.KEEP)


def test_what_is_foreign_is_named_where_it_is_in_the_way() -> None:
    inside = frozenset({(kinds.SUBNET, "subnet-3"), (kinds.VPC, "vpc-1")})
    foreign = Resource(kinds.INSTANCE, "i-1", ours=False, name="agent", why="not ours", needs=inside)
    current = plan([foreign, *AROUND], Options())
    left = {one.resource.key: one.reason for one in current.having(plans.LEAVE)}
    assert left.keys() == inside
    assert set(left.values()) == {"instance i-1 (agent), which is not ours, is in it or uses it"}
    told = report.result("shop", "eu-west-1", current, check=True)
    assert [one["id"] for one in told["foreign"]] == ["i-1"]
    assert "i-1" in told["table"] and "not ours" in told["table"]


def test_what_aws_refuses_is_left_with_all_that_it_needs() -> None:
    current = plan(AROUND, Options(), {(kinds.SUBNET, "subnet-1"): "in use: a lambda", (kinds.SUBNET, "gone"): "x"})
    assert keys(current, plans.LEAVE) == {(kinds.SUBNET, "subnet-1"), (kinds.VPC, "vpc-1")}
    assert report.failure("shop", "eu-west-1", [{"kind": "subnet", "id": "subnet-1", "why": "in use: a lambda"}]) == (
        "Platform shop in eu-west-1 is taken down but for: subnet subnet-1 (in use: a lambda). Remove what is in the "
        "way, and run again to delete the rest."
    )


def test_a_thing_of_an_unknown_kind_is_left_and_said() -> None:
    (one,) = plan([Resource("sqs queue", "arn", why="tag")], Options()).decisions
    assert one.action == plans.LEAVE and "delete it by hand" in one.reason


def test_snapshots_go_only_when_asked_for_and_never_the_final_one() -> None:
    inventory = [Resource(kinds.SNAPSHOT, "old"), Resource(kinds.SNAPSHOT, "shop-final")]
    assert not plan(inventory, SNAPSHOT).steps
    current = plan(inventory, replace(SNAPSHOT, delete_snapshots=True))
    assert keys(current, plans.DELETE) == {(kinds.SNAPSHOT, "old")}


@pytest.mark.parametrize(
    ("tags", "ours"),
    [
        ({"dbos.kubernetes/platform": "shop"}, True),
        ({"dbos.kubernetes/platform": "other", "kubernetes.io/cluster/shop": "owned"}, False),
        ({"kubernetes.io/cluster/shop": "owned"}, True),
        ({"kubernetes.io/cluster/shop": "shared"}, False),
        ({"kubernetes.io/cluster/shop-two": "owned"}, False),
        ({"elbv2.k8s.aws/cluster": "shop"}, True),
        ({"cluster.k8s.amazonaws.com/name": "shop"}, True),
        ({"KubernetesCluster": "shop"}, True),
        ({"ebs.csi.aws.com/cluster": "true"}, False),  # the driver's mark, of any cluster
        ({"Name": "shop"}, False),
        ({}, False),
    ],
)
def test_whose_something_is_is_known_by_its_tags(tags: dict[str, str], ours: bool) -> None:
    assert kinds.whose(tags, "shop")[0] is ours


def test_what_names_the_cluster_of_somebody_else_is_theirs() -> None:
    assert kinds.whose({"kubernetes.io/cluster/shop": "owned"}, "shop", cluster_is_ours=False)[0] is False
    assert kinds.whose({"dbos.kubernetes/platform": "shop"}, "shop", cluster_is_ours=False)[0] is True


@pytest.mark.parametrize(
    ("cost", "month"),
    [
        (costs.cluster(), 73.0),
        (costs.cluster(extended_support=True), 438.0),
        (costs.nodes("t3.medium", 2), 60.74),
        (costs.nodes("m7g.4xlarge", 1), 476.54),
        (costs.database("db.t4g.medium", 20), 49.38),
        (costs.database("db.r7g.large", 100, multi_az=True), 371.94),
        (costs.resource(kinds.NAT, {}), 32.85),
        (costs.resource(kinds.ADDRESS, {}), 3.65),
        (costs.resource(kinds.ENDPOINT, {"type": "Interface", "zones": 3}), 21.9),
        (costs.resource(kinds.SNAPSHOT, {"gigabytes": 20}), 1.9),
        (costs.resource(kinds.VOLUME, {"gigabytes": 100, "storage": "gp3"}), 8.0),
        (costs.resource(kinds.LOG_GROUP, {"bytes": 100 * 1024**3}), 3.0),
        (costs.resource(kinds.REPOSITORY, {"bytes": 5 * 1024**3}), 0.5),
        (costs.resource(kinds.KEY, {}), 1.0),
        (costs.resource(kinds.SECRET, {}), 0.4),
    ],
)
def test_prices(cost: costs.Cost, month: float) -> None:
    assert cost.month == pytest.approx(month, abs=0.01)


def test_an_unknown_price_is_said_and_not_counted() -> None:
    prices = costs.INSTANCE_LARGE_HOUR
    assert costs.instance_hour("x9.large", prices) is None and costs.instance_hour("m7g.metal", prices) is None
    odd = replace(DATABASE, detail={"class": "db.x9.large", "gigabytes": 20, "storage": "gp3"})
    told = report.result("shop", "eu-west-1", plan([odd], Options(keep=frozenset({"database"}))), check=False)
    assert told["monthly_cost"] == 0 and told["unpriced"] == ["db.x9.large, 20 GiB gp3"]
    assert "without db.x9.large, 20 GiB gp3" in told["table"]


def test_free_things_have_no_cost() -> None:
    assert costs.resource(kinds.VPC, {}) is None
    assert costs.resource(kinds.ENDPOINT, {"type": "Gateway"}) is None


AVAILABLE = {
    "network_nat": "per_zone",
    "eks_nodegroups": [{"scaling_config": {"min_size": 3}}],
    "rds_multi_az": True,
    "rds_instance_class": "db.m7g.large",
    "rds_allocated_storage": 100,
}


@pytest.mark.parametrize("variables", [{}, AVAILABLE])
def test_the_documents_say_what_a_platform_costs(root: Path, variables: dict[str, Any]) -> None:
    parts = costs.platform(variables)
    rows = [f"| {one.what} | {one.month:.2f} |" for one in parts] + [f"| all | {costs.total(parts):.2f} |"]
    assert "\n".join(rows) in (root / "docs/aws-costs.md").read_text()


def test_a_network_without_nat_pays_for_endpoints_and_one_of_others_for_nothing() -> None:
    whole = costs.total(costs.platform({}))
    assert costs.total(costs.platform({"network_nat": "none"})) == pytest.approx(whole - 36.5 + 197.1, abs=0.01)
    assert costs.total(costs.platform({"network_vpc_id": "vpc-1"})) == pytest.approx(whole - 36.5, abs=0.01)


def test_the_defaults_that_are_priced_are_the_roles_own(root: Path) -> None:
    network, rds = (
        yaml.safe_load((root / f"roles/{role}/defaults/main.yml").read_text()) for role in ("network", "rds")
    )
    assert list(costs.ENDPOINTS) == network["network_endpoints"]
    assert costs.platform({}) == costs.platform({**network, **rds})
    module = importlib.import_module("ansible_collections.dbos.kubernetes.plugins.modules.eks_nodegroup")
    options = yaml.safe_load(module.DOCUMENTATION)["options"]["nodegroups"]["suboptions"]
    assert options["instance_types"]["default"] == [costs.NODE_TYPE]
    assert options["disk_size"]["default"] == costs.NODE_DISK
    assert options["scaling_config"]["suboptions"]["min_size"]["default"] == costs.NODES

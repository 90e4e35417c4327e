"""What is decided about an EKS cluster, its nodes, add-ons and access, from what AWS describes."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import (
    changes,
    eks_access,
    eks_addon,
    eks_cluster,
    eks_nodegroup,
    eks_pod_identity,
    eks_prerequisites,
    eks_versions,
    launch_template,
    states,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.tags import PLATFORM
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

Json = dict[str, Any]
NOW = datetime(2026, 11, 25, tzinfo=UTC)
TAGS = {PLATFORM: "shop"}
WANTED = eks_cluster.Wanted("shop", "1.35", ("subnet-a", "subnet-b"), logging=("api", "audit"), tags=TAGS)


def version(name: str, days: int) -> Json:
    status = "STANDARD_SUPPORT" if days >= 0 else "EXTENDED_SUPPORT"
    return {"clusterVersion": name, "versionStatus": status, "endOfStandardSupportDate": NOW + timedelta(days=days)}


VERSIONS = [version("1.36", 250), version("1.35", 122), version("1.34", 7), version("1.33", -119)]

# Versions


@given(st.integers(20, 60), st.integers(0, 20))
def test_an_upgrade_goes_one_minor_at_a_time(start: int, steps: int) -> None:
    path = eks_versions.upgrade_path(f"1.{start}", f"1.{start + steps}")
    assert [eks_versions.minor(one)[1] for one in path] == list(range(start + 1, start + steps + 1))
    if steps:
        with pytest.raises(DbosError, match="does not go back"):
            eks_versions.upgrade_path(f"1.{start + steps}", f"1.{start}")


def test_a_version_past_standard_support_is_refused_unless_allowed() -> None:
    with pytest.raises(
        DbosError, match=r"past AWS' standard support since 2026-07-29.*Choose one of 1\.34, 1\.35, 1\.36"
    ):
        eks_versions.supported(VERSIONS, "1.33", extended=False, now=NOW)
    assert eks_versions.supported(VERSIONS, "1.33", extended=True, now=NOW).status == "EXTENDED_SUPPORT"
    assert eks_versions.supported(VERSIONS, "1.35", extended=False, now=NOW).days_left == 122


def test_the_date_counts_too() -> None:
    """AWS' status follows the date some hours late."""
    late = NOW + timedelta(days=8)
    with pytest.raises(DbosError, match="past AWS' standard support"):
        eks_versions.supported(VERSIONS, "1.34", extended=False, now=late)


@pytest.mark.parametrize("name", ["1.20", "1.99"])
def test_an_unknown_version_is_refused(name: str) -> None:
    with pytest.raises(DbosError, match=r"In standard support are 1\.34, 1\.35, 1\.36"):
        eks_versions.supported(VERSIONS, name, extended=True, now=NOW)


def test_a_version_that_is_no_text_is_explained() -> None:
    with pytest.raises(DbosError, match="in quotes"):
        eks_versions.supported(VERSIONS, "latest", extended=True, now=NOW)


def test_the_end_of_support_is_warned_of() -> None:
    ending = eks_versions.supported(VERSIONS, "1.34", extended=False, now=NOW)
    assert "ends in 7 days, on 2026-12-02" in (eks_versions.ending(ending, "1.34", 60) or "")
    assert eks_versions.ending(ending, "1.34", 7) is None
    extended = eks_versions.supported(VERSIONS, "1.33", extended=True, now=NOW)
    assert eks_versions.ending(extended, "1.33", 60) is None


# Who may reach the endpoint, and where the control plane may stand


@pytest.mark.parametrize(
    ("cidrs", "words"),
    [
        ((), "list them in eks_public_access_cidrs"),
        (("192.0.2.17",), None),
        (("192.0.2.1/24",), "has host bits set"),
        (("everybody",), "does not appear to be"),
        (("0.0.0.0/0",), "whole internet"),
        (("::/0",), "whole internet"),
        (("0.0.0.0/1", "128.0.0.0/1"), "whole internet"),
        (("192.0.2.0/24", "2001:db8::/32"), None),
    ],
)
def test_public_access_is_for_somebody_but_not_for_everybody(cidrs: tuple[str, ...], words: str | None) -> None:
    eks_cluster.check_access(False, cidrs, anywhere=False)
    if words is None:
        eks_cluster.check_access(True, cidrs, anywhere=False)
        return
    with pytest.raises(DbosError, match=words):
        eks_cluster.check_access(True, cidrs, anywhere=False)
    if words == "whole internet":
        eks_cluster.check_access(True, cidrs, anywhere=True)


def subnet(name: str, zone: str, free: int) -> Json:
    return {"SubnetId": name, "AvailabilityZone": zone, "AvailableIpAddressCount": free, "CidrBlock": "10.0.0.0/28"}


def test_subnets_need_free_addresses_in_two_zones() -> None:
    assert eks_cluster.check_subnets([subnet("a", "z1", 16), subnet("b", "z2", 200)]) is None
    assert "b (10.0.0.0/28) has 15" in (eks_cluster.check_subnets([subnet("a", "z1", 16), subnet("b", "z2", 15)]) or "")
    with pytest.raises(DbosError, match=r"6 free addresses.*: b \(10.0.0.0/28\) has 5\."):
        eks_cluster.check_subnets([subnet("a", "z1", 16), subnet("b", "z2", 5)])
    with pytest.raises(DbosError, match="two availability zones"):
        eks_cluster.check_subnets([subnet("a", "z1", 16), subnet("b", "z1", 16)])


# A cluster's differences


def describe(request: Json) -> Json:
    """A cluster as AWS describes what was asked for."""
    have = copy.deepcopy(request)
    have |= {"arn": "arn:aws:eks:eu-west-1:1:cluster/shop", "status": "ACTIVE"}
    have["kubernetesNetworkConfig"] = {"serviceIpv4Cidr": "172.20.0.0/16"} | request.get("kubernetesNetworkConfig", {})
    return have


def updated(have: Json, change: changes.Change) -> Json:
    """The same after EKS has done one update, which must be of one kind."""
    arguments = copy.deepcopy(change.arguments)
    have = copy.deepcopy(have)
    if change.operation == "tag_resource":
        have["tags"] |= arguments["tags"]
    elif change.operation == "untag_resource":
        for key in arguments["tagKeys"]:
            del have["tags"][key]
    elif change.operation == "associate_encryption_config":
        have["encryptionConfig"] = arguments["encryptionConfig"]
    else:
        assert change.operation == "update_cluster_config" and arguments.pop("name") == "shop"
        ((kind, value),) = arguments.items()
        if kind == "resourcesVpcConfig":
            assert not ({"subnetIds", "securityGroupIds"} & value.keys() and "endpointPublicAccess" in value)
            have[kind] |= value
        elif kind == "logging":
            assert sum(len(setup["types"]) for setup in value["clusterLogging"]) == len(eks_cluster.LOG_TYPES)
            have[kind] = value
        else:
            have[kind] = value
    return have


subsets = st.lists(st.sampled_from(["subnet-a", "subnet-b", "subnet-c"]), min_size=2, max_size=3, unique=True)
clusters = st.builds(
    eks_cluster.Wanted,
    name=st.just("shop"),
    version=st.just("1.35"),
    subnet_ids=subsets.map(tuple),
    security_group_ids=st.none() | st.lists(st.sampled_from(["sg-1", "sg-2"]), unique=True).map(tuple),
    endpoint_public_access=st.booleans(),
    public_access_cidrs=st.lists(st.sampled_from(["192.0.2.0/24", "198.51.100.0/24"]), min_size=1, unique=True).map(
        tuple
    ),
    logging=st.lists(st.sampled_from(eks_cluster.LOG_TYPES), unique=True).map(tuple),
    key_arn=st.just("arn:key"),
    support_type=st.sampled_from(["STANDARD", "EXTENDED"]),
    deletion_protection=st.booleans(),
    tags=st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz")).map(lambda tags: {**tags, **TAGS}),
)


@given(clusters, clusters, st.sampled_from(["CONFIG_MAP", "API_AND_CONFIG_MAP", "API"]), st.booleans())
def test_updates_of_one_kind_each_lead_to_what_is_wanted(before: Any, want: Any, mode: str, encrypted: bool) -> None:
    have = describe(eks_cluster.request(before))
    have["accessConfig"] = {"authenticationMode": mode}
    if not encrypted:
        have.pop("encryptionConfig")
    for change in eks_cluster.differences(have, want):
        after = updated(have, change)
        assert after != have
        have = after
    assert have["accessConfig"]["authenticationMode"] == "API"
    assert eks_cluster.differences(have, want) == []


@given(clusters)
def test_what_was_made_is_as_wanted(want: Any) -> None:
    assert eks_cluster.differences(describe(eks_cluster.request(want)), want) == []


@pytest.mark.parametrize(
    "option",
    [
        {"deletion_protection": False},
        {"support_type": "EXTENDED"},
        {"logging": ("scheduler",)},
        {"subnet_ids": ("subnet-a", "subnet-c")},
        {"security_group_ids": ("sg-1",)},
        {"tags": {**TAGS, "team": "a"}},
        {"key_arn": "arn:key"},
    ],
)
def test_one_option_changes_only_itself(option: Json) -> None:
    found = eks_cluster.differences(describe(eks_cluster.request(WANTED)), replace(WANTED, **option))
    assert [str(change) for change in found] == list(option)


def test_what_eks_has_of_nothing_is_nothing() -> None:
    """A cluster that was made by others in the oldest way: its rights in aws-auth go, one step after another."""
    found = eks_cluster.differences(
        {"name": "shop", "arn": "arn", "resourcesVpcConfig": {"endpointPublicAccess": True}, "version": "1.35"}, WANTED
    )
    assert [str(change) for change in found] == [
        "tags",
        "deletion_protection",
        "support_type",
        "authentication_mode",
        "authentication_mode",
        "logging",
        "endpoint",
        "subnet_ids",
    ]


def test_what_eks_can_not_change_is_an_error() -> None:
    with pytest.raises(DbosError, match="set eks_service_ipv4_cidr back"):
        have = describe(eks_cluster.request(WANTED))
        eks_cluster.differences(have, replace(WANTED, service_ipv4_cidr="10.100.0.0/16"))


def test_the_diff_of_two_upgrades_is_from_the_first_to_the_last() -> None:
    found = eks_cluster.upgrades({"name": "shop", "version": "1.33"}, ["1.34", "1.35"])
    shown = changes.result({"cluster shop": found, "node group a": []})
    assert shown["changes"] == ["cluster shop: version 1.33 to 1.34", "cluster shop: version 1.34 to 1.35"]
    assert shown["diff"] == {
        "before": {"cluster shop": {"version": "1.33"}},
        "after": {"cluster shop": {"version": "1.35"}},
    }


# Node groups

GROUP = eks_nodegroup.checked(
    eks_nodegroup.Wanted("shop", "default", ("subnet-a",), "arn:role", ("m7g.large",), 2, 4, labels={"a": "1"})
)
TEMPLATE = {"id": "lt-1", "version": "3"}


def group(want: eks_nodegroup.Wanted, version: str = "1.35") -> Json:
    have = copy.deepcopy(eks_nodegroup.request(want, TEMPLATE))
    return have | {"version": version, "releaseVersion": f"{version}.0-20261110", "status": "ACTIVE"}


@pytest.mark.parametrize(
    ("types", "image"),
    [
        (["t4g.medium", "m7gd.large"], eks_nodegroup.ARM),
        (["c7gn.xlarge"], eks_nodegroup.ARM),
        (["im4gn.large"], eks_nodegroup.ARM),
        (["a1.large"], eks_nodegroup.ARM),
        (["m7i.large", "g4dn.xlarge", "c5.large"], eks_nodegroup.X86),
        (["g6e.xlarge"], eks_nodegroup.X86),
    ],
)
def test_the_image_fits_the_processors(types: list[str], image: str) -> None:
    assert eks_nodegroup.image_type(types) == image


def test_a_group_has_one_architecture() -> None:
    with pytest.raises(DbosError, match=r"m7i\.large, m7g\.large are of two"):
        eks_nodegroup.image_type(["m7i.large", "m7g.large"])


@pytest.mark.parametrize(
    "sizes", [{"min_size": 5}, {"desired_size": 5}, {"desired_size": 1}, {"min_size": 0, "max_size": 0}]
)
def test_sizes_that_contradict_each_other_are_refused(sizes: Json) -> None:
    with pytest.raises(DbosError, match="node group default can't have"):
        eks_nodegroup.checked(replace(GROUP, **sizes))


taints = st.lists(
    st.builds(
        dict,
        key=st.sampled_from("ab"),
        value=st.sampled_from(["", "x"]),
        effect=st.sampled_from(["NO_SCHEDULE", "NO_EXECUTE"]),
    ),
    unique_by=lambda taint: (taint["key"], taint["effect"]),
).map(tuple)
groups = st.builds(
    lambda labels, taints, low, more, pace: replace(
        GROUP, labels=labels, taints=taints, min_size=low, max_size=low + more, max_unavailable=pace
    ),
    st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz")),
    taints,
    st.integers(0, 5),
    st.integers(1, 5),
    st.integers(1, 3),
)


@given(groups, groups)
def test_one_update_of_the_configuration_is_enough(before: Any, want: Any) -> None:
    have = group(before)
    change = eks_nodegroup.configuration(have, want)
    if change is None:
        assert eks_nodegroup.configuration(group(want), before) is None
        return
    given_ = change.arguments
    labels = given_.get("labels", {})
    for key in labels.get("removeLabels", []):
        del have["labels"][key]
    have["labels"] |= labels.get("addOrUpdateLabels", {})
    moved = given_.get("taints", {})
    gone = [*moved.get("removeTaints", []), *moved.get("addOrUpdateTaints", [])]
    names = [(taint["key"], taint["effect"]) for taint in gone]
    have["taints"] = [taint for taint in have["taints"] if (taint["key"], taint["effect"]) not in names]
    have["taints"] += moved.get("addOrUpdateTaints", [])
    have["scalingConfig"] = given_.get("scalingConfig", have["scalingConfig"])
    have["updateConfig"] = given_.get("updateConfig", have["updateConfig"])
    assert eks_nodegroup.configuration(have, want) is None
    assert have["labels"] == dict(want.labels)


def test_a_label_s_value_counts() -> None:
    change = eks_nodegroup.configuration(group(GROUP), replace(GROUP, labels={"a": "2"}))
    assert change is not None and change.arguments["labels"] == {"addOrUpdateLabels": {"a": "2"}}


def test_the_number_of_nodes_is_an_autoscaler_s_unless_it_is_given() -> None:
    have = group(GROUP) | {"scalingConfig": {"minSize": 2, "maxSize": 4, "desiredSize": 4}}
    assert eks_nodegroup.configuration(have, GROUP) is None
    lower = eks_nodegroup.configuration(have, replace(GROUP, max_size=3))
    assert lower is not None and lower.after["scaling_config"]["desiredSize"] == 3
    asked = eks_nodegroup.configuration(have, replace(GROUP, desired_size=2))
    assert asked is not None and asked.after["scaling_config"]["desiredSize"] == 2


def test_nodes_are_replaced_for_a_template_or_a_version_only() -> None:
    have = group(GROUP, "1.34")
    assert eks_nodegroup.replacement(have, GROUP, TEMPLATE) is None
    template = eks_nodegroup.replacement(have, GROUP, {**TEMPLATE, "version": "4"})
    # A new disk size must not bring a new image along.
    assert template is not None and template.arguments["releaseVersion"] == "1.34.0-20261110"
    newer = eks_nodegroup.replacement(have, replace(GROUP, version="1.35", force=True), TEMPLATE)
    assert newer is not None and str(newer) == "version" and newer.arguments["force"]
    assert "releaseVersion" not in newer.arguments
    with pytest.raises(DbosError, match="does not go back"):
        eks_nodegroup.replacement(have, replace(GROUP, version="1.33"), TEMPLATE)


@pytest.mark.parametrize(
    "fixed",
    [{"subnets": ("subnet-b",)}, {"instance_types": ("c7g.large",)}, {"node_role": "arn:b"}, {"capacity_type": "SPOT"}],
)
def test_what_a_node_group_can_not_change_is_an_error(fixed: Json) -> None:
    eks_nodegroup.check_fixed(group(GROUP), GROUP)
    with pytest.raises(DbosError, match=f"can't change a node group's {next(iter(fixed))}"):
        eks_nodegroup.check_fixed(group(GROUP), replace(GROUP, **fixed))


def test_a_launch_template_is_safe_and_compared_by_what_is_ours() -> None:
    want = launch_template.data("shop-default", 50, TAGS)
    assert want["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] and want["MetadataOptions"]["HttpTokens"] == "required"
    assert want["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    have = copy.deepcopy(want)
    have["BlockDeviceMappings"][0]["Ebs"]["Iops"] = 3000
    have["TagSpecifications"].reverse()
    assert launch_template.differences(have, want) == ({}, {})
    bigger = launch_template.data("shop-default", 60, TAGS)
    assert list(launch_template.differences(have, bigger)[1]) == ["disk"]
    assert list(launch_template.differences({}, want)[1]) == ["disk", "metadata_options", "instance_tags"]


# Add-ons


def offered(*versions: tuple[str, bool]) -> list[Json]:
    def one(name: str, default: bool) -> Json:
        fits = [
            {"clusterVersion": "1.35", "defaultVersion": default},
            {"clusterVersion": "1.34", "defaultVersion": True},
        ]
        return {"addonVersion": name, "compatibilities": fits}

    return [{"addonName": "coredns", "addonVersions": [one(*each) for each in versions]}]


OFFER = eks_addon.offers(
    offered(("v1.2.9-eksbuild.1", False), ("v1.2.10-eksbuild.2", True), ("v1.11.0-eksbuild.1", False)), "1.35"
)["coredns"]
ADDON = eks_addon.Wanted("shop", "coredns", tags=TAGS)


def test_versions_are_sorted_as_numbers() -> None:
    assert OFFER.versions == ("v1.11.0-eksbuild.1", "v1.2.10-eksbuild.2", "v1.2.9-eksbuild.1")
    assert OFFER.default == "v1.2.10-eksbuild.2"
    assert eks_addon.offers(offered(("v1", True)), "1.33")["coredns"].versions == ()


@pytest.mark.parametrize(
    ("wanted", "current", "chosen"),
    [
        ("default", None, "v1.2.10-eksbuild.2"),
        ("default", "v1.2.9-eksbuild.1", "v1.2.10-eksbuild.2"),
        ("default", "v1.11.0-eksbuild.1", "v1.11.0-eksbuild.1"),  # AWS' default takes nothing back
        ("default", "v9.0.0-eksbuild.1", "v1.2.10-eksbuild.2"),  # but what does not fit goes
        ("latest", "v1.2.9-eksbuild.1", "v1.11.0-eksbuild.1"),
        ("v1.2.9-eksbuild.1", "v1.11.0-eksbuild.1", "v1.2.9-eksbuild.1"),
    ],
)
def test_an_add_on_s_version_is_chosen(wanted: str, current: str | None, chosen: str) -> None:
    assert eks_addon.choose(replace(ADDON, version=wanted), OFFER, current, "1.35") == chosen


def test_an_add_on_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DbosError, match=r"add-on coredns v9 does not fit Kubernetes 1.35; these do: v1\.11\.0"):
        eks_addon.choose(replace(ADDON, version="v9"), OFFER, None, "1.35")
    with pytest.raises(DbosError, match="EKS has no add-on coredns for Kubernetes"):
        eks_addon.choose(ADDON, None, None, "1.35")


def test_an_add_on_s_values_are_compared_as_data() -> None:
    have = {"addonVersion": "v1", "status": "ACTIVE", "configurationValues": '{"replicaCount":  3}'}
    assert eks_addon.difference(have, {}, replace(ADDON, configuration={"replicaCount": 3}), "v1") is None
    yaml = {**have, "configurationValues": "replicaCount: 3\n"}
    assert eks_addon.difference(yaml, {}, replace(ADDON, configuration={"replicaCount": 3}), "v1") is None
    change = eks_addon.difference(have, {}, replace(ADDON, configuration={"replicaCount": 2}), "v1")
    assert change is not None and str(change) == "configuration_values"
    assert eks_addon.difference(have, {"a": "arn:a"}, ADDON, "v1") is None  # what is not given is not touched
    gone = eks_addon.difference(have, {"a": "arn:a"}, replace(ADDON, identities={}), "v1")
    assert gone is not None and gone.arguments["podIdentityAssociations"] == []


def test_an_update_that_failed_is_tried_again() -> None:
    change = eks_addon.difference({"addonVersion": "v1", "status": "UPDATE_FAILED"}, {}, ADDON, "v1")
    assert str(change) == "the update that failed"


# Access


@pytest.mark.parametrize(
    ("identity", "known", "principal"),
    [
        ("arn:aws:iam::1:user/ops/jane", [], "arn:aws:iam::1:user/ops/jane"),
        ("arn:aws:sts::1:assumed-role/deployer/session", [], "arn:aws:iam::1:role/deployer"),
        (
            "arn:aws-cn:sts::1:assumed-role/AWSReservedSSO_Admin_1/jane@example.com",
            [
                "arn:aws-cn:iam::2:role/x/AWSReservedSSO_Admin_1",
                "arn:aws-cn:iam::1:role/aws-reserved/AWSReservedSSO_Admin_1",
            ],
            "arn:aws-cn:iam::1:role/aws-reserved/AWSReservedSSO_Admin_1",
        ),
    ],
)
def test_a_session_is_its_role(identity: str, known: list[str], principal: str) -> None:
    assert eks_access.principal(identity, known) == principal


def test_root_gets_no_access() -> None:
    with pytest.raises(DbosError, match="root user"):
        eks_access.principal("arn:aws:iam::1:root", [])


scopes = st.dictionaries(
    st.sampled_from(["arn:p1", "arn:p2"]),
    st.just(("cluster",)) | st.sets(st.sampled_from("ab"), min_size=1).map(lambda names: ("namespace", *sorted(names))),
)


@given(scopes, scopes)
def test_policies_become_the_wanted_ones(
    have: dict[str, tuple[str, ...]], policies: dict[str, tuple[str, ...]]
) -> None:
    want = eks_access.Wanted("shop", "arn:who", policies)
    after = dict(have)
    for change in eks_access.policy_changes(have, want):
        arn = change.arguments["policyArn"]
        if change.operation == "disassociate_access_policy":
            del after[arn]
        else:
            scope = change.arguments["accessScope"]
            after[arn] = eks_access.scope(scope["type"], scope.get("namespaces", []))
    assert after == policies


def test_an_association_s_role_is_changed_in_place() -> None:
    want = eks_pod_identity.Wanted("shop", "shop", "web", "arn:new", tags=TAGS)
    have = {"associationArn": "arn", "associationId": "a-1", "roleArn": "arn:old", "tags": TAGS}
    (change,) = eks_pod_identity.differences(have, want)
    assert change.arguments == {"clusterName": "shop", "associationId": "a-1", "roleArn": "arn:new"}
    assert eks_pod_identity.differences({**have, "roleArn": "arn:new"}, want) == []


# Prerequisites


def test_a_role_has_exactly_its_policies() -> None:
    (_cluster, role) = eks_prerequisites.roles("shop", ["Worker", "arn:own"], {}, "aws")
    assert (role.name, role.policies) == ("shop-eks-node", ("arn:aws:iam::aws:policy/Worker", "arn:own"))
    have = {"AssumeRolePolicyDocument": role.trust, "Tags": [{"Key": PLATFORM, "Value": "shop"}]}
    assert eks_prerequisites.role_changes(have, role.policies, role, TAGS) == []
    found = eks_prerequisites.role_changes(have, ["arn:own", "arn:AdministratorAccess"], role, TAGS)
    assert [(change.operation, change.arguments["PolicyArn"]) for change in found] == [
        ("attach_role_policy", "arn:aws:iam::aws:policy/Worker"),
        ("detach_role_policy", "arn:AdministratorAccess"),
    ]
    trusting = {**have, "AssumeRolePolicyDocument": {"Statement": []}}
    assert [str(one) for one in eks_prerequisites.role_changes(trusting, role.policies, role, TAGS)] == ["trust"]


# How far things are


@pytest.mark.parametrize(
    ("status", "leaving", "reached", "failed"),
    [
        ("CREATING", False, False, False),
        ("ACTIVE", False, True, False),
        ("ACTIVE", True, False, False),
        ("CREATE_FAILED", False, False, True),
        ("CREATE_FAILED", True, False, False),
        ("DEGRADED", False, False, True),
        ("DEGRADED", True, False, False),
        ("FAILED", True, False, True),
        ("DELETE_FAILED", True, False, True),
    ],
)
def test_a_status_is_judged(status: str, leaving: bool, reached: bool, failed: bool) -> None:
    issue = {"code": "NodeCreationFailure", "message": "Instances failed to join"}
    state = states.judged({"status": status, "health": {"issues": [issue]}}, leaving=leaving)
    assert (state.reached, state.failure) == (
        reached,
        "Instances failed to join (NodeCreationFailure)" if failed else "",
    )

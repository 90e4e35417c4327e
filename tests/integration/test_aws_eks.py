"""A platform's EKS cluster: from nothing, changed option by option, upgraded in order, failed, interrupted, deleted."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_kit import REGION, Aws

Json = dict[str, Any]
TAG = {"dbos.kubernetes/platform": "shop"}
CNI = [{"name": "vpc-cni", "policies": ["AmazonEKS_CNI_Policy"]}]
ADDONS = [
    {"addon_name": "vpc-cni", "pod_identity_associations": [{"service_account": "aws-node", "role_arn": "vpc-cni"}]},
    *({"addon_name": name} for name in ("kube-proxy", "eks-pod-identity-agent", "coredns", "metrics-server")),
]
READS = ("Describe", "List", "Get")
LOGIC = "ansible_collections.dbos.kubernetes.plugins.module_utils.aws"


class Quick:
    """The module time, running twenty times as fast."""

    @staticmethod
    def monotonic() -> float:
        return time.monotonic() * 20

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(seconds / 20)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("account", "states", "waiting"):
        monkeypatch.setattr(f"{LOGIC}.{name}.time", Quick())
    monkeypatch.setattr("botocore.endpoint.time", Quick())


class Platform:
    """The platform shop in an empty account with a VPC, made by the modules as the role calls them."""

    def __init__(self, aws: Aws) -> None:
        aws.reset()
        self.aws = aws
        self.vpc, self.subnets = aws.vpc()
        self.made: Json = {}

    def run(self, module: str, *, check: bool = False, **options: Any) -> Json:
        self.aws.clear_calls()
        return self.aws.module(module, check=check, platform="shop", **options)

    def ok(self, module: str, *, check: bool = False, **options: Any) -> Json:
        result = self.run(module, check=check, **options)
        assert not result.get("failed"), result["msg"]
        assert not check or not self.writes()
        return result

    def refused(self, module: str, **options: Any) -> str:
        """The one error; nothing has been written."""
        result = self.run(module, **options)
        assert result.get("failed"), result
        assert not self.writes()
        return str(result["msg"])

    def writes(self) -> list[str]:
        return [call for call in self.aws.made_calls() if not call.partition(":")[2].startswith(READS)]

    def prerequisites(self, **options: Any) -> Json:
        result = self.ok("eks_prerequisites", **{"pod_identity_roles": CNI, **options})
        if result.get("key_arn", "").startswith("arn:"):
            self.made = result
        return result

    def cluster_options(self, **options: Any) -> Json:
        roles = {"role_arn": self.made["cluster_role_arn"], "key_arn": self.made["key_arn"]} if self.made else {}
        return {"version": "1.35", "subnet_ids": self.subnets, **roles, **options}

    def cluster(self, **options: Any) -> Json:
        return self.ok("eks_cluster", **self.cluster_options(**options))

    def nodegroup_options(self, *, purge: bool = False, **group: Any) -> Json:
        own = {"nodegroup_name": "default", "subnets": self.subnets, "node_role": self.made["node_role_arn"]}
        return {"nodegroups": [{**own, **group}], "purge": purge}

    def nodegroup(self, *, check: bool = False, **group: Any) -> Json:
        return self.ok("eks_nodegroup", check=check, **self.nodegroup_options(**group))

    def addons(self, addons: list[Json] = ADDONS, **options: Any) -> Json:
        return self.ok("eks_addon", addons=addons, role_arns=self.made["pod_identity_role_arns"], **options)

    def build(self) -> None:
        """All of it."""
        self.prerequisites()
        self.cluster()
        self.nodegroup()
        self.addons()
        self.ok("eks_access_entry", admins=["caller"])

    @property
    def eks(self) -> Any:
        return self.aws.client("eks")

    def described(self) -> Json:
        """All that EKS shows of the prepared."""
        names = {"clusterName": "shop"}
        groups = self.eks.list_nodegroups(**names)["nodegroups"]
        addons = self.eks.list_addons(**names)["addons"]
        found = {
            "cluster": self.eks.describe_cluster(name="shop")["cluster"],
            **{name: self.eks.describe_nodegroup(nodegroupName=name, **names)["nodegroup"] for name in groups},
            **{name: self.eks.describe_addon(addonName=name, **names)["addon"] for name in addons},
        }
        for thing in found.values():
            thing.pop("modifiedAt", None)
            thing.pop("ResponseMetadata", None)
        return json.loads(json.dumps(found, default=str))


@pytest.fixture
def empty(aws: Aws) -> Iterator[Platform]:
    yield Platform(aws)
    aws.faults()


@pytest.fixture
def prepared(empty: Platform) -> Platform:
    """A platform that is there already, with its prerequisites made."""
    empty.prerequisites()
    return empty


def changed_keys(before: Json, after: Json) -> set[str]:
    """Dotted names of what differs."""
    found = set()
    for thing in before.keys() | after.keys():
        old, new = before.get(thing, {}), after.get(thing, {})
        found |= {f"{thing}.{key}" for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    return found


# From nothing


def test_check_mode_is_true_on_an_empty_account(empty: Platform) -> None:
    made = empty.prerequisites(check=True)
    assert made["changed"] and made["key_arn"] == made["node_role_arn"] == "(to be made)"
    cluster = empty.ok("eks_cluster", check=True, version="1.35", subnet_ids=["(to be made)"], key_arn="(to be made)")
    assert cluster["changed"] and cluster["cluster"]["endpoint"] == "(to be made)" and cluster["upgrade_path"] == []
    group = {"nodegroup_name": "default", "subnets": ["(to be made)"], "node_role": "(to be made)"}
    groups = empty.ok("eks_nodegroup", check=True, nodegroups=[group])
    assert groups["changed"] and groups["nodegroups"]["default"]["status"] == "(to be made)" and groups["waiting"] == []
    roles = {"vpc-cni": "(to be made)"}
    addons = empty.ok("eks_addon", check=True, addons=ADDONS, kubernetes_version="1.35", role_arns=roles)
    assert addons["changed"] and list(addons["addons"]) == [one["addon_name"] for one in ADDONS]
    assert empty.ok("eks_access_entry", check=True, admins=["caller"])["changed"]
    pods = [{"namespace": "shop", "service_account": "shop", "role_arn": "(to be made)"}]
    assert empty.ok("eks_pod_identity_association", check=True, associations=pods)["changed"]
    assert not empty.ok("eks_cluster", check=True, state="absent")["changed"]


def test_made_once_and_the_same_again(empty: Platform) -> None:
    empty.build()
    shown = empty.described()
    calls = 0
    for module, options in (
        ("eks_prerequisites", {"pod_identity_roles": CNI}),
        ("eks_cluster", empty.cluster_options()),
        ("eks_nodegroup", empty.nodegroup_options()),
        (
            "eks_addon",
            {"addons": ADDONS, "role_arns": empty.made["pod_identity_role_arns"], "kubernetes_version": "1.35"},
        ),
        ("eks_access_entry", {"admins": ["caller"]}),
        ("eks_pod_identity_association", {}),
    ):
        result = empty.ok(module, **options)
        assert not result["changed"] and result["changes"] == [] and result["diff"] == {"before": {}, "after": {}}
        assert not empty.writes()
        calls += len(empty.aws.made_calls())
    assert calls <= 26
    assert empty.described() == shown
    # Everything is the platform's.
    for thing in shown.values():
        assert thing["tags"].items() >= TAG.items()
    assert shown["cluster"]["accessConfig"]["authenticationMode"] == "API"
    assert shown["cluster"]["resourcesVpcConfig"]["endpointPrivateAccess"]
    assert not shown["cluster"]["resourcesVpcConfig"]["endpointPublicAccess"]
    assert shown["cluster"]["encryptionConfig"][0]["provider"]["keyArn"] == empty.made["key_arn"]
    key = {"KeyId": "alias/shop-eks"}
    key_arn = empty.aws.client("kms").describe_key(**key)["KeyMetadata"]["Arn"]
    assert key_arn == empty.made["key_arn"]
    assert empty.aws.client("kms").get_key_rotation_status(KeyId=key_arn)["KeyRotationEnabled"]
    (group,) = empty.aws.client("logs").describe_log_groups(logGroupNamePrefix="/aws/eks/shop/cluster")["logGroups"]
    assert group["retentionInDays"] == 90
    assert empty.aws.client("logs").list_tags_log_group(logGroupName=group["logGroupName"])["tags"] == TAG
    template = shown["default"]["launchTemplate"]
    (version,) = empty.aws.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=template["id"], Versions=[template["version"]]
    )["LaunchTemplateVersions"]
    data = version["LaunchTemplateData"]
    assert (
        data["BlockDeviceMappings"][0]["Ebs"] | {"Encrypted": True, "VolumeType": "gp3"}
        == (data["BlockDeviceMappings"][0]["Ebs"])
    )
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1


# Each option by itself


def test_each_option_of_the_cluster_changes_only_itself(prepared: Platform) -> None:
    prepared.cluster()
    group = prepared.aws.client("ec2").create_security_group(GroupName="a", Description="a", VpcId=prepared.vpc)[
        "GroupId"
    ]
    options: Json = {}
    for option, name, key in (
        ({"endpoint_public_access": True, "public_access_cidrs": ["192.0.2.0/24"]}, "endpoint", "resourcesVpcConfig"),
        ({"public_access_cidrs": ["198.51.100.0/24"]}, "endpoint", "resourcesVpcConfig"),
        ({"subnet_ids": prepared.subnets[:2]}, "subnet_ids", "resourcesVpcConfig"),
        ({"security_group_ids": [group]}, "security_group_ids", "resourcesVpcConfig"),
        ({"logging": ["api", "scheduler"]}, "logging", "logging"),
        ({"support_type": "EXTENDED"}, "support_type", "upgradePolicy"),
        ({"deletion_protection": False}, "deletion_protection", "deletionProtection"),
        ({"tags": {"team": "a"}}, "tags", "tags"),
        ({"tags": {}}, "other tags", "tags"),
        ({"endpoint_public_access": False}, "endpoint", "resourcesVpcConfig"),
    ):
        options |= option
        before = prepared.described()
        assert prepared.cluster(check=True, **options)["changes"] == [f"cluster shop: {name}"]
        result = prepared.cluster(**options)
        assert result["changes"] == [f"cluster shop: {name}"]
        assert list(result["diff"]["after"]["cluster shop"]) == [name]
        assert changed_keys(before, prepared.described()) == {f"cluster.{key}"}
        assert not prepared.cluster(**options)["changed"]


def test_each_option_of_a_node_group_changes_only_itself(prepared: Platform) -> None:
    prepared.cluster()
    prepared.nodegroup()
    options: Json = {}
    taint = {"key": "work", "value": "batch", "effect": "NO_SCHEDULE"}
    for option, names, keys in (
        ({"labels": {"a": "1"}}, ["labels"], {"labels"}),
        ({"labels": {"a": "2"}}, ["labels"], {"labels"}),
        ({"labels": {}}, ["labels"], {"labels"}),
        ({"taints": [taint]}, ["taints"], {"taints"}),
        ({"taints": [{**taint, "value": "other"}]}, ["taints"], {"taints"}),
        ({"scaling_config": {"min_size": 1, "max_size": 3}}, ["scaling_config"], {"scalingConfig"}),
        ({"scaling_config": {"min_size": 1, "max_size": 3, "desired_size": 3}}, ["scaling_config"], {"scalingConfig"}),
        ({"max_unavailable": 2}, ["update_config"], {"updateConfig"}),
        ({"disk_size": 60}, ["disk", "launch_template"], {"launchTemplate"}),
        ({"release_version": "1.35.2-20261120"}, ["release_version"], {"releaseVersion"}),
    ):
        options |= option
        before = prepared.described()
        assert [one.split(": ")[1] for one in prepared.nodegroup(check=True, **options)["changes"]] == names
        assert [one.split(": ")[1] for one in prepared.nodegroup(**options)["changes"]] == names
        assert changed_keys(before, prepared.described()) == {f"default.{key}" for key in keys}
        assert not prepared.nodegroup(**options)["changed"]


def test_tags_reach_instances_and_volumes(prepared: Platform) -> None:
    prepared.cluster()
    prepared.nodegroup()
    result = prepared.ok("eks_nodegroup", tags={"team": "a"}, **prepared.nodegroup_options())
    names = ["node group default: tags", "node group default: instance_tags", "node group default: launch_template"]
    assert result["changes"] == names
    template = prepared.described()["default"]["launchTemplate"]
    ec2 = prepared.aws.client("ec2")
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateId=template["id"], Versions=["$Latest"])[
        "LaunchTemplateVersions"
    ]
    assert str(version["VersionNumber"]) == template["version"]
    tagged = {one["ResourceType"]: one["Tags"] for one in version["LaunchTemplateData"]["TagSpecifications"]}
    assert {"Key": "team", "Value": "a"} in tagged["instance"] and {"Key": "team", "Value": "a"} in tagged["volume"]
    (itself,) = ec2.describe_launch_templates(LaunchTemplateIds=[template["id"]])["LaunchTemplates"]
    assert {"Key": "team", "Value": "a"} in itself["Tags"]


def test_what_a_node_group_can_not_change_is_refused(prepared: Platform) -> None:
    prepared.cluster()
    prepared.nodegroup()
    options = prepared.nodegroup_options(instance_types=["c7i.large"])
    assert "can't change a node group's instance_types (default)" in prepared.refused("eks_nodegroup", **options)
    both = [prepared.nodegroup_options()["nodegroups"][0], {**options["nodegroups"][0], "nodegroup_name": "next"}]
    assert prepared.ok("eks_nodegroup", nodegroups=both)["changes"] == ["node group next: made"]
    purged = prepared.ok("eks_nodegroup", nodegroups=both[1:], purge=True)
    assert purged["changes"] == ["node group default: deleted"]
    templates = prepared.aws.client("ec2").describe_launch_templates()["LaunchTemplates"]
    assert [one["LaunchTemplateName"] for one in templates] == ["shop-next"]


def test_each_option_of_an_add_on_changes_only_itself(prepared: Platform) -> None:
    prepared.cluster()
    prepared.nodegroup()
    prepared.addons()
    role = prepared.aws.role("other", "pods.eks.amazonaws.com")
    addon: Json = {"addon_name": "vpc-cni"}
    listed = prepared.eks.describe_addon_versions(addonName="vpc-cni", kubernetesVersion="1.35")["addons"][0]
    newest, default, oldest = (one["addonVersion"] for one in listed["addonVersions"][:3])
    assert prepared.described()["vpc-cni"]["addonVersion"] == default
    for option, name, keys in (
        ({"addon_version": "latest"}, "addon_version", {"addonVersion"}),
        ({"addon_version": oldest}, "addon_version", {"addonVersion"}),
        ({"addon_version": "default"}, "addon_version", {"addonVersion"}),
        ({"configuration_values": {"env": {"A": "1"}}}, "configuration_values", {"configurationValues"}),
        ({"configuration_values": {"env": {"A": "2"}}}, "configuration_values", {"configurationValues"}),
        (
            {"pod_identity_associations": [{"service_account": "aws-node", "role_arn": role}]},
            "pod_identity_associations",
            {"podIdentityAssociations"},
        ),
    ):
        addon |= option
        before = prepared.described()
        assert prepared.addons([addon], check=True)["changes"] == [f"add-on vpc-cni: {name}"]
        assert prepared.addons([addon])["changes"] == [f"add-on vpc-cni: {name}"]
        assert changed_keys(before, prepared.described()) == {f"vpc-cni.{key}" for key in keys}
        assert not prepared.addons([addon])["changed"]
    assert prepared.addons([{**addon, "addon_version": "latest"}])["addons"]["vpc-cni"]["addon_version"] == newest
    assert not prepared.addons([addon])["changed"]  # AWS' default takes nothing back
    assert "does not fit Kubernetes 1.35" in prepared.refused(
        "eks_addon", addons=[{"addon_name": "coredns", "addon_version": "v0"}]
    )
    purged = prepared.addons([addon], purge=True)["changes"]
    assert sorted(purged) == sorted(f"add-on {one['addon_name']}: deleted" for one in ADDONS[1:])


def test_access_is_given_changed_and_taken_away(prepared: Platform) -> None:
    prepared.cluster()
    prepared.nodegroup()  # EKS gives its role an entry, which stays
    developers = prepared.aws.role("developers", "ec2.amazonaws.com")
    view = {"policy_arn": "AmazonEKSViewPolicy", "access_scope": {"type": "namespace", "namespaces": ["shop"]}}
    entry: Json = {"principal_arn": developers, "policies": [view], "kubernetes_groups": ["readers"]}
    assert prepared.ok("eks_access_entry", admins=["caller"], access_entries=[entry])["changed"]
    admin = "arn:aws:iam::123456789012:user/deployer"
    policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
    found = prepared.eks.list_associated_access_policies(clusterName="shop", principalArn=admin)
    assert [(one["policyArn"], one["accessScope"]["type"]) for one in found["associatedAccessPolicies"]] == [
        (policy, "cluster")
    ]
    for option, words in (
        ({"kubernetes_groups": []}, ["kubernetes_groups"]),
        (
            {"policies": [{**view, "access_scope": {"type": "namespace", "namespaces": ["shop", "blue"]}}]},
            ["arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"],
        ),
        ({"policies": []}, ["arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"]),
    ):
        entry |= option
        result = prepared.ok("eks_access_entry", admins=["caller"], access_entries=[entry])
        assert result["changes"] == [f"access entry {developers}: {word}" for word in words]
        assert not prepared.ok("eks_access_entry", admins=["caller"], access_entries=[entry])["changed"]
    assert prepared.ok("eks_access_entry", admins=["caller"])["changes"] == [f"access entry {developers}: deleted"]
    listed = prepared.eks.list_access_entries(clusterName="shop")["accessEntries"]
    assert sorted(listed) == sorted([admin, prepared.made["node_role_arn"]])


def test_who_is_named_twice_is_told(prepared: Platform) -> None:
    prepared.cluster()
    caller = "arn:aws:iam::123456789012:user/deployer"
    prepared.aws.clear_calls()
    told = prepared.refused("eks_access_entry", admins=["caller"], access_entries=[{"principal_arn": caller}])
    assert told.startswith(f"{caller} is named twice")


def test_another_caller_takes_no_access_away(prepared: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared.cluster()
    prepared.ok("eks_access_entry", admins=["caller"])
    role = prepared.aws.role("ci", "ec2.amazonaws.com")
    session = "arn:aws:sts::123456789012:assumed-role/ci/run-7"
    monkeypatch.setattr(f"{LOGIC}.account.Account.identity", {"Arn": session})
    assert prepared.ok("eks_access_entry", admins=["caller"])["access_entries"] == [role]
    assert len(prepared.eks.list_access_entries(clusterName="shop")["accessEntries"]) == 2
    # Named administrators are all there are.
    assert prepared.ok("eks_access_entry", admins=[role])["changes"] == [
        f"access entry {role}: other tags",
        "access entry arn:aws:iam::123456789012:user/deployer: deleted",
    ]


def test_pods_get_their_roles(prepared: Platform) -> None:
    prepared.cluster()
    prepared.addons(wait=False)
    one, two = (prepared.aws.role(name, "pods.eks.amazonaws.com") for name in ("one", "two"))
    pod: Json = {"namespace": "shop", "service_account": "shop", "role_arn": one}
    run: Callable[..., Json] = lambda **options: prepared.ok("eks_pod_identity_association", **options)  # noqa: E731
    assert run(associations=[pod])["changes"] == ["pod identity shop/shop: made"]
    for option, name in (
        ({"role_arn": two}, "role_arn"),
        ({"target_role_arn": one}, "target_role_arn"),
        ({"disable_session_tags": True}, "disable_session_tags"),
    ):
        pod |= option
        assert run(associations=[pod], check=True)["changes"] == [f"pod identity shop/shop: {name}"]
        assert run(associations=[pod])["changes"] == [f"pod identity shop/shop: {name}"]
        assert not run(associations=[pod])["changed"]
    assert run()["changes"] == ["pod identity shop/shop: deleted"]
    (left,) = prepared.eks.list_pod_identity_associations(clusterName="shop")["associations"]
    assert left["serviceAccount"] == "aws-node"  # the add-on's own
    assert "no role for pods" in prepared.refused(
        "eks_pod_identity_association", associations=[{**pod, "role_arn": "x"}]
    )


def test_each_option_of_the_prerequisites_changes_only_itself(prepared: Platform) -> None:
    options: Json = {}
    for option, told in (
        ({"log_retention_days": 30}, ["log group /aws/eks/shop/cluster: retention_days"]),
        (
            {"node_policies": ["AmazonEKSWorkerNodePolicy"]},
            ["IAM role shop-eks-node: arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly"],
        ),
        ({"pod_identity_roles": [*CNI, {"name": "more", "policies": []}]}, ["IAM role shop-eks-more: made"]),
    ):
        options |= option
        assert prepared.prerequisites(check=True, **options)["changes"] == told
        assert prepared.prerequisites(**options)["changes"] == told
        assert not prepared.prerequisites(**options)["changed"]
    tagged = prepared.prerequisites(**options, tags={"team": "a"})
    assert len(tagged["changes"]) == 6 and all(one.endswith(": tags") for one in tagged["changes"])
    assert not prepared.prerequisites(**options, tags={"team": "a"})["changed"]


# What is refused


def test_foreign_things_are_named_and_left(empty: Platform) -> None:
    role = empty.aws.role("theirs", "eks.amazonaws.com")
    empty.eks.create_cluster(name="shop", roleArn=role, resourcesVpcConfig={"subnetIds": empty.subnets})
    for options in (empty.cluster_options(role_arn=role), {"state": "absent", "deletion_protection": False}):
        assert "EKS cluster shop exists already and is not of platform shop" in empty.refused("eks_cluster", **options)
    empty.aws.role("shop-eks-node", "ec2.amazonaws.com")
    # The rest is made side by side; theirs is left as it is.
    assert "IAM role shop-eks-node exists already" in empty.run("eks_prerequisites")["msg"]
    assert not empty.aws.client("iam").get_role(RoleName="shop-eks-node")["Role"].get("Tags")


def test_versions_past_standard_support_are_refused(prepared: Platform) -> None:
    told = prepared.refused("eks_cluster", **prepared.cluster_options(version="1.33"))
    assert "past AWS' standard support since 2026-07-29" in told
    assert "needs subnets" in prepared.refused("eks_cluster", version="1.35", subnet_ids=[])
    made = prepared.cluster(version="1.33", support_type="EXTENDED")
    assert made["support"]["status"] == "EXTENDED_SUPPORT"
    assert prepared.described()["cluster"]["upgradePolicy"] == {"supportType": "EXTENDED"}


def test_the_end_of_support_is_warned_of(prepared: Platform) -> None:
    days = prepared.cluster()["support"]["days_left"]
    ending = prepared.cluster(support_warning_days=days + 1)
    (warning,) = ending["warnings"]
    assert f"ends in {days} days" in warning["event"]["msg"]
    assert "warnings" not in prepared.cluster(support_warning_days=days)


def test_subnets_without_addresses_are_refused(empty: Platform) -> None:
    ec2 = empty.aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    small = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{number}.0/28", AvailabilityZone=f"{REGION}{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    names = [one["SubnetId"] for one in small]
    warned = empty.ok("eks_cluster", check=True, version="1.35", subnet_ids=names)
    assert "AWS advises 16 free addresses" in warned["warnings"][0]["event"]["msg"]
    for _ in range(6):
        ec2.create_network_interface(SubnetId=names[0])
    told = empty.refused("eks_cluster", version="1.35", subnet_ids=names, role_arn="arn:aws:iam::1:role/x")
    assert f"EKS needs 6 free addresses in each subnet of the control plane (16 are advised): {names[0]}" in told


def test_a_protected_cluster_is_not_deleted(prepared: Platform) -> None:
    prepared.cluster()
    prepared.nodegroup()
    assert "protected from deletion" in prepared.refused("eks_cluster", state="absent")
    assert "nodegroups attached" in prepared.run("eks_cluster", state="absent", deletion_protection=False)["msg"]
    prepared.ok("eks_nodegroup", state="absent", purge=True)
    assert prepared.ok("eks_cluster", state="absent", deletion_protection=False)["changes"] == ["cluster shop: deleted"]
    assert not prepared.ok("eks_cluster", state="absent")["changed"]
    assert prepared.prerequisites(state="absent")["changed"]
    assert not prepared.prerequisites(state="absent")["changed"]
    iam = prepared.aws.client("iam").list_roles()["Roles"]
    assert not [role["RoleName"] for role in iam if role["RoleName"].startswith("shop-")]
    kms = prepared.aws.client("kms").describe_key(KeyId=prepared.made["key_arn"])["KeyMetadata"]
    assert kms["KeyState"] == "PendingDeletion"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "expired", "service": "eks"}, "credentials have expired"),
        ({"kind": "denied", "operation": "create_cluster"}, "lack the permission eks:CreateCluster"),
        ({"kind": "quota", "operation": "create_cluster"}, "quota"),
    ],
)
def test_what_aws_refuses_is_one_sentence(prepared: Platform, fault: Json, words: str) -> None:
    prepared.aws.faults(fault)
    result = prepared.run("eks_cluster", **prepared.cluster_options())
    assert result["failed"] and words in result["msg"]


# What fails slowly


def waits(prepared: Platform, **targets: Any) -> str:
    """The error of a joined wait, which has come long before its time was over."""
    started = Quick.monotonic()
    result = prepared.aws.module("aws_wait", wait_timeout=12_000, **targets)
    assert result["failed"] and Quick.monotonic() - started < 6_000
    return str(result["msg"])


def test_a_cluster_that_fails_ends_the_wait_with_the_reason(prepared: Platform) -> None:
    prepared.aws.fail_next("cluster.create", "subnet is gone", code="Ec2SubnetNotFound")
    prepared.aws.delays(cluster=0.5)
    assert prepared.cluster(wait=False)["cluster"]["status"] == "CREATING"
    told = waits(prepared, clusters=["shop"])
    assert told == "Cluster shop is FAILED: subnet is gone (Ec2SubnetNotFound)"
    again = prepared.refused("eks_cluster", **prepared.cluster_options())
    assert "is FAILED: subnet is gone (Ec2SubnetNotFound). Mend the cause, delete the cluster" in again
    assert prepared.ok("eks_cluster", state="absent", deletion_protection=False)["changed"]


def test_a_deletion_that_fails_ends_the_wait_with_the_reason(prepared: Platform) -> None:
    prepared.cluster(deletion_protection=False)
    prepared.aws.fail_next("cluster.delete", "an interface is in use", code="ResourceNotFound")
    told = prepared.run("eks_cluster", state="absent", deletion_protection=False)["msg"]
    assert told == "Cluster shop is FAILED: an interface is in use (ResourceNotFound)"
    assert prepared.ok("eks_cluster", state="absent")["changed"]  # what has failed is not protected


def test_one_failure_ends_a_wait_for_several_things(prepared: Platform) -> None:
    prepared.cluster()
    prepared.aws.delays(nodegroup=3600, addon=0.2)
    prepared.aws.fail_next("addon.create", "field is owned by kubectl", code="ConfigurationConflict", status="DEGRADED")
    groups = prepared.ok("eks_nodegroup", wait=False, **prepared.nodegroup_options())
    addons = prepared.addons([{"addon_name": "kube-proxy"}], wait=False)
    assert groups["waiting"] == [{"cluster_name": "shop", "nodegroup_name": "default"}]
    told = waits(prepared, nodegroups=groups["waiting"], addons=addons["waiting"])
    assert told == "Add-on kube-proxy is DEGRADED: field is owned by kubectl (ConfigurationConflict)"


def test_a_node_group_that_fails_ends_the_wait_with_the_reason(prepared: Platform) -> None:
    prepared.cluster()
    prepared.aws.fail_next("nodegroup.create", "Instances failed to join the kubernetes cluster")
    told = prepared.run("eks_nodegroup", **prepared.nodegroup_options())["msg"]
    assert "Node group default is CREATE_FAILED: Instances failed to join the kubernetes cluster" in told
    assert "Mend the cause, delete it and run again" in prepared.refused(
        "eks_nodegroup", **prepared.nodegroup_options()
    )


def test_add_ons_that_wait_for_nodes_are_no_failure(prepared: Platform) -> None:
    prepared.cluster()
    prepared.aws.delays(nodegroup=3600)
    groups = prepared.ok("eks_nodegroup", wait=False, **prepared.nodegroup_options())
    addons = prepared.addons(wait=False)
    assert prepared.eks.describe_addon(clusterName="shop", addonName="coredns")["addon"]["status"] == "DEGRADED"
    prepared.aws.later(3599)
    joined = prepared.aws.module("aws_wait", clusters=["shop"], nodegroups=groups["waiting"], addons=addons["waiting"])
    assert not joined.get("failed"), joined
    assert "add-on coredns" in joined["waited"]["things"]


def test_an_update_that_fails_tells_why(prepared: Platform) -> None:
    prepared.cluster()
    prepared.nodegroup()
    prepared.aws.fail_next(
        "nodegroup.version", "Reached max retries while trying to evict pods", code="PodEvictionFailure"
    )
    told = prepared.run("eks_nodegroup", **prepared.nodegroup_options(disk_size=60))["msg"]
    assert "The update (launch_template) of default is Failed" in told and "evict pods (PodEvictionFailure)" in told
    # The next run goes on with the template that is there.
    assert prepared.nodegroup(disk_size=60)["changes"] == ["node group default: launch_template"]
    prepared.aws.fail_next("cluster.update", "no free address", code="IpNotAvailable")
    told = prepared.run("eks_cluster", **prepared.cluster_options(logging=["api"]))["msg"]
    assert told == "The update (logging) of shop is Failed: no free address (IpNotAvailable)"


def test_a_database_that_fails_ends_the_wait(prepared: Platform) -> None:
    rds = prepared.aws.client("rds")
    prepared.aws.fail_next("db_instance.create", "parameter x is too large", status="incompatible-parameters")
    rds.create_db_instance(
        DBInstanceIdentifier="shop",
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="dbos",
        ManageMasterUserPassword=True,
    )
    told = waits(prepared, db_instances=["shop"])
    assert told.startswith("Database shop is incompatible-parameters")


# Interruptions


@pytest.mark.parametrize("kind", ["drop-after", "throttle"])
def test_faults_make_nothing_twice(empty: Platform, kind: str) -> None:
    def strike(*operations: str) -> None:
        empty.aws.faults(*({"kind": kind, "operation": operation, "count": 1} for operation in operations))

    strike("create_role", "create_key", "create_alias", "create_log_group", "attach_role_policy")
    empty.prerequisites()
    strike("create_cluster", "create_nodegroup", "create_launch_template", "create_addon", "create_access_entry")
    empty.cluster()
    empty.nodegroup()
    empty.addons()
    empty.ok("eks_access_entry", admins=["caller"])
    strike("create_launch_template_version", "update_nodegroup_version", "detach_role_policy", "untag_resource")
    empty.nodegroup(disk_size=70)
    empty.prerequisites(node_policies=["AmazonEKSWorkerNodePolicy"])
    empty.prerequisites()
    empty.cluster(tags={"team": "a"})
    empty.cluster()
    empty.aws.faults()
    assert len(empty.aws.client("kms").list_keys()["Keys"]) == 1
    assert len(empty.eks.list_clusters()["clusters"]) == 1
    assert len(empty.aws.client("ec2").describe_launch_templates()["LaunchTemplates"]) == 1
    assert not empty.prerequisites()["changed"] and not empty.nodegroup(disk_size=70)["changed"]


def test_a_role_that_is_not_known_everywhere_yet_is_waited_for(empty: Platform) -> None:
    empty.prerequisites()
    empty.aws.set(role_delay=3600)
    tried = "eks:CreateCluster"
    empty.aws.before_calls(lambda _call: empty.aws.later(3600) if tried in empty.aws.made_calls() else None)
    empty.cluster()
    assert empty.aws.made_calls().count("eks:CreateCluster") > 1


def test_what_is_not_seen_everywhere_yet_is_waited_for(empty: Platform) -> None:
    empty.aws.faults({"kind": "not-yet", "seconds": 0.3})
    empty.build()
    empty.aws.faults()
    assert empty.prerequisites()["changes"] == [] and empty.nodegroup()["changes"] == []


def test_a_role_that_a_killed_run_has_just_made_is_waited_for(empty: Platform) -> None:
    """IAM knows its name before it shows it."""
    empty.aws.faults({"kind": "not-yet", "seconds": 1.0})
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    own = [{"Key": "dbos.kubernetes/platform", "Value": "shop"}]
    empty.aws.own_client("iam").create_role(RoleName="shop-eks-node", AssumeRolePolicyDocument=trust, Tags=own)
    empty.prerequisites()
    attached = empty.aws.client("iam").list_attached_role_policies(RoleName="shop-eks-node")["AttachedPolicies"]
    assert {one["PolicyName"] for one in attached} >= {"AmazonEKSWorkerNodePolicy"}


def test_a_wait_for_nothing_ends(prepared: Platform) -> None:
    told = waits(prepared, clusters=["blue"])
    assert told == "Cluster blue is gone: it does not exist, or somebody has deleted it"


def test_a_key_without_its_name_is_found_by_its_tags(empty: Platform) -> None:
    """As a run leaves it that is killed between making the key and naming it."""
    empty.prerequisites()
    empty.aws.client("kms").delete_alias(AliasName="alias/shop-eks")
    known = empty.made["key_arn"]
    assert empty.prerequisites()["changes"] == ["KMS key alias/shop-eks: made"] and empty.made["key_arn"] == known
    # And as a deletion leaves it.
    empty.aws.client("kms").schedule_key_deletion(KeyId=known.rpartition("/")[2], PendingWindowInDays=7)
    assert empty.prerequisites()["changes"] == [
        "KMS key alias/shop-eks: not to be deleted",
        "KMS key alias/shop-eks: enabled",
    ]
    assert not empty.prerequisites()["changed"]


def test_what_a_killed_run_has_begun_is_waited_for(prepared: Platform) -> None:
    prepared.cluster()
    prepared.nodegroup()
    prepared.addons([{"addon_name": "kube-proxy"}])
    prepared.aws.delays(cluster=0.3, nodegroup=0.3, addon=0.3)
    logging = {"clusterLogging": [{"types": ["authenticator"], "enabled": False}]}
    prepared.eks.update_cluster_config(name="shop", logging=logging)
    # What it began is done, so nothing is left to do; and then something is.
    assert prepared.cluster(logging=["api", "audit"])["changes"] == []
    prepared.eks.update_cluster_config(name="shop", deletionProtection=False)
    assert prepared.cluster(logging=["api"])["changes"] == [
        "cluster shop: deletion_protection",
        "cluster shop: logging",
    ]
    names = {"clusterName": "shop", "nodegroupName": "default"}
    prepared.eks.update_nodegroup_config(**names, labels={"addOrUpdateLabels": {"a": "1"}})
    assert prepared.nodegroup(labels={"a": "1", "b": "2"})["changed"]
    assert prepared.described()["default"]["labels"] == {"a": "1", "b": "2"}
    values = json.dumps({"mode": "nftables"})
    prepared.eks.update_addon(clusterName="shop", addonName="kube-proxy", configurationValues=values)
    wanted = [{"addon_name": "kube-proxy", "configuration_values": {"mode": "iptables"}}]
    assert prepared.addons(wanted)["changed"]
    assert json.loads(prepared.described()["kube-proxy"]["configurationValues"]) == {"mode": "iptables"}


# The role

PLAY = """
- hosts: all
  gather_facts: false
  vars: {ansible_pipelining: true}
  tasks:
    - name: Do what the role does
      ansible.builtin.import_role:
        name: dbos.kubernetes.eks
"""


@pytest.fixture
def role(aws: Aws, ansible_playbook: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAY)

    def run(*arguments: str, check: bool = True, **variables: Any) -> Any:
        aws.clear_calls()
        given = {
            "platform_name": "shop",
            "platform_region": REGION,
            "eks_endpoint_check": False,
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
        }
        env = aws.env | {"AWS_PROFILE": None, "AWS_SESSION_TOKEN": None}
        return ansible_playbook(
            playbook, *arguments, inventory="shop,", extra_vars=given | variables, env=env, check=check
        )

    return run


def test_the_role_builds_upgrades_in_order_and_deletes(empty: Platform, role: Callable[..., Any]) -> None:
    subnets = {"eks_subnet_ids": empty.subnets}
    empty.aws.set(role_delay=0)
    old = subnets | {"eks_version": "1.33", "eks_allow_extended_support": True}
    assert role("--check", **old).changed == 5 and not empty.writes()
    assert role(**old).changed == 5
    empty.aws.delays(default=0.05)
    assert role(**subnets, check=True).stat("failed") == 0  # to 1.35, the default
    order = [call.removeprefix("eks:") for call in empty.aws.made_calls("eks") if ":Update" in call]
    steps = [call for before, call in itertools.pairwise(["", *order]) if call != before]
    control_plane, *members = ["UpdateClusterVersion", "UpdateAddon", "UpdateNodegroupVersion"]
    # The cluster leaves extended support as soon as its version has.
    assert steps == [control_plane, *members, "UpdateClusterConfig", control_plane, *members]
    shown = empty.described()
    assert shown["cluster"]["version"] == shown["default"]["version"] == "1.35"
    assert shown["cluster"]["upgradePolicy"] == {"supportType": "STANDARD"}
    again = role(**subnets)
    assert again.changed == 0 and len(empty.aws.made_calls()) <= 26
    refused = role(eks_state="absent", check=False)
    assert "set eks_deletion_protection: false" in refused.output and not empty.writes()
    gone = role(eks_state="absent", eks_deletion_protection=False)
    assert gone.changed == 3 and empty.eks.list_clusters()["clusters"] == []

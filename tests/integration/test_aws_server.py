"""The AWS that tests run against keeps to AWS' own service models, and refuses what AWS refuses."""

from __future__ import annotations

from typing import Any

import pytest
from aws_kit import Aws
from botocore.exceptions import ClientError
from fake_aws.eks import Eks


@pytest.fixture
def eks(aws: Aws) -> Any:
    """EKS in an empty account."""
    aws.reset()
    return aws.client("eks")


def cluster(aws: Aws, name: str = "shop", **options: Any) -> list[str]:
    """Make a cluster; its subnets."""
    _vpc, subnets = aws.vpc()
    role = aws.role(f"{name}-eks-cluster", "eks.amazonaws.com", "AmazonEKSClusterPolicy")
    access = {"authenticationMode": "API"}
    options = {"accessConfig": access, "resourcesVpcConfig": {"subnetIds": subnets}, **options}
    aws.client("eks").create_cluster(name=name, roleArn=role, **options)
    return subnets


def test_a_cluster_lives_as_on_eks(aws: Aws, eks: Any) -> None:
    subnets = cluster(aws, tags={"team": "shop"}, deletionProtection=True)
    shown = eks.describe_cluster(name="shop")["cluster"]
    assert (shown["status"], shown["tags"]) == ("ACTIVE", {"team": "shop"})
    group = shown["resourcesVpcConfig"]["clusterSecurityGroupId"]
    [found] = aws.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert {"Key": "aws:eks:cluster-name", "Value": "shop"} in found["Tags"]
    node = aws.role("shop-eks-node", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy")
    eks.create_nodegroup(clusterName="shop", nodegroupName="default", subnets=subnets, nodeRole=node)
    with pytest.raises(eks.exceptions.InvalidRequestException, match="deletion protection"):
        eks.delete_cluster(name="shop")
    update = eks.update_cluster_config(name="shop", deletionProtection=False)["update"]
    assert eks.describe_update(name="shop", updateId=update["id"])["update"]["status"] == "Successful"
    with pytest.raises(eks.exceptions.ResourceInUseException, match="nodegroups attached"):
        eks.delete_cluster(name="shop")
    eks.delete_nodegroup(clusterName="shop", nodegroupName="default")
    eks.delete_cluster(name="shop")
    with pytest.raises(eks.exceptions.ResourceNotFoundException):
        eks.describe_cluster(name="shop")
    assert not aws.client("ec2").describe_network_interfaces()["NetworkInterfaces"]


def test_every_operation_conforms_to_the_model(aws: Aws, eks: Any) -> None:
    """The server checks what it answers, boto3 what it is answered; each operation is called once at least."""
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    subnets = cluster(aws, version="1.34", logging={"clusterLogging": [{"types": ["api"], "enabled": True}]})
    shop = {"clusterName": "shop"}

    def update(name: str, update: dict[str, Any], **of: str) -> None:
        assert update["update"]["id"] in eks.list_updates(name=name, **of)["updateIds"]
        done = eks.describe_update(name=name, updateId=update["update"]["id"], **of)["update"]
        assert done["status"] == "Successful", done

    encryption = [{"resources": ["secrets"], "provider": {"keyArn": key}}]
    update("shop", eks.associate_encryption_config(encryptionConfig=encryption, **shop))
    update("shop", eks.update_cluster_config(name="shop", upgradePolicy={"supportType": "STANDARD"}))
    update("shop", eks.update_cluster_version(name="shop", version="1.35"))
    assert eks.list_clusters()["clusters"] == ["shop"]
    [default] = eks.describe_cluster_versions(defaultOnly=True)["clusterVersions"]
    assert (default["clusterVersion"], default["versionStatus"]) == ("1.35", "STANDARD_SUPPORT")

    node = aws.role("shop-eks-node", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy")
    default_group = {"nodegroupName": "default", **shop}
    eks.create_nodegroup(subnets=subnets, nodeRole=node, version="1.34", labels={"a": "1"}, **default_group)
    assert eks.list_nodegroups(**shop)["nodegroups"] == ["default"]
    labels = {"addOrUpdateLabels": {"b": "2"}, "removeLabels": ["a"]}
    update("shop", eks.update_nodegroup_config(labels=labels, **default_group), nodegroupName="default")
    update("shop", eks.update_nodegroup_version(version="1.35", **default_group), nodegroupName="default")
    shown = eks.describe_nodegroup(**default_group)["nodegroup"]
    assert (shown["labels"], shown["version"], shown["status"]) == ({"b": "2"}, "1.35", "ACTIVE")

    [offered] = eks.describe_addon_versions(addonName="coredns", kubernetesVersion="1.35")["addons"]
    versions = [item["addonVersion"] for item in offered["addonVersions"]]
    coredns = {"addonName": "coredns", **shop}
    eks.create_addon(addonVersion=versions[-1], **coredns)
    eks.describe_addon_configuration(addonName="coredns", addonVersion=versions[0])
    update("shop", eks.update_addon(addonVersion=versions[0], **coredns), addonName="coredns")
    assert eks.list_addons(**shop)["addons"] == ["coredns"]
    assert eks.describe_addon(**coredns)["addon"]["addonVersion"] == versions[0]

    entry = {"principalArn": aws.role("admin", "ec2.amazonaws.com"), **shop}
    eks.create_access_entry(kubernetesGroups=["team"], **entry)
    eks.update_access_entry(kubernetesGroups=["others"], **entry)
    assert eks.describe_access_entry(**entry)["accessEntry"]["kubernetesGroups"] == ["others"]
    assert entry["principalArn"] in eks.list_access_entries(**shop)["accessEntries"]
    view = next(item["arn"] for item in eks.list_access_policies()["accessPolicies"] if "ViewPolicy" in item["name"])
    eks.associate_access_policy(policyArn=view, accessScope={"type": "namespace", "namespaces": ["shop"]}, **entry)
    [associated] = eks.list_associated_access_policies(**entry)["associatedAccessPolicies"]
    assert associated["accessScope"] == {"type": "namespace", "namespaces": ["shop"]}
    eks.disassociate_access_policy(policyArn=view, **entry)

    role = aws.role("shop-eks-app", "pods.eks.amazonaws.com")
    made = eks.create_pod_identity_association(namespace="shop", serviceAccount="app", roleArn=role, **shop)
    association = {"associationId": made["association"]["associationId"], **shop}
    eks.update_pod_identity_association(disableSessionTags=True, **association)
    assert eks.describe_pod_identity_association(**association)["association"]["disableSessionTags"]
    assert len(eks.list_pod_identity_associations(namespace="shop", **shop)["associations"]) == 1
    arn = made["association"]["associationArn"]
    eks.tag_resource(resourceArn=arn, tags={"a": "1", "b": "2"})
    eks.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert eks.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}

    eks.delete_pod_identity_association(**association)
    eks.delete_access_entry(**entry)
    eks.delete_addon(**coredns)
    eks.delete_nodegroup(**default_group)
    eks.delete_cluster(name="shop")
    with pytest.raises(eks.exceptions.ResourceNotFoundException):
        eks.describe_cluster(name="shop")
    own = {name[1:] for name in dir(Eks) if name[1:] in dir(eks)}
    assert own - {call["operation"] for call in aws.calls()} == set()
    assert len(own) == 40


def test_states_last_as_long_as_they_are_told_and_end_as_told(aws: Aws, eks: Any) -> None:
    aws.delays(cluster=3600)
    aws.fail_next("cluster.create", "Subnets are full", code="InsufficientFreeAddresses")
    cluster(aws)
    assert eks.describe_cluster(name="shop")["cluster"]["status"] == "CREATING"
    aws.reset()
    aws.fail_next("cluster.create", "Subnets are full", code="InsufficientFreeAddresses")
    cluster(aws)
    shown = eks.describe_cluster(name="shop")["cluster"]
    assert (shown["status"], shown["health"]["issues"][0]["message"]) == ("FAILED", "Subnets are full")


@pytest.mark.parametrize("kind", ["drop-after", "drop-before", "throttle", "500"])
def test_faults_strike_as_often_as_told(aws: Aws, eks: Any, kind: str) -> None:
    aws.faults({"kind": kind, "service": "ec2", "operation": "create_vpc", "count": 1})
    ec2 = aws.own_client("ec2")
    with pytest.raises(Exception, match=r"Rate|closed|reset|internal error|aborted"):
        ec2.create_vpc(CidrBlock="10.1.0.0/16")
    vpcs = [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if vpc["CidrBlock"] == "10.1.0.0/16"]
    assert len(vpcs) == (1 if kind == "drop-after" else 0)
    ec2.create_vpc(CidrBlock="10.2.0.0/16")


def test_what_was_just_made_is_not_seen_at_once(aws: Aws, eks: Any) -> None:
    aws.faults({"kind": "not-yet", "seconds": 3600})
    ec2, iam = aws.own_client("ec2"), aws.own_client("iam")
    made = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    assert made not in [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]]
    with pytest.raises(ClientError, match=r"InvalidVpcID\.NotFound"):
        ec2.describe_vpcs(VpcIds=[made])
    iam.create_role(RoleName="new", AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="new")
    aws.later(3600)
    assert made in [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]]
    assert ec2.describe_vpcs(VpcIds=[made])["Vpcs"][0]["CidrBlock"] == "10.1.0.0/16"


def test_a_policy_is_enforced_with_its_conditions(aws: Aws, eks: Any) -> None:
    """What is allowed only with a tag is refused without it, and passing a role is a permission of its own."""
    aws.server.application.enforce(
        {
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["ec2:CreateVpc", "ec2:CreateTags"],
                    "Resource": "*",
                    "Condition": {"StringEquals": {"aws:RequestTag/dbos.kubernetes/platform": "shop"}},
                },
                {"Effect": "Allow", "Action": "eks:CreateCluster", "Resource": "arn:aws:eks:*:*:cluster/shop"},
            ]
        }
    )
    ec2, own = aws.own_client("ec2"), aws.own_client("eks")
    tags = {"ResourceType": "vpc", "Tags": [{"Key": "dbos.kubernetes/platform", "Value": "shop"}]}
    ec2.create_vpc(CidrBlock="10.1.0.0/16", TagSpecifications=[tags])
    with pytest.raises(ClientError, match=r"UnauthorizedOperation.*ec2:CreateVpc"):
        ec2.create_vpc(CidrBlock="10.1.0.0/16")
    role = aws.role("shop-eks-cluster", "eks.amazonaws.com")
    _vpc, subnets = aws.vpc()
    with pytest.raises(ClientError, match=r"AccessDenied.*iam:PassRole on resource: .*role/shop-eks-cluster"):
        own.create_cluster(name="shop", roleArn=role, resourcesVpcConfig={"subnetIds": subnets})
    with pytest.raises(ClientError, match=r"AccessDenied.*eks:CreateCluster on resource: .*cluster/other"):
        own.create_cluster(name="other", roleArn=role, resourcesVpcConfig={"subnetIds": subnets})


def test_requests_are_checked_against_the_model(aws: Aws, eks: Any) -> None:
    with pytest.raises(ClientError, match="does not match"):
        cluster(aws, name="shop/x")

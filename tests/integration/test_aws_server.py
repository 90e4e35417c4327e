"""The AWS that tests run against keeps to AWS' own service models, and refuses what AWS refuses."""

from __future__ import annotations

import time
from typing import Any

import pytest
from aws_kit import Aws
from botocore.exceptions import ClientError


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


def test_states_last_as_long_as_they_are_told_and_end_as_told(aws: Aws, eks: Any) -> None:
    aws.delays(cluster=60)
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
    aws.faults({"kind": "not-yet", "seconds": 0.5})
    ec2, iam = aws.own_client("ec2"), aws.own_client("iam")
    made = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    assert made not in [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]]
    with pytest.raises(ClientError, match=r"InvalidVpcID\.NotFound"):
        ec2.describe_vpcs(VpcIds=[made])
    iam.create_role(RoleName="new", AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="new")
    eventually = time.monotonic() + 5
    while made not in [vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]]:
        assert time.monotonic() < eventually
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

"""What is wrong in an account is one clear error, and what AWS has failed at ends a wait at once with AWS' reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aws_kit import REGION, Aws

Result = dict[str, Any]
PLATFORM = {"platform": "shop", "region": REGION}
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
# The first module of each kind, in an empty account
MODULES = {
    "aws_network": {},
    "eks_prerequisites": {},
    "ecr_repositories": {"repositories": ["shop/app"]},
    "aws_teardown": {"confirm": "shop", "final_snapshot": "none"},
}


@pytest.fixture(autouse=True)
def empty(aws: Aws) -> Iterator[None]:
    """An empty account."""
    aws.reset()
    yield
    aws.reset()


def refused(result: Result, *words: str) -> None:
    """It has failed, with one sentence or two that say this."""
    assert result.get("failed"), result
    message = result["msg"]
    assert "\n" not in message and "Traceback" not in message and len(message) < 700, message
    for word in words:
        assert word in message, message


def writes(aws: Aws) -> list[str]:
    return [call for call in aws.made_calls() if not call.split(":")[1].startswith(("Describe", "Get", "List"))]


@pytest.mark.parametrize("module", MODULES)
def test_expired_credentials(aws: Aws, module: str) -> None:
    aws.faults({"kind": "expired"})
    refused(aws.module(module, **PLATFORM, **MODULES[module]), "The AWS credentials have expired", "renew them")


@pytest.mark.parametrize("module", MODULES)
def test_a_region_that_the_account_does_not_have(aws: Aws, module: str) -> None:
    given = {**PLATFORM, **MODULES[module], "region": "eu-south-1"}
    refused(aws.module(module, **given), "does not accept the credentials", "eu-south-1", "the region is enabled")
    assert writes(aws) == []


@pytest.mark.parametrize(
    "module, permission",
    [
        ("aws_network", "ec2:CreateVpc"),
        ("eks_prerequisites", "kms:CreateKey"),
        ("eks_prerequisites", "iam:AttachRolePolicy"),
        ("ecr_repositories", "ecr:PutLifecyclePolicy"),
        ("aws_teardown", "tag:GetResources"),
    ],
)
def test_a_permission_that_is_missing_is_named(aws: Aws, module: str, permission: str) -> None:
    aws.enforce({"Statement": [EVERYTHING, {"Effect": "Deny", "Action": permission, "Resource": "*"}]})
    refused(aws.module(module, **PLATFORM, **MODULES[module]), f"lack the permission {permission}", "docs/iam")


@pytest.mark.parametrize(
    "module, operation, words",
    [
        ("aws_network", "create_vpc", "VpcLimitExceeded"),
        ("aws_network", "allocate_address", "AddressLimitExceeded"),
        ("eks_prerequisites", "create_role", "LimitExceeded"),
        ("ecr_repositories", "create_repository", "LimitExceededException"),
    ],
)
def test_a_quota_that_is_reached(aws: Aws, module: str, operation: str, words: str) -> None:
    aws.faults({"kind": "quota", "operation": operation})
    result = aws.module(module, **PLATFORM, **MODULES[module])
    refused(result, f"A quota of the AWS account in {REGION} is reached", words, "Service Quotas")


def foreign_role(aws: Aws) -> None:
    aws.role("shop-eks-cluster", "eks.amazonaws.com")


def foreign_repository(aws: Aws) -> None:
    aws.client("ecr").create_repository(repositoryName="shop/app")


def foreign_cluster(aws: Aws) -> None:
    _vpc, subnets = aws.vpc()
    role = aws.role("theirs", "eks.amazonaws.com")
    aws.client("eks").create_cluster(name="shop", roleArn=role, resourcesVpcConfig={"subnetIds": subnets})


@pytest.mark.parametrize(
    "make, module, name",
    [
        (foreign_role, "eks_prerequisites", "shop-eks-cluster"),
        (foreign_repository, "ecr_repositories", "shop/app"),
        (foreign_cluster, "eks_cluster", "shop"),
    ],
)
def test_a_name_that_is_taken_by_something_foreign(
    aws: Aws, make: Callable[[Aws], None], module: str, name: str
) -> None:
    make(aws)
    given = MODULES.get(module) or {"version": "1.35", "role_arn": f"arn:aws:iam::1:role/{name}", "subnet_ids": ["a"]}
    given = {} if module == "eks_prerequisites" else given
    refused(aws.module(module, **PLATFORM, **given), name, "dbos.kubernetes/platform")


def test_a_network_without_enough_addresses(aws: Aws) -> None:
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/24")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.0.{number * 16}/28", AvailabilityZone=f"{REGION}{zone}")
        for number, zone in enumerate("ab")
    ]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    identities = [subnet["Subnet"]["SubnetId"] for subnet in subnets]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    table = tables[0]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    for _interface in range(8):
        ec2.create_network_interface(SubnetId=identities[0])
    result = aws.module("aws_network", **PLATFORM, vpc_id=vpc, private_subnet_ids=identities)
    refused(result, identities[0], "address")
    assert writes(aws) == []


def test_deletion_protection(aws: Aws) -> None:
    _vpc, subnets = aws.vpc()
    aws.client("eks").create_cluster(
        name="shop",
        roleArn=aws.role("shop-eks-cluster", "eks.amazonaws.com"),
        resourcesVpcConfig={"subnetIds": subnets},
        deletionProtection=True,
        tags={"dbos.kubernetes/platform": "shop"},
    )
    refused(aws.module("eks_cluster", **PLATFORM, state="absent"), "protect", "shop")
    assert aws.client("eks").describe_cluster(name="shop")["cluster"]["status"] == "ACTIVE"


def start_cluster(aws: Aws) -> Result:
    foreign_cluster(aws)
    return {"clusters": ["shop"]}


def start_nodegroup(aws: Aws) -> Result:
    foreign_cluster(aws)
    eks = aws.client("eks")
    subnets = eks.describe_cluster(name="shop")["cluster"]["resourcesVpcConfig"]["subnetIds"]
    role = aws.role("node", "ec2.amazonaws.com")
    eks.create_nodegroup(clusterName="shop", nodegroupName="default", subnets=subnets, nodeRole=role)
    return {"nodegroups": [{"cluster_name": "shop", "nodegroup_name": "default"}]}


def start_addon(aws: Aws) -> Result:
    foreign_cluster(aws)
    aws.client("eks").describe_cluster(name="shop")
    aws.client("eks").create_addon(clusterName="shop", addonName="vpc-cni")
    return {"addons": [{"cluster_name": "shop", "addon_name": "vpc-cni"}]}


def start_database(aws: Aws) -> Result:
    aws.client("rds").create_db_instance(
        DBInstanceIdentifier="shop",
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="dbos_admin",
        ManageMasterUserPassword=True,
    )
    return {"db_instances": ["shop"]}


@pytest.mark.parametrize(
    "kind, start, failure, words",
    [
        ("cluster.create", start_cluster, {"code": "InsufficientFreeAddresses"}, "FAILED"),
        ("nodegroup.create", start_nodegroup, {"code": "NodeCreationFailure"}, "CREATE_FAILED"),
        ("addon.create", start_addon, {"code": "ConfigurationConflict"}, "CREATE_FAILED"),
        ("db_instance.create", start_database, {"status": "incompatible-parameters"}, "incompatible-parameters"),
        ("db_instance.create", start_database, {"status": "storage-full"}, "storage-full"),
    ],
)
def test_what_has_failed_ends_the_wait_at_the_next_look(
    aws: Aws, kind: str, start: Callable[[Aws], Result], failure: Result, words: str
) -> None:
    aws.fail_next(kind, "AWS says why", **failure)
    waiting = start(aws)
    aws.clear_calls()
    result = aws.module("aws_wait", region=REGION, wait_timeout=60, **waiting)
    refused(result, words, *(["AWS says why"] if "code" in failure else ["shop"]))
    looks = [
        call for call in aws.made_calls() if call.split(":")[1].startswith(("DescribeC", "DescribeN", "DescribeA"))
    ]
    assert len(looks) <= 1

"""A whole platform on AWS, made with boto3 alone, what Kubernetes leaves behind of it, and things of others."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aws_kit import REGION, Aws

PLATFORM = "shop"
TAG = {"dbos.kubernetes/platform": PLATFORM}
OWNED = {f"kubernetes.io/cluster/{PLATFORM}": "owned"}


def pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def specification(kind: str, tags: dict[str, str]) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": pairs(tags)}]


@dataclass
class Made:
    """Ids by what they are."""

    vpc: str = ""
    subnets: list[str] = field(default_factory=list)
    gateway: str = ""
    groups: dict[str, str] = field(default_factory=dict)
    key: str = ""
    cluster_group: str = ""


def network(aws: Aws) -> Made:
    """A VPC with subnets, gateways, routes, endpoints and security groups."""
    ec2, made = aws.client("ec2"), Made()

    def named(kind: str, name: str = PLATFORM) -> list[dict[str, Any]]:
        return specification(kind, {**TAG, "Name": name})

    made.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=named("vpc"))["Vpc"]["VpcId"]
    made.gateway = ec2.create_internet_gateway(TagSpecifications=named("internet-gateway"))["InternetGateway"][
        "InternetGatewayId"
    ]
    ec2.attach_internet_gateway(InternetGatewayId=made.gateway, VpcId=made.vpc)
    for number, name in enumerate(("public-a", "private-a", "private-b", "database-a", "database-b")):
        subnet = ec2.create_subnet(
            VpcId=made.vpc,
            CidrBlock=f"10.0.{number}.0/24",
            AvailabilityZone=f"{REGION}{name[-1]}",
            TagSpecifications=named("subnet", f"shop-{name}"),
        )
        made.subnets.append(subnet["Subnet"]["SubnetId"])
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=named("elastic-ip"))["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=made.subnets[0], AllocationId=address, TagSpecifications=named("natgateway"))[
        "NatGateway"
    ]["NatGatewayId"]
    for name, subnets, target in (
        ("public", made.subnets[:1], {"GatewayId": made.gateway}),
        ("private", made.subnets[1:3], {"NatGatewayId": nat}),
    ):
        table = ec2.create_route_table(VpcId=made.vpc, TagSpecifications=named("route-table", f"shop-{name}"))
        identity = table["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=identity, DestinationCidrBlock="0.0.0.0/0", **target)
        for subnet in subnets:
            ec2.associate_route_table(RouteTableId=identity, SubnetId=subnet)
    for name in ("endpoints", "database"):
        group = ec2.create_security_group(
            GroupName=f"shop-{name}",
            Description=name,
            VpcId=made.vpc,
            TagSpecifications=named("security-group", f"shop-{name}"),
        )
        made.groups[name] = group["GroupId"]
    ec2.create_vpc_endpoint(
        VpcId=made.vpc,
        ServiceName=f"com.amazonaws.{REGION}.ecr.api",
        VpcEndpointType="Interface",
        SubnetIds=made.subnets[1:3],
        SecurityGroupIds=[made.groups["endpoints"]],
        TagSpecifications=named("vpc-endpoint"),
    )
    return made


def cluster(aws: Aws, made: Made, *, protected: bool = True) -> None:
    """An EKS cluster with its roles, key, log group, node group and add-on."""
    eks, kms, ec2 = aws.client("eks"), aws.client("kms"), aws.client("ec2")
    made.key = kms.create_key(Description="shop", Tags=[{"TagKey": k, "TagValue": v} for k, v in TAG.items()])[
        "KeyMetadata"
    ]["KeyId"]
    kms.create_alias(AliasName="alias/shop-eks", TargetKeyId=made.key)
    arn = kms.describe_key(KeyId=made.key)["KeyMetadata"]["Arn"]
    roles = {
        "cluster": aws.role("shop-eks-cluster", "eks.amazonaws.com", "AmazonEKSClusterPolicy"),
        "node": aws.role("shop-eks-node", "ec2.amazonaws.com", "AmazonEKSWorkerNodePolicy"),
    }
    for name in ("shop-eks-cluster", "shop-eks-node"):
        aws.client("iam").tag_role(RoleName=name, Tags=pairs(TAG))
    aws.client("logs").create_log_group(logGroupName="/aws/eks/shop/cluster", tags=TAG)
    eks.create_cluster(
        name=PLATFORM,
        roleArn=roles["cluster"],
        resourcesVpcConfig={"subnetIds": made.subnets[1:3], "endpointPrivateAccess": True},
        encryptionConfig=[{"resources": ["secrets"], "provider": {"keyArn": arn}}],
        accessConfig={"authenticationMode": "API"},
        logging={"clusterLogging": [{"types": ["api"], "enabled": True}]},
        deletionProtection=protected,
        tags=TAG,
    )
    found = eks.describe_cluster(name=PLATFORM)["cluster"]
    made.cluster_group = found["resourcesVpcConfig"]["clusterSecurityGroupId"]
    template = ec2.create_launch_template(
        LaunchTemplateName="shop-default",
        LaunchTemplateData={"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "gp3"}}]},
        TagSpecifications=specification("launch-template", TAG),
    )["LaunchTemplate"]["LaunchTemplateId"]
    eks.create_nodegroup(
        clusterName=PLATFORM,
        nodegroupName="default",
        subnets=made.subnets[1:3],
        nodeRole=roles["node"],
        launchTemplate={"id": template, "version": "1"},
        tags=TAG,
    )
    eks.create_addon(clusterName=PLATFORM, addonName="coredns", tags=TAG)


def cluster_of_others(aws: Aws) -> None:
    """A cluster whose name begins like ours, with what Kubernetes made for it."""
    _vpc, subnets = aws.vpc("10.9.0.0/16")
    role = aws.role("theirs", "eks.amazonaws.com")
    aws.client("eks").create_cluster(name="shop-two", roleArn=role, resourcesVpcConfig={"subnetIds": subnets})
    aws.client("elb").create_load_balancer(
        LoadBalancerName="b2",
        Listeners=[{"Protocol": "tcp", "LoadBalancerPort": 80, "InstancePort": 30080}],
        Subnets=subnets,
        Tags=pairs({"kubernetes.io/cluster/shop-two": "owned"}),
    )


def database(aws: Aws, made: Made, *, protected: bool = True) -> None:
    """An RDS instance with its groups, whose security group lets the cluster's in."""
    rds = aws.client("rds")
    rds.create_db_subnet_group(
        DBSubnetGroupName=PLATFORM,
        DBSubnetGroupDescription=PLATFORM,
        SubnetIds=made.subnets[3:],
        Tags=pairs(TAG),
    )
    rds.create_db_parameter_group(
        DBParameterGroupName="shop-postgres17", DBParameterGroupFamily="postgres17", Description="x", Tags=pairs(TAG)
    )
    rds.create_db_instance(
        DBInstanceIdentifier=PLATFORM,
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        AllocatedStorage=20,
        StorageType="gp3",
        MasterUsername="dbos",
        ManageMasterUserPassword=True,
        DBSubnetGroupName=PLATFORM,
        DBParameterGroupName="shop-postgres17",
        VpcSecurityGroupIds=[made.groups["database"]],
        DeletionProtection=protected,
        CopyTagsToSnapshot=True,
        Tags=pairs(TAG),
    )
    if made.cluster_group:
        rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}
        rule["UserIdGroupPairs"] = [{"GroupId": made.cluster_group}]
        aws.client("ec2").authorize_security_group_ingress(GroupId=made.groups["database"], IpPermissions=[rule])
    aws.client("logs").create_log_group(logGroupName="/aws/rds/instance/shop/postgresql")


def repository(aws: Aws, name: str = "shop/app", *, images: int = 0, tags: dict[str, str] = TAG) -> None:
    """A repository with so many images."""
    ecr = aws.client("ecr")
    ecr.create_repository(repositoryName=name, tags=pairs(tags))
    for number in range(images):
        kind = "application/vnd.oci.image.manifest.v1+json"
        layers = [{"digest": f"sha256:{number:064d}", "size": 50 * 1024**2, "mediaType": kind}]
        manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": layers[0], "layers": layers})
        ecr.put_image(repositoryName=name, imageManifest=manifest, imageTag=f"v{number}")


def leftovers(aws: Aws, made: Made) -> None:
    """What Kubernetes makes for a cluster and nobody takes away."""
    ec2, elb, elbv2 = aws.client("ec2"), aws.client("elb"), aws.client("elbv2")
    for tags in (OWNED, {"KubernetesCluster": PLATFORM}):
        ec2.create_volume(
            AvailabilityZone=f"{REGION}a", Size=8, VolumeType="gp3", TagSpecifications=specification("volume", tags)
        )
    ec2.create_network_interface(
        SubnetId=made.subnets[1],
        Groups=[made.cluster_group],
        Description="aws-K8S-i-0123456789abcdef0",
        TagSpecifications=specification("network-interface", {"cluster.k8s.amazonaws.com/name": PLATFORM}),
    )
    ec2.create_network_interface(
        SubnetId=made.subnets[2], Groups=[made.cluster_group], Description="aws-K8S-i-0123456789abcdef1"
    )
    group = ec2.create_security_group(
        GroupName="k8s-elb-a1",
        Description="ELB",
        VpcId=made.vpc,
        TagSpecifications=specification("security-group", OWNED),
    )["GroupId"]
    for one, other in ((group, made.cluster_group), (made.cluster_group, group)):  # each names the other
        rule = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "UserIdGroupPairs": [{"GroupId": other}]}
        ec2.authorize_security_group_ingress(GroupId=one, IpPermissions=[rule])
    elb.create_load_balancer(
        LoadBalancerName="a1",
        Listeners=[{"Protocol": "tcp", "LoadBalancerPort": 80, "InstancePort": 30080}],
        Subnets=[made.subnets[0]],
        SecurityGroups=[group],
        Tags=pairs({**OWNED, "kubernetes.io/service-name": "default/web"}),
    )
    balancer = elbv2.create_load_balancer(
        Name="k8s-web", Subnets=made.subnets[:1], Type="network", Tags=pairs({"elbv2.k8s.aws/cluster": PLATFORM})
    )["LoadBalancers"][0]["LoadBalancerArn"]
    target = elbv2.create_target_group(
        Name="k8s-web", Protocol="TCP", Port=80, VpcId=made.vpc, Tags=pairs({"elbv2.k8s.aws/cluster": PLATFORM})
    )["TargetGroups"][0]["TargetGroupArn"]
    elbv2.create_listener(
        LoadBalancerArn=balancer,
        Protocol="TCP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target}],
    )


def whole(aws: Aws, *, images: int = 1) -> Made:
    """All of it."""
    aws.reset()
    made = network(aws)
    cluster(aws, made)
    database(aws, made)
    repository(aws, images=images)
    leftovers(aws, made)
    aws.client("secretsmanager").create_secret(Name="shop-conductor", SecretString="x", Tags=pairs(TAG))
    return made

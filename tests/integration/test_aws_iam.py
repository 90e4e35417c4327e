"""Each playbook gets along with its policy in docs/iam, which allows nothing that the playbook never asks for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import teardown_kit
import yaml
from aws_kit import REGION, Aws
from fake_aws.wire import ACCOUNT
from provision_kit import PLATFORM, Provisioning

LONGEST = 10_240  # characters of an inline policy of a role, without white space
# What is allowed although no test calls it, and why.
_REGISTRY = "ECR checks it when a registry's client pushes or pulls; the test server has no registry"
_BADLY = "only asked for when a database has ended badly"
_LEFT = "only for what is left of a node group, or of volumes, that did not go as a whole"
_OTHERS = "only for what somebody has added to the platform under its name or tag"
_KUBERNETES = "teardown.yml's Kubernetes half counts unfinished work, and lets go of images"
UNCALLED = {
    **dict.fromkeys(("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"), _REGISTRY),
    **dict.fromkeys(("ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart"), _REGISTRY),
    "ecr:PutImage": _REGISTRY,
    "rds:DescribeEvents": _BADLY,
    "eks:AssociateEncryptionConfig": "only for a cluster that was made without it",
}
UNCALLED_IN_TEARDOWN = {
    **UNCALLED,
    **dict.fromkeys(("autoscaling:DeleteAutoScalingGroup", "ec2:TerminateInstances", "ec2:DeleteSnapshot"), _LEFT),
    **dict.fromkeys(("iam:DeleteInstanceProfile", "iam:RemoveRoleFromInstanceProfile"), _LEFT),
    **dict.fromkeys(("iam:DeleteOpenIDConnectProvider", "iam:GetOpenIDConnectProvider"), _OTHERS),
    **dict.fromkeys(("iam:DeletePolicy", "iam:DeletePolicyVersion", "iam:ListPolicyVersions"), _OTHERS),
    **dict.fromkeys(("ec2:DeleteNetworkAcl", "ec2:RevokeSecurityGroupEgress", "iam:DeleteRolePolicy"), _OTHERS),
    **dict.fromkeys(("rds:DeleteDBSnapshot", "rds:DeleteOptionGroup"), _OTHERS),
    "rds:DeleteDBInstanceAutomatedBackup": "only for backups that an earlier run was to keep",
    **dict.fromkeys(("ecr:GetAuthorizationToken", "secretsmanager:GetSecretValue"), _KUBERNETES),
}
# What the playbooks for applications ask of a platform, as the roles they import do
LOOKUPS = {
    "status": ["platform_kubernetes.kubeconfig"],
    "retire": ["platform_kubernetes.kubeconfig", "platform_database.host"],
    "rotate": ["platform_kubernetes.kubeconfig", "platform_database.host", "platform_database.password"],
    "rollback": ["platform_kubernetes.kubeconfig", "platform_database.host", "platform_registry"],
    "deploy": [
        "platform_kubernetes.kubeconfig",
        "platform_database.host",
        "platform_database.password",
        "platform_registry",
    ],
}
# A platform, and what is changed on it
NETWORKS: list[dict[str, Any]] = [
    {"zone_count": 3},
    {"zone_count": 2},
    {"zone_count": 2, "nat": "none"},
    {"zone_count": 3, "nat": "none"},
    {"zone_count": 3},
]
AUDITORS = {"principal_arn": "arn:aws:iam::210987654321:role/auditors"}
VIEW = {"policy_arn": "AmazonEKSViewPolicy", "access_scope": {"type": "cluster"}}
FIRST = {
    "platform_tags": {"team": "shop"},
    "eks_version": "1.34",
    "eks_access_entries": [{**AUDITORS, "policies": [VIEW]}],
    "eks_pod_identity_roles": [
        {"name": "vpc-cni", "policies": ["AmazonEKS_CNI_Policy"]},
        {"name": "shop", "policies": ["AmazonEKS_CNI_Policy"]},
    ],
    "eks_pod_identities": [
        {"namespace": "shop", "service_account": "shop", "role_arn": "vpc-cni"},
        {"namespace": "shop", "service_account": "jobs", "role_arn": "vpc-cni"},
    ],
}
CHANGED = {
    "eks_pod_identity_roles": FIRST["eks_pod_identity_roles"],
    "eks_version": "1.35",
    "network_nat": "per_zone",
    "eks_logging": ["api"],
    "eks_purge": True,
    "eks_access_entries": [{**AUDITORS, "kubernetes_groups": ["auditors"]}],
    "eks_pod_identities": [{"namespace": "shop", "service_account": "shop", "role_arn": "shop"}],
    "eks_nodegroups": [{"nodegroup_name": "default", "labels": {"a": "b"}}],
    "eks_node_policies": ["AmazonEKSWorkerNodePolicy"],
    "eks_log_retention_days": 30,
    "ecr_scan_on_push": False,
    "ecr_expire_days": 10,
    "rds_parameters": {"log_min_duration_statement": "1000", "max_connections": "200"},
    "rds_allocated_storage": 30,
    "rds_apply_immediately": True,
    "rds_restart": True,
}
CHANGED_AGAIN = {
    **CHANGED,
    "network_nat": "none",
    "ecr_mirror": False,
    "eks_access_entries": [],
    "eks_pod_identities": [],
    "eks_addons": [],
    "eks_nodegroups": [],
    "rds_parameters": {},
}


def changed_by_hand(aws: Aws) -> None:
    """What others change on a platform, which provision.yml puts right."""
    nobody = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}]}
    aws.client("iam").update_assume_role_policy(RoleName=f"{PLATFORM}-eks-shop", PolicyDocument=json.dumps(nobody))
    kms = aws.client("kms")
    kms.schedule_key_deletion(KeyId=kms.describe_key(KeyId=f"alias/{PLATFORM}-eks")["KeyMetadata"]["KeyId"])
    ec2, rds = aws.client("ec2"), aws.client("rds")
    private = [{"Name": "tag:Name", "Values": [f"{PLATFORM}-private-*"]}]
    subnet = ec2.describe_subnets(Filters=private)["Subnets"][0]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
    [group] = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": [f"{PLATFORM}-database"]}])[
        "SecurityGroups"
    ]
    everybody = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[everybody])
    [subnets] = rds.describe_db_subnet_groups(DBSubnetGroupName=PLATFORM)["DBSubnetGroups"]
    kept = [subnet["SubnetIdentifier"] for subnet in subnets["Subnets"]][:2]
    rds.modify_db_subnet_group(DBSubnetGroupName=PLATFORM, SubnetIds=kept)
    aws.client("ecr").put_image_tag_mutability(repositoryName="shop/app", imageTagMutability="MUTABLE")


def document(root: Path, name: str, platform: str = PLATFORM, region: str = REGION) -> dict[str, Any]:
    """A policy as its user would have it."""
    text = (root / f"docs/iam/{name}.json").read_text()
    for placeholder, value in (("PLATFORM", platform), ("REGION", region), ("ACCOUNT", ACCOUNT)):
        text = text.replace(placeholder, value)
    found: dict[str, Any] = json.loads(text)
    return found


def allowed(policy: dict[str, Any]) -> set[str]:
    return {action for statement in policy["Statement"] for action in statement["Action"]}


def asked(aws: Aws) -> set[str]:
    """The permissions that calls with the account's own keys took."""
    own = [call for call in aws.calls() if call["access_key"] == aws.env["AWS_ACCESS_KEY_ID"]]
    return {action for call in own for action in call["needs"]}


def denied(aws: Aws) -> list[Any]:
    return [
        (call["action"], call["params"])
        for call in aws.calls()
        if call["error"] in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
    ]


@pytest.fixture
def enforced(aws: Aws, root: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Has a policy hold from now on."""

    def enforce(name: str, **of: str) -> dict[str, Any]:
        policy = document(root, name, **of)
        aws.clear_calls()
        aws.enforce(policy)
        return policy

    yield enforce
    aws.enforce(None)


@pytest.mark.parametrize("name", ["deploy", "provision", "retire", "rollback", "rotate", "status", "teardown"])
def test_a_policy_fits_and_says_nothing_twice(root: Path, name: str) -> None:
    policy = document(root, name)
    assert len(json.dumps(policy, separators=(",", ":"))) <= LONGEST
    identifiers = [statement["Sid"] for statement in policy["Statement"]]
    assert len(identifiers) == len(set(identifiers))
    for statement in policy["Statement"]:
        assert "*" not in "".join(statement["Action"]), statement["Sid"]
        assert statement["Action"] == sorted(set(statement["Action"])), statement["Sid"]


def test_a_platform_is_taken_down_with_no_more_than_its_policy(
    aws: Aws, root: Path, enforced: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting.SHORTEST", 0.05)
    aws.reset()
    teardown_kit.whole(aws)
    policy = enforced("teardown", platform="shop")
    decided = {"platform": "shop", "confirm": "shop", "delete_images": True, "delete_snapshots": True}
    done = aws.module("aws_teardown", final_snapshot="shop-final", secret_recovery_window=0, **decided)
    assert denied(aws) == []
    assert done.get("left") == [], done.get("msg")
    assert allowed(policy) - asked(aws) == set(UNCALLED_IN_TEARDOWN) & allowed(policy)


def test_a_platform_is_made_and_changed_with_no_more_than_its_policy(
    aws: Aws,
    root: Path,
    enforced: Callable[..., dict[str, Any]],
    ansible_playbook: Callable[..., Any],
    ansible_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """Made, and all that its options can change on it afterwards."""
    aws.reset()
    provisioning = Provisioning(aws, ansible_playbook, ansible_environment, root, tmp_path)
    policy = enforced("provision")
    for network in NETWORKS:
        aws.module("aws_network", region=REGION, platform=PLATFORM, **network)
    provisioning.run("provision", **FIRST)
    changed_by_hand(aws)
    provisioning.run("provision", **CHANGED)
    provisioning.run("provision", **CHANGED_AGAIN)
    assert denied(aws) == []
    assert allowed(policy) - asked(aws) == set(UNCALLED) & allowed(policy)
    aws.enforce(None)


@pytest.mark.parametrize("name", LOOKUPS)
def test_an_application_is_looked_after_with_no_more_than_its_policy(
    aws: Aws,
    root: Path,
    enforced: Callable[..., dict[str, Any]],
    ansible_playbook: Callable[..., Any],
    tmp_path: Path,
    name: str,
) -> None:
    """On the platform that was made before."""
    play = {
        "hosts": "dbos-app",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.assert": {"that": [f"(hostvars['{PLATFORM}'].{part} | string | length) > 0"]}}
            for part in LOOKUPS[name]
        ],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    policy = enforced(name)
    ansible_playbook(
        tmp_path / "play.yml",
        inventory=root / "inventories/aws",
        extra_vars={"platform_region": REGION},
        env=aws.env,
    )
    assert denied(aws) == []
    assert allowed(policy) - asked(aws) == set(UNCALLED) & allowed(policy)

"""Each playbook gets along with its policy in docs/iam, which allows nothing that the playbook never asks for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import teardown_kit
from aws_kit import REGION, Aws
from fake_aws.wire import ACCOUNT
from provision_kit import PLATFORM, Provisioning

LONGEST = 10_240  # characters of an inline policy of a role, without white space
# What is allowed although no test calls it.
_REGISTRY = "ECR checks it when a registry's client pushes or pulls; the test server has no registry"
UNCALLED = {
    **dict.fromkeys(("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"), _REGISTRY),
    **dict.fromkeys(("ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart"), _REGISTRY),
    "ecr:PutImage": _REGISTRY,
}


# A platform, and what is changed on it
AUDITORS = {"principal_arn": "arn:aws:iam::210987654321:role/auditors"}
VIEW = {"policy_arn": "AmazonEKSViewPolicy", "access_scope": {"type": "cluster"}}
FIRST = {
    "platform_tags": {"team": "shop"},
    "eks_version": "1.34",
    "eks_access_entries": [{**AUDITORS, "policies": [VIEW]}],
    "eks_pod_identities": [{"namespace": "shop", "service_account": "shop", "role_arn": "vpc-cni"}],
}
CHANGED = {
    "eks_version": "1.35",
    "network_nat": "per_zone",
    "eks_logging": ["api"],
    "eks_purge": True,
    "eks_access_entries": [{**AUDITORS, "kubernetes_groups": ["auditors"]}],
    "eks_pod_identities": [],
    "eks_nodegroups": [{"nodegroup_name": "default", "labels": {"a": "b"}}],
    "eks_node_policies": ["AmazonEKSWorkerNodePolicy"],
    "eks_log_retention_days": 30,
    "ecr_scan_on_push": False,
    "ecr_expire_days": 10,
    "rds_parameters": {"log_min_duration_statement": "1000"},
    "rds_allocated_storage": 30,
    "rds_apply_immediately": True,
}
CHANGED_AGAIN = {
    **CHANGED,
    "network_nat": "none",
    "ecr_mirror": False,
    "eks_access_entries": [],
    "eks_addons": [],
    "eks_nodegroups": [],
    "rds_parameters": {},
}


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
    assert allowed(policy) - asked(aws) - set(UNCALLED) == set()


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
    provisioning.run("provision", **FIRST)
    provisioning.run("provision", **CHANGED)
    provisioning.run("provision", **CHANGED_AGAIN)
    assert denied(aws) == []
    print(sorted(allowed(policy) - asked(aws) - set(UNCALLED)))
    assert allowed(policy) - asked(aws) - set(UNCALLED) == set()

"""A platform's repositories in ECR, and how one logs in: made once, changed only where they differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_kit import Aws

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import ecr_lifecycle

Json = dict[str, Any]
MANIFEST = '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}'
NAMES = ["shop", "shop-migrate"]


@pytest.fixture
def ecr(aws: Aws) -> Any:
    """ECR in an empty account."""
    aws.reset()
    return aws.client("ecr")


def run(aws: Aws, *, check: bool = False, **options: Any) -> Json:
    aws.clear_calls()
    return aws.module("ecr_repositories", check=check, platform="shop", **{"repositories": NAMES, **options})


def ok(aws: Aws, **options: Any) -> Json:
    result = run(aws, **options)
    assert not result.get("failed"), result["msg"]
    return result


def writes(aws: Aws) -> list[str]:
    reads = ("Describe", "List", "Get")
    return sorted(call for call in aws.made_calls() if not call.partition(":")[2].startswith(reads))


def shown(ecr: Any) -> dict[str, Json]:
    return {one["repositoryName"]: one for one in ecr.describe_repositories()["repositories"]}


def test_repositories_are_made_as_they_should_be_and_then_left(aws: Aws, ecr: Any) -> None:
    planned = ok(aws, check=True)
    assert planned["changed"] and not writes(aws)
    assert (planned["repositories"], planned["registry"]) == ({}, None)
    assert set(planned["diff"]["after"]) == set(NAMES)

    made = ok(aws, tags={"team": "shop"})
    assert made["changed"] and made["repositories"]["shop"] == f"{made['registry']}/shop"
    for name in NAMES:
        found = shown(ecr)[name]
        assert found["imageTagMutability"] == "IMMUTABLE"
        assert found["imageScanningConfiguration"] == {"scanOnPush": True}
        assert found["encryptionConfiguration"]["encryptionType"] == "AES256"
        tags = ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"dbos.kubernetes/platform": "shop", "team": "shop"}
        policy = json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"])
        assert policy == ecr_lifecycle.policy(30)

    again = ok(aws, tags={"team": "shop"})
    assert (again["changed"], again["diff"]) == (False, {"before": {}, "after": {}})
    assert again["repositories"] == made["repositories"]
    assert len(aws.made_calls()) <= 5


CHANGES: dict[str, tuple[Json, list[str]]] = {
    "days": ({"expire_days": 10}, ["ecr:PutLifecyclePolicy"] * 2),
    "scan": ({"scan_on_push": False}, ["ecr:PutImageScanningConfiguration"] * 2),
    "tags": ({"tags": {"team": "shop"}}, ["ecr:TagResource"] * 2),
    "other tags": ({"tags": {}}, ["ecr:UntagResource"] * 2),
    "another one": ({"repositories": [*NAMES, "tools"]}, ["ecr:CreateRepository", "ecr:PutLifecyclePolicy"]),
}


def test_each_option_changes_itself_alone(aws: Aws, ecr: Any) -> None:
    ok(aws)
    given: Json = {}
    for name, (options, expected) in CHANGES.items():
        given |= options
        planned = ok(aws, check=True, **given)
        assert planned["changed"] and not writes(aws), name
        changed = ok(aws, **given)
        assert writes(aws) == expected, name
        assert changed["diff"] == planned["diff"], name
    assert not ok(aws, **given)["changed"]
    assert not ok(aws, **given | {"repositories": NAMES})["changed"], "what is not named is left"


def test_what_others_changed_is_put_right(aws: Aws, ecr: Any) -> None:
    ok(aws)
    ecr.put_image_tag_mutability(repositoryName="shop", imageTagMutability="MUTABLE")
    ecr.delete_lifecycle_policy(repositoryName="shop-migrate")
    put_right = ok(aws)
    assert writes(aws) == ["ecr:PutImageTagMutability", "ecr:PutLifecyclePolicy"]
    assert put_right["diff"]["before"]["shop"] == {"imageTagMutability": "MUTABLE"}
    assert put_right["diff"]["before"]["shop-migrate"] == {"lifecyclePolicy": None}


def test_what_is_not_ours_is_left(aws: Aws, ecr: Any) -> None:
    ecr.create_repository(repositoryName="shop-migrate")
    for options in ({}, {"state": "absent"}):
        told = run(aws, **options)["msg"]
        assert "There is a repository shop-migrate in ECR already that does not belong to the platform shop" in told
        assert not writes(aws)
    assert "can't be a repository's name" in run(aws, repositories=["Shop"])["msg"]
    ok(aws, repositories=["shop"])
    assert (
        "is encrypted with AES256, which can't be changed to KMS"
        in run(aws, repositories=["shop"], kms_key_id="x")["msg"]
    )


def test_absent_takes_the_images_along(aws: Aws, ecr: Any) -> None:
    ok(aws)
    ecr.put_image(repositoryName="shop", imageManifest=MANIFEST, imageTag="build-1")
    planned = ok(aws, state="absent", check=True)
    assert planned["changed"] and not writes(aws)
    assert ok(aws, state="absent")["changed"]
    assert not shown(ecr)
    assert not ok(aws, state="absent")["changed"]


@pytest.mark.parametrize("kind", ["drop-after", "throttle"])
def test_faults_make_nothing_twice(aws: Aws, ecr: Any, kind: str) -> None:
    aws.faults({"kind": kind, "service": "ecr", "operation": "create_repository", "count": 1})
    assert ok(aws)["changed"]
    assert not ok(aws)["changed"]
    assert set(shown(ecr)) == set(NAMES)


PLAY = """
- hosts: localhost
  gather_facts: false
  vars:
    ansible_connection: local
    ansible_pipelining: true
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    platform_name: shop
    platform_region: eu-west-1
    platform_registry: "{{ lookup('dbos.kubernetes.ecr_credentials', region=platform_region) }}"
    ecr_repositories: [shop, shop-migrate]
  tasks:
    - ansible.builtin.include_role:
        name: dbos.kubernetes.rds
        tasks_from: start
    - ansible.builtin.include_role:
        name: dbos.kubernetes.ecr
    - ansible.builtin.include_role:
        name: dbos.kubernetes.rds
        tasks_from: access
      vars:
        eks_result: {cluster: {security_group_id: "{{ cluster }}"}}
    - ansible.builtin.include_role:
        name: dbos.kubernetes.rds
      when: not ansible_check_mode
    - name: Keep the results
      ansible.builtin.copy:
        content: "{{ {'rds': rds_result, 'ecr': ecr_result, 'login': login} | to_json }}"
        dest: "{{ output }}"
        mode: "0600"
      vars:
        login: "{{ platform_registry | dict2items | rejectattr('key', 'eq', 'password') | items2dict }}"
      check_mode: false
      changed_when: false
"""


def test_the_roles_make_what_the_modules_do(
    aws: Aws, ecr: Any, ansible_playbook: Callable[..., Any], tmp_path: Path
) -> None:
    """The database is started before the cluster's security group is known, as in provision.yml."""
    vpc, subnets = aws.vpc(zones="ab")
    group = aws.client("ec2").create_security_group(GroupName="cluster", Description="x", VpcId=vpc)["GroupId"]
    playbook, output = tmp_path / "play.yml", tmp_path / "result.json"
    playbook.write_text(PLAY)
    network = {"vpc_id": vpc, "subnets": {"database": subnets}}
    variables = {"network_result": network, "cluster": group, "output": str(output)}

    def play(*options: str) -> Any:
        return ansible_playbook(playbook, *options, inventory="localhost,", extra_vars=variables, env=aws.env)

    planned = play("--check", "--diff")
    assert planned.changed and not writes(aws), planned.output
    assert play().changed
    result = json.loads(output.read_text())
    assert result["rds"]["allowed_security_groups"] == [group] or result["rds"]["endpoint"]
    assert set(result["ecr"]["repositories"]) == set(NAMES)
    assert result["login"] == {"host": result["ecr"]["registry"], "username": "AWS"}
    filters = [{"Name": "group-name", "Values": ["shop-database"]}]
    [database] = aws.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    assert [pair["GroupId"] for pair in database["IpPermissions"][0]["UserIdGroupPairs"]] == [group]

"""AWS' answers as sentences, tags, and the pace of waiting."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import errors, tags, waiting
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import State


def refused(code: str, message: str = "no", status: int = 400) -> AwsError:
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return errors.explain(ClientError(response, "CreateCluster"), "eks:CreateCluster", "eu-west-1")


@pytest.mark.parametrize(
    ("service", "operation", "action"),
    [
        ("eks", "describe_cluster", "eks:DescribeCluster"),
        ("rds", "create_db_instance", "rds:CreateDBInstance"),
        ("rds", "create_db_subnet_group", "rds:CreateDBSubnetGroup"),
        ("rds", "reset_db_parameter_group", "rds:ResetDBParameterGroup"),
        ("resourcegroupstaggingapi", "get_resources", "tag:GetResources"),
    ],
)
def test_calls_are_named_as_permissions(service: str, operation: str, action: str) -> None:
    assert errors.permission(service, operation) == action


def test_a_missing_permission_is_named() -> None:
    told = "User: arn:aws:iam::1:user/ci is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/x"
    assert "lack the permission iam:PassRole" in refused("AccessDeniedException", told).msg
    assert "lack the permission eks:CreateCluster" in refused("UnauthorizedOperation", "Encoded message: x").msg


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused("ExpiredTokenException"), "have expired"),
        (refused("UnrecognizedClientException"), "does not accept the credentials"),
        (refused("ResourceLimitExceededException"), "quota"),
        (refused("VpcLimitExceeded"), "quota"),
        (refused("InvalidParameterException", "bad subnet."), "AWS refuses eks:CreateCluster: bad subnet (Invalid"),
        (errors.explain(NoCredentialsError(), "eks:CreateCluster", "eu-west-1"), "no AWS credentials"),
        (
            errors.explain(EndpointConnectionError(endpoint_url="https://eks.nowhere"), "eks:CreateCluster", "nowhere"),
            "region nowhere",
        ),
    ],
)
def test_errors_say_what_is_wrong(error: AwsError, words: str) -> None:
    assert words in error.msg
    assert not error.lost


def test_a_lost_answer_may_have_been_done() -> None:
    lost = errors.explain(ReadTimeoutError(endpoint_url="https://x"), "ec2:CreateVpc", "eu-west-1")
    assert lost.lost and lost.transient
    assert refused("Whatever", status=503).lost
    assert errors.explain(ResponseParserError("<!doctype html>"), "ec2:CreateVpc", "eu-west-1").lost
    assert refused("ThrottlingException").transient and not refused("ThrottlingException").lost


@pytest.mark.parametrize(
    "code", ["ResourceNotFoundException", "DBInstanceNotFound", "NoSuchEntity", "InvalidVpcID.NotFound"]
)
def test_absent_is_known_by_its_code(code: str) -> None:
    assert refused(code).absent


def test_a_lost_creation_is_found_and_not_made_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    account = Account({"region": "eu-west-1", "access_key": "k", "secret_key": "s"})
    made: list[str] = []

    def call(*_: Any, **__: Any) -> dict[str, Any]:
        made.append("vpc")
        raise refused("InternalError", status=500)

    monkeypatch.setattr(account, "call", call)
    assert account.create(lambda: {"VpcId": "vpc-1"}, "ec2", "create_vpc") == {"VpcId": "vpc-1"}
    assert made == ["vpc"]


def test_tags_of_others_stay() -> None:
    want = tags.wanted("shop", {"team": "a"}, "shop-vpc")
    assert want == {"team": "a", "Name": "shop-vpc", tags.PLATFORM: "shop"}
    have = {"team": "b", "aws:cloudformation:stack-name": "x", "kubernetes.io/cluster/shop": "owned", "old": "1"}
    assert tags.missing(have, want) == want
    assert tags.surplus(have, want) == ["old"]
    assert tags.mapping(tags.pairs(want)) == want
    assert tags.owned(want, "shop") and not tags.owned(have, "shop")


def test_a_wait_ends_with_the_first_failure() -> None:
    states = iter([State("CREATING", False), State("CREATE_FAILED", False, "no subnet has a free address")])
    with pytest.raises(AwsError, match="Node group a is CREATE_FAILED: no subnet has a free address"):
        waiting.wait_for({"node group a": lambda: next(states), "cluster": lambda: State("CREATING", False)}, 60)


def test_a_wait_says_what_it_still_waits_for() -> None:
    with pytest.raises(AwsError, match="still cluster shop is CREATING"):
        waiting.wait_for({"cluster shop": lambda: State("CREATING", False)}, 0.1)


def test_looks_become_rarer() -> None:
    assert waiting.interval(0) == waiting.SHORTEST
    assert waiting.interval(100) == 5
    assert waiting.interval(3600) == waiting.LONGEST


def test_a_region_that_does_not_exist_is_told_at_once() -> None:
    account = Account({"region": "eu-wset-1", "access_key": "k", "secret_key": "s"})
    with pytest.raises(AwsError, match=r"AWS has no region eu-wset-1, and eks\.eu-wset-1.* Did you mean eu-west-1\?"):
        account.call("eks", "list_clusters")

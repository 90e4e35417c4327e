"""What of a database in RDS has to be changed: nothing of what was made, and only what differs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import rds_settings as settings
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.rds_settings import Version

Json = dict[str, Any]

DEFAULTS: Json = {
    "identifier": "shop",
    "vpc_id": "vpc-1",
    "engine_version": "17",
    "instance_class": "db.t4g.medium",
    "multi_az": False,
    "allocated_storage": 20,
    "max_allocated_storage": 100,
    "iops": None,
    "storage_throughput": None,
    "kms_key_id": None,
    "master_username": "postgres",
    "master_password": None,
    "master_password_update": "on_create",
    "parameters": {},
    "ca_certificate": "rds-ca-rsa2048-g1",
    "backup_retention_period": 7,
    "backup_window": None,
    "maintenance_window": None,
    "log_exports": ["postgresql", "upgrade"],
    "performance_insights": True,
    "deletion_protection": True,
    "auto_minor_version_upgrade": True,
}
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "instance_class": st.sampled_from(["db.t4g.medium", "db.m8g.large"]),
        "multi_az": st.booleans(),
        "allocated_storage": st.integers(20, 90),
        "max_allocated_storage": st.sampled_from([0, 400, 1000]),
        "master_password": st.sampled_from([None, "given"]),
        "backup_retention_period": st.integers(7, 35),
        "backup_window": st.sampled_from([None, "03:00-03:30"]),
        "maintenance_window": st.sampled_from([None, "Sun:04:00-Sun:05:00"]),
        "log_exports": st.lists(st.sampled_from(["postgresql", "upgrade", "iam-db-auth-error"]), unique=True),
        "performance_insights": st.booleans(),
        "deletion_protection": st.booleans(),
        "auto_minor_version_upgrade": st.booleans(),
        "ca_certificate": st.sampled_from(["rds-ca-rsa2048-g1", "rds-ca-ecc384-g1"]),
    },
)


def params(**options: Any) -> Json:
    return DEFAULTS | options


def described(arguments: Json) -> Json:
    """A database as AWS describes what it has made of these arguments."""
    shown = {key: value for key, value in arguments.items() if key not in ("Tags", "MasterUserPassword")}
    shown["EnabledCloudwatchLogsExports"] = shown.pop("EnableCloudwatchLogsExports") or None
    shown["PerformanceInsightsEnabled"] = shown.pop("EnablePerformanceInsights")
    shown["DBParameterGroups"] = [{"DBParameterGroupName": shown.pop("DBParameterGroupName")}]
    shown["VpcSecurityGroups"] = [
        {"VpcSecurityGroupId": group, "Status": "active"} for group in shown.pop("VpcSecurityGroupIds")
    ]
    shown["DBSubnetGroup"] = {"VpcId": "vpc-1"}
    if shown.pop("ManageMasterUserPassword", False):
        shown["MasterUserSecret"] = {"SecretArn": "arn"}
    return shown | {"Iops": 3000, "StorageThroughput": 125, "TagList": arguments["Tags"]}


def made(options: Json) -> Json:
    return described(settings.creation(params(**options), [], "17.6", "shop-postgres17", "sg-1"))


def differing(instance: Json, options: Json, pending: Json | None = None) -> Json:
    return settings.changes(instance, params(**options), pending or {}, "shop-postgres17", "sg-1")


@given(OPTIONS)
def test_what_was_made_needs_no_change(options: Json) -> None:
    settings.check(params(**options))
    assert differing(made(options), options) == {}
    settings.fixed(made(options), params(**options))


@given(OPTIONS, OPTIONS)
def test_a_change_makes_it_what_is_asked_for(before: Json, after: Json) -> None:
    instance, arguments = made(before), differing(made(before), after)
    logs = arguments.pop("CloudwatchLogsExportConfiguration", None)
    if logs:
        there = set(instance["EnabledCloudwatchLogsExports"] or [])
        instance["EnabledCloudwatchLogsExports"] = sorted(
            (there | set(logs["EnableLogTypes"])) - set(logs["DisableLogTypes"])
        )
    managed = arguments.pop("ManageMasterUserPassword", None)
    if managed is not None:
        instance["MasterUserSecret"] = {"SecretArn": "arn"} if managed else None
    arguments.pop("MasterUserPassword", None)
    changed = instance | {settings.ANSWERS.get(key, key): value for key, value in arguments.items()}
    assert differing(changed, after) == {}


def test_only_what_differs_is_changed() -> None:
    instance = made({})
    assert differing(instance, {"multi_az": True}) == {"MultiAZ": True}
    assert differing(instance, {"multi_az": True}, {"MultiAZ": True}) == {}, "it waits for its maintenance window"
    assert differing(instance | {"AllocatedStorage": 80}, {}) == {}, "AWS has made it larger"
    assert differing(instance, {"allocated_storage": 50}) == {"AllocatedStorage": 50}
    assert differing(instance, {"allocated_storage": 500, "max_allocated_storage": 1000}) == {
        "AllocatedStorage": 500,
        "Iops": 12000,
        "StorageThroughput": 500,
        "MaxAllocatedStorage": 1000,
    }
    assert differing(instance, {"max_allocated_storage": 0}) == {"MaxAllocatedStorage": 20}
    assert differing(instance | {"PubliclyAccessible": True}, {}) == {"PubliclyAccessible": False}
    removing = [*instance["VpcSecurityGroups"], {"VpcSecurityGroupId": "sg-2", "Status": "removing"}]
    assert differing(instance | {"VpcSecurityGroups": removing}, {}) == {}


def test_what_restarts_is_known() -> None:
    told = settings.restarts({"MultiAZ": True, "DBInstanceClass": "x", "EngineVersion": "17.9", "AllocatedStorage": 30})
    assert told == ["DBInstanceClass", "EngineVersion"]


VERSIONS = st.builds(Version, st.integers(11, 30), st.one_of(st.none(), st.integers(0, 30)))


@given(VERSIONS, VERSIONS)
def test_an_upgrade_is_never_a_way_back(actual: Version, asked: Version) -> None:
    actual = Version(actual.major, actual.minor or 0)
    if asked.major < actual.major:
        with pytest.raises(AwsError, match="can't go back"):
            settings.upgrade(actual, asked, allowed=True)
        return
    if asked.major > actual.major:
        with pytest.raises(AwsError, match="Confirm it with rds_allow_major_version_upgrade"):
            settings.upgrade(actual, asked, allowed=False)
    upgrades = settings.upgrade(actual, asked, allowed=True)
    newer = (asked.major, asked.minor if asked.minor is not None else -1) > (actual.major, actual.minor)
    assert upgrades == newer
    assert settings.version(str(asked)) == asked


@pytest.mark.parametrize("text", ["9.6", "seventeen", "17.", "17.6.1", "", "1"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(AwsError, match="is no version of PostgreSQL on RDS"):
        settings.version(text)


def test_parameters_are_text_and_keep_tls() -> None:
    given_ = {"max_connections": 300, "rds.logical_replication": True, "work_mem": "8MB"}
    assert settings.parameters(given_) == {
        "max_connections": "300",
        "rds.logical_replication": "1",
        "work_mem": "8MB",
        "rds.force_ssl": "1",
    }
    assert settings.parameter_changes({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "9", "d": "4"}) == (
        {"b": "9", "d": "4"},
        ["c"],
    )


def test_rules_are_told_one_by_one() -> None:
    permissions = [
        {
            "IpProtocol": "tcp",
            "FromPort": 5432,
            "ToPort": 5432,
            "UserIdGroupPairs": [{"GroupId": "sg-1", "UserId": "1"}],
            "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "x"}],
        },
        {"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
        {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 9, "PrefixListIds": [{"PrefixListId": "pl-1"}]},
    ]
    assert list(settings.rules(permissions)) == [
        "tcp 5432 from sg-1",
        "tcp 5432 from 10.0.0.0/8",
        "all from ::/0",
        "tcp 1-9 from pl-1",
    ]
    assert list(settings.ingress(["sg-1", "sg-2"])) == ["tcp 5432 from sg-1", "tcp 5432 from sg-2"]


def test_a_restored_database_is_told_only_what_rds_takes() -> None:
    import botocore.session

    model = botocore.session.get_session().get_service_model("rds")
    arguments = settings.creation(params(kms_key_id="k", iops=None), [], "17.6", "shop-postgres17", "sg-1")
    members = model.operation_model("CreateDBInstance").input_shape.members
    assert set(arguments) <= set(members)
    restored = settings.restoration(arguments, "last", 80)
    assert set(restored) <= set(model.operation_model("RestoreDBInstanceFromDBSnapshot").input_shape.members)
    assert (restored["AllocatedStorage"], restored["EngineLifecycleSupport"]) == (80, settings.NO_EXTENDED_SUPPORT)
    later = differing(described(arguments) | {"MasterUserSecret": None, "PerformanceInsightsEnabled": False}, {})
    assert later == {"EnablePerformanceInsights": True, "ManageMasterUserPassword": True}
    changeable = model.operation_model("ModifyDBInstance").input_shape.members
    assert set(
        settings.settings(params(iops=1, storage_throughput=1, backup_window="x", maintenance_window="y"))
    ) <= set(changeable)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Engine": "mysql"}, "is no PostgreSQL but mysql"),
        ({"StorageEncrypted": False}, "is not encrypted, which can't be changed"),
        ({"MasterUsername": "root"}, "The master user of the database shop is root"),
        ({"DBSubnetGroup": {"VpcId": "vpc-2"}}, "is in the VPC vpc-2"),
    ],
)
def test_what_cannot_become_ours_is_refused(changes: Json, words: str) -> None:
    with pytest.raises(AwsError, match=words):
        settings.fixed(made({}) | changes, params())


def test_another_key_is_refused() -> None:
    instance = made({}) | {"KmsKeyId": "arn:aws:kms:eu-west-1:1:key/11111111-1111-1111-1111-111111111111"}
    settings.fixed(instance, params(kms_key_id="11111111-1111-1111-1111-111111111111"))
    settings.fixed(instance, params(kms_key_id="alias/shop"))
    with pytest.raises(AwsError, match="rds_kms_key_id"):
        settings.fixed(instance, params(kms_key_id="arn:aws:kms:eu-west-1:1:key/22222222-2222-2222-2222-222222222222"))

"""A platform's database in RDS: made once, changed only where it differs, and deleted with all that belongs to it."""

from __future__ import annotations

from typing import Any

import pytest
from aws_kit import Aws

Json = dict[str, Any]


class Database:
    """The database shop in an empty account with a VPC, and a cluster's security group in it."""

    def __init__(self, aws: Aws) -> None:
        aws.reset()
        self.aws = aws
        self.vpc, self.subnets = aws.vpc(zones="ab")
        self.cluster = self.security_group("cluster")

    def security_group(self, name: str) -> str:
        made = self.aws.client("ec2").create_security_group(GroupName=name, Description=name, VpcId=self.vpc)
        return str(made["GroupId"])

    def run(self, *, check: bool = False, **options: Any) -> Json:
        """Module rds_instance with what the role passes at least."""
        given = {"vpc_id": self.vpc, "subnets": self.subnets, "allowed_security_groups": [self.cluster]}
        self.aws.clear_calls()
        return self.aws.module("rds_instance", check=check, platform="shop", **{**given, **options})

    def ok(self, *, check: bool = False, **options: Any) -> Json:
        result = self.run(check=check, **options)
        assert not result.get("failed"), result["msg"]
        return result

    def refused(self, **options: Any) -> str:
        """The one error; nothing has been written."""
        result = self.run(**options)
        assert result.get("failed"), result
        assert not self.writes()
        return str(result["msg"])

    def writes(self) -> list[str]:
        reads = ("Describe", "List", "Get")
        return [call for call in self.aws.made_calls() if not call.partition(":")[2].startswith(reads)]

    def modified(self) -> set[str]:
        """What modify_db_instance has been given."""
        calls = [call["params"] for call in self.aws.calls() if call["operation"] == "modify_db_instance"]
        return {name for params in calls for name in params}

    @property
    def rds(self) -> Any:
        return self.aws.client("rds")

    def instance(self) -> Json:
        found: Json = self.rds.describe_db_instances(DBInstanceIdentifier="shop")["DBInstances"][0]
        return found

    def group(self) -> Json:
        filters = [{"Name": "group-name", "Values": ["shop-database"]}]
        found: Json = self.aws.client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"][0]
        return found


@pytest.fixture
def database(aws: Aws) -> Database:
    return Database(aws)


def test_check_mode_is_true_on_an_empty_account(database: Database) -> None:
    planned = database.ok(check=True)
    assert planned["changed"] and not database.writes()
    assert (planned["status"], planned["security_group_id"]) == ("(to be made)", "(to be made)")
    assert planned["diff"]["before"]["database"] is None
    assert planned["diff"]["after"]["database"]["EngineVersion"] == "17.8", "AWS' default minor version"
    assert planned["diff"]["after"]["parameters"] == {"rds.force_ssl": "1"}
    assert planned["diff"]["after"]["ingress"] == [f"tcp 5432 from {database.cluster}"]


def test_a_database_is_made_as_it_should_be_and_then_left(database: Database) -> None:
    made = database.ok(tags={"team": "shop"})
    assert made["changed"] and made["endpoint"] and made["port"] == 5432
    assert made["engine_version"] == "17.8"
    shown = database.instance()
    wanted = {
        "DBInstanceClass": "db.t4g.medium",
        "Engine": "postgres",
        "StorageType": "gp3",
        "StorageEncrypted": True,
        "AllocatedStorage": 20,
        "MaxAllocatedStorage": 100,
        "BackupRetentionPeriod": 7,
        "CopyTagsToSnapshot": True,
        "DeletionProtection": True,
        "PubliclyAccessible": False,
        "MultiAZ": False,
        "CACertificateIdentifier": "rds-ca-rsa2048-g1",
        "EngineLifecycleSupport": "open-source-rds-extended-support-disabled",
        "PerformanceInsightsEnabled": True,
        "EnabledCloudwatchLogsExports": ["postgresql", "upgrade"],
    }
    assert {name: shown.get(name) for name in wanted} == wanted
    assert {tag["Key"]: tag["Value"] for tag in shown["TagList"]} == {
        "dbos.kubernetes/platform": "shop",
        "team": "shop",
    }
    assert shown["MasterUserSecret"]["SecretArn"] == made["master_secret_arn"]
    assert [group["DBParameterGroupName"] for group in shown["DBParameterGroups"]] == ["shop-postgres17"]
    assert shown["DBSubnetGroup"]["DBSubnetGroupName"] == "shop"
    group = database.group()
    assert [group["GroupId"]] == [one["VpcSecurityGroupId"] for one in shown["VpcSecurityGroups"]]
    [rule] = group["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpRanges"]) == (5432, 5432, [])
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [database.cluster]

    again = database.ok(tags={"team": "shop"})
    assert (again["changed"], again["diff"]) == (False, {"before": {}, "after": {}})
    assert len(database.aws.made_calls()) <= 8, database.aws.made_calls()
    assert not database.ok(tags={"team": "shop"}, check=True)["changed"]


CHANGES: dict[str, tuple[Json, Json]] = {
    "multi_az": ({"multi_az": True}, {"MultiAZ": True}),
    "storage": ({"allocated_storage": 50}, {"AllocatedStorage": 50}),
    "autoscaling": ({"max_allocated_storage": 200}, {"MaxAllocatedStorage": 200}),
    "no autoscaling": ({"max_allocated_storage": 0}, {"MaxAllocatedStorage": None}),
    "backups": ({"backup_retention_period": 14}, {"BackupRetentionPeriod": 14}),
    "backup window": ({"backup_window": "03:00-03:30"}, {"PreferredBackupWindow": "03:00-03:30"}),
    "maintenance": (
        {"maintenance_window": "Sun:04:00-Sun:04:30"},
        {"PreferredMaintenanceWindow": "sun:04:00-sun:04:30"},
    ),
    "protection": ({"deletion_protection": False}, {"DeletionProtection": False}),
    "minor upgrades": ({"auto_minor_version_upgrade": False}, {"AutoMinorVersionUpgrade": False}),
    "insights": ({"performance_insights": False}, {"PerformanceInsightsEnabled": False}),
    "logs": ({"log_exports": ["postgresql"]}, {"EnabledCloudwatchLogsExports": ["postgresql"]}),
    "certificate": ({"ca_certificate": "rds-ca-ecc384-g1"}, {"CACertificateIdentifier": "rds-ca-ecc384-g1"}),
    "class": ({"instance_class": "db.m7g.large", "restart": True}, {"DBInstanceClass": "db.m7g.large"}),
    "minor version": ({"engine_version": "17.9", "restart": True}, {"EngineVersion": "17.9"}),
}
MOVING = {"DBInstanceStatus", "LatestRestorableTime", "CertificateDetails", "PerformanceInsightsRetentionPeriod"}


def test_each_option_changes_itself_alone(database: Database) -> None:
    database.ok()
    given: Json = {"wait": False}
    for name, (options, expected) in CHANGES.items():
        given |= options
        before = database.instance()
        planned = database.ok(check=True, **given)
        assert planned["changed"] and not database.writes(), name
        changed = database.ok(**given)
        assert changed["changed"] and changed["diff"] == planned["diff"], name
        assert database.writes() == ["rds:ModifyDBInstance"], name
        after = database.instance()
        differing = {key for key in {*before, *after} - MOVING if before.get(key) != after.get(key)}
        assert differing == set(expected), name
        assert {key: after.get(key) for key in expected} == expected, name
    assert not database.ok(**given)["changed"]


def test_what_would_restart_the_database_waits_unless_told(database: Database) -> None:
    database.ok()
    put_off = database.ok(instance_class="db.m7g.large", multi_az=True)
    assert put_off["changed"] and put_off["pending"] == {"DBInstanceClass": "db.m7g.large", "MultiAZ": True}
    assert "DBInstanceClass of the database shop would restart it" in str(put_off["warnings"])
    assert database.instance()["DBInstanceClass"] == "db.t4g.medium"
    assert not database.ok(instance_class="db.m7g.large", multi_az=True)["changed"]
    # A change that is applied at once would take what waits along.
    database.ok(instance_class="db.m7g.large", multi_az=True, backup_retention_period=8)
    assert database.instance()["DBInstanceClass"] == "db.t4g.medium"
    done = database.ok(instance_class="db.m7g.large", multi_az=True, backup_retention_period=8, restart=True)
    shown = database.instance()
    assert done["changed"] and not done["pending"]
    assert (shown["DBInstanceClass"], shown["MultiAZ"], shown["BackupRetentionPeriod"]) == ("db.m7g.large", True, 8)


def test_a_minor_version_that_aws_moved_is_no_change(database: Database) -> None:
    database.ok(engine_version="17.7")
    database.rds.modify_db_instance(DBInstanceIdentifier="shop", EngineVersion="17.9", ApplyImmediately=True)
    for asked in ("17", "17.7", "17.8"):
        assert not database.ok(engine_version=asked)["changed"], asked
    assert database.ok(engine_version="17")["engine_version"] == "17.9"


def test_a_major_upgrade_wants_to_be_confirmed(database: Database) -> None:
    database.ok()
    assert "rds_allow_major_version_upgrade: true" in database.refused(engine_version="18")
    upgraded = database.ok(engine_version="18", allow_major_version_upgrade=True, restart=True)
    assert upgraded["engine_version"] == "18.1"
    assert database.instance()["DBParameterGroups"][0]["DBParameterGroupName"] == "shop-postgres18"
    assert not database.ok(engine_version="18", allow_major_version_upgrade=True)["changed"]
    assert "can't go back to 17" in database.refused(engine_version="17")


def test_parameters_are_set_and_reset(database: Database) -> None:
    database.ok(parameters={"log_min_duration_statement": 500})
    database.ok(parameters={"log_min_duration_statement": 900, "rds.logical_replication": True})
    changed = database.ok(parameters={"rds.logical_replication": True})
    assert changed["diff"]["before"]["parameters"] == {"log_min_duration_statement": "900"}
    listed = database.rds.describe_db_parameters(DBParameterGroupName="shop-postgres17", Source="user")["Parameters"]
    assert {one["ParameterName"]: one["ParameterValue"] for one in listed} == {
        "rds.force_ssl": "1",
        "rds.logical_replication": "1",
    }
    told = database.run(parameters={"work_memory": 1})
    assert "rds_parameters has work_memory, which PostgreSQL on RDS does not know" in told["msg"]


def test_static_parameters_wait_for_a_restart(database: Database) -> None:
    database.ok()
    waits = database.ok(parameters={"max_connections": 300})
    assert waits["pending_restart"] and "wait for a restart" in str(waits["warnings"])
    assert "rds:RebootDBInstance" not in database.writes()
    restarted = database.ok(parameters={"max_connections": 300}, restart=True)
    assert restarted["changed"] and not restarted["pending_restart"]
    assert database.writes() == ["rds:RebootDBInstance"]
    assert not database.ok(parameters={"max_connections": 300}, restart=True)["changed"]


def test_foreign_rules_go_and_a_cluster_that_comes_later_gets_in(database: Database) -> None:
    database.ok(allowed_security_groups=None)
    assert database.group()["IpPermissions"] == []
    database.ok()
    anybody = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    group = database.group()["GroupId"]
    database.aws.client("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=[anybody])
    assert not database.ok(allowed_security_groups=None)["changed"], "left while it is not known who may"
    put_right = database.ok()
    assert put_right["diff"]["before"]["ingress"] == ["tcp 5432 from 0.0.0.0/0", f"tcp 5432 from {database.cluster}"]
    assert put_right["diff"]["after"]["ingress"] == [f"tcp 5432 from {database.cluster}"]
    [rule] = database.group()["IpPermissions"]
    assert ([pair["GroupId"] for pair in rule["UserIdGroupPairs"]], rule["IpRanges"]) == ([database.cluster], [])


def test_a_given_password_is_set_when_asked_and_shown_nowhere(database: Database) -> None:
    password = "Xk7mQ2vT9pLs4wRz"
    made = database.ok(master_password=password)
    assert made["master_secret_arn"] is None
    assert not database.ok(master_password=password)["changed"]
    told = database.ok(master_password=password, master_password_update="always")
    assert told["changed"] and database.writes() == ["rds:ModifyDBInstance"]
    managed = database.ok()
    assert managed["changed"] and managed["master_secret_arn"]
    given = database.ok(master_password=password)
    assert given["changed"] and given["master_secret_arn"] is None
    assert not database.ok(master_password=password)["changed"]
    assert password not in str([made, told, managed, given])
    assert "no master password to set" in database.refused(master_password_update="always")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backup_retention_period": 6}, "A backup retention of 6 days is refused: backups are kept for 7 to 35"),
        (
            {"engine_version": "17.5"},
            "does not offer PostgreSQL 17.5: take another rds_engine_version (17.7, 17.8, 17.9)",
        ),
        ({"engine_version": "9.6"}, "'9.6' is no version of PostgreSQL on RDS"),
        ({"allocated_storage": 10}, "at least 20"),
        ({"max_allocated_storage": 21}, "can't grow to 21 GiB"),
        ({"iops": 4000}, "from 400 GiB on"),
        ({"parameters": {"rds.force_ssl": 0}}, "rds.force_ssl must be 1"),
        ({"identifier": "Shop_1"}, "can't be a database's identifier"),
        ({"snapshot": "none-such"}, "There is no snapshot none-such in eu-west-1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(database: Database, options: Json, words: str) -> None:
    assert words in database.refused(**options)


def test_what_is_not_ours_is_left(database: Database) -> None:
    create = {"Engine": "postgres", "DBInstanceClass": "db.t4g.small", "AllocatedStorage": 20, "StorageEncrypted": True}
    create |= {"MasterUsername": "postgres", "ManageMasterUserPassword": True}
    made = database.rds.create_db_instance(DBInstanceIdentifier="shop", **create)["DBInstance"]
    told = database.refused()
    assert "There is a database shop already that does not belong to the platform shop" in told
    assert "does not belong to the platform shop" in database.refused(state="absent", final_snapshot="none")
    # Handed over by its tag, it gets what is ours.
    tag = {"Key": "dbos.kubernetes/platform", "Value": "shop"}
    database.rds.add_tags_to_resource(ResourceName=made["DBInstanceArn"], Tags=[tag])
    taken = database.ok(instance_class="db.t4g.small")
    assert taken["changed"]
    assert not database.ok(instance_class="db.t4g.small")["changed"]


@pytest.mark.parametrize("kind", ["subnet group", "parameter group", "security group"])
def test_groups_that_are_not_ours_are_left(database: Database, kind: str) -> None:
    if kind == "subnet group":
        database.rds.create_db_subnet_group(
            DBSubnetGroupName="shop", DBSubnetGroupDescription="x", SubnetIds=database.subnets
        )
    elif kind == "parameter group":
        database.rds.create_db_parameter_group(
            DBParameterGroupName="shop-postgres17", DBParameterGroupFamily="postgres17", Description="x"
        )
    else:
        database.security_group("shop-database")
    assert f"{kind} shop" in database.refused()


def test_a_database_that_fails_stops_the_wait_with_aws_reason(database: Database) -> None:
    database.aws.fail_next(
        "db_instance.create", "The parameter max_connections is out of range.", status="incompatible-parameters"
    )
    told = database.run()
    assert "Database shop is incompatible-parameters: " in told["msg"]
    assert "max_connections is out of range" in told["msg"]
    assert "Correct rds_parameters" in told["msg"]
    assert "incompatible-parameters" in database.run(wait=False)["msg"], "as long as nothing is changed"


def test_progress_is_waited_for_only_when_asked(database: Database) -> None:
    database.aws.delays(**{"db_instance.create": 3600})
    started = database.ok(wait=False)
    assert (started["status"], started["endpoint"]) == ("creating", None)
    assert not database.ok(wait=False)["changed"], "what is being made shows not yet what it will be"
    database.aws.later(3598)
    joined = database.ok()
    assert not joined["changed"] and joined["endpoint"]


@pytest.mark.parametrize("operation", ["create_db_instance", "create_db_subnet_group", "create_db_parameter_group"])
def test_a_lost_answer_makes_nothing_twice(database: Database, operation: str) -> None:
    database.aws.faults({"kind": "drop-after", "operation": operation, "count": 1})
    assert database.ok()["changed"]
    assert not database.ok()["changed"]


def test_a_restored_database_gets_all_that_a_snapshot_does_not_have(database: Database) -> None:
    database.ok()
    database.ok(state="absent", deletion_protection=False, final_snapshot="last")
    restored = database.ok(snapshot="last", wait=False)
    assert restored["changed"] and restored["master_secret_arn"]
    shown = database.instance()
    assert shown["EngineLifecycleSupport"] == "open-source-rds-extended-support-disabled"
    assert shown["DeletionProtection"] and shown["PerformanceInsightsEnabled"] and shown["MaxAllocatedStorage"] == 100
    assert not database.ok(snapshot="last")["changed"]


def test_a_given_password_reaches_a_restored_database_even_after_a_kill(database: Database) -> None:
    database.ok()
    database.ok(state="absent", deletion_protection=False, final_snapshot="last")
    database.aws.faults({"kind": "denied", "operation": "modify_db_instance", "count": 1})
    password = {"master_password": "Xk7mQ2vT9pLs4wRz"}
    assert database.run(snapshot="last", **password)["failed"]
    assert database.ok(snapshot="last", **password)["changed"]
    assert "MasterUserPassword" in database.modified()
    assert not database.ok(snapshot="last", **password)["changed"]
    assert {tag["Key"] for tag in database.instance()["TagList"]} == {"dbos.kubernetes/platform"}


def test_deleting_wants_a_decision_and_leaves_nothing(database: Database) -> None:
    database.ok()
    assert "rds_final_snapshot" in database.refused(state="absent")
    protected = database.refused(state="absent", final_snapshot="none")
    assert "protected against deletion: set rds_deletion_protection: false" in protected
    planned = database.ok(state="absent", final_snapshot="last", deletion_protection=False, check=True)
    assert planned["changed"] and not database.writes()
    assert planned["diff"]["before"] == {
        "database": "shop",
        "db_parameter_group": "shop-postgres17",
        "db_subnet_group": "shop",
        "security_group": "shop-database",
    }
    database.aws.delays(**{"db_instance.delete": 0.6})
    assert database.ok(state="absent", final_snapshot="last", deletion_protection=False)["changed"]
    assert [one["DBSnapshotIdentifier"] for one in database.rds.describe_db_snapshots()["DBSnapshots"]] == ["last"]
    assert not database.rds.describe_db_instances()["DBInstances"]
    assert not database.rds.describe_db_subnet_groups()["DBSubnetGroups"]
    assert not database.rds.describe_db_parameter_groups()["DBParameterGroups"]
    again = database.ok(state="absent")
    assert not again["changed"]


def test_a_deletion_that_was_interrupted_goes_on(database: Database) -> None:
    database.ok()
    database.aws.delays(**{"db_instance.delete": 0.6})
    options: Json = {"state": "absent", "final_snapshot": "none", "deletion_protection": False}
    assert database.ok(wait=False, **options)["changed"]
    assert database.ok(**options)["changed"], "its groups"
    assert not database.rds.describe_db_subnet_groups()["DBSubnetGroups"]

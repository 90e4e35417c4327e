# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an RDS database should be like, and what has to be changed for it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError

Json = dict[str, Any]

ENGINE = "postgres"
PORT = 5432
ALWAYS = "always"
FORCE_SSL = "rds.force_ssl"
NO_EXTENDED_SUPPORT = "open-source-rds-extended-support-disabled"
LEAST_BACKUP, MOST_BACKUP = 7, 35  # days
# From this size on (GiB), gp3 has four volumes, and its IOPS and throughput are free to choose.
STRIPED, STRIPED_IOPS, STRIPED_THROUGHPUT = 400, 12000, 500
# On a restored database whose given master password is still to be set: AWS does not say whether it has been.
PASSWORD_TAG = "dbos.kubernetes/master-password"  # noqa: S105 (a tag's name)

# What takes the database away for a while, be it a restart or a failover.
_RESTARTS = {"DBInstanceClass", "EngineVersion", "CACertificateIdentifier"}
_IDENTIFIER = re.compile(r"[a-z](?:-?[a-z0-9]+)*")
_VERSION = re.compile(r"(\d{2,})(?:\.(\d+))?")
# What AWS calls otherwise in its answers than in its requests.
ANSWERS = {"EnablePerformanceInsights": "PerformanceInsightsEnabled"}


@dataclass(frozen=True)
class Version:
    """A version of PostgreSQL; without C(minor) any of the major version."""

    major: int
    minor: int | None = None

    def __str__(self) -> str:
        return str(self.major) if self.minor is None else f"{self.major}.{self.minor}"


def version(text: str) -> Version:
    """Read "17" or "17.6"."""
    match = _VERSION.fullmatch(text)
    if not match:
        raise AwsError(f"{text!r} is no version of PostgreSQL on RDS: give a major one (17), or with its minor (17.6).")
    return Version(int(match[1]), int(match[2]) if match[2] else None)


def check(params: Mapping[str, Any]) -> None:
    """Refuse what can't be, before anything is touched."""
    identifier = params["identifier"]
    if not _IDENTIFIER.fullmatch(identifier) or len(identifier) > 63:
        raise AwsError(
            f"{identifier!r} can't be a database's identifier in RDS: it has lower-case letters, digits and single "
            "hyphens, begins with a letter, and is at most 63 characters long."
        )
    days = params["backup_retention_period"]
    if not LEAST_BACKUP <= days <= MOST_BACKUP:
        raise AwsError(
            f"A backup retention of {days} days is refused: backups are kept for {LEAST_BACKUP} to {MOST_BACKUP} days."
        )
    size, most = params["allocated_storage"], params["max_allocated_storage"]
    if size < 20:
        raise AwsError(f"A storage of {size} GiB is refused: gp3 has at least 20.")
    if most and most < size * 1.1:
        raise AwsError(
            f"The storage can't grow to {most} GiB by itself: AWS wants that to be at least a tenth above the "
            f"{size} GiB it begins with. 0 turns it off."
        )
    if size < STRIPED and (params["iops"] or params["storage_throughput"]):
        raise AwsError(
            f"IOPS and throughput can be chosen from {STRIPED} GiB on; {size} GiB have 3000 IOPS and 125 MiB/s."
        )
    if str(params["parameters"].get(FORCE_SSL, "1")) != "1":
        raise AwsError(f"The parameter {FORCE_SSL} must be 1: unencrypted connections are refused.")
    if params["master_password"] is None and params["master_password_update"] == ALWAYS:
        raise AwsError("There is no master password to set: it is managed in Secrets Manager as none is given.")
    version(params["engine_version"])


def parameters(given: Mapping[str, Any]) -> dict[str, str]:
    """The database's parameters as RDS has them: text, and 1 and 0 for true and false."""
    texts = {name: str(int(value)) if isinstance(value, bool) else str(value) for name, value in given.items()}
    return {**texts, FORCE_SSL: "1"}


def group_name(identifier: str, major: int) -> str:
    """The parameter group of a major version: one can't serve two."""
    return f"{identifier}-postgres{major}"


def settings(params: Mapping[str, Any]) -> Json:
    """What is compared with an existing database, by the names of AWS' requests."""
    wanted: Json = {
        "DBInstanceClass": params["instance_class"],
        "MultiAZ": params["multi_az"],
        "BackupRetentionPeriod": params["backup_retention_period"],
        "CopyTagsToSnapshot": True,
        "DeletionProtection": params["deletion_protection"],
        "AutoMinorVersionUpgrade": params["auto_minor_version_upgrade"],
        "PubliclyAccessible": False,
        "CACertificateIdentifier": params["ca_certificate"],
        "EngineLifecycleSupport": NO_EXTENDED_SUPPORT,
        "StorageType": "gp3",
        "EnablePerformanceInsights": params["performance_insights"],
        "PreferredBackupWindow": params["backup_window"],
        "PreferredMaintenanceWindow": params["maintenance_window"],
        "Iops": params["iops"],
        "StorageThroughput": params["storage_throughput"],
    }
    for window in ("PreferredBackupWindow", "PreferredMaintenanceWindow"):
        wanted[window] = wanted[window].lower() if wanted[window] else None
    return {name: value for name, value in wanted.items() if value is not None}


def creation(params: Mapping[str, Any], tags: list[dict[str, str]], engine_version: str, group: str, sg: str) -> Json:
    """Arguments of create_db_instance."""
    identifier = params["identifier"]
    arguments: Json = {
        "DBInstanceIdentifier": identifier,
        "Engine": ENGINE,
        "EngineVersion": engine_version,
        "Port": PORT,
        "MasterUsername": params["master_username"],
        "DBSubnetGroupName": identifier,
        "DBParameterGroupName": group,
        "VpcSecurityGroupIds": [sg],
        "AllocatedStorage": params["allocated_storage"],
        "StorageEncrypted": True,
        "EnableCloudwatchLogsExports": sorted(params["log_exports"]),
        "Tags": tags,
        **settings(params),
    }
    if params["kms_key_id"]:
        arguments["KmsKeyId"] = params["kms_key_id"]
    if params["max_allocated_storage"]:
        arguments["MaxAllocatedStorage"] = params["max_allocated_storage"]
    if params["master_password"] is None:
        arguments["ManageMasterUserPassword"] = True
    else:
        arguments["MasterUserPassword"] = params["master_password"]
    return arguments


def restoration(arguments: Json, snapshot: str, size: int) -> Json:
    """Arguments of restore_db_instance_from_db_snapshot for creation()'s; C(size) is the snapshot's, in GiB.

    What AWS does not take here is set when the database is there, as any other difference.
    """
    later = {"EngineVersion", "MasterUsername", "StorageEncrypted", "KmsKeyId", "EnablePerformanceInsights"}
    later |= {"PreferredMaintenanceWindow", "MaxAllocatedStorage", "ManageMasterUserPassword", "MasterUserPassword"}
    taken = {name: value for name, value in arguments.items() if name not in later}
    return {**taken, "DBSnapshotIdentifier": snapshot, "AllocatedStorage": max(taken["AllocatedStorage"], size)}


def upgrade(actual: Version, wanted: Version, *, allowed: bool) -> bool:
    """Whether the engine is to be upgraded; a minor version that AWS has moved on is none to go back from."""
    if wanted.major < actual.major:
        raise AwsError(
            f"The database runs PostgreSQL {actual}, and can't go back to {wanted}: set rds_engine_version to "
            f"'{actual.major}', or restore a snapshot of the older version."
        )
    if wanted.major > actual.major and not allowed:
        raise AwsError(
            f"The database runs PostgreSQL {actual}; {wanted} is a major upgrade, which takes it away for minutes and "
            "has no way back. Confirm it with rds_allow_major_version_upgrade: true."
        )
    return wanted.major > actual.major or (wanted.minor or 0) > (actual.minor or 0)


def changes(instance: Json, params: Mapping[str, Any], pending: Json, group: str, sg: str) -> Json:
    """What modify_db_instance must be given; empty when the database is as it should be. What is C(pending) is done."""
    actual = {**instance, **pending}
    wanted = settings(params)
    arguments = {name: value for name, value in wanted.items() if _differs(actual, name, value)}
    # A new major version brings its group along.
    if _group(instance) != group and "EngineVersion" not in pending:
        arguments["DBParameterGroupName"] = group
    if _security_groups(instance) != [sg]:
        arguments["VpcSecurityGroupIds"] = [sg]
    arguments |= _storage(actual, params)
    arguments |= _logs(instance, pending, params["log_exports"])
    arguments |= _password(instance, params)
    return arguments


def restarts(arguments: Mapping[str, Any]) -> list[str]:
    """Those changes that take the database away for a while."""
    return sorted(_RESTARTS & set(arguments))


def _differs(actual: Mapping[str, Any], name: str, value: Any) -> bool:
    there = actual.get(ANSWERS.get(name, name))
    # Some answers lack what is off, and what an older RDS did not know.
    return bool(there != value and not (there is None and value is False))


def _group(instance: Mapping[str, Any]) -> str:
    groups = instance.get("DBParameterGroups") or [{}]
    return str(groups[0].get("DBParameterGroupName", ""))


def _security_groups(instance: Mapping[str, Any]) -> list[str]:
    attached = [group for group in instance.get("VpcSecurityGroups") or [] if group.get("Status") != "removing"]
    return sorted(group["VpcSecurityGroupId"] for group in attached)


def _storage(actual: Mapping[str, Any], params: Mapping[str, Any]) -> Json:
    """Storage only grows, by AWS' autoscaling too: what is more than asked for is right."""
    arguments: Json = {}
    have, size = actual.get("AllocatedStorage") or 0, params["allocated_storage"]
    if size > have:
        arguments["AllocatedStorage"] = size
        if size >= STRIPED:
            # AWS wants both with a new size.
            arguments["Iops"] = params["iops"] or max(actual.get("Iops") or 0, STRIPED_IOPS)
            throughput = max(actual.get("StorageThroughput") or 0, STRIPED_THROUGHPUT)
            arguments["StorageThroughput"] = params["storage_throughput"] or throughput
    most = params["max_allocated_storage"]
    limit = actual.get("MaxAllocatedStorage") or 0
    if most and most != limit:
        arguments["MaxAllocatedStorage"] = most
    elif not most and limit > have:
        arguments["MaxAllocatedStorage"] = max(have, size)  # as high as it is: off
    return arguments


def _logs(instance: Mapping[str, Any], pending: Mapping[str, Any], wanted: list[str]) -> Json:
    types = set(instance.get("EnabledCloudwatchLogsExports") or [])
    waiting = pending.get("PendingCloudwatchLogsExports") or {}
    types = (types | set(waiting.get("LogTypesToEnable") or [])) - set(waiting.get("LogTypesToDisable") or [])
    if types == set(wanted):
        return {}
    on, off = sorted(set(wanted) - types), sorted(types - set(wanted))
    return {"CloudwatchLogsExportConfiguration": {"EnableLogTypes": on, "DisableLogTypes": off}}


def _password(instance: Mapping[str, Any], params: Mapping[str, Any]) -> Json:
    """A given password is not to be read back: it is set when AWS managed it before, or when asked for."""
    managed = bool(instance.get("MasterUserSecret"))
    given = params["master_password"]
    if given is None:
        return {} if managed else {"ManageMasterUserPassword": True}
    if managed:
        return {"ManageMasterUserPassword": False, "MasterUserPassword": given}
    waits = any(tag["Key"] == PASSWORD_TAG for tag in instance.get("TagList") or [])
    return {"MasterUserPassword": given} if waits or params["master_password_update"] == ALWAYS else {}


def fixed(instance: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Refuse what an existing database can't become."""
    name = params["identifier"]
    if instance.get("Engine") != ENGINE:
        raise AwsError(f"The database {name} in RDS is no PostgreSQL but {instance.get('Engine')}: take another name.")
    if not instance.get("StorageEncrypted"):
        raise AwsError(
            f"The storage of the database {name} is not encrypted, which can't be changed: copy a snapshot of it with "
            "encryption, and restore that with rds_snapshot under another rds_identifier."
        )
    if instance.get("MasterUsername") != params["master_username"]:
        raise AwsError(
            f"The master user of the database {name} is {instance.get('MasterUsername')}, which can't be changed: set "
            "rds_master_username to it."
        )
    vpc = (instance.get("DBSubnetGroup") or {}).get("VpcId")
    if params["vpc_id"] and vpc and vpc != params["vpc_id"]:
        raise AwsError(f"The database {name} is in the VPC {vpc}, not in the platform's, {params['vpc_id']}.")
    key = params["kms_key_id"] or ""
    if re.search(r"(^|:key/)[0-9a-f-]{36}$", key) and not str(instance.get("KmsKeyId", "")).endswith(key[-36:]):
        raise AwsError(
            f"The database {name} is encrypted with the key {instance.get('KmsKeyId')}, which can't be changed: set "
            "rds_kms_key_id to it, or restore a snapshot that is copied with the other key."
        )


def parameter_changes(have: Mapping[str, str], want: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Parameters to set and to reset."""
    wanted = {name: value for name, value in want.items() if have.get(name) != value}
    return wanted, sorted(name for name in have if name not in want)


def rules(permissions: list[Json]) -> dict[str, Json]:
    """A security group's ingress, one rule each: what it is for a person → what AWS calls it."""
    found: dict[str, Json] = {}
    kinds = {
        "UserIdGroupPairs": "GroupId",
        "IpRanges": "CidrIp",
        "Ipv6Ranges": "CidrIpv6",
        "PrefixListIds": "PrefixListId",
    }
    for permission in permissions:
        ports: Json = {key: permission[key] for key in ("FromPort", "ToPort") if key in permission}
        protocol = permission["IpProtocol"]
        span = "all" if protocol == "-1" else f"{protocol} {'-'.join(dict.fromkeys(str(p) for p in ports.values()))}"
        for kind, key in kinds.items():
            for source in permission.get(kind) or []:
                # A group of another account is named with it.
                named = {name: source[name] for name in (key, "UserId") if name in source}
                found[f"{span} from {source[key]}"] = {"IpProtocol": protocol, **ports, kind: [named]}
    return found


def ingress(groups: list[str]) -> dict[str, Json]:
    """The rules that let these security groups in, and nobody else."""
    pairs = [{"GroupId": group} for group in groups]
    return rules([{"IpProtocol": "tcp", "FromPort": PORT, "ToPort": PORT, "UserIdGroupPairs": pairs}])

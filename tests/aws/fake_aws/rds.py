"""Amazon RDS for PostgreSQL over moto's: states, passwords in Secrets Manager, and refusals."""

from __future__ import annotations

import json
import secrets
import string
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.kms.models import kms_backends
from moto.rds.exceptions import RDSClientError
from moto.rds.models import DBInstance, MasterUserSecret, RDSBackend
from moto.rds.responses import RDSResponse

from fake_aws import backups, rds_catalog, rds_groups, rds_lifetime
from fake_aws.wire import ACCOUNT

if TYPE_CHECKING:
    from fake_aws.patches import Patches

# What is changed later unless ApplyImmediately is given, and shown as pending meanwhile
DEFERRED = {
    "db_instance_class": "DBInstanceClass",
    "allocated_storage": "AllocatedStorage",
    "storage_type": "StorageType",
    "iops": "Iops",
    "storage_throughput": "StorageThroughput",
    "multi_az": "MultiAZ",
    "engine_version": "EngineVersion",
    "ca_certificate_identifier": "CACertificateIdentifier",
    "backup_retention_period": "BackupRetentionPeriod",
    "db_port_number": "Port",
    "enable_iam_database_authentication": "IAMDatabaseAuthenticationEnabled",
}
MODIFIABLE = ("available", "backing-up", "storage-optimization", "storage-full", "incompatible-parameters")

_moto = {
    "create": RDSBackend.create_db_instance,
    "modify": RDSBackend.modify_db_instance,
    "delete": RDSBackend.delete_db_instance,
}


def install(patches: Patches) -> None:
    """Take over from moto."""
    timeline = patches.application.timeline

    def create(self: RDSBackend, given: Any) -> DBInstance:
        if given.get("engine") != "postgres":
            return _moto["create"](self, given)
        _check_new(self, given)
        given["engine_version"] = rds_catalog.minor_version(given.get("engine_version", rds_catalog.DEFAULT_MAJOR))
        given.setdefault("db_parameter_group_name", f"default.{rds_catalog.family(given['engine_version'])}")
        database = _moto["create"](self, given)
        _complete(database, given)
        database.status = "creating"
        failure = timeline.failure("db_instance.create")

        def created() -> None:
            _interface(database)
            if failure:
                database.status = failure.status or "failed"
                rds_lifetime.tell(database, "failure", failure.message)
                return
            database.status = "backing-up" if database.backup_retention_period else "available"
            timeline.after("db_instance.backup", backed_up)

        def backed_up() -> None:
            if database.status == "backing-up":
                database.status = "available"

        timeline.after("db_instance.create", created)
        return database

    def modify(self: RDSBackend, name: str, given: Any) -> DBInstance:
        database = self.describe_db_instances(name)[0]
        if database.engine != "postgres":
            return _moto["modify"](self, name, given)
        wanted = {key: value for key, value in given.items() if value is not None}
        for key in ("db_instance_identifier", "tag_specifications", "certificate_rotation_restart"):
            wanted.pop(key, None)
        now = wanted.pop("apply_immediately", False)
        major = wanted.pop("allow_major_version_upgrade", False)
        if database.status not in (
            "available",
            "storage-full",
            "incompatible-parameters",
            "backing-up",
            "storage-optimization",
        ):
            raise RDSClientError("InvalidDBInstanceState", f"Database instance is not in available state: {name}")
        _check_change(self, database, wanted, major)
        later = {key: wanted.pop(key) for key in DEFERRED if key in wanted}
        later = {key: value for key, value in later.items() if value != _current(database, key)}
        database.pending_modified_values.update({DEFERRED[key]: value for key, value in later.items()})
        if password := wanted.pop("master_user_password", None):
            database.pending_modified_values["MasterUserPassword"] = "****"
            later["master_user_password"] = password
            now = True
        _apply(database, wanted)
        failure = timeline.failure("db_instance.modify") if wanted or now else None

        # What waits for the maintenance window is applied with the next change that does not wait.
        database.put_off = {**getattr(database, "put_off", {}), **later}

        def modified() -> None:
            if failure:
                database.status = failure.status or "incompatible-parameters"
                rds_lifetime.tell(database, "failure", failure.message)
                return
            if now:
                _apply(database, database.put_off)
                database.put_off = {}
                database.pending_modified_values.clear()
            database.status = "available"

        if (now and database.put_off) or failure or "db_parameter_group_name" in wanted:
            database.status = "modifying"
            timeline.after("db_instance.modify", modified)
        return database

    def delete(
        self: RDSBackend,
        db_instance_identifier: str,
        final_db_snapshot_identifier: str | None = None,
        skip_final_snapshot: bool | None = False,
        delete_automated_backups: bool | None = True,
    ) -> DBInstance:
        database = self.describe_db_instances(db_instance_identifier)[0]
        if database.status == "deleting":
            raise RDSClientError(
                "InvalidDBInstanceState", f"Instance {db_instance_identifier} is already being deleted."
            )
        if database.deletion_protection:
            raise RDSClientError(
                "InvalidParameterCombination",
                "Cannot delete protected DB Instance, please disable deletion protection and try again.",
            )
        if not skip_final_snapshot and not final_db_snapshot_identifier:
            raise RDSClientError(
                "InvalidParameterCombination",
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
            )
        if skip_final_snapshot and final_db_snapshot_identifier:
            raise RDSClientError(
                "InvalidParameterCombination",
                "FinalDBSnapshotIdentifier can not be specified when deleting an instance with SkipFinalSnapshot.",
            )
        if final_db_snapshot_identifier:
            if database.status not in ("available", "storage-full", "incompatible-parameters"):
                raise RDSClientError(
                    "InvalidDBInstanceState", f"Cannot create a snapshot because the database is {database.status}."
                )
            self.create_db_snapshot(
                db_instance_identifier,
                final_db_snapshot_identifier,
                snapshot_type="manual",
                tags=database.tags if database.copy_tags_to_snapshot else [],
            )
        database.status = "deleting"
        failure = timeline.failure("db_instance.delete")

        def deleted() -> None:
            if failure:
                database.status = failure.status or "failed"
                rds_lifetime.tell(database, "failure", failure.message)
                return
            database.deletion_protection = False
            _moto["delete"](self, db_instance_identifier, None, True, delete_automated_backups=delete_automated_backups)
            ec2 = ec2_backends[ACCOUNT][self.region_name]
            if getattr(database, "interface", None) in ec2.enis:
                ec2.delete_network_interface(database.interface)

        timeline.after("db_instance.delete", deleted)
        return database

    def endpoint(self: DBInstance) -> dict[str, Any] | None:
        if self.status == "creating":
            return None
        return patches.database_endpoint or {
            "Address": self.address,
            "Port": self.port,
            "HostedZoneId": "Z29XKXDKYMONMX",
        }

    RDSBackend.create_db_instance = create
    RDSBackend.modify_db_instance = modify
    RDSBackend.delete_db_instance = delete
    DBInstance.endpoint = property(endpoint)
    RDSResponse.describe_pending_maintenance_actions = lambda _self: ActionResult({"PendingMaintenanceActions": []})
    rds_catalog.install()
    rds_groups.install()
    rds_lifetime.install(patches)
    MasterUserSecret._generate_secret_string = lambda self: _secret_string(self.resource, patches)
    backups.install()


def _check_new(backend: RDSBackend, given: Any) -> None:
    version = given.get("engine_version", rds_catalog.DEFAULT_MAJOR)
    if rds_catalog.minor_version(version) is None:
        raise RDSClientError("InvalidParameterCombination", f"Cannot find version {version} for postgres")
    if given.get("db_instance_identifier") in backend.databases:
        raise RDSClientError("DBInstanceAlreadyExists", "DB instance already exists")
    if bool(given.get("manage_master_user_password")) == bool(given.get("master_user_password")):
        reason = (
            "You can't specify MasterUserPassword for an instance with ManageMasterUserPassword enabled."
            if given.get("master_user_password")
            else "The parameter MasterUserPassword must be provided and must not be blank."
        )
        raise RDSClientError("InvalidParameterCombination", reason)
    if not given.get("master_username") or given["master_username"] in ("postgres_admin", "rdsadmin", "admin"):
        raise RDSClientError(
            "InvalidParameterValue",
            f"MasterUsername {given.get('master_username')} cannot be used as it is a reserved word used by the engine",
        )
    if int(given.get("allocated_storage") or 0) < 20:
        raise RDSClientError(
            "InvalidParameterCombination", "Invalid storage size for engine name postgres and storage type gp3"
        )
    _check_groups(backend, given, rds_catalog.minor_version(version))
    key = given.get("kms_key_id")
    if key and not _key(backend, key):
        raise RDSClientError("KMSKeyNotAccessibleFault", f"The specified KMS key [{key}] does not exist.")
    if given.get("ca_certificate_identifier", rds_catalog.AUTHORITIES[0]) not in rds_catalog.AUTHORITIES:
        raise RDSClientError("CertificateNotFound", f"Certificate {given['ca_certificate_identifier']} not found.")
    subnet_group = given.get("db_subnet_group_name")
    if subnet_group and subnet_group not in backend.subnet_groups:
        raise RDSClientError("DBSubnetGroupNotFoundFault", f"DB subnet group '{subnet_group}' does not exist.")


def _check_groups(backend: RDSBackend, given: Any, version: str) -> None:
    """Security groups and the parameter group of an instance."""
    ec2 = ec2_backends[ACCOUNT][backend.region_name]
    known = {group for groups in ec2.groups.values() for group in groups}
    for group in given.get("vpc_security_group_ids") or []:
        if group not in known:
            raise RDSClientError("InvalidParameterValue", f"Invalid security group , groupId= {group}, groupName=.")
    name = given.get("db_parameter_group_name")
    if name and not name.startswith("default."):
        if name not in backend.db_parameter_groups:
            raise RDSClientError("DBParameterGroupNotFound", f"DBParameterGroup not found: {name}")
        family = backend.db_parameter_groups[name].family
        if family != rds_catalog.family(version):
            raise RDSClientError(
                "InvalidParameterCombination",
                f"The Parameter Group {name} with DBParameterGroupFamily {family} cannot be used for this instance. "
                f"Please use a Parameter Group with DBParameterGroupFamily {rds_catalog.family(version)}",
            )


def _check_change(backend: RDSBackend, database: DBInstance, wanted: dict[str, Any], major: bool) -> None:
    version = database.engine_version
    if "engine_version" in wanted:
        version = rds_catalog.minor_version(wanted["engine_version"])
        if version is None:
            raise RDSClientError(
                "InvalidParameterCombination", f"Cannot find version {wanted['engine_version']} for postgres"
            )
        before = [int(part) for part in database.engine_version.split(".")]
        after = [int(part) for part in version.split(".")]
        if after < before:
            raise RDSClientError(
                "InvalidParameterCombination", f"Cannot upgrade postgres from {database.engine_version} to {version}"
            )
        if after[0] != before[0] and not major:
            raise RDSClientError(
                "InvalidParameterCombination",
                "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version.",
            )
        wanted["engine_version"] = version
    if wanted.get("allocated_storage", database.allocated_storage) < database.allocated_storage:
        raise RDSClientError("InvalidParameterCombination", "Requested storage size cannot be less than current size.")
    managed = wanted.get("manage_master_user_password", database.manage_master_user_password)
    if wanted.get("master_user_password") and managed:
        raise RDSClientError(
            "InvalidParameterCombination",
            "You can't specify MasterUserPassword for an instance with ManageMasterUserPassword enabled.",
        )
    if wanted.get("ca_certificate_identifier", rds_catalog.AUTHORITIES[0]) not in rds_catalog.AUTHORITIES:
        raise RDSClientError("CertificateNotFound", f"Certificate {wanted['ca_certificate_identifier']} not found.")
    _check_groups(backend, wanted, version)


def _complete(database: DBInstance, given: Any) -> None:
    """What moto does not keep."""
    region = database.backend.region_name
    database.pending_modified_values = {}
    database.dbi_resource_id = "db-" + "".join(secrets.choice(string.ascii_uppercase) for _letter in range(26))
    database.engine_lifecycle_support = given.get("engine_lifecycle_support", "open-source-rds-extended-support")
    database.network_type = given.get("network_type", "IPV4")
    database.performance_insights_enabled = given.get("enable_performance_insights", False)
    if database.performance_insights_enabled:
        database.performance_insights_retention_period = given.get("performance_insights_retention_period", 7)
    database.database_insights_mode = given.get("database_insights_mode", "standard")
    database.license_model = "postgresql-license"
    database.activity_stream_status = "stopped"
    database.backup_target = "region"
    database.storage_encryption_type = "sse-kms" if database.storage_encrypted else "none"
    database.dedicated_log_volume = False
    database.publicly_accessible = given.get("publicly_accessible", False)
    _authority(database, given.get("ca_certificate_identifier", rds_catalog.AUTHORITIES[0]))
    if database.storage_encrypted:
        database.kms_key_id = _key(database.backend, given.get("kms_key_id") or "alias/aws/rds")
    if database.storage_type == "gp3":
        database.iops = given.get("iops", 3000)
        database.storage_throughput = given.get("storage_throughput", 125)
    if database.multi_az:
        database.secondary_availability_zone = f"{region}b"


def _authority(database: DBInstance, identifier: str) -> None:
    database.ca_certificate_identifier = identifier
    database.certificate_details = {"CAIdentifier": identifier, "ValidTill": datetime.now(UTC) + timedelta(days=365)}


def _current(database: DBInstance, key: str) -> Any:
    return getattr(database, {"db_port_number": "port"}.get(key, key), None)


def _apply(database: DBInstance, changes: dict[str, Any]) -> None:
    """Change what an instance shows."""
    changes = dict(changes)
    renamed = {"enable_performance_insights": "performance_insights_enabled", "db_port_number": "port"}
    if authority := changes.pop("ca_certificate_identifier", None):
        _authority(database, authority)
    if changes.get("enable_performance_insights"):
        database.performance_insights_retention_period = changes.get("performance_insights_retention_period", 7)
    database.update(**{renamed.get(key, key): value for key, value in changes.items()})


def _interface(database: DBInstance) -> None:
    """An instance has a network interface, which keeps its subnet and security groups from being deleted."""
    group = getattr(database, "db_subnet_group", None)
    if group is None:
        return
    ec2 = ec2_backends[ACCOUNT][database.backend.region_name]
    database.interface = ec2.create_network_interface(
        ec2.get_subnet(group.subnets[0]["SubnetIdentifier"]),
        None,
        group_ids=list(database.vpc_security_group_ids),
        description="RDSNetworkInterface",
    ).id


def _secret_string(database: Any, patches: Patches) -> str:
    password = patches.database_password or secrets.token_urlsafe(21)
    return json.dumps({"username": database.master_username, "password": password})


def _key(backend: RDSBackend, given: str) -> str | None:
    """A key's ARN; None when there is no such key."""
    kms = kms_backends[ACCOUNT][backend.region_name]
    if given == "alias/aws/rds":
        return f"arn:aws:kms:{backend.region_name}:{ACCOUNT}:key/5b1fbd49-aaaa-4bbb-8ccc-rdsdefault01"
    for key in kms.keys.values():
        if given in (key.arn, key.id) or given in key.aliases:
            return str(key.arn)
    return None

"""Amazon RDS: groups of subnets and of parameters, and what is refused of them."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.rds.exceptions import RDSClientError
from moto.rds.models import RDSBackend
from moto.rds.responses import RDSResponse

from fake_aws.rds_catalog import ENGINES

# What PostgreSQL's families have; values of the engine's own
PARAMETERS = {
    "rds.force_ssl": ("1", "dynamic", "boolean", "0,1"),
    "max_connections": ("LEAST({DBInstanceClassMemory/9531392},5000)", "static", "integer", "6-8388607"),
    "log_min_duration_statement": ("-1", "dynamic", "integer", "-1-2147483647"),
    "shared_preload_libraries": ("pg_stat_statements", "static", "list", "pg_stat_statements,auto_explain"),
    "idle_in_transaction_session_timeout": ("86400000", "dynamic", "integer", "0-2147483647"),
    "rds.logical_replication": ("0", "static", "boolean", "0,1"),
    "password_encryption": ("scram-sha-256", "dynamic", "string", "md5,scram-sha-256"),
}
_moto = {
    "create_subnet_group": RDSBackend.create_subnet_group,
    "delete_subnet_group": RDSBackend.delete_subnet_group,
    "create_parameter_group": RDSBackend.create_db_parameter_group,
    "delete_parameter_group": RDSBackend.delete_db_parameter_group,
}


def install() -> None:
    """Take over from moto."""
    RDSBackend.create_subnet_group = _create_subnet_group
    RDSBackend.delete_subnet_group = _delete_subnet_group
    RDSBackend.modify_db_subnet_group = _modify_subnet_group
    RDSBackend.create_db_parameter_group = _create_parameter_group
    RDSBackend.delete_db_parameter_group = _delete_parameter_group
    RDSResponse.describe_db_parameter_groups = _describe_parameter_groups
    RDSResponse.describe_db_parameters = _describe_parameters


def _create_subnet_group(self: RDSBackend, name: str, description: str, subnets: list[Any], tags: Any) -> Any:
    if name.lower() in self.subnet_groups:
        raise RDSClientError("DBSubnetGroupAlreadyExists", f"The DB subnet group '{name}' already exists.")
    _covers(subnets)
    return _moto["create_subnet_group"](self, name, description, subnets, tags)


def _modify_subnet_group(self: RDSBackend, name: str, description: str, subnets: list[Any]) -> Any:
    """moto loses the group."""
    group = self.describe_db_subnet_groups(name)[0]
    _covers(subnets)
    group.subnets = subnets
    group.description = description or group.description
    return group


def _delete_subnet_group(self: RDSBackend, name: str) -> Any:
    for database in self.databases.values():
        group = getattr(database, "db_subnet_group", None)
        if group is not None and group.name == name:
            raise RDSClientError(
                "InvalidDBSubnetGroupStateFault",
                f"Cannot delete the subnet group '{name}' because at least one database instance: "
                f"{database.db_instance_identifier} is still using it.",
            )
    return _moto["delete_subnet_group"](self, name)


def _covers(subnets: list[Any]) -> None:
    if len({subnet.availability_zone for subnet in subnets}) < 2:
        raise RDSClientError(
            "DBSubnetGroupDoesNotCoverEnoughAZs",
            "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: "
            f"{sorted({subnet.availability_zone for subnet in subnets})}. Add subnets to cover at least 2 AZs.",
        )


def _create_parameter_group(self: RDSBackend, given: Any) -> Any:
    family = given.get("db_parameter_group_family")
    if family not in {f"postgres{major}" for major in ENGINES}:
        raise RDSClientError(
            "InvalidParameterValue", f"ParameterGroupFamily {family} is not a valid parameter group family"
        )
    return _moto["create_parameter_group"](self, given)


def _delete_parameter_group(self: RDSBackend, name: str) -> Any:
    if any(database.db_parameter_group_name == name for database in self.databases.values()):
        raise RDSClientError(
            "InvalidDBParameterGroupState",
            f"One or more database instances are still members of this parameter group {name}, so the group cannot be "
            "deleted",
        )
    return _moto["delete_parameter_group"](self, name)


def _describe_parameter_groups(self: RDSResponse) -> ActionResult:
    name = self.params.get("DBParameterGroupName")
    groups = self.backend.describe_db_parameter_groups({"db_parameter_group_name": name})
    if name and not groups:
        raise RDSClientError("DBParameterGroupNotFound", f"DBParameterGroup {name} not found.")
    return ActionResult({"DBParameterGroups": groups})


def _describe_parameters(self: RDSResponse) -> ActionResult:
    name, source = self.params.get("DBParameterGroupName"), self.params.get("Source")
    groups = self.backend.describe_db_parameter_groups({"db_parameter_group_name": name})
    if not groups:
        raise RDSClientError("DBParameterGroupNotFound", f"DBParameterGroup not found: {name}")
    user = groups[0].parameters
    found = []
    for key in sorted({*PARAMETERS, *user}):
        value, apply_type, kind, allowed = PARAMETERS.get(key, ("", "dynamic", "string", ""))
        origin = "user" if key in user else "engine-default"
        if source in (None, origin):
            found.append(
                {
                    "ParameterName": key,
                    "ParameterValue": user[key].get("ParameterValue") if key in user else value,
                    "Source": origin,
                    "ApplyType": apply_type,
                    "DataType": kind,
                    "AllowedValues": allowed,
                    "IsModifiable": True,
                    "ApplyMethod": user[key].get("ApplyMethod", "immediate") if key in user else "pending-reboot",
                }
            )
    return ActionResult({"Parameters": found})

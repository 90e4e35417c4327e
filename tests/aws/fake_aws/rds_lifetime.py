"""A database in RDS later on: static parameters wait for a restart, snapshots are restored, events tell why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.rds.exceptions import RDSClientError
from moto.rds.models import DBInstance, RDSBackend
from moto.rds.responses import RDSResponse

from fake_aws import rds, rds_groups

if TYPE_CHECKING:
    from fake_aws.patches import Patches

# What RDS does not take when it restores a snapshot of PostgreSQL
_NOT_RESTORED = {"manage_master_user_password", "master_user_password", "engine_version", "storage_encrypted"}


def install(patches: Patches) -> None:
    """Take over from moto."""
    timeline = patches.application.timeline

    def reset(self: RDSResponse) -> ActionResult:
        name = self.params.get("DBParameterGroupName")
        group = self.backend.db_parameter_groups.get(name)
        if group is None:
            raise RDSClientError("DBParameterGroupNotFound", f"DBParameterGroup not found: {name}")
        changed = [parameter["ParameterName"] for parameter in self.params.get("Parameters") or []]
        for parameter in changed:
            group.parameters.pop(parameter, None)
        _wait(self.backend, name, changed)
        return ActionResult({"DBParameterGroupName": name})

    def change(self: RDSBackend, name: str, given: Any) -> Any:
        given = list(given)
        for parameter in given:
            static = rds_groups.PARAMETERS.get(parameter["ParameterName"], ("", "dynamic"))[1] == "static"
            if static and parameter.get("ApplyMethod") == "immediate":
                raise RDSClientError(
                    "InvalidParameterCombination", "cannot use immediate apply method for static parameter"
                )
        group = _change(self, name, given)
        _wait(self, name, [parameter["ParameterName"] for parameter in given])
        return group

    def reboot(self: RDSBackend, name: str) -> DBInstance:
        database = self.describe_db_instances(name)[0]
        if database.status not in rds.MODIFIABLE:
            raise RDSClientError("InvalidDBInstanceState", f"Database instance is not in available state: {name}")
        database.status = "rebooting"

        def rebooted() -> None:
            database.status = "available"
            database.waiting_parameters = False

        timeline.after("db_instance.reboot", rebooted)
        return database

    def restore(self: RDSBackend, name: str, given: Any) -> DBInstance:
        snapshot = self.describe_db_snapshots(db_instance_identifier=None, db_snapshot_identifier=name)[0]
        refused = sorted(key for key in _NOT_RESTORED if given.get(key) is not None)
        if refused:
            raise RDSClientError("InvalidParameterCombination", f"{refused} can't be given for postgres")
        origin = snapshot.database
        whole = {
            "engine": "postgres",
            "engine_version": origin.engine_version,
            "master_username": origin.master_username,
            "master_user_password": "as-before-the-snapshot",
            "storage_encrypted": snapshot.encrypted,
            "allocated_storage": snapshot.allocated_storage,
            "db_instance_class": origin.db_instance_class,
        }
        return self.create_db_instance(whole | {key: value for key, value in given.items() if value is not None})

    def statuses(self: DBInstance) -> list[Any]:
        status = "pending-reboot" if getattr(self, "waiting_parameters", False) else "in-sync"
        return [
            SimpleNamespace(DBParameterGroupName=group.name, ParameterApplyStatus=status)
            for group in self.db_parameter_groups()
        ]

    RDSResponse.reset_db_parameter_group = reset
    RDSBackend.modify_db_parameter_group = change
    RDSBackend.reboot_db_instance = reboot
    RDSBackend.restore_db_instance_from_db_snapshot = restore
    DBInstance.db_parameter_group_status_list = property(statuses)


_change = RDSBackend.modify_db_parameter_group


def _wait(backend: RDSBackend, name: str, changed: list[str]) -> None:
    """Static parameters take effect at the next restart of what uses them."""
    if any(rds_groups.PARAMETERS.get(parameter, ("", "dynamic"))[1] == "static" for parameter in changed):
        for database in backend.databases.values():
            if database.db_parameter_group_name == name:
                database.waiting_parameters = True


def tell(database: DBInstance, category: str, message: str) -> None:
    """Have describe_events tell of a database."""
    event = SimpleNamespace(
        source_identifier=database.db_instance_identifier,
        source_type="db-instance",
        message=message,
        event_categories=[category],
        source_arn=database.arn,
        date=utcnow(),
    )
    database.backend.events.append(event)

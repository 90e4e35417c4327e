"""RDS' automated backups that outlive their instance, and its empty list of option groups: moto has neither."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.rds.models import DBInstanceAutomatedBackup, RDSBackend
from moto.rds.responses import RDSResponse

from fake_aws.wire import Refusal


def _first(name: str) -> property:
    return property(lambda backup: getattr(backup.automated_snapshots[0], name))


def _delete_backup(response: Any) -> ActionResult:
    wanted = response.params["DbiResourceId"]
    found = [one for one in response.backend.describe_db_instance_automated_backups() if one.dbi_resource_id == wanted]
    if not found:
        raise Refusal("DBInstanceAutomatedBackupNotFound", f"There is no automated backup of {wanted}.", 404)
    for snapshot in found[0].automated_snapshots:
        del response.backend.database_snapshots[snapshot.db_snapshot_identifier]
    return ActionResult({"DBInstanceAutomatedBackup": found[0]})


def install() -> None:
    backup: Any = DBInstanceAutomatedBackup
    backup.dbi_resource_id = _first("dbi_resource_id")
    backup.allocated_storage = _first("allocated_storage")
    backup.kms_key_id = _first("kms_key_id")
    backup.tag_list = property(lambda one: one.automated_snapshots[0].tags)
    response: Any = RDSResponse
    response.delete_db_instance_automated_backup = _delete_backup
    backend: Any = RDSBackend
    describe = backend.describe_option_groups

    def describe_option_groups(self: Any, wanted: Any) -> Any:
        return describe(self, wanted) if wanted.get("OptionGroupName") or self.option_groups else []

    backend.describe_option_groups = describe_option_groups

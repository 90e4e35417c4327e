# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A platform's database in RDS, with all that belongs to it, brought into the state that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import rds_settings as wanted
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import rds_states as states
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags as tagging
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.changes import UNMADE
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.rds_groups import Diff, Groups, foreign
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import wait_for
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import together
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

Json = dict[str, Any]


class Database:
    """One run for one database; C(params) as the options of module rds_instance."""

    def __init__(self, account: Account, params: Mapping[str, Any], *, check: bool) -> None:
        self.account = account
        self.params = {**params, "identifier": params["identifier"] or params["platform"]}
        self.name: str = self.params["identifier"]
        self.check = check
        self.tags = tagging.wanted(params["platform"], params["tags"])
        self.groups = Groups(account, self.params, self.tags)
        self.diff = Diff()
        self.warnings: list[str] = []
        self.progress = Progress()
        self.at_once = False  # whether what was changed is applied now

    def find(self) -> Json | None:
        """The database as AWS describes it."""
        found = self.account.find("rds", "describe_db_instances", DBInstanceIdentifier=self.name)
        instance: Json | None = found["DBInstances"][0] if found else None
        return instance

    def wait(self, applied: frozenset[str] = frozenset(), ready: Collection[str] = states.SERVING) -> Json:
        """Until it is C(ready), and nothing of C(applied) is pending any more; it as it is then."""
        look = states.look(self.account, self.name, applied, ready)
        wait_for({f"database {self.name}": look}, self.params["wait_timeout"], self.progress)
        instance = self.find()
        if instance is None:
            raise AwsError(f"The database {self.name} has been deleted meanwhile.")
        return instance

    def present(self) -> Json:
        """Make it, or change what differs."""
        params = self.params
        wanted.check(params)
        asked = wanted.version(params["engine_version"])
        reads: list[Callable[[], Any]] = [
            self.find,
            self.groups.find_subnets,
            partial(self.groups.find_parameters, wanted.group_name(self.name, asked.major)),
            self.groups.find_security,
        ]
        instance, subnets, parameters, security = together(reads)
        upgrades = False
        if instance and instance["DBInstanceStatus"] == "creating" and params["wait"] and not self.check:
            instance = self.wait()
        if instance:
            self._own(instance)
            wanted.fixed(instance, params)
            actual = wanted.version(self._pending(instance).get("EngineVersion") or instance["EngineVersion"])
            upgrades = wanted.upgrade(actual, asked, allowed=params["allow_major_version_upgrade"])
        self.groups.own(subnets, parameters, security)
        version = self._resolve(asked) if instance is None or upgrades else ""
        snapshot = self._snapshot(asked) if instance is None and params["snapshot"] else None

        # A database that was taken over stays in the subnet group it has: it can't move within its VPC.
        if instance is None or (instance.get("DBSubnetGroup") or {}).get("DBSubnetGroupName") == self.name:
            self.groups.ensure_subnets(subnets, self.diff, check=self.check)
        group = wanted.group_name(self.name, asked.major)
        family = f"{wanted.ENGINE}{asked.major}"
        if self.groups.ensure_parameters(group, family, parameters, self.diff, check=self.check) and instance:
            instance = self.find()  # static ones wait for a restart now
        security_group = self.groups.ensure_security(security, self.diff, check=self.check)
        if instance is None:
            instance = self._create(version, group, security_group, snapshot)
            version = ""
        # What is being created shows not yet what it will be.
        if instance and instance["DBInstanceStatus"] != "creating":
            instance = self._change(instance, version, group, security_group)
        return self._result(instance, security_group)

    def _own(self, instance: Json) -> None:
        if not tagging.owned(tagging.mapping(instance.get("TagList")), self.params["platform"]):
            raise foreign("database", self.name, self.params["platform"])

    def _resolve(self, asked: wanted.Version) -> str:
        """The minor version: the given one, or AWS' default of today."""
        listed = self.account.pages(
            "rds",
            "describe_db_engine_versions",
            "DBEngineVersions",
            Engine=wanted.ENGINE,
            EngineVersion=str(asked),
            **({"DefaultOnly": True} if asked.minor is None else {}),
        )
        if not listed:
            offered = self.account.pages(
                "rds",
                "describe_db_engine_versions",
                "DBEngineVersions",
                Engine=wanted.ENGINE,
                EngineVersion=str(asked.major),
            )
            names = ", ".join(version["EngineVersion"] for version in offered) or "none of this major version"
            raise AwsError(
                f"RDS in {self.account.region} does not offer PostgreSQL {asked}: take another rds_engine_version "
                f"({names})."
            )
        return str(listed[0]["EngineVersion"])

    def _snapshot(self, asked: wanted.Version) -> Json:
        name = self.params["snapshot"]
        found = self.account.find("rds", "describe_db_snapshots", DBSnapshotIdentifier=name)
        snapshot: Json | None = found["DBSnapshots"][0] if found and found["DBSnapshots"] else None
        if snapshot is None:
            raise AwsError(f"There is no snapshot {name} in {self.account.region} to restore: correct rds_snapshot.")
        if not snapshot.get("Encrypted"):
            raise AwsError(f"The snapshot {name} is not encrypted: copy it with encryption, and restore the copy.")
        major = wanted.version(snapshot["EngineVersion"]).major
        if major != asked.major:
            raise AwsError(
                f"The snapshot {name} is of PostgreSQL {major}: restore it with rds_engine_version: '{major}', and "
                "upgrade the database then."
            )
        if snapshot.get("MasterUsername") != self.params["master_username"]:
            raise AwsError(
                f"The master user of the snapshot {name} is {snapshot.get('MasterUsername')}: set rds_master_username "
                "to it."
            )
        return snapshot

    def _create(self, version: str, group: str, security_group: str, snapshot: Json | None) -> Json | None:
        tags = self.tags
        if snapshot and self.params["master_password"] is not None:
            tags = {**tags, wanted.PASSWORD_TAG: "waits"}
        arguments = wanted.creation(self.params, tagging.pairs(tags), version, group, security_group)
        operation = "create_db_instance"
        if snapshot:
            size = snapshot.get("AllocatedStorage") or 0
            arguments = wanted.restoration(arguments, self.params["snapshot"], size)
            operation = "restore_db_instance_from_db_snapshot"
        self.diff.add("database", None, _shown(arguments))
        if self.check:
            return None
        made = self.account.create(self.find, "rds", operation, **arguments)
        instance: Json = made.get("DBInstance", made)
        # What can't be given when it is restored is set once it is there, so that is waited for in any case.
        return self.wait() if snapshot or self.params["wait"] else instance

    def _change(self, instance: Json, version: str, group: str, security_group: str) -> Json:
        params = self.params
        restart = params["restart"] and params["apply_immediately"]
        arguments = wanted.changes(instance, params, self._pending(instance), group, security_group)
        if version:
            arguments["EngineVersion"] = version
            if params["allow_major_version_upgrade"]:
                arguments["AllowMajorVersionUpgrade"] = True
        self._refuse_failed(instance, arguments)
        if arguments:
            before = {name: instance.get(wanted.ANSWERS.get(name, name)) for name in arguments}
            self.diff.add("database", _shown({**before, **_seen(instance, arguments)}), _shown(arguments))
        if not self.check and arguments:
            instance = self._modify(instance, arguments, restart=restart)
        self.groups.ensure_tags(
            "tags", instance["DBInstanceArn"], tagging.mapping(instance.get("TagList")), self.diff, check=self.check
        )
        if self.check:
            return instance
        if params["wait"] and (arguments or instance["DBInstanceStatus"] not in states.SERVING):
            instance = self.wait(frozenset(arguments) if self.at_once else frozenset())
        return self._restarted(instance) if restart else instance

    def _pending(self, instance: Json) -> Json:
        """What waits for the maintenance window, or is being applied; it counts as done unless it shall not wait."""
        hurries = self.params["restart"] and self.params["apply_immediately"]
        if hurries and instance["DBInstanceStatus"] == states.AVAILABLE:
            return {}
        return instance.get("PendingModifiedValues") or {}

    def _rotates(self, instance: Json) -> bool:
        """Whether this version takes a certificate of another CA without a restart."""
        listed = self.account.pages(
            "rds",
            "describe_db_engine_versions",
            "DBEngineVersions",
            Engine=wanted.ENGINE,
            EngineVersion=instance["EngineVersion"],
        )
        return any(version.get("SupportsCertificateRotationWithoutRestart") for version in listed)

    def _refuse_failed(self, instance: Json, arguments: Mapping[str, Any]) -> None:
        """Stop at what AWS has given up, unless what is to be changed is what helps."""
        status = instance["DBInstanceStatus"]
        helped = (status == "storage-full" and "AllocatedStorage" in arguments) or (
            status == "incompatible-parameters" and self.params["restart"]
        )
        if status in states.FAILED and not helped:
            raise AwsError(f"Database {self.name} is {status}: {states.reason(self.account, self.name, status)}")
        if status == "deleting":
            raise AwsError(f"Database {self.name} is deleting: run again when it is gone.")

    def _modify(self, instance: Json, arguments: Json, *, restart: bool) -> Json:
        if instance["DBInstanceStatus"] not in states.CHANGEABLE | states.MENDABLE:
            instance = self.wait(ready=states.CHANGEABLE)
        # What is applied at once takes everything along that waits for the maintenance window.
        pending = instance.get("PendingModifiedValues") or {}
        waits = wanted.restarts({**pending, **arguments})
        if waits == ["CACertificateIdentifier"] and self._rotates(instance):
            waits = []
        self.at_once = self.params["apply_immediately"] and (restart or not waits)
        if waits and not restart:
            self.warnings.append(
                f"{', '.join(waits)} of the database {self.name} would restart it: this, and all that is changed with "
                f"it, waits for its maintenance window ({instance.get('PreferredMaintenanceWindow')}). With "
                "rds_restart: true it is done now."
            )
        changed = self.account.call(
            "rds", "modify_db_instance", DBInstanceIdentifier=self.name, ApplyImmediately=self.at_once, **arguments
        )
        when = "now" if self.at_once else "in its maintenance window"
        self.progress.say(f"database {self.name}: {', '.join(sorted(arguments))} {when}")
        modified: Json = changed["DBInstance"]
        return modified

    def _restarted(self, instance: Json) -> Json:
        """Restart it when parameters, or nothing else, wait for that."""
        status = instance["DBInstanceStatus"]
        if status != "incompatible-parameters" and not (status == states.AVAILABLE and _parameters_wait(instance)):
            return instance
        self.diff.add("restart", None, "now")
        self.account.call("rds", "reboot_db_instance", DBInstanceIdentifier=self.name)
        return self.wait() if self.params["wait"] else instance

    def _result(self, instance: Json | None, security_group: str) -> Json:
        instance = instance or {}
        pending = {name: value for name, value in (instance.get("PendingModifiedValues") or {}).items() if value}
        pending.pop("MasterUserPassword", None)
        if _parameters_wait(instance):
            self.warnings.append(
                f"Parameters of the database {self.name} wait for a restart: run with rds_restart: true, or reboot it."
            )
        endpoint = instance.get("Endpoint") or {}
        return {
            "changed": bool(self.diff),
            "diff": {"before": self.diff.before, "after": self.diff.after},
            "identifier": self.name,
            "status": instance.get("DBInstanceStatus", UNMADE),
            "engine_version": instance.get("EngineVersion", self.params["engine_version"]),
            "endpoint": endpoint.get("Address"),
            "port": endpoint.get("Port", wanted.PORT),
            "master_username": self.params["master_username"],
            "master_secret_arn": (instance.get("MasterUserSecret") or {}).get("SecretArn"),
            "security_group_id": security_group,
            "allowed_security_groups": self.params["allowed_security_groups"],
            "pending": pending,
            "pending_restart": _parameters_wait(instance),
        }

    def absent(self) -> Json:
        """Delete it, wait until it is gone, and then what belonged to it."""
        instance = self.find()
        if instance:
            self._own(instance)
            self._delete(instance)
        ours = self.groups.ours()
        for operation, name, _arguments in ours:
            self.diff.add(operation.removeprefix("delete_"), name, None)
        if not self.check:
            if instance and not self.params["wait"]:
                return self._gone()
            if instance:
                target = {f"deletion of database {self.name}": states.gone(self.account, self.name)}
                wait_for(target, self.params["wait_timeout"], self.progress)
            for operation, _name, arguments in ours:
                self.groups.delete(operation, arguments)
        return self._gone()

    def _delete(self, instance: Json) -> None:
        snapshot = self.params["final_snapshot"]
        if instance["DBInstanceStatus"] == "deleting":
            return
        if not snapshot:
            raise AwsError(
                f"The database {self.name} is not deleted before it is decided what becomes of its data: set "
                "rds_final_snapshot to the name of a last snapshot, or to none."
            )
        protected = instance.get("DeletionProtection")
        if protected and self.params["deletion_protection"]:
            raise AwsError(
                f"The database {self.name} is protected against deletion: set rds_deletion_protection: false, and run "
                "again."
            )
        self.diff.add("database", self.name, None)
        if self.check:
            return
        if protected:
            self.account.call(
                "rds",
                "modify_db_instance",
                DBInstanceIdentifier=self.name,
                DeletionProtection=False,
            )
        last = {"SkipFinalSnapshot": True} if snapshot == "none" else {"FinalDBSnapshotIdentifier": snapshot}
        self.account.call(
            "rds",
            "delete_db_instance",
            DBInstanceIdentifier=self.name,
            DeleteAutomatedBackups=self.params["delete_automated_backups"],
            **last,
        )

    def _gone(self) -> Json:
        before, after = self.diff.before, self.diff.after
        return {"changed": bool(self.diff), "diff": {"before": before, "after": after}, "identifier": self.name}


def _parameters_wait(instance: Mapping[str, Any]) -> bool:
    groups = instance.get("DBParameterGroups") or []
    return any(group.get("ParameterApplyStatus") == "pending-reboot" for group in groups)


def _seen(instance: Json, arguments: Mapping[str, Any]) -> Json:
    """What answers have in another shape than requests."""
    shapes = {
        "DBParameterGroupName": [group["DBParameterGroupName"] for group in instance.get("DBParameterGroups") or []],
        "VpcSecurityGroupIds": [group["VpcSecurityGroupId"] for group in instance.get("VpcSecurityGroups") or []],
        "CloudwatchLogsExportConfiguration": sorted(instance.get("EnabledCloudwatchLogsExports") or []),
        "ManageMasterUserPassword": bool(instance.get("MasterUserSecret")),
        "MasterUserPassword": None,
        "AllowMajorVersionUpgrade": None,
    }
    return {name: value for name, value in shapes.items() if name in arguments}


def _shown(arguments: Mapping[str, Any]) -> Json:
    """For a diff: no password, and tags as everywhere."""
    shown = {name: value for name, value in arguments.items() if name not in ("MasterUserPassword", "Tags")}
    if arguments.get("MasterUserPassword"):
        shown["MasterUserPassword"] = "(the given one)"
    return shown

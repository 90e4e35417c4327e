# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a database in RDS needs beside itself: its subnet group, parameter group and security group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import ec2
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import rds_settings as wanted
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags as tagging
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.changes import UNMADE
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting import settled

Json = dict[str, Any]

_AT_ONCE = 20  # parameters in one request
_SETTLES = 90.0  # seconds in which what a deleted database used is still in use


@dataclass
class Diff:
    """What differs, a part each, and what has been or would be done about it."""

    before: Json = field(default_factory=dict)
    after: Json = field(default_factory=dict)

    def add(self, part: str, before: Any, after: Any) -> None:
        """One part; nothing when there is no difference."""
        if before != after:
            self.before[part], self.after[part] = before, after

    def __bool__(self) -> bool:
        return self.before != self.after


def foreign(kind: str, name: str, platform: str) -> AwsError:
    """There is something of our name that is not ours."""
    return AwsError(
        f"There is a {kind} {name} already that does not belong to the platform {platform}: take another "
        f"rds_identifier, or hand it over with the tag {tagging.PLATFORM}={platform}."
    )


class Groups:
    """The groups of one database, as they are; all methods that write say what differs in a Diff."""

    def __init__(self, account: Account, params: Mapping[str, Any], tags: dict[str, str]) -> None:
        self.account = account
        self.name: str = params["identifier"]
        self.platform: str = params["platform"]
        self.params = params
        self.tags = tags

    def find_subnets(self) -> Json | None:
        """The subnet group with its C(Tags)."""
        found = self.account.find("rds", "describe_db_subnet_groups", DBSubnetGroupName=self.name)
        return self._tagged(found["DBSubnetGroups"][0], "DBSubnetGroupArn") if found else None

    def find_parameters(self, group: str) -> Json | None:
        """The parameter group with its C(Tags) and the C(Parameters) that were set."""
        groups = self.account.pages(
            "rds", "describe_db_parameter_groups", "DBParameterGroups", DBParameterGroupName=group
        )
        if not groups:
            return None
        result = self._tagged(groups[0], "DBParameterGroupArn")
        listed = self.account.pages(
            "rds", "describe_db_parameters", "Parameters", DBParameterGroupName=group, Source="user"
        )
        return {**result, "Parameters": {one["ParameterName"]: one.get("ParameterValue", "") for one in listed}}

    def find_security(self) -> Json | None:
        """The security group."""
        filters = [{"Name": "group-name", "Values": [self.security_group]}]
        if self.params["vpc_id"]:
            filters.append({"Name": "vpc-id", "Values": [self.params["vpc_id"]]})
        found = self.account.call("ec2", "describe_security_groups", Filters=filters)["SecurityGroups"]
        return {**found[0], "Tags": tagging.mapping(found[0].get("Tags"))} if found else None

    @property
    def security_group(self) -> str:
        """The security group's name."""
        return f"{self.name}-database"

    def _tagged(self, found: Json, arn: str) -> Json:
        tags = self.account.call("rds", "list_tags_for_resource", ResourceName=found[arn])["TagList"]
        return {**found, "Arn": found[arn], "Tags": tagging.mapping(tags)}

    def ensure_subnets(self, found: Json | None, diff: Diff, *, check: bool) -> None:
        """The subnet group over the given subnets."""
        subnets = sorted(self.params["subnets"])
        if found is None:
            diff.add("subnet_group", None, subnets)
            if not check:
                self.account.create(
                    self.find_subnets,
                    "rds",
                    "create_db_subnet_group",
                    DBSubnetGroupName=self.name,
                    DBSubnetGroupDescription=f"Database of the platform {self.platform}",
                    SubnetIds=subnets,
                    Tags=tagging.pairs(self.tags),
                )
            return
        have = sorted(subnet["SubnetIdentifier"] for subnet in found["Subnets"])
        diff.add("subnet_group", have, subnets)
        if have != subnets and not check:
            self.account.call("rds", "modify_db_subnet_group", DBSubnetGroupName=self.name, SubnetIds=subnets)
        self.ensure_tags("subnet_group_tags", found["Arn"], found["Tags"], diff, check=check)

    def ensure_parameters(self, group: str, family: str, found: Json | None, diff: Diff, *, check: bool) -> bool:
        """The parameter group with the given parameters, and no others; whether any has been changed."""
        want = wanted.parameters(self.params["parameters"])
        have = found["Parameters"] if found else {}
        if found is None:
            if not check:
                self.account.create(
                    lambda: self.find_parameters(group),
                    "rds",
                    "create_db_parameter_group",
                    DBParameterGroupName=group,
                    DBParameterGroupFamily=family,
                    Description=f"Database of the platform {self.platform}",
                    Tags=tagging.pairs(self.tags),
                )
        else:
            self.ensure_tags("parameter_group_tags", found["Arn"], found["Tags"], diff, check=check)
        put, reset = wanted.parameter_changes(have, want)
        diff.add("parameters", {name: have[name] for name in (*put, *reset) if name in have}, put)
        if check or not (put or reset):
            return False
        self._change_parameters(group, put, reset)
        return True

    def _change_parameters(self, group: str, put: Mapping[str, str], reset: list[str]) -> None:
        listed = self.account.pages("rds", "describe_db_parameters", "Parameters", DBParameterGroupName=group)
        known = {one["ParameterName"]: one for one in listed}
        for name in [*put, *reset]:
            if name not in known:
                raise AwsError(f"rds_parameters has {name}, which PostgreSQL on RDS does not know: correct its name.")
            if not known[name].get("IsModifiable", True):
                raise AwsError(f"rds_parameters has {name}, which RDS does not let be changed: remove it.")

        def method(name: str) -> str:
            return "immediate" if known[name].get("ApplyType") == "dynamic" else "pending-reboot"

        given = [
            {"ParameterName": name, "ParameterValue": put[name], "ApplyMethod": method(name)} for name in sorted(put)
        ]
        gone = [{"ParameterName": name, "ApplyMethod": method(name)} for name in reset]
        for operation, items in (("modify_db_parameter_group", given), ("reset_db_parameter_group", gone)):
            for start in range(0, len(items), _AT_ONCE):
                part = items[start : start + _AT_ONCE]
                self.account.call("rds", operation, DBParameterGroupName=group, Parameters=part)

    def ensure_security(self, found: Json | None, diff: Diff, *, check: bool) -> str:
        """The security group, which lets in exactly the given groups; its id."""
        allowed = self.params["allowed_security_groups"]
        identifier: str = found["GroupId"] if found else UNMADE
        if found is None:
            diff.add("security_group", None, self.security_group)
            if not check:
                identifier = self._create_security()
        else:
            tags = found["Tags"]
            want = {**self.tags, "Name": self.security_group}
            put, gone = tagging.missing(tags, want), tagging.surplus(tags, want)
            diff.add("security_group_tags", tags, _applied(tags, put, gone))
            if not check:
                ec2.retag(self.account, identifier, tags, want)
        if allowed is not None:
            have = wanted.rules(found["IpPermissions"] if found else [])
            self._ensure_ingress(identifier, have, wanted.ingress(allowed), diff, check=check)
        return identifier

    def _create_security(self) -> str:
        tags = {**self.tags, "Name": self.security_group}
        made = self.account.create(
            self.find_security,
            "ec2",
            "create_security_group",
            GroupName=self.security_group,
            Description=f"Database of the platform {self.platform}",
            VpcId=self.params["vpc_id"],
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tagging.pairs(tags)}],
        )
        return str(made["GroupId"])

    def _ensure_ingress(
        self, group: str, have: dict[str, Json], want: dict[str, Json], diff: Diff, *, check: bool
    ) -> None:
        diff.add("ingress", sorted(have), sorted(want))
        if check:
            return
        put = [rule for name, rule in sorted(want.items()) if name not in have]
        gone = [rule for name, rule in sorted(have.items()) if name not in want]
        if put:
            arguments: Json = {"GroupId": group, "IpPermissions": put}
            ec2.write(self.account, "authorize_security_group_ingress", arguments, ("InvalidPermission.Duplicate",))
        if gone:
            self.account.call("ec2", "revoke_security_group_ingress", GroupId=group, IpPermissions=gone)

    def ensure_tags(self, part: str, arn: str, have: dict[str, str], diff: Diff, *, check: bool) -> None:
        """Tags of a resource of RDS."""
        put, gone = tagging.missing(have, self.tags), tagging.surplus(have, self.tags)
        diff.add(part, have, _applied(have, put, gone))
        if put and not check:
            self.account.call("rds", "add_tags_to_resource", ResourceName=arn, Tags=tagging.pairs(put))
        if gone and not check:
            self.account.call("rds", "remove_tags_from_resource", ResourceName=arn, TagKeys=gone)

    def own(self, subnets: Json | None, parameters: Json | None, security: Json | None) -> None:
        """Refuse what has our names and is not ours."""
        for kind, found, name in (
            ("DB subnet group", subnets, "DBSubnetGroupName"),
            ("DB parameter group", parameters, "DBParameterGroupName"),
            ("security group", security, "GroupName"),
        ):
            if found and not tagging.owned(found["Tags"], self.platform):
                raise foreign(kind, found[name], self.platform)

    def ours(self) -> list[tuple[str, str, Json]]:
        """What is there of these groups and is ours: (kind, name, arguments of its deletion)."""
        result: list[tuple[str, str, Json]] = []
        for listed in self.account.pages("rds", "describe_db_parameter_groups", "DBParameterGroups"):
            name = listed["DBParameterGroupName"]
            # A major upgrade leaves the older version's behind.
            if name.rpartition("-postgres")[0] == self.name and self._owned(listed, "DBParameterGroupArn"):
                result.append(("delete_db_parameter_group", name, {"DBParameterGroupName": name}))
        subnets = self.find_subnets()
        if subnets and tagging.owned(subnets["Tags"], self.platform):
            result.append(("delete_db_subnet_group", self.name, {"DBSubnetGroupName": self.name}))
        security = self.find_security()
        if security and tagging.owned(security["Tags"], self.platform):
            result.append(("delete_security_group", self.security_group, {"GroupId": security["GroupId"]}))
        return result

    def _owned(self, listed: Json, arn: str) -> bool:
        return tagging.owned(self._tagged(listed, arn)["Tags"], self.platform)

    def delete(self, operation: str, arguments: Json) -> None:
        """Delete one of them; the network interfaces of a database outlive it for some seconds."""
        service = "ec2" if operation == "delete_security_group" else "rds"
        settled(lambda: self.account.find(service, operation, **arguments), _letting_go, _SETTLES)


def _applied(have: Mapping[str, str], put: Mapping[str, str], gone: list[str]) -> dict[str, str]:
    return {name: value for name, value in {**have, **put}.items() if name not in gone}


def _letting_go(error: AwsError) -> bool:
    return error.absent or "DependencyViolation" in error.code or "State" in error.code

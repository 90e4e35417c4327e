# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads databases, images, logs, keys, secrets and IAM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import rds_states, tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import resources as kinds
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.reading import Json, Reader, key_id
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.resources import Key, Resource
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

CREDENTIALS = "credentials of a database"  # the secret that RDS keeps for it, and deletes with it


def is_ours(account: Account, identifier: str, platform: str) -> bool:
    """Whether what names the database is the platform's. A database that is gone is taken for ours."""
    answer = account.find("rds", "describe_db_instances", DBInstanceIdentifier=identifier)
    found = (answer or {}).get("DBInstances") or []
    return all(tags.owned(tags.mapping(one.get("TagList")), platform) for one in found)


def databases(reader: Reader) -> Iterator[Resource]:
    """RDS instances: ours, one of the platform's name, and others in our VPC."""
    for found in reader.account.pages("rds", "describe_db_instances", "DBInstances"):
        name = found["DBInstanceIdentifier"]
        have = tags.mapping(found.get("TagList"))
        vpc = (found.get("DBSubnetGroup") or {}).get("VpcId")
        placed = reader.placed(have, vpc)
        if placed is None and name == reader.database:
            placed = False, "it has the platform's name, but not its tag"
        if placed is None:
            continue
        groups = [one["VpcSecurityGroupId"] for one in found.get("VpcSecurityGroups") or []]
        needs: set[Key] = set(reader.inside(vpc, groups=groups))
        if found.get("DBSubnetGroup"):
            needs.add((kinds.SUBNET_GROUP, found["DBSubnetGroup"]["DBSubnetGroupName"]))
        needs |= {(kinds.PARAMETER_GROUP, one["DBParameterGroupName"]) for one in found.get("DBParameterGroups") or []}
        needs |= {(kinds.OPTION_GROUP, one["OptionGroupName"]) for one in found.get("OptionGroupMemberships") or []}
        needs |= key_id(found.get("KmsKeyId"))
        status = found["DBInstanceStatus"]
        yield Resource(
            kinds.DATABASE,
            name,
            *placed,
            needs=frozenset(needs),
            status=status,
            failure=rds_states.reason(reader.account, name, status)
            if status in rds_states.FAILED and placed[0]
            else "",
            detail={
                "deleting": status == "deleting",
                "protected": bool(found.get("DeletionProtection")),
                "class": found.get("DBInstanceClass"),
                "gigabytes": found.get("AllocatedStorage"),
                "storage": found.get("StorageType"),
                "multi_az": bool(found.get("MultiAZ")),
            },
        )
        secret = (found.get("MasterUserSecret") or {}).get("SecretArn")
        if secret and placed[0]:
            yield Resource(CREDENTIALS, secret, why=f"of database {name}", goes_with=(kinds.DATABASE, name))


def snapshots(reader: Reader) -> Iterator[Resource]:
    """Manual snapshots of our databases, and whatever has the name that the final one is to have."""
    for found in reader.account.pages("rds", "describe_db_snapshots", "DBSnapshots", SnapshotType="manual"):
        name, of = found["DBSnapshotIdentifier"], found["DBInstanceIdentifier"]
        have = tags.mapping(found.get("TagList"))
        ours, why = reader.whose(have)
        final = name == reader.snapshot
        if not ours and not final and of != reader.database:
            continue
        # RDS gives the instance's tags to it only if the instance says so.
        ours = ours or (final and of == reader.database and tags.PLATFORM not in have)
        needs = {(kinds.OPTION_GROUP, found["OptionGroupName"])} if found.get("OptionGroupName") else set()
        yield Resource(
            kinds.SNAPSHOT,
            name,
            ours,
            why if ours else f"a snapshot of database {of} without our tag",
            needs=frozenset(needs | key_id(found.get("KmsKeyId"))),
            status=found.get("Status", ""),
            detail={"gigabytes": found.get("AllocatedStorage"), "busy": found.get("Status") == "creating"},
        )


def backups(reader: Reader) -> Iterator[Resource]:
    """Automated backups; those of an instance that is there go with it, unless they are to be kept."""
    every = reader.account.pages("rds", "describe_db_instance_automated_backups", "DBInstanceAutomatedBackups")
    for found in every:
        of = found["DBInstanceIdentifier"]
        have = tags.mapping(found.get("TagList"))
        ours, why = reader.whose(have)
        if not ours and of != reader.database:
            continue
        active = found.get("Status") == "active"
        yield Resource(
            kinds.BACKUP,
            found["DbiResourceId"],
            ours or (active and reader.database_is_ours),
            why if ours else f"of database {of}" + ("" if active else ", which is gone; it has not our tag"),
            name=of,
            needs=key_id(found.get("KmsKeyId")),
            goes_with=(kinds.DATABASE, of) if active else None,
            status=found.get("Status", ""),
            detail={"gigabytes": found.get("AllocatedStorage"), "days": found.get("BackupRetentionPeriod")},
        )


def _tagged(reader: Reader, names: dict[str, str]) -> dict[str, dict[str, str]]:
    """Tags of RDS' resources, by name; C(names) has their ARNs."""

    def read(name: str) -> dict[str, str]:
        answer = reader.account.find("rds", "list_tags_for_resource", ResourceName=names[name])
        return tags.mapping((answer or {}).get("TagList"))

    return dict(zip(names, parallel(read, names), strict=True))


def subnet_groups(reader: Reader) -> Iterator[Resource]:
    """Subnet groups: of our names, and others' in our VPC."""
    every = {
        one["DBSubnetGroupName"]: one
        for one in reader.account.pages("rds", "describe_db_subnet_groups", "DBSubnetGroups")
        if reader.is_called(one["DBSubnetGroupName"]) or one.get("VpcId") in reader.vpcs
    }
    have = _tagged(reader, {name: one["DBSubnetGroupArn"] for name, one in every.items()})
    for name, found in every.items():
        vpc = found.get("VpcId")
        placed = reader.placed(have[name], vpc) or reader.named(name, have[name])
        if placed:
            subnets = [one["SubnetIdentifier"] for one in found.get("Subnets") or []]
            yield Resource(kinds.SUBNET_GROUP, name, *placed, needs=reader.inside(vpc, subnets))


def parameter_groups(reader: Reader) -> Iterator[Resource]:
    """Parameter groups of our names."""
    every = reader.account.pages("rds", "describe_db_parameter_groups", "DBParameterGroups")
    arns = {one["DBParameterGroupName"]: one["DBParameterGroupArn"] for one in every}
    return _of_our_names(reader, kinds.PARAMETER_GROUP, arns)


def option_groups(reader: Reader) -> Iterator[Resource]:
    """Option groups of our names. Those that RDS makes by itself can't be deleted, and have other names."""
    every = reader.account.pages("rds", "describe_option_groups", "OptionGroupsList")
    arns = {one["OptionGroupName"]: one["OptionGroupArn"] for one in every}
    return _of_our_names(reader, kinds.OPTION_GROUP, arns)


def _of_our_names(reader: Reader, kind: str, arns: dict[str, str]) -> Iterator[Resource]:
    have = _tagged(reader, {name: arn for name, arn in arns.items() if reader.is_called(name)})
    for name, mine in have.items():
        placed = reader.named(name, mine)
        if placed:
            yield Resource(kind, name, *placed)


def log_groups(reader: Reader) -> Iterator[Resource]:
    """Log groups of the cluster and the database. AWS' services make them again without our tag, so the name counts."""
    cluster = (reader.cluster_is_ours, f"cluster {reader.platform}")
    prefixes = {
        f"/aws/eks/{reader.platform}/": cluster,
        f"/aws/containerinsights/{reader.platform}/": cluster,
        f"/aws/rds/instance/{reader.database}/": (reader.database_is_ours, f"database {reader.database}"),
    }
    for prefix, (ours, owner) in prefixes.items():
        for found in reader.account.pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix):
            yield Resource(
                kinds.LOG_GROUP,
                found["logGroupName"],
                ours,
                f"of {owner}" + ("" if ours else ", which is not ours"),
                needs=key_id(found.get("kmsKeyId")),
                detail={"bytes": found.get("storedBytes") or 0},
            )


def repositories(reader: Reader) -> Iterator[Resource]:
    """ECR repositories with our tag, and others of our name."""
    every = reader.account.pages("ecr", "describe_repositories", "repositories")

    def read(found: Json) -> Resource | None:
        name = found["repositoryName"]
        answer = reader.account.find("ecr", "list_tags_for_resource", resourceArn=found["repositoryArn"])
        placed = reader.named(name, tags.mapping((answer or {}).get("tags")), separators="-/")
        if placed is None:
            return None
        images = (
            reader.account.pages("ecr", "describe_images", "imageDetails", repositoryName=name) if placed[0] else []
        )
        return Resource(
            kinds.REPOSITORY,
            name,
            *placed,
            needs=key_id((found.get("encryptionConfiguration") or {}).get("kmsKey")),
            detail={"images": len(images), "bytes": sum(one.get("imageSizeInBytes") or 0 for one in images)},
        )

    return (one for one in parallel(read, every) if one)


def keys(reader: Reader) -> Iterator[Resource]:
    """KMS keys with our tag, and their aliases; others' aliases of our names."""
    aliases = reader.account.pages("kms", "list_aliases", "Aliases")
    of_aws = {one.get("TargetKeyId") for one in aliases if one["AliasName"].startswith("alias/aws/")}
    every = [one["KeyId"] for one in reader.account.pages("kms", "list_keys", "Keys") if one["KeyId"] not in of_aws]
    found = {one.id: one for one in parallel(lambda key: _key(reader, key), every) if one}
    yield from found.values()
    for alias in aliases:
        name, target = alias["AliasName"], alias.get("TargetKeyId", "")
        if target in found:
            needs = frozenset({(kinds.KEY, target)})
            yield Resource(kinds.ALIAS, name, why=f"of key {target}", needs=needs)
        elif name.startswith(f"alias/{reader.platform}-eks"):
            yield Resource(kinds.ALIAS, name, False, f"of key {target}, which is not ours")


def _key(reader: Reader, key: str) -> Resource | None:
    try:
        have = reader.account.pages("kms", "list_resource_tags", "Tags", KeyId=key)
    except AwsError as error:
        if error.result.get("permission"):
            return None  # a key whose policy shuts us out is none that we have made
        raise
    if not tags.owned(tags.mapping(have, "TagKey", "TagValue"), reader.platform):
        return None
    answer = reader.account.find("kms", "describe_key", KeyId=key)
    if answer is None:
        return None
    found = answer["KeyMetadata"]
    return Resource(
        kinds.KEY,
        key,
        why=f"tag {tags.PLATFORM}",
        name=found.get("Description") or "",
        status=found.get("KeyState", ""),
        scheduled=_day(found.get("DeletionDate")) if found.get("KeyState") == "PendingDeletion" else "",
    )


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "a later day"


def secrets(reader: Reader) -> Iterator[Resource]:
    """Secrets with our tag, but for those that a service of AWS keeps."""
    wanted = [{"Key": "tag-key", "Values": [tags.PLATFORM]}]
    every = reader.account.pages(
        "secretsmanager", "list_secrets", "SecretList", Filters=wanted, IncludePlannedDeletion=True
    )
    for found in every:
        if not tags.owned(tags.mapping(found.get("Tags")), reader.platform) or found.get("OwningService"):
            continue
        # It can be brought back until then, for at least seven days from its deletion.
        deleted = found.get("DeletedDate")
        yield Resource(
            kinds.SECRET,
            found["Name"],
            why=f"tag {tags.PLATFORM}",
            needs=key_id(found.get("KmsKeyId")),
            scheduled=_day(deleted) if deleted else "",
            detail={"arn": found["ARN"]},
        )


def _iam(reader: Reader, kind: str, names: Iterable[str], operation: str, option: str) -> Iterator[Resource]:
    """What IAM lists without tags."""
    mine = [name for name in names if reader.is_called(name.rsplit("/", 1)[-1])]

    def read(name: str) -> dict[str, str]:
        return tags.mapping(reader.account.pages("iam", operation, "Tags", **{option: name}))

    for name, have in zip(mine, parallel(read, mine), strict=True):
        placed = reader.named(name.rsplit("/", 1)[-1], have)
        if placed:
            yield Resource(kind, name, *placed)


def roles(reader: Reader) -> Iterator[Resource]:
    """Roles of our names, with the policies of ours that they have."""
    every: list[Any] = reader.account.pages("iam", "list_roles", "Roles")
    for one in _iam(reader, kinds.ROLE, (role["RoleName"] for role in every), "list_role_tags", "RoleName"):
        attached = reader.account.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=one.id)
        needs = frozenset((kinds.POLICY, policy["PolicyArn"]) for policy in attached)
        yield Resource(one.kind, one.id, one.ours, one.why, needs=needs)


def policies(reader: Reader) -> Iterator[Resource]:
    """Policies of our names."""
    every = reader.account.pages("iam", "list_policies", "Policies", Scope="Local")
    return _iam(reader, kinds.POLICY, (one["Arn"] for one in every), "list_policy_tags", "PolicyArn")


def profiles(reader: Reader) -> Iterator[Resource]:
    """Instance profiles of our names."""
    every: list[Any] = reader.account.pages("iam", "list_instance_profiles", "InstanceProfiles")
    names = [one["InstanceProfileName"] for one in every]
    in_them = {one["InstanceProfileName"]: [role["RoleName"] for role in one["Roles"]] for one in every}
    for one in _iam(reader, kinds.PROFILE, names, "list_instance_profile_tags", "InstanceProfileName"):
        needs = frozenset((kinds.ROLE, role) for role in in_them[one.id])
        yield Resource(one.kind, one.id, one.ours, one.why, needs=needs, detail={"roles": in_them[one.id]})


def providers(reader: Reader) -> Iterator[Resource]:
    """OIDC providers of the cluster, or with our tag."""
    issuer = str((reader.cluster.detail.get("issuer") if reader.cluster else "") or "").removeprefix("https://")
    answer = reader.account.call("iam", "list_open_id_connect_providers")
    for arn in (one["Arn"] for one in answer["OpenIDConnectProviderList"]):
        found = reader.account.find("iam", "get_open_id_connect_provider", OpenIDConnectProviderArn=arn) or {}
        ours, why = reader.whose(tags.mapping(found.get("Tags")))
        if ours:
            yield Resource(kinds.PROVIDER, arn, why=why)
        elif issuer and arn.endswith(f"/{issuer}"):
            yield Resource(kinds.PROVIDER, arn, reader.cluster_is_ours, f"of cluster {reader.platform}")

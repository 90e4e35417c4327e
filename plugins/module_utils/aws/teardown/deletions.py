# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How each kind of resource is deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import resources as kinds
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.plan import Options
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.resources import Resource

# What AWS answers while something else uses it, by this or another name of the same thing.
IN_USE = {
    *("DependencyViolation", "ResourceInUse", "DeleteConflict", "VolumeInUse", "InvalidNetworkInterface.InUse"),
    *("InvalidNetworkInterfaceID.InUse", "InvalidIPAddress.InUse", "InvalidDBSubnetGroupStateFault"),
    *("InvalidDBParameterGroupState", "InvalidOptionGroupStateFault", "InvalidParameterValue.InUse"),
}


def delete(account: Account, platform: str, one: Resource, options: Options) -> bool:
    """Ask AWS to delete something. False when it has to be asked again, as something else must happen first."""
    action = _SPECIAL.get(one.kind)
    try:
        if action:
            return action(account, platform, one, options)
        service, operation, option = _SIMPLE[one.kind]
        named: dict[str, Any] = {option: one.detail.get("arn") or one.id}
        account.call(service, operation, **named)
    except AwsError as error:
        if not error.absent:
            raise
    return True


_SIMPLE = {
    kinds.TEMPLATE: ("ec2", "delete_launch_template", "LaunchTemplateId"),
    kinds.LOAD_BALANCER: ("elbv2", "delete_load_balancer", "LoadBalancerArn"),
    kinds.CLASSIC: ("elb", "delete_load_balancer", "LoadBalancerName"),
    kinds.TARGET_GROUP: ("elbv2", "delete_target_group", "TargetGroupArn"),
    kinds.VOLUME: ("ec2", "delete_volume", "VolumeId"),
    kinds.VOLUME_SNAPSHOT: ("ec2", "delete_snapshot", "SnapshotId"),
    kinds.INTERFACE: ("ec2", "delete_network_interface", "NetworkInterfaceId"),
    kinds.NAT: ("ec2", "delete_nat_gateway", "NatGatewayId"),
    kinds.ADDRESS: ("ec2", "release_address", "AllocationId"),
    kinds.ACL: ("ec2", "delete_network_acl", "NetworkAclId"),
    kinds.SUBNET: ("ec2", "delete_subnet", "SubnetId"),
    kinds.VPC: ("ec2", "delete_vpc", "VpcId"),
    kinds.SNAPSHOT: ("rds", "delete_db_snapshot", "DBSnapshotIdentifier"),
    kinds.BACKUP: ("rds", "delete_db_instance_automated_backup", "DbiResourceId"),
    kinds.SUBNET_GROUP: ("rds", "delete_db_subnet_group", "DBSubnetGroupName"),
    kinds.PARAMETER_GROUP: ("rds", "delete_db_parameter_group", "DBParameterGroupName"),
    kinds.OPTION_GROUP: ("rds", "delete_option_group", "OptionGroupName"),
    kinds.LOG_GROUP: ("logs", "delete_log_group", "logGroupName"),
    kinds.ALIAS: ("kms", "delete_alias", "AliasName"),
    kinds.PROVIDER: ("iam", "delete_open_id_connect_provider", "OpenIDConnectProviderArn"),
}


def _cluster(account: Account, platform: str, one: Resource, options: Options) -> bool:
    if one.detail.get("protected"):
        try:
            account.call("eks", "update_cluster_config", name=one.id, deletionProtection=False)
        except AwsError as error:
            if error.code != "ResourceInUseException":  # it is being changed already
                raise
        return False
    if one.detail.get("group"):
        # EKS deletes the group, and leaves it behind when a rule of another one names it.
        _forget_group(account, platform, one.detail["group"])
    account.call("eks", "delete_cluster", name=one.id)
    return True


def _node_group(account: Account, platform: str, one: Resource, options: Options) -> bool:
    account.call("eks", "delete_nodegroup", clusterName=platform, nodegroupName=one.id)
    return True


def _addon(account: Account, platform: str, one: Resource, options: Options) -> bool:
    account.call("eks", "delete_addon", clusterName=platform, addonName=one.id)
    return True


def _scaling_group(account: Account, platform: str, one: Resource, options: Options) -> bool:
    account.call("autoscaling", "delete_auto_scaling_group", AutoScalingGroupName=one.id, ForceDelete=True)
    return True


def _instance(account: Account, platform: str, one: Resource, options: Options) -> bool:
    account.call("ec2", "terminate_instances", InstanceIds=[one.id])
    return True


def _database(account: Account, platform: str, one: Resource, options: Options) -> bool:
    if one.detail.get("protected"):
        changes = {"DeletionProtection": False, "ApplyImmediately": True}
        account.call("rds", "modify_db_instance", DBInstanceIdentifier=one.id, **changes)
        return False
    final: dict[str, Any] = {"SkipFinalSnapshot": True}
    if options.snapshot:
        final = {"SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": options.snapshot}
    try:
        account.call(
            "rds",
            "delete_db_instance",
            DBInstanceIdentifier=one.id,
            DeleteAutomatedBackups=not options.keep_backups,
            **final,
        )
    except AwsError as error:
        if error.code == "InvalidDBInstanceState":  # it is busy with something, or is being deleted already
            return False
        raise
    return True


def _group(account: Account, platform: str, one: Resource, options: Options) -> bool:
    _forget_group(account, platform, one.id)
    account.call("ec2", "delete_security_group", GroupId=one.id)
    return True


def _forget_group(account: Account, platform: str, group: str) -> None:
    """Take out of our security groups the rules that name one that goes."""
    for option, operation, key in (
        ("ip-permission.group-id", "revoke_security_group_ingress", "IpPermissions"),
        ("egress.ip-permission.group-id", "revoke_security_group_egress", "IpPermissionsEgress"),
    ):
        wanted = [{"Name": option, "Values": [group]}]
        for other in account.pages("ec2", "describe_security_groups", "SecurityGroups", Filters=wanted):
            have = tags.mapping(other.get("Tags"))
            if other["GroupId"] == group or not kinds.whose(have, platform)[0]:
                continue
            for rule in other[key]:
                pairs = [pair for pair in rule.get("UserIdGroupPairs") or [] if pair.get("GroupId") == group]
                if pairs:
                    named = {"GroupId": group, "UserId": pairs[0]["UserId"]}
                    ports = {name: rule[name] for name in ("IpProtocol", "FromPort", "ToPort") if name in rule}
                    rules = [{**ports, "UserIdGroupPairs": [named]}]
                    try:
                        account.call("ec2", operation, GroupId=other["GroupId"], IpPermissions=rules)
                    except AwsError as error:
                        if error.code != "InvalidPermission.NotFound":
                            raise


def _endpoint(account: Account, platform: str, one: Resource, options: Options) -> bool:
    answer = account.call("ec2", "delete_vpc_endpoints", VpcEndpointIds=[one.id])
    for refused in answer.get("Unsuccessful") or []:
        error = refused.get("Error") or {}
        raise AwsError(
            f"AWS refuses to delete {one.title}: {error.get('Message')} ({error.get('Code')}).", str(error.get("Code"))
        )
    return True


def _gateway(account: Account, platform: str, one: Resource, options: Options) -> bool:
    for vpc in one.detail.get("attached") or []:
        try:
            account.call("ec2", "detach_internet_gateway", InternetGatewayId=one.id, VpcId=vpc)
        except AwsError as error:
            if error.code != "Gateway.NotAttached":
                raise
    account.call("ec2", "delete_internet_gateway", InternetGatewayId=one.id)
    return True


def _routes(account: Account, platform: str, one: Resource, options: Options) -> bool:
    for tie in one.detail.get("associations") or []:
        account.find("ec2", "disassociate_route_table", AssociationId=tie)
    account.call("ec2", "delete_route_table", RouteTableId=one.id)
    return True


def _repository(account: Account, platform: str, one: Resource, options: Options) -> bool:
    account.call("ecr", "delete_repository", repositoryName=one.id, force=options.delete_images)
    return True


def _key(account: Account, platform: str, one: Resource, options: Options) -> bool:
    account.call("kms", "schedule_key_deletion", KeyId=one.id, PendingWindowInDays=options.key_window)
    return True


def _secret(account: Account, platform: str, one: Resource, options: Options) -> bool:
    how: dict[str, Any] = {"RecoveryWindowInDays": options.secret_recovery}
    if not options.secret_recovery:
        how = {"ForceDeleteWithoutRecovery": True}
    account.call("secretsmanager", "delete_secret", SecretId=one.detail["arn"], **how)
    return True


def _profile(account: Account, platform: str, one: Resource, options: Options) -> bool:
    for role in one.detail.get("roles") or []:
        account.find("iam", "remove_role_from_instance_profile", InstanceProfileName=one.id, RoleName=role)
    account.call("iam", "delete_instance_profile", InstanceProfileName=one.id)
    return True


def _role(account: Account, platform: str, one: Resource, options: Options) -> bool:
    for profile in account.pages("iam", "list_instance_profiles_for_role", "InstanceProfiles", RoleName=one.id):
        name = profile["InstanceProfileName"]
        account.find("iam", "remove_role_from_instance_profile", InstanceProfileName=name, RoleName=one.id)
    for policy in account.pages("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=one.id):
        account.find("iam", "detach_role_policy", RoleName=one.id, PolicyArn=policy["PolicyArn"])
    for name in account.pages("iam", "list_role_policies", "PolicyNames", RoleName=one.id):
        account.find("iam", "delete_role_policy", RoleName=one.id, PolicyName=name)
    account.call("iam", "delete_role", RoleName=one.id)
    return True


def _policy(account: Account, platform: str, one: Resource, options: Options) -> bool:
    for version in account.pages("iam", "list_policy_versions", "Versions", PolicyArn=one.id):
        if not version["IsDefaultVersion"]:
            account.find("iam", "delete_policy_version", PolicyArn=one.id, VersionId=version["VersionId"])
    account.call("iam", "delete_policy", PolicyArn=one.id)
    return True


_SPECIAL: dict[str, Callable[[Account, str, Resource, Options], bool]] = {
    kinds.CLUSTER: _cluster,
    kinds.NODE_GROUP: _node_group,
    kinds.ADDON: _addon,
    kinds.SCALING_GROUP: _scaling_group,
    kinds.INSTANCE: _instance,
    kinds.DATABASE: _database,
    kinds.GROUP: _group,
    kinds.ENDPOINT: _endpoint,
    kinds.GATEWAY: _gateway,
    kinds.ROUTES: _routes,
    kinds.REPOSITORY: _repository,
    kinds.KEY: _key,
    kinds.SECRET: _secret,
    kinds.PROFILE: _profile,
    kinds.ROLE: _role,
    kinds.POLICY: _policy,
}

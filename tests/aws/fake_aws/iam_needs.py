"""IAM: what a call needs permission for.

Actions, resources and condition keys are those of AWS' service authorization reference, as far as this server has the
calls. An action that AWS can't limit to a resource is asked for on "*".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from moto.ec2.models import ec2_backends
from moto.ecr.models import ecr_backends
from moto.elb.models import elb_backends
from moto.elbv2.models import elbv2_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.logs.models import logs_backends
from moto.rds.models import rds_backends
from moto.secretsmanager.models import secretsmanager_backends

from fake_aws.wire import ACCOUNT, Call

if TYPE_CHECKING:
    from fake_aws.application import Application

_PREFIXES = {"resourcegroupstaggingapi": "tag", "elbv2": "elasticloadbalancing", "elb": "elasticloadbalancing"}
Context = dict[str, str | list[str]]
# Parameters of EC2 that name a resource, and the resource's type in its ARN
_EC2 = {
    "VpcId": "vpc",
    "SubnetId": "subnet",
    "SubnetIds": "subnet",
    "InternetGatewayId": "internet-gateway",
    "RouteTableId": "route-table",
    "RouteTableIds": "route-table",
    "GroupId": "security-group",
    "SecurityGroupIds": "security-group",
    "AllocationId": "elastic-ip",
    "NatGatewayId": "natgateway",
    "VpcEndpointIds": "vpc-endpoint",
    "VpcEndpointId": "vpc-endpoint",
    "LaunchTemplateId": "launch-template",
    "NetworkInterfaceId": "network-interface",
    "VolumeId": "volume",
    "SecurityGroupRuleIds": "security-group-rule",
}
# What a call of EC2 makes
_EC2_MADE = {
    "create_vpc": "vpc",
    "create_subnet": "subnet",
    "create_internet_gateway": "internet-gateway",
    "create_route_table": "route-table",
    "create_security_group": "security-group",
    "allocate_address": "elastic-ip",
    "create_nat_gateway": "natgateway",
    "create_vpc_endpoint": "vpc-endpoint",
    "create_launch_template": "launch-template",
    "create_network_interface": "network-interface",
    "create_volume": "volume",
}


@dataclass
class Need:
    """One permission: an action on a resource, and what conditions can look at."""

    action: str
    resource: str = "*"
    context: Context = field(default_factory=dict)


def action(call: Call) -> str:
    """The IAM action of a call."""
    return f"{_PREFIXES.get(call.service, call.service)}:{call.operation.name}"


def needs(call: Call, application: Application) -> list[Need]:
    """All permissions of a call, those that AWS checks on the way too."""
    asked: Context = {"aws:RequestedRegion": call.region}
    tags = _requested_tags(call.params)
    for key, value in tags.items():
        asked[f"aws:RequestTag/{key}"] = value
    if tags:
        asked["aws:TagKeys"] = list(tags)
    elif isinstance(keys := call.params.get("TagKeys", call.params.get("tagKeys")), list):
        asked["aws:TagKeys"] = [str(key) for key in keys]
    finder = _RESOURCES.get(call.service)
    found = list(finder(call, application)) if finder else []
    if action(call) == "sts:GetCallerIdentity" or (not found and call.service == "kms" and "KeyId" in call.params):
        return []  # nobody can be kept from the one, and the other is about a key that does not exist
    own: Context = {}
    if arn := call.params.get("PolicyArn"):
        own["iam:PolicyARN"] = arn
    wanted = [
        Need(action(call), arn, {**(asked if _is_made(call, arn) else own), **_resource_tags(have), **own})
        for arn, have in found or [("*", {})]
    ]
    return [*wanted, *_implied(call, application, tags, asked)]


def _is_made(call: Call, arn: str) -> bool:
    """Whether conditions on a request's tags apply: in EC2 not on what a new thing is made in or from."""
    return call.service != "ec2" or arn.endswith("/*") or arn == "*" or call.name in ("create_tags", "delete_tags")


def _resource_tags(have: dict[str, str]) -> Context:
    return {f"aws:ResourceTag/{key}": value for key, value in have.items()}


def _requested_tags(params: dict[str, Any]) -> dict[str, str]:
    """The tags that a call is to set."""
    given: Any = params.get("Tags", params.get("tags"))
    if specifications := params.get("TagSpecifications", params.get("TagSpecification")):
        given = [tag for item in specifications for tag in item.get("Tags", [])]
    if isinstance(given, dict):
        return {str(key): str(value) for key, value in given.items()}
    return {
        str(tag.get("Key", tag.get("TagKey"))): str(tag.get("Value", tag.get("TagValue", "")))
        for tag in given or []
        if isinstance(tag, dict)
    }


Found = Iterator[tuple[str, dict[str, str]]]


def _eks(call: Call, application: Application) -> Found:
    params, region = call.params, call.region
    if call.name in ("list_clusters", "describe_cluster_versions", "describe_addon_versions", "list_access_policies"):
        return
    if "resourceArn" in params:
        tags = {arn: have for _kind, arn, have in application.eks.tagged(region)}
        yield params["resourceArn"], tags.get(params["resourceArn"], {})
        return
    name = params.get("clusterName", params.get("name"))
    if name is None:
        return
    cluster = application.eks.clusters.get((region, name))
    things: list[tuple[str, Any]] = []
    if cluster and not call.name.startswith(("create_", "list_")):
        for key, kept, arn in (
            ("nodegroupName", cluster.nodegroups, "nodegroupArn"),
            ("addonName", cluster.addons, "addonArn"),
            ("principalArn", cluster.entries, "accessEntryArn"),
            ("associationId", cluster.associations, "associationArn"),
        ):
            thing = kept.get(params.get(key, ""))
            if thing:
                things.append((thing[arn], thing["tags"]))
            elif key in params:
                kind = arn.removesuffix("Arn").lower()
                things.append((f"arn:aws:eks:{region}:{ACCOUNT}:{kind}/{name}/{params[key]}/none", {}))
    if things:
        yield from things
        return
    yield f"arn:aws:eks:{region}:{ACCOUNT}:cluster/{name}", dict(cluster.data["tags"]) if cluster else {}


def _ec2(call: Call, application: Application) -> Found:
    if call.name.startswith("describe_") or call.name.startswith("get_"):
        return
    ec2 = ec2_backends[ACCOUNT][call.region]
    prefix = f"arn:aws:ec2:{call.region}:{ACCOUNT}"
    if made := _EC2_MADE.get(call.name):
        yield f"{prefix}:{made}/*", {}
    if call.name in ("create_tags", "delete_tags"):
        kinds = {"vpce": "vpc-endpoint", "sg": "security-group", "rtb": "route-table", "igw": "internet-gateway"}
        kinds |= {"lt": "launch-template", "nat": "natgateway", "eipalloc": "elastic-ip", "eni": "network-interface"}
        kinds |= {"sgr": "security-group-rule", "vol": "volume"}
        for identifier in call.params.get("Resources", []):
            kind = identifier.rsplit("-", 1)[0]
            yield f"{prefix}:{kinds.get(kind, kind)}/{identifier}", dict(ec2.tags.get(identifier, {}))
        return
    if name := call.params.get("LaunchTemplateName"):
        template = next((item for item in ec2.launch_templates.values() if item.name == name), None)
        if template and not made:
            yield f"{prefix}:launch-template/{template.id}", dict(ec2.tags.get(template.id, {}))
    for name, kind in _EC2.items():
        given = call.params.get(name)
        for identifier in given if isinstance(given, list) else [given] if given else []:
            yield f"{prefix}:{kind}/{identifier}", dict(ec2.tags.get(identifier, {}))
    if association := call.params.get("AssociationId"):
        for table in ec2.route_tables.values():
            if association in table.all_associations_ids:
                yield f"{prefix}:route-table/{table.id}", dict(ec2.tags.get(table.id, {}))


def _rds(call: Call, application: Application) -> Found:
    rds = rds_backends[ACCOUNT][call.region]
    prefix = f"arn:aws:rds:{call.region}:{ACCOUNT}"
    if arn := call.params.get("ResourceName"):
        kind, name = arn.split(":")[5:7]
        kept = {"db": rds.databases, "subgrp": rds.subnet_groups, "pg": rds.db_parameter_groups}.get(kind, {})
        yield arn, _pairs(kept[name].tags) if name in kept else {}
        return
    if call.name in ("describe_db_engine_versions", "describe_orderable_db_instance_options", "describe_certificates"):
        return
    for key, kind, kept in (
        ("DBInstanceIdentifier", "db", rds.databases),
        ("DBSubnetGroupName", "subgrp", rds.subnet_groups),
        ("DBParameterGroupName", "pg", rds.db_parameter_groups),
        ("DBSnapshotIdentifier", "snapshot", rds.database_snapshots),
        ("FinalDBSnapshotIdentifier", "snapshot", rds.database_snapshots),
    ):
        if name := call.params.get(key):
            yield f"{prefix}:{kind}:{name}", _pairs(kept[name].tags) if name in kept else {}
    if call.name.startswith("describe_") and not any("Name" in key or "Identifier" in key for key in call.params):
        kind = {"describe_db_subnet_groups": "subgrp", "describe_db_parameter_groups": "pg"}.get(call.name, "db")
        kind = "snapshot" if call.name == "describe_db_snapshots" else kind
        yield f"{prefix}:{kind}:*", {}


def _iam(call: Call, application: Application) -> Found:
    roles = iam_backends[ACCOUNT]["aws"].roles.values()
    if name := call.params.get("RoleName"):
        role = next((item for item in roles if item.name == name), None)
        arn = role.arn if role else f"arn:aws:iam::{ACCOUNT}:role/{name}"
        yield arn, _pairs(role.tags) if role else {}
    elif service := call.params.get("AWSServiceName"):
        yield f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/AWSServiceRoleFor", {}


def _kms(call: Call, application: Application) -> Found:
    kms = kms_backends[ACCOUNT][call.region]
    if call.name in ("create_key", "list_keys", "list_aliases"):
        return
    key = call.params.get("KeyId", call.params.get("TargetKeyId", ""))
    alias = call.params.get("AliasName", "")
    if alias:
        yield f"arn:aws:kms:{call.region}:{ACCOUNT}:{alias}", {}
        key = key or alias
    for known in kms.keys.values():
        names = list(known.aliases)
        if key in (known.id, known.arn, *names, *(f"arn:aws:kms:{call.region}:{ACCOUNT}:{name}" for name in names)):
            yield known.arn, kms.tagger.get_tag_dict_for_resource(known.id)
            return


def _logs(call: Call, application: Application) -> Found:
    logs = logs_backends[ACCOUNT][call.region]
    prefix = f"arn:aws:logs:{call.region}:{ACCOUNT}:log-group:"
    name = call.params.get("logGroupName", call.params.get("resourceArn", "").removeprefix(prefix).removesuffix(":*"))
    if call.name == "describe_log_groups":
        yield f"{prefix}*", {}
        return
    tags = (
        logs.tagger.get_tag_dict_for_resource(logs.groups[name].arn.removesuffix(":*")) if name in logs.groups else {}
    )
    yield f"{prefix}{name}", dict(tags)


def _ecr(call: Call, application: Application) -> Found:
    ecr = ecr_backends[ACCOUNT][call.region]
    if call.name == "get_authorization_token":
        return
    prefix = f"arn:aws:ecr:{call.region}:{ACCOUNT}:repository/"
    names = call.params.get("repositoryNames") or [call.params.get("repositoryName")]
    if arn := call.params.get("resourceArn"):
        names = [arn.removeprefix(prefix)]
    for name in names:
        arn = f"{prefix}{name or '*'}"
        yield arn, ecr.tagger.get_tag_dict_for_resource(arn) if name in ecr.repositories else {}


def _secretsmanager(call: Call, application: Application) -> Found:
    if call.name == "list_secrets":
        return
    secrets = secretsmanager_backends[ACCOUNT][call.region].secrets
    given = call.params.get("SecretId", call.params.get("Name", ""))
    secret = secrets.get(given) if given in secrets else None
    arn = secret.arn if secret else given
    if not arn.startswith("arn:"):
        arn = f"arn:aws:secretsmanager:{call.region}:{ACCOUNT}:secret:{given}-AbCdEf"
    yield arn, _pairs(secret.tags) if secret else {}


def _elb(call: Call, application: Application) -> Found:
    if not call.name.startswith("describe_"):
        prefix = f"arn:aws:elasticloadbalancing:{call.region}:{ACCOUNT}:"
        wanted = [call.params[key] for key in ("LoadBalancerArn", "TargetGroupArn") if key in call.params]
        if name := call.params.get("LoadBalancerName"):
            wanted.append(f"{prefix}loadbalancer/{name}")
        tags = {
            item.arn: item.tags
            for backends in (elb_backends, elbv2_backends)
            for item in backends[ACCOUNT][call.region].iter_tagged_resources()
        }
        yield from ((arn, tags.get(arn, {})) for arn in wanted)


_RESOURCES = {
    "eks": _eks,
    "ec2": _ec2,
    "rds": _rds,
    "iam": _iam,
    "kms": _kms,
    "logs": _logs,
    "ecr": _ecr,
    "secretsmanager": _secretsmanager,
    "elb": _elb,
    "elbv2": _elb,
}


def _pairs(tags: list[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags or []}


def _passed(role: str, service: str) -> list[Need]:
    return [Need("iam:PassRole", role, {"iam:PassedToService": service})]


def _linked(service: str, name: str) -> list[Need]:
    """A service-linked role is made with the first of its kind."""
    known = [role.name for role in iam_backends[ACCOUNT]["aws"].roles.values()]
    if name in known:
        return []
    arn = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/{name}"
    return [Need("iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": service})]


def _key_use(call: Call, application: Application, key: str, *actions: str) -> list[Need]:
    """What services do with a key for who calls them."""
    arns = [item for item in kms_backends[ACCOUNT][call.region].keys.values() if key in (item.id, item.arn)]
    via: Context = {
        "kms:ViaService": f"{call.service}.{call.region}.amazonaws.com",
        "kms:GrantIsForAWSResource": "true",
    }
    kms = kms_backends[ACCOUNT][call.region]
    found = []
    for item in arns:
        tags = kms.tagger.get_tag_dict_for_resource(item.id)
        context = {**via, **{f"aws:ResourceTag/{name}": value for name, value in tags.items()}}
        found += [Need(f"kms:{name}", item.arn, context) for name in actions]
    return found


def _implied(call: Call, application: Application, tags: dict[str, str], asked: Context) -> list[Need]:
    """What AWS checks beside the call's own action."""
    params, name, service = call.params, call.name, call.service
    found: list[Need] = []
    if service == "ec2" and tags and name not in ("create_tags", "delete_tags"):
        kinds = [item["ResourceType"] for item in params.get("TagSpecifications", [])]
        prefix = f"arn:aws:ec2:{call.region}:{ACCOUNT}"
        context = {**asked, "ec2:CreateAction": call.operation.name}
        found += [Need("ec2:CreateTags", f"{prefix}:{kind}/*", context) for kind in kinds]
    if service == "eks":
        cluster = params.get("clusterName", params.get("name"))
        if tags and name.startswith("create_"):
            kind = {
                "create_cluster": f"cluster/{cluster}",
                "create_nodegroup": f"nodegroup/{cluster}/{params.get('nodegroupName')}/*",
                "create_addon": f"addon/{cluster}/{params.get('addonName')}/*",
                "create_access_entry": f"access-entry/{cluster}/*",
                "create_pod_identity_association": f"podidentityassociation/{cluster}/*",
            }[name]
            found.append(Need("eks:TagResource", f"arn:aws:eks:{call.region}:{ACCOUNT}:{kind}", asked))
        if name == "create_cluster":
            found += _passed(params["roleArn"], "eks.amazonaws.com")
            found += _linked("eks.amazonaws.com", "AWSServiceRoleForAmazonEKS")
        if name == "create_nodegroup":
            found += _passed(params["nodeRole"], "eks.amazonaws.com")
            found += [Need("iam:GetRole", params["nodeRole"]), Need("iam:ListAttachedRolePolicies", params["nodeRole"])]
            found += _linked("eks-nodegroup.amazonaws.com", "AWSServiceRoleForAmazonEKSNodegroup")
        if name in ("create_nodegroup", "update_nodegroup_version") and params.get("launchTemplate"):
            template = f"arn:aws:ec2:{call.region}:{ACCOUNT}:launch-template/{params['launchTemplate'].get('id', '*')}"
            found.append(Need("ec2:RunInstances", "*", {"ec2:LaunchTemplate": template}))
        if name in ("create_pod_identity_association", "update_pod_identity_association") and params.get("roleArn"):
            found += _passed(params["roleArn"], "pods.eks.amazonaws.com")
            found.append(Need("iam:GetRole", params["roleArn"]))
        if name in ("create_addon", "update_addon"):
            for association in params.get("podIdentityAssociations") or []:
                found += _passed(association["roleArn"], "pods.eks.amazonaws.com")
                found.append(
                    Need("eks:CreatePodIdentityAssociation", f"arn:aws:eks:{call.region}:{ACCOUNT}:cluster/{cluster}")
                )
        for item in params.get("encryptionConfig") or []:
            key = item.get("provider", {}).get("keyArn", "")
            found += _key_use(call, application, key, "DescribeKey", "CreateGrant")
    if service == "rds":
        prefix = f"arn:aws:rds:{call.region}:{ACCOUNT}"
        if tags and name.startswith("create_"):
            kind = {"create_db_instance": "db", "create_db_subnet_group": "subgrp"}.get(name, "pg")
            thing = next(params[key] for key in _RDS_NAMES if key in params)
            found.append(Need("rds:AddTagsToResource", f"{prefix}:{kind}:{thing}", asked))
        if name == "create_db_instance":
            found.append(Need("rds:CreateDBInstance", f"{prefix}:og:default:postgres-17", asked))
            found += _linked("rds.amazonaws.com", "AWSServiceRoleForRDS")
        if name in ("create_db_instance", "modify_db_instance") and params.get("ManageMasterUserPassword"):
            secret = f"arn:aws:secretsmanager:{call.region}:{ACCOUNT}:secret:rds!db-0"
            found += [Need("secretsmanager:CreateSecret", secret), Need("secretsmanager:TagResource", secret)]
        if name == "create_db_instance" and params.get("KmsKeyId"):
            found += _key_use(call, application, params["KmsKeyId"], "DescribeKey", "CreateGrant")
        if name == "delete_db_instance" and params.get("FinalDBSnapshotIdentifier"):
            snapshot = params["FinalDBSnapshotIdentifier"]
            found.append(Need("rds:CreateDBSnapshot", f"{prefix}:db:{params['DBInstanceIdentifier']}"))
            found.append(Need("rds:CreateDBSnapshot", f"{prefix}:snapshot:{snapshot}"))
    if service == "ecr" and name == "create_repository":
        if tags:
            repository = f"arn:aws:ecr:{call.region}:{ACCOUNT}:repository/{params['repositoryName']}"
            found.append(Need("ecr:TagResource", repository, asked))
        key = (params.get("encryptionConfiguration") or {}).get("kmsKey", "")
        found += _key_use(call, application, key, "DescribeKey", "CreateGrant")
    if service == "logs" and name == "create_log_group":
        group = f"arn:aws:logs:{call.region}:{ACCOUNT}:log-group:{params['logGroupName']}"
        found += [Need("logs:TagResource", group, asked)] if tags else []
        found += _key_use(call, application, params.get("kmsKeyId", ""), "DescribeKey")
    if service == "kms" and name == "create_key" and tags:
        found.append(Need("kms:TagResource", "*", asked))
    if service == "iam" and name == "create_role" and tags:
        found.append(Need("iam:TagRole", f"arn:aws:iam::{ACCOUNT}:role/{params['RoleName']}", asked))
    return found


_RDS_NAMES = ("DBInstanceIdentifier", "DBSubnetGroupName", "DBParameterGroupName")

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads EKS, and the compute that Kubernetes and EKS make for a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import resources as kinds
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.reading import (
    Json,
    Reader,
    issues,
    key_id,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.resources import Key, Resource, whose
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

_BUSY = {"CREATING", "UPDATING", "PENDING"}  # EKS deletes nothing in these states
_FAILED = {"DELETE_FAILED"}


def cluster(account: Account, platform: str) -> Resource | None:
    """The cluster of the platform's name, ours or not."""
    answer = account.find("eks", "describe_cluster", name=platform)
    if answer is None:
        return None
    found = answer["cluster"]
    ours, why = whose(found.get("tags") or {}, platform)
    inside = found.get("resourcesVpcConfig") or {}
    needs = {(kinds.SUBNET, one) for one in inside.get("subnetIds") or []}
    needs |= {(kinds.GROUP, one) for one in inside.get("securityGroupIds") or []}
    needs |= {(kinds.VPC, inside["vpcId"])} if inside.get("vpcId") else set()
    needs |= {_role(found["roleArn"])} if found.get("roleArn") else set()
    for one in found.get("encryptionConfig") or []:
        needs |= key_id((one.get("provider") or {}).get("keyArn"))
    status = found["status"]
    return Resource(
        kinds.CLUSTER,
        platform,
        ours,
        why if ours else "it has the platform's name, but not its tag",
        needs=frozenset(needs),
        status=status,
        failure=(issues(found.get("health")) or "AWS gives no reason") if status == "FAILED" else "",
        detail={
            **_eks_state(status),
            "protected": bool(found.get("deletionProtection")),
            "group": inside.get("clusterSecurityGroupId"),
            "issuer": ((found.get("identity") or {}).get("oidc") or {}).get("issuer"),
            "version": found.get("version"),
        },
    )


def _eks_state(status: str) -> Json:
    return {"deleting": status == "DELETING", "busy": status in _BUSY}


def _role(arn: str) -> Key:
    return kinds.ROLE, arn.rsplit("/", 1)[-1]


def _of_cluster(reader: Reader, operation: str, key: str) -> list[Any]:
    """What the cluster has, if it is ours."""
    if reader.cluster is None or not reader.cluster.ours:
        return []
    return reader.account.pages("eks", operation, key, clusterName=reader.platform)


def node_groups(reader: Reader) -> Iterator[Resource]:
    """Node groups, which belong to the cluster whoever has made them: it can't go without them."""

    def read(name: str) -> Json | None:
        return reader.account.find("eks", "describe_nodegroup", clusterName=reader.platform, nodegroupName=name)

    for answer in parallel(read, _of_cluster(reader, "list_nodegroups", "nodegroups")):
        if answer is None:
            continue
        found = answer["nodegroup"]
        needs: set[Key] = {(kinds.CLUSTER, reader.platform), _role(found["nodeRole"])}
        needs |= {(kinds.SUBNET, one) for one in found.get("subnets") or []}
        if (found.get("launchTemplate") or {}).get("id"):
            needs.add((kinds.TEMPLATE, found["launchTemplate"]["id"]))
        size = (found.get("scalingConfig") or {}).get("desiredSize") or 0
        status = found["status"]
        yield Resource(
            kinds.NODE_GROUP,
            found["nodegroupName"],
            why=f"of cluster {reader.platform}",
            needs=frozenset(needs),
            status=status,
            failure=issues(found.get("health")) or "AWS gives no reason" if status in _FAILED else "",
            detail={
                **_eks_state(status),
                "groups": [one["name"] for one in (found.get("resources") or {}).get("autoScalingGroups") or []],
                "size": size,
                "types": found.get("instanceTypes") or [],
                "disk": found.get("diskSize"),
            },
        )


def addons(reader: Reader) -> Iterator[Resource]:
    """Add-ons of the cluster."""

    def read(name: str) -> Json | None:
        return reader.account.find("eks", "describe_addon", clusterName=reader.platform, addonName=name)

    for answer in parallel(read, _of_cluster(reader, "list_addons", "addons")):
        if answer is None:
            continue
        found = answer["addon"]
        status = found["status"]
        yield Resource(
            kinds.ADDON,
            found["addonName"],
            why=f"of cluster {reader.platform}",
            needs=frozenset({(kinds.CLUSTER, reader.platform)}),
            status=status,
            failure=issues(found.get("health")) or "AWS gives no reason" if status in _FAILED else "",
            detail=_eks_state(status),
        )


def entries(reader: Reader) -> Iterator[Resource]:
    """Access entries and pod identities, which end with the cluster."""
    owner = (kinds.CLUSTER, reader.platform)
    for arn in _of_cluster(reader, "list_access_entries", "accessEntries"):
        yield Resource(kinds.ACCESS_ENTRY, arn, why=f"of cluster {reader.platform}", goes_with=owner)
    for one in _of_cluster(reader, "list_pod_identity_associations", "associations"):
        yield Resource(
            kinds.POD_IDENTITY,
            one["associationId"],
            why=f"of cluster {reader.platform}",
            name=f"{one['namespace']}/{one['serviceAccount']}",
            goes_with=owner,
        )


def scaling_groups(reader: Reader) -> Iterator[Resource]:
    """Auto Scaling groups of node groups, and those whose node group is gone."""
    names = [tags.PLATFORM, f"kubernetes.io/cluster/{reader.platform}", *kinds.CLUSTER_NAMES]
    wanted = [{"Name": "tag-key", "Values": names}]
    every = reader.account.pages("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", Filters=wanted)
    for found in every:
        have = tags.mapping(found.get("Tags"))
        ours, why = reader.whose(have)
        if not ours:
            continue
        subnets = [one for one in (found.get("VPCZoneIdentifier") or "").split(",") if one]
        node_group = have.get("eks:nodegroup-name")
        yield Resource(
            kinds.SCALING_GROUP,
            found["AutoScalingGroupName"],
            ours,
            why,
            needs=frozenset((kinds.SUBNET, one) for one in subnets),
            goes_with=(kinds.NODE_GROUP, node_group) if node_group else None,
            status=found.get("Status") or "",
            detail={"deleting": bool(found.get("Status"))},  # it has one only while it is being deleted
        )


def instances(reader: Reader) -> Iterator[Resource]:
    """Nodes; and what others run in our VPC."""
    reservations = reader.ec2("describe_instances", "Reservations", "ReservationId")
    for found in (one for reservation in reservations for one in reservation["Instances"]):
        state = found["State"]["Name"]
        have = tags.mapping(found.get("Tags"))
        placed = reader.placed(have, found.get("VpcId"))
        if state == "terminated" or placed is None:
            continue
        cards = found.get("NetworkInterfaces") or []
        subnets = {found.get("SubnetId"), *(one.get("SubnetId") for one in cards)} - {None}
        groups = {one["GroupId"] for one in found.get("SecurityGroups") or []}
        groups |= {one["GroupId"] for card in cards for one in card.get("Groups") or []}
        needs = set(reader.inside(found.get("VpcId"), subnets, groups))
        if not placed[0]:
            needs |= {(kinds.VOLUME, one["Ebs"]["VolumeId"]) for one in found.get("BlockDeviceMappings") or []}
            if found.get("PublicIpAddress"):
                needs |= _gateway(reader, found.get("VpcId"))
        scaling_group = have.get("aws:autoscaling:groupName")
        yield Resource(
            kinds.INSTANCE,
            found["InstanceId"],
            *placed,
            name=have.get("Name", ""),
            needs=frozenset(needs),
            goes_with=(kinds.SCALING_GROUP, scaling_group) if scaling_group else None,
            status=state,
            detail={"deleting": state == "shutting-down", "type": found.get("InstanceType")},
        )


def _gateway(reader: Reader, vpc: str | None) -> set[Key]:
    """Our VPC's internet gateway, which can't go while something in the VPC has a public address."""
    return {(kinds.GATEWAY, reader.gateways[vpc])} if vpc and vpc in reader.gateways else set()


def templates(reader: Reader) -> Iterator[Resource]:
    """Launch templates. Their security groups can't go before them."""
    for found in reader.ec2("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId", vpc=""):
        ours, why = reader.whose(tags.mapping(found.get("Tags")))
        if ours and not _made_by_eks(found):
            yield Resource(kinds.TEMPLATE, found["LaunchTemplateId"], ours, why, name=found["LaunchTemplateName"])


def _made_by_eks(template: Mapping[str, Any]) -> bool:
    """EKS makes a template of its own for a node group, and deletes it with that."""
    return ":eks-nodegroup" in str(template.get("CreatedBy", "")).lower()


def balancers(reader: Reader) -> Iterator[Resource]:
    """Application and network load balancers."""
    every = reader.account.pages("elbv2", "describe_load_balancers", "LoadBalancers")
    have = reader.balancer_tags("elbv2", (one["LoadBalancerArn"] for one in every))
    for found in every:
        arn = found["LoadBalancerArn"]
        placed = reader.placed(have.get(arn, {}), found.get("VpcId"))
        if placed is None:
            continue
        subnets = [one["SubnetId"] for one in found.get("AvailabilityZones") or [] if one.get("SubnetId")]
        needs = reader.inside(found.get("VpcId"), subnets, found.get("SecurityGroups") or [])
        if found.get("Scheme") == "internet-facing":
            needs |= _gateway(reader, found.get("VpcId"))
        yield Resource(
            kinds.LOAD_BALANCER,
            arn.split("loadbalancer/", 1)[-1],
            *placed,
            needs=needs,
            status=(found.get("State") or {}).get("Code", ""),
            detail={"arn": arn, "type": found.get("Type")},
        )


def classic_balancers(reader: Reader) -> Iterator[Resource]:
    """Classic load balancers, which Kubernetes makes for a Service when no controller says otherwise."""
    every = reader.account.pages("elb", "describe_load_balancers", "LoadBalancerDescriptions")
    have = reader.balancer_tags("elb", (one["LoadBalancerName"] for one in every))
    for found in every:
        name = found["LoadBalancerName"]
        placed = reader.placed(have.get(name, {}), found.get("VPCId"))
        if placed is None:
            continue
        needs = reader.inside(found.get("VPCId"), found.get("Subnets") or [], found.get("SecurityGroups") or [])
        if found.get("Scheme") == "internet-facing":
            needs |= _gateway(reader, found.get("VPCId"))
        yield Resource(kinds.CLASSIC, name, *placed, needs=needs, detail={"type": "classic"})


def target_groups(reader: Reader) -> Iterator[Resource]:
    """Target groups. Those of others in our VPC are in nobody's way."""
    every = reader.account.pages("elbv2", "describe_target_groups", "TargetGroups")
    have = reader.balancer_tags("elbv2", (one["TargetGroupArn"] for one in every))
    for found in every:
        arn = found["TargetGroupArn"]
        ours, why = reader.whose(have.get(arn, {}))
        if ours:
            yield Resource(kinds.TARGET_GROUP, arn.split("targetgroup/", 1)[-1], why=why, detail={"arn": arn})


def volumes(reader: Reader) -> Iterator[Resource]:
    """Volumes of claims, and those of nodes, which go with them."""
    for found in reader.ec2("describe_volumes", "Volumes", "VolumeId", vpc=""):
        have = tags.mapping(found.get("Tags"))
        ours, why = reader.whose(have)
        if not ours:
            continue
        claim = have.get("kubernetes.io/created-for/pvc/name")
        namespace = have.get("kubernetes.io/created-for/pvc/namespace")
        along = [one["InstanceId"] for one in found.get("Attachments") or [] if one.get("DeleteOnTermination")]
        yield Resource(
            kinds.VOLUME,
            found["VolumeId"],
            why=f"claim {namespace}/{claim}" if claim else why,
            name=have.get("Name", ""),
            needs=key_id(found.get("KmsKeyId")),
            goes_with=(kinds.INSTANCE, along[0]) if along else None,
            status=found["State"],
            detail={
                "deleting": found["State"] in ("deleting", "deleted"),
                "gigabytes": found.get("Size"),
                "storage": found.get("VolumeType"),
            },
        )


def volume_snapshots(reader: Reader) -> Iterator[Resource]:
    """Snapshots of claims' volumes."""
    for found in reader.ec2("describe_snapshots", "Snapshots", "SnapshotId", vpc="", OwnerIds=["self"]):
        have = tags.mapping(found.get("Tags"))
        ours, why = reader.whose(have)
        if ours:
            yield Resource(
                kinds.VOLUME_SNAPSHOT,
                found["SnapshotId"],
                why=why,
                name=have.get("Name", ""),
                needs=key_id(found.get("KmsKeyId")),
                status=found.get("State", ""),
                detail={"gigabytes": found.get("VolumeSize")},
            )

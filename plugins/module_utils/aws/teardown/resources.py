# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a platform consists of in AWS: kinds of resources, their order, and whose a resource is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags

Key = tuple[str, str]  # kind and id

NODE_GROUP, ADDON, CLUSTER = "node group", "add-on", "EKS cluster"
ACCESS_ENTRY, POD_IDENTITY = "access entry", "pod identity association"
SCALING_GROUP, INSTANCE, TEMPLATE = "Auto Scaling group", "instance", "launch template"
LOAD_BALANCER, CLASSIC, TARGET_GROUP = "load balancer", "classic load balancer", "target group"
VOLUME, VOLUME_SNAPSHOT, INTERFACE = "volume", "volume snapshot", "network interface"
DATABASE, BACKUP, SNAPSHOT = "database", "automated backup", "database snapshot"
SUBNET_GROUP, PARAMETER_GROUP, OPTION_GROUP = "database subnet group", "parameter group", "option group"
GROUP, ENDPOINT, NAT, ADDRESS = "security group", "VPC endpoint", "NAT gateway", "elastic IP"
GATEWAY, ROUTES, ACL, SUBNET, VPC = "internet gateway", "route table", "network ACL", "subnet", "VPC"
LOG_GROUP, REPOSITORY, ALIAS, KEY, SECRET = "log group", "repository", "key alias", "key", "secret"
PROVIDER, PROFILE, ROLE, POLICY = "OIDC provider", "instance profile", "role", "policy"

# Kinds in the order in which they go, each with what must be gone before. What does not wait for one another goes side
# by side: the database beside the nodes.
AFTER: dict[str, tuple[str, ...]] = {
    DATABASE: (),
    NODE_GROUP: (),
    ADDON: (NODE_GROUP,),
    POD_IDENTITY: (NODE_GROUP, ADDON),
    ACCESS_ENTRY: (NODE_GROUP, ADDON),
    CLUSTER: (NODE_GROUP, ADDON, POD_IDENTITY, ACCESS_ENTRY),
    SCALING_GROUP: (NODE_GROUP,),
    INSTANCE: (NODE_GROUP, SCALING_GROUP),
    TEMPLATE: (NODE_GROUP, SCALING_GROUP),
    # When nobody is there any more who would make them again.
    LOAD_BALANCER: (CLUSTER,),
    CLASSIC: (CLUSTER,),
    TARGET_GROUP: (LOAD_BALANCER,),
    VOLUME: (CLUSTER, INSTANCE),
    VOLUME_SNAPSHOT: (CLUSTER,),
    SNAPSHOT: (DATABASE,),
    BACKUP: (DATABASE,),
    SUBNET_GROUP: (DATABASE,),
    PARAMETER_GROUP: (DATABASE,),
    OPTION_GROUP: (DATABASE, SNAPSHOT),
    # The nodes and their pods reach AWS through these two.
    ENDPOINT: (CLUSTER, INSTANCE),
    NAT: (CLUSTER, INSTANCE),
    INTERFACE: (CLUSTER, INSTANCE, LOAD_BALANCER, CLASSIC),
    GROUP: (CLUSTER, DATABASE, INSTANCE, LOAD_BALANCER, CLASSIC, INTERFACE, ENDPOINT, TEMPLATE),
    ADDRESS: (NAT, INSTANCE, LOAD_BALANCER, CLASSIC, INTERFACE),
    SUBNET: (CLUSTER, SUBNET_GROUP, INSTANCE, SCALING_GROUP, LOAD_BALANCER, CLASSIC, INTERFACE, ENDPOINT, NAT),
    ROUTES: (SUBNET, ENDPOINT),
    ACL: (SUBNET,),
    GATEWAY: (ADDRESS, NAT, INSTANCE, LOAD_BALANCER, CLASSIC, ROUTES),
    VPC: (GROUP, SUBNET, ROUTES, ACL, GATEWAY, ENDPOINT, NAT),
    # EKS and RDS make these again while they shut down.
    LOG_GROUP: (CLUSTER, DATABASE),
    REPOSITORY: (CLUSTER, INSTANCE),
    SECRET: (CLUSTER, DATABASE),
    ALIAS: (CLUSTER, DATABASE, VOLUME, VOLUME_SNAPSHOT, SNAPSHOT, BACKUP, LOG_GROUP, REPOSITORY, SECRET),
    KEY: (ALIAS,),
    PROVIDER: (CLUSTER,),
    PROFILE: (NODE_GROUP, INSTANCE, TEMPLATE),
    ROLE: (CLUSTER, NODE_GROUP, ADDON, INSTANCE, PROFILE, LOAD_BALANCER, CLASSIC),
    POLICY: (ROLE,),
}
# What the option C(keep) calls kinds that can be kept.
KEEPABLE = {
    "database": DATABASE,
    "keys": KEY,
    "logs": LOG_GROUP,
    "repositories": REPOSITORY,
    "secrets": SECRET,
    "volumes": VOLUME,
}
# Tags by which Kubernetes' controllers, EKS and its add-ons name the cluster that they made something for.
CLUSTER_NAMES = (
    "elbv2.k8s.aws/cluster",
    "KubernetesCluster",
    "cluster.k8s.amazonaws.com/name",
    "eks:cluster-name",
    "eks:eks-cluster-name",
    "aws:eks:cluster-name",
    "ebs.csi.aws.com/cluster",
)


@dataclass(frozen=True)
class Resource:
    """Something in AWS that is the platform's, or that is somebody else's and in its way."""

    kind: str
    id: str  # as AWS knows it, unique within its kind
    ours: bool = True
    why: str = ""  # how it is known to be ours, or what is known of whose it is
    name: str = ""  # if a person sees more in it than in the id
    needs: frozenset[Key] = frozenset()  # what can't be deleted, or is of no use, without it going first
    goes_with: Key | None = None  # what takes it along when it is deleted
    status: str = ""  # AWS' word, where it has one
    failure: str = ""  # why it will never get out of that
    scheduled: str = ""  # AWS deletes it at this time
    detail: Mapping[str, Any] = field(default_factory=dict)  # what pricing and deleting it takes

    @property
    def key(self) -> Key:
        return self.kind, self.id

    @property
    def title(self) -> str:
        named = f" ({self.name})" if self.name and self.name != self.id else ""
        return f"{self.kind} {self.id}{named}"


def closure(start: Iterable[Resource], there: Mapping[Key, Resource]) -> dict[Key, Resource]:
    """What these need, and what that needs, as far as it is there: each with the one that needs it directly."""
    found: dict[Key, Resource] = {}
    left = list(start)
    while left:
        one = left.pop()
        for key in sorted(one.needs):
            if key in there and key not in found:
                found[key] = one
                left.append(there[key])
    return found


@cache
def before(kind: str) -> frozenset[str]:
    """All kinds that must be gone before one."""
    return frozenset(AFTER[kind]).union(*(before(one) for one in AFTER[kind]))


def made_for(have: Mapping[str, str], cluster: str) -> bool:
    """Whether Kubernetes, EKS or an add-on made what carries these tags for a cluster.

    C(kubernetes.io/cluster/<name>: shared) says only that it uses it, so a user's own subnets can carry that.
    """
    if have.get(f"kubernetes.io/cluster/{cluster}") == "owned":
        return True
    return any(have.get(key) == cluster for key in CLUSTER_NAMES)


def whose(have: Mapping[str, str], platform: str, *, cluster_is_ours: bool = True) -> tuple[bool, str]:
    """Whether what carries these tags is the platform's, and how that is known."""
    if tags.owned(have, platform):
        return True, f"tag {tags.PLATFORM}"
    if tags.PLATFORM in have:
        return False, f"platform {have[tags.PLATFORM]}'s"
    if made_for(have, platform):
        return cluster_is_ours, f"made for cluster {platform}" + ("" if cluster_is_ours else ", which is not ours")
    return False, "not ours"

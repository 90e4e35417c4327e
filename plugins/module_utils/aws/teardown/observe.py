# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what a platform has in AWS, service by service.

The tagging API alone would not do: it lags behind, lacks kinds, and knows nothing of what Kubernetes has made.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import compute, data, network
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import resources as kinds
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.reading import Reader
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.resources import Key, Resource
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

READERS: dict[Callable[[Reader], Iterable[Resource]], tuple[str, ...]] = {
    compute.node_groups: (kinds.NODE_GROUP,),
    compute.addons: (kinds.ADDON,),
    compute.entries: (kinds.ACCESS_ENTRY, kinds.POD_IDENTITY),
    compute.scaling_groups: (kinds.SCALING_GROUP,),
    compute.instances: (kinds.INSTANCE,),
    compute.templates: (kinds.TEMPLATE,),
    compute.balancers: (kinds.LOAD_BALANCER,),
    compute.classic_balancers: (kinds.CLASSIC,),
    compute.target_groups: (kinds.TARGET_GROUP,),
    compute.volumes: (kinds.VOLUME,),
    compute.volume_snapshots: (kinds.VOLUME_SNAPSHOT,),
    data.databases: (kinds.DATABASE, data.CREDENTIALS),
    data.snapshots: (kinds.SNAPSHOT,),
    data.backups: (kinds.BACKUP,),
    data.subnet_groups: (kinds.SUBNET_GROUP,),
    data.parameter_groups: (kinds.PARAMETER_GROUP,),
    data.option_groups: (kinds.OPTION_GROUP,),
    data.log_groups: (kinds.LOG_GROUP,),
    data.repositories: (kinds.REPOSITORY,),
    data.keys: (kinds.KEY, kinds.ALIAS),
    data.secrets: (kinds.SECRET,),
    data.providers: (kinds.PROVIDER,),
    data.profiles: (kinds.PROFILE,),
    data.roles: (kinds.ROLE,),
    data.policies: (kinds.POLICY,),
    network.interfaces: (kinds.INTERFACE,),
    network.groups: (kinds.GROUP,),
    network.endpoints: (kinds.ENDPOINT,),
    network.nats: (kinds.NAT,),
    network.addresses: (kinds.ADDRESS,),
    network.gateways: (kinds.GATEWAY,),
    network.routes: (kinds.ROUTES,),
    network.acls: (kinds.ACL,),
    network.subnets: (kinds.SUBNET,),
}
# What the tagging API calls the kinds that are read above, or that go with one of them.
_READ = {
    "autoscaling": ("autoScalingGroup",),
    "ec2": (
        *("instance", "launch-template", "volume", "snapshot", "network-interface", "security-group", "vpc-endpoint"),
        *("natgateway", "elastic-ip", "internet-gateway", "route-table", "network-acl", "subnet", "vpc"),
        *("security-group-rule", "spot-instances-request", "vpc-flow-log"),
    ),
    "ecr": ("repository",),
    "eks": ("cluster", "nodegroup", "addon", "access-entry", "podidentityassociation"),
    "elasticloadbalancing": ("loadbalancer", "targetgroup", "listener", "listener-rule"),
    "iam": ("role", "policy", "instance-profile", "oidc-provider"),
    "kms": ("key",),
    "logs": ("log-group",),
    "rds": ("db", "snapshot", "auto-backup", "subgrp", "pg", "og"),
    "secretsmanager": ("secret",),
}


# Listed for an hour after they are gone, or parts of something that is read, under other names.
_UNTOLD = (
    *("instance", "natgateway", "security-group-rule", "auto-backup", "listener", "listener-rule"),
    *("nodegroup", "addon", "access-entry", "podidentityassociation"),
)


class Observer:
    """The inventory of a platform. Parts of it can be read anew; safe to share between threads."""

    def __init__(self, account: Account, platform: str, database: str = "", snapshot: str = "") -> None:
        """C(database) is its identifier, if not the platform's name. C(snapshot) must be free, so it is looked up."""
        self._account = account
        self._platform = platform
        self._database = database or platform
        self._snapshot = snapshot
        self._lock = threading.Lock()
        self._found: dict[Key, Resource] = {}
        self._reader: Reader

    def observe(self) -> list[Resource]:
        """Read everything."""
        cluster = compute.cluster(self._account, self._platform)
        vpcs = network.vpcs(self._account, self._platform)
        own = frozenset(one.id for one in vpcs)
        self._reader = Reader(
            account=self._account,
            platform=self._platform,
            database=self._database,
            snapshot=self._snapshot,
            cluster=cluster,
            database_is_ours=data.is_ours(self._account, self._database, self._platform),
            vpcs=own,
            gateways=network.gateways_of(self._account, own),
        )
        parts = parallel(lambda read: list(read(self._reader)), READERS)
        unknown = list(unread(self._account, self._platform))
        every = [*([cluster] if cluster else []), *vpcs, *(one for part in parts for one in part), *unknown]
        with self._lock:
            self._found = {one.key: one for one in every}
            return list(self._found.values())

    def unconfirmed(self) -> list[str]:
        """ARNs that AWS' inventory of tags has, though the services that were asked don't."""
        with self._lock:
            names = {name for one in self._found.values() for name in (one.id, one.detail.get("arn"))}
        listed = [arn for _service, kind, arn in tagged(self._account, self._platform) if kind not in _UNTOLD]
        known = tuple(f"{separator}{name}" for name in names if name for separator in "/:")
        # A snapshot that is called so is part of automated backups.
        return [one for one in listed if one not in names and not one.endswith(known) and ":snapshot:rds:" not in one]

    def again(self, kind: str) -> list[Resource]:
        """Read one kind anew; the whole inventory with it."""
        of: tuple[str, ...] = (kind,)
        if kind == kinds.CLUSTER:
            cluster = compute.cluster(self._account, self._platform)
            news = [cluster] if cluster else []
        elif kind == kinds.VPC:
            news = network.vpcs(self._account, self._platform)
        else:
            read, of = next(one for one in READERS.items() if kind in one[1])
            news = list(read(self._reader))
        with self._lock:
            self._found = {key: one for key, one in self._found.items() if key[0] not in of}
            self._found |= {one.key: one for one in news}
            return list(self._found.values())


def tagged(account: Account, platform: str) -> list[tuple[str, str, str]]:
    """What AWS' inventory of tags has of the platform: service, kind and ARN. It lags behind."""
    wanted = [{"Key": tags.PLATFORM, "Values": [platform]}]
    found: list[dict[str, Any]] = account.pages(
        "resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList", TagFilters=wanted
    )
    parts = []
    for arn in sorted(one["ResourceARN"] for one in found):
        service, _region, _account, rest = arn.split(":", 5)[2:]
        parts.append((service, rest.replace(":", "/").split("/")[0], arn))
    return parts


def unread(account: Account, platform: str) -> Iterable[Resource]:
    """What carries our tag and is of no kind that is read here."""
    for service, kind, arn in tagged(account, platform):
        if kind not in _READ.get(service, ()):
            yield Resource(f"{service} {kind}", arn, why=f"tag {tags.PLATFORM}")

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all readers of resources share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import resources as kinds
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.resources import Key, Resource, whose
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

Json = dict[str, Any]
_AT_ONCE = 20  # names that the load balancers' APIs take in one call


@dataclass(frozen=True)
class Reader:
    """What a reader has to know: where to look, for whom, and what is around."""

    account: Account
    platform: str
    database: str  # identifier
    snapshot: str
    cluster: Resource | None  # of the platform's name, ours or not
    database_is_ours: bool  # that of this identifier, if there is one
    vpcs: frozenset[str]  # ours
    gateways: Mapping[str, str]  # internet gateways by the VPC of ours that they are attached to

    @property
    def cluster_is_ours(self) -> bool:
        """Whether what names the cluster is the platform's. A cluster that is gone is taken for ours."""
        return self.cluster is None or self.cluster.ours

    def whose(self, have: Mapping[str, str]) -> tuple[bool, str]:
        """Whether what carries these tags is the platform's, and how that is known."""
        return whose(have, self.platform, cluster_is_ours=self.cluster_is_ours)

    def named(self, name: str, have: Mapping[str, str], separators: str = "-") -> tuple[bool, str] | None:
        """The same of what is found by its name in the whole account; None if it is none of our business."""
        if tags.owned(have, self.platform):
            return self.whose(have)
        if tags.PLATFORM in have or not self.is_called(name, separators):
            return None
        return False, "not ours, though it has a name of the platform's"

    def is_called(self, name: str, separators: str = "-") -> bool:
        """Whether the name is the platform's or the database's, or begins with it."""
        names = {self.platform, self.database}
        return name in names or name.startswith(tuple(one + separator for one in names for separator in separators))

    def placed(self, have: Mapping[str, str], vpc: str | None = None) -> tuple[bool, str] | None:
        """The same of what is found by its tags or in our VPC."""
        ours, why = self.whose(have)
        return (ours, why) if ours or vpc in self.vpcs else None

    def ec2(self, operation: str, key: str, identity: str, *, vpc: str = "vpc-id", **arguments: Any) -> list[Json]:
        """All of a kind that may carry a tag of ours or of the cluster's, or that are in our VPC."""
        wanted = [("tag-key", [tags.PLATFORM, f"kubernetes.io/cluster/{self.platform}", *kinds.CLUSTER_NAMES])]
        if vpc and self.vpcs:
            wanted.append((vpc, sorted(self.vpcs)))
        option = "Filter" if operation == "describe_nat_gateways" else "Filters"

        def read(one: tuple[str, list[str]]) -> list[Json]:
            found: dict[str, Any] = {option: [{"Name": one[0], "Values": one[1]}], **arguments}
            return self.account.pages("ec2", operation, key, **found)

        return list({one[identity]: one for part in parallel(read, wanted) for one in part}.values())

    def balancer_tags(self, service: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Tags of load balancers or target groups by their name or ARN."""
        option, key = ("LoadBalancerNames", "LoadBalancerName") if service == "elb" else ("ResourceArns", "ResourceArn")

        def read(some: list[str]) -> dict[str, dict[str, str]]:
            answer = self.account.find(service, "describe_tags", **{option: some})
            if answer is None:  # one that has just gone spoils the answer for all
                return {} if len(some) == 1 else {name: have for one in some for name, have in read([one]).items()}
            return {one[key]: tags.mapping(one["Tags"]) for one in answer["TagDescriptions"]}

        every = list(names)
        parts = parallel(read, [every[start : start + _AT_ONCE] for start in range(0, len(every), _AT_ONCE)])
        return {name: have for part in parts for name, have in part.items()}

    def inside(self, vpc: str | None, subnets: Iterable[str] = (), groups: Iterable[str] = ()) -> frozenset[Key]:
        """What something in a VPC needs."""
        found = {(kinds.SUBNET, one) for one in subnets} | {(kinds.GROUP, one) for one in groups}
        return frozenset(found | ({(kinds.VPC, vpc)} if vpc else set()))


def key_id(arn: str | None) -> frozenset[Key]:
    """The KMS key that an ARN or id names, as what is needed."""
    return frozenset({(kinds.KEY, arn.rsplit("/", 1)[-1])} if arn and "alias/" not in arn else ())


def issues(health: Mapping[str, Any] | None) -> str:
    """EKS' reasons."""
    found = (health or {}).get("issues") or []
    return "; ".join(f"{one.get('message') or one.get('code')}".rstrip(".") for one in found)

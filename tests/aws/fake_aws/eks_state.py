"""Amazon EKS: its clusters, what is in them, and what the operations on all of them share."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from moto.iam.models import iam_backends

from fake_aws import eks_checks
from fake_aws.eks_checks import Json, bad_request, invalid, not_found
from fake_aws.timeline import Timeline
from fake_aws.wire import ACCOUNT, Refusal


@dataclass
class Cluster:
    """A cluster and what is in it; everything is kept as it is shown."""

    data: Json
    token: str
    region: str
    nodegroups: dict[str, Json] = field(default_factory=dict)
    addons: dict[str, Json] = field(default_factory=dict)
    entries: dict[str, Json] = field(default_factory=dict)
    policies: dict[str, dict[str, Json]] = field(default_factory=dict)
    associations: dict[str, Json] = field(default_factory=dict)
    updates: dict[str, Json] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    interfaces: dict[str, list[str]] = field(default_factory=dict)  # of the control plane ("") and of node groups

    @property
    def name(self) -> str:
        return str(self.data["name"])

    def things(self) -> Iterator[tuple[str, str, Json]]:
        """All that has tags: kind, ARN and data."""
        yield "cluster", self.data["arn"], self.data
        for kind, key, things in (
            ("nodegroup", "nodegroupArn", self.nodegroups),
            ("addon", "addonArn", self.addons),
            ("access-entry", "accessEntryArn", self.entries),
            ("podidentityassociation", "associationArn", self.associations),
        ):
            for thing in things.values():
                yield kind, thing[key], thing


class State:
    """All regions' clusters, and the options of the service."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.reset()

    def reset(self) -> None:
        """No clusters, and all options as they were at the start."""
        self.clusters: dict[tuple[str, str], Cluster] = {}  # by region and name
        self.node_interfaces = False  # whether nodes have network interfaces
        self.leak_interfaces = False  # whether those stay when the nodes go
        self.late_logs = False  # whether a deleted cluster writes its log group once more
        self.role_delay = 0.0  # seconds until a new role can be assumed
        self.endpoint: Json = {}  # what clusters show instead of their own endpoint and certificateAuthority

    def tagged(self, region: str) -> Iterator[tuple[str, str, dict[str, str]]]:
        """All that has tags: kind, ARN and tags."""
        for (where, _name), cluster in self.clusters.items():
            if where == region:
                for kind, arn, data in cluster.things():
                    yield f"eks:{kind}", arn, data["tags"]

    def _tagged(self, region: str, arn: str) -> Json:
        for (where, _name), cluster in self.clusters.items():
            for _kind, known, data in cluster.things() if where == region else ():
                if known == arn:
                    return data
        raise Refusal("NotFoundException", f"Resource with ARN {arn} was not found", 404)

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self.timeline.now(), UTC)

    def _cluster(self, region: str, name: str) -> Cluster:
        cluster = self.clusters.get((region, name))
        if cluster is None:
            raise not_found(f"No cluster found for name: {name}.", clusterName=name)
        return cluster

    def _active(self, cluster: Cluster) -> None:
        if cluster.data["status"] not in ("ACTIVE", "UPDATING"):
            raise bad_request(f"Cluster '{cluster.name}' is not in ACTIVE status", clusterName=cluster.name)

    def _update(
        self, cluster: Cluster, kind: str, params: Json, *, token: str = "", of: tuple[str, str] = ("", "")
    ) -> Json:
        update: Json = {
            "id": str(uuid.uuid4()),
            "status": "InProgress",
            "type": kind,
            "params": [{"type": key, "value": eks_checks.text(value)} for key, value in params.items()],
            "createdAt": self._time(),
            "errors": [],
            "_of": of,
        }
        cluster.updates[update["id"]] = update
        if token:
            cluster.tokens[token] = update["id"]
        return update

    def _role(self, region: str, arn: str, service: str) -> None:
        refusal = invalid(
            f"Role with arn: {arn}, could not be assumed because it does not exist or the trusted entity is not correct"
        )
        for role in iam_backends[ACCOUNT]["aws"].roles.values():
            if role.arn == arn:
                age = self.timeline.clock() - role.create_date.replace(tzinfo=UTC).timestamp()
                if service not in json.dumps(role.assume_role_policy_document) or age < self.role_delay:
                    raise refusal
                return
        raise refusal

"""What moto does otherwise than AWS, mended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, IAMBackend

from fake_aws.networks import Networks
from fake_aws.wire import Answer, Call

if TYPE_CHECKING:
    from fake_aws.application import Application

_ALL_POLICIES: dict[str, Any] = json.loads(aws_managed_policies_data)
_PREFIXES = {"resourcegroupstaggingapi": "tag", "elbv2": "elasticloadbalancing", "elb": "elasticloadbalancing"}


def action(call: Call) -> str:
    """The IAM action of a call."""
    return f"{_PREFIXES.get(call.service, call.service)}:{call.operation.name}"


class Patches:
    """State of what is mended."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.networks = Networks(application.timeline)

    def reset(self) -> None:
        self.networks.reset()

    def before(self, call: Call) -> None:
        """Refuse what AWS refuses and moto does not."""

    def after(self, call: Call, answer: Answer) -> Answer:
        """Complete an answer of moto."""
        return answer


def _aws_policies(backend: Any) -> list[Any]:
    """AWS' own IAM policies, but only those that tests may use: making all 1,500 takes longer than most tests."""
    wanted = ("AmazonEKS", "AmazonEC2ContainerRegistry", "AmazonEBSCSI", "AmazonSSM", "CloudWatchAgent")
    return [
        AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, data)
        for name, data in _ALL_POLICIES.items()
        if name.startswith(wanted)
    ]


def install(application: Application) -> Patches:
    IAMBackend._init_aws_policies = _aws_policies
    return Patches(application)

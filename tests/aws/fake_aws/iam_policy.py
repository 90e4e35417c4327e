"""IAM: what a call needs permission for, and whether a policy gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fake_aws.wire import Call

if TYPE_CHECKING:
    from fake_aws.application import Application

_PREFIXES = {"resourcegroupstaggingapi": "tag", "elbv2": "elasticloadbalancing", "elb": "elasticloadbalancing"}


def action(call: Call) -> str:
    """The IAM action of a call."""
    return f"{_PREFIXES.get(call.service, call.service)}:{call.operation.name}"


class Policy:
    """A policy document that is enforced."""

    def __init__(self, document: dict[str, Any], application: Application) -> None:
        self.document, self.application = document, application

    def check(self, call: Call) -> None:
        """Refuse a call that is not allowed."""

"""What moto does otherwise than AWS, mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fake_aws.wire import Answer, Call

if TYPE_CHECKING:
    from fake_aws.application import Application

_PREFIXES = {"resourcegroupstaggingapi": "tag", "elbv2": "elasticloadbalancing", "elb": "elasticloadbalancing"}


def action(call: Call) -> str:
    """The IAM action of a call."""
    return f"{_PREFIXES.get(call.service, call.service)}:{call.operation.name}"


class Patches:
    """State of what is mended."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def reset(self) -> None:
        pass

    def before(self, call: Call) -> None:
        """Refuse what AWS refuses and moto does not."""

    def after(self, call: Call, answer: Answer) -> Answer:
        """Complete an answer of moto."""
        return answer


def install(application: Application) -> Patches:
    return Patches(application)


_: Any = None

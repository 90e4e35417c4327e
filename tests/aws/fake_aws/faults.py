"""Faults on request: what a network and a busy AWS do to calls."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

from fake_aws.wire import Call, Refusal

KINDS = (
    "throttle",
    "500",
    "503",
    "drop-before",  # the connection ends before anything is done
    "drop-after",  # it is done, but the answer is lost
    "timeout",  # the answer comes too late: it is done, and the connection ends after some seconds
    "expired",
    "denied",
    "quota",
    "error",  # as code, message and status say
    "slow",  # the answer comes after some seconds
    "not-yet",  # what was made less than some seconds ago is not there
)
_THROTTLE = {"ec2": "RequestLimitExceeded", "iam": "Throttling", "rds": "Throttling"}
_QUOTA = {
    ("ec2", "create_vpc"): ("VpcLimitExceeded", "The maximum number of VPCs has been reached."),
    ("ec2", "allocate_address"): ("AddressLimitExceeded", "The maximum number of addresses has been reached."),
    ("ec2", "create_nat_gateway"): (
        "NatGatewayLimitExceeded",
        "The maximum number of NAT gateways has been reached.",
    ),
    ("ec2", "create_internet_gateway"): (
        "InternetGatewayLimitExceeded",
        "The maximum number of internet gateways has been reached.",
    ),
    ("rds", "create_db_instance"): ("InstanceQuotaExceeded", "Requesting another DB instance exceeds the quota."),
    ("iam", "create_role"): ("LimitExceeded", "Cannot exceed quota for RolesPerAccount: 1000"),
    ("eks", "create_cluster"): ("ResourceLimitExceededException", "Cluster limit exceeded: 100"),
    ("eks", "create_nodegroup"): ("ResourceLimitExceededException", "Nodegroup limit exceeded for the cluster: 30"),
}


@dataclass
class Rule:
    """One fault: which calls it meets, and how often."""

    kind: str
    service: str = ""
    operation: str = ""  # as boto3 calls it, a prefix with * at the end
    probability: float = 1.0
    count: int | None = None  # how often at most
    after: int = 0  # how many matching calls are let through first
    seconds: float = 1.0
    seed: int = 0
    code: str = ""
    message: str = ""
    status: int = 400
    met: int = 0
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind} is none of {', '.join(KINDS)}")
        self.dice = random.Random(self.seed)

    def meets(self, call: Call) -> bool:
        """Whether it strikes at this call."""
        if self.service not in ("", call.service):
            return False
        if self.operation.endswith("*"):
            if not call.name.startswith(self.operation[:-1]):
                return False
        elif self.operation not in ("", call.name):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.count is not None and self.met >= self.count:
            return False
        if self.dice.random() >= self.probability:
            return False
        self.met += 1
        return True


class Dropped(ConnectionError):
    """The connection ends without an answer."""


def before(rule: Rule, call: Call) -> None:
    """What happens instead of the call."""
    service, action = call.service, f"{call.service}:{call.operation.name}"
    if rule.kind == "throttle":
        code = _THROTTLE.get(service, "ThrottlingException")
        raise Refusal(code, "Rate exceeded", 503 if service == "ec2" else 400)
    if rule.kind in ("500", "503"):
        code = {"500": "InternalFailure", "503": "ServiceUnavailable"}[rule.kind]
        if service == "eks":
            code = {"500": "ServerException", "503": "ServiceUnavailableException"}[rule.kind]
        raise Refusal(code, "An internal error has occurred. Retry your request.", int(rule.kind))
    if rule.kind == "drop-before":
        raise Dropped
    if rule.kind == "expired":
        if service == "ec2":
            raise Refusal("RequestExpired", "Request has expired.", 400)
        code = "ExpiredTokenException" if call.protocol in ("json", "rest-json") else "ExpiredToken"
        raise Refusal(code, "The security token included in the request is expired", 403)
    if rule.kind == "denied":
        code = {"ec2": "UnauthorizedOperation"}.get(service)
        code = code or ("AccessDeniedException" if call.protocol in ("json", "rest-json") else "AccessDenied")
        raise Refusal(
            code, f"User: arn:aws:iam::123456789012:user/deployer is not authorized to perform: {action}", 403
        )
    if rule.kind == "quota":
        code, message = _QUOTA.get((service, call.name), ("LimitExceededException", "A quota has been reached."))
        raise Refusal(code, message, 400)
    if rule.kind == "error":
        raise Refusal(rule.code, rule.message, rule.status)
    if rule.kind == "slow":
        time.sleep(rule.seconds)


def after(rule: Rule) -> None:
    """What happens to the answer."""
    if rule.kind == "timeout":
        time.sleep(rule.seconds)
    if rule.kind in ("drop-after", "timeout"):
        raise Dropped


def parse(rules: list[dict[str, Any]]) -> list[Rule]:
    return [Rule(**rule) for rule in rules]

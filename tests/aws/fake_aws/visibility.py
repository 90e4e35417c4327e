"""Eventual consistency: what was just made is not found for some seconds, and missing in lists."""

from __future__ import annotations

from typing import Any

from botocore.parsers import create_parser

from fake_aws.timeline import Timeline
from fake_aws.wire import Answer, Call, Refusal, answer

# What a call makes: where the answer has its identifier (or the request, with a leading ?), and how "not found" is said
_MADE = {
    ("ec2", "create_vpc"): ("Vpc.VpcId", "InvalidVpcID.NotFound"),
    ("ec2", "create_subnet"): ("Subnet.SubnetId", "InvalidSubnetID.NotFound"),
    ("ec2", "create_internet_gateway"): ("InternetGateway.InternetGatewayId", "InvalidInternetGatewayID.NotFound"),
    ("ec2", "create_route_table"): ("RouteTable.RouteTableId", "InvalidRouteTableID.NotFound"),
    ("ec2", "create_security_group"): ("GroupId", "InvalidGroup.NotFound"),
    ("ec2", "allocate_address"): ("AllocationId", "InvalidAllocationID.NotFound"),
    ("ec2", "create_nat_gateway"): ("NatGateway.NatGatewayId", "NatGatewayNotFound"),
    ("ec2", "create_vpc_endpoint"): ("VpcEndpoint.VpcEndpointId", "InvalidVpcEndpointId.NotFound"),
    ("ec2", "create_launch_template"): ("LaunchTemplate.LaunchTemplateId", "InvalidLaunchTemplateId.NotFound"),
    ("iam", "create_role"): ("?RoleName", "NoSuchEntity"),
    ("kms", "create_key"): ("KeyMetadata.KeyId", "NotFoundException"),
    ("kms", "create_alias"): ("?AliasName", "NotFoundException"),
}


class Visibility:
    """What is there but can't be seen yet."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._hidden: dict[tuple[str, str], tuple[float, str]] = {}  # service and identifier: until when, error code

    def reset(self) -> None:
        self._hidden.clear()

    def hide(self, call: Call, done: Answer, seconds: float) -> None:
        """Hide what a call has made."""
        where, code = _MADE.get((call.service, call.name), ("", ""))
        if not where or done.status >= 400:
            return
        value: Any = call.params if where.startswith("?") else _parsed(call, done)
        for key in where.removeprefix("?").split("."):
            value = value[key]
        self._hidden[(call.service, value)] = (self._timeline.clock() + seconds, code)

    def before(self, call: Call) -> None:
        """Refuse calls that name what can't be seen."""
        for identifier, code in self._of(call.service):
            if identifier in _texts(call.params) and call.name != "create_role":
                status = 404 if call.service == "iam" else 400
                raise Refusal(code, f"The ID '{identifier}' does not exist", status)

    def after(self, call: Call, done: Answer) -> Answer:
        """Leave it out of lists."""
        hidden = {identifier for identifier, _code in self._of(call.service)}
        reads = call.name.startswith(("describe_", "list_", "get_"))
        if not hidden or not reads or not any(name.encode() in done.body for name in hidden):
            return done
        return answer(call, _without(_parsed(call, done), hidden))

    def _of(self, service: str) -> list[tuple[str, str]]:
        now = self._timeline.clock()
        return [(name, code) for (of, name), (until, code) in self._hidden.items() if of == service and until > now]


def _parsed(call: Call, done: Answer) -> dict[str, Any]:
    given = {"status_code": done.status, "headers": done.headers, "body": done.body}
    parsed: dict[str, Any] = create_parser(call.protocol).parse(given, call.operation.output_shape)
    parsed.pop("ResponseMetadata", None)
    return parsed


def _texts(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*(_texts(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(_texts(item) for item in value))
    return {value} if isinstance(value, str) else set()


def _without(value: Any, hidden: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, hidden) for key, item in value.items()}
    if isinstance(value, list):
        return [
            _without(item, hidden)
            for item in value
            if not (isinstance(item, dict) and hidden & {text for text in item.values() if isinstance(text, str)})
        ]
    return value

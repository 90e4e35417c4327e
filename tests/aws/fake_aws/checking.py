"""Requests against AWS' service model: what the service itself would refuse."""

from __future__ import annotations

import json
import re
from typing import Any

from botocore.validate import ParamValidator

from fake_aws.wire import Call, Refusal


def check_input(call: Call) -> None:
    """Refuse a request that does not follow the model."""
    shape = call.operation.input_shape
    if shape is None:
        return
    reasons = list(_violations(call.params, shape, ""))
    if call.request.data:
        in_body = {
            member.serialization.get("name", name)
            for name, member in shape.members.items()
            if not member.serialization.get("location")
        }
        given = json.loads(call.request.data)
        reasons += [f"unknown parameter {name}" for name in given if name not in in_body]
        reasons += [
            reason
            for name, value in given.items()
            if name in shape.members
            for reason in _unknown(value, shape.members[name], name)
        ]
    if reasons:
        raise Refusal("InvalidParameterException", "; ".join(reasons))


def check_output(call: Call, output: dict[str, Any]) -> None:
    """Fail when this server itself answers what AWS could not."""
    shape = call.operation.output_shape
    if shape is None:
        assert not output, f"{call.name} has no output"
        return
    report = ParamValidator().validate(output, shape)
    reasons = [*_violations(output, shape, "", given=False)]
    assert not report.has_errors() and not reasons, f"{call.name}: {report.generate_report()} {reasons}"


def _violations(value: Any, shape: Any, path: str, *, given: bool = True) -> Any:
    """What is wrong with a value: members that are required, limits, patterns and enumerations."""
    if value is None:
        return
    kind, where = shape.type_name, path or "the request"
    if kind == "structure":
        for name in shape.required_members if given else []:
            if value.get(name) is None:
                yield f"{where} lacks {name}"
        for name, item in value.items():
            if name in shape.members:
                yield from _violations(item, shape.members[name], f"{path}.{name}".lstrip("."), given=given)
    elif kind == "list":
        yield from _limits(len(value), shape, where) if given else ()
        for position, item in enumerate(value):
            yield from _violations(item, shape.member, f"{path}[{position}]", given=given)
    elif kind == "map":
        yield from _limits(len(value), shape, where) if given else ()
        for name, item in value.items():
            yield from _violations(name, shape.key, f"{path} (key)", given=given)
            yield from _violations(item, shape.value, f"{path}.{name}", given=given)
    elif kind == "string":
        if not isinstance(value, str):
            yield f"{where} is no string"
            return
        yield from _limits(len(value), shape, where) if given else ()
        if shape.enum and value not in shape.enum:
            yield f"{where} is {value!r}, but must be one of {', '.join(shape.enum)}"
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            yield f"{where} is {value!r}, which does not match {pattern}"
    elif kind in ("integer", "long", "float", "double"):
        yield from _limits(value, shape, where) if given else ()


def _limits(size: float, shape: Any, where: str) -> Any:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield f"{where} is below {least}"
    if most is not None and size > most:
        yield f"{where} is above {most}"


def _unknown(value: Any, shape: Any, path: str) -> Any:
    """Members that the model does not have."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, item in value.items():
            if name not in shape.members:
                yield f"unknown parameter {path}.{name}"
            else:
                yield from _unknown(item, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list" and isinstance(value, list):
        for item in value:
            yield from _unknown(item, shape.member, path)

"""Requests and answers of any AWS protocol, read and written by AWS' own service models."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from botocore import xform_name
from moto.core.model import OperationModel, ServiceModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.exceptions import HTTPException

ACCOUNT = "123456789012"
CALLER = f"arn:aws:iam::{ACCOUNT}:user/deployer"  # who makes all calls
# Where a request's signature names a service differently from botocore.
_SIGNED_AS = {"tagging": "resourcegroupstaggingapi", "elasticloadbalancing": "elbv2", "servicequotas": "service-quotas"}


class Refusal(Exception):
    """An error answer: a code of AWS, its text, and members of the error's shape."""

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.members = code, message, status, members


@dataclass
class Call:
    """One request of a client."""

    service: str
    region: str
    operation: OperationModel
    request: Request
    params: dict[str, Any]
    access_key: str
    user_agent: str
    resources: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The operation as boto3 calls it: describe_cluster."""
        return str(xform_name(self.operation.name))

    @property
    def protocol(self) -> str:
        return determine_request_protocol(self.operation.service_model, self.request.content_type)


@dataclass(frozen=True)
class Answer:
    """What goes back to the client."""

    status: int
    headers: dict[str, str]
    body: bytes


def read(environ: dict[str, Any]) -> Call | None:
    """The call that a WSGI request is; None when it is none of AWS'. Its body can be read again."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(body)
    request = Request({**environ, "wsgi.input": io.BytesIO(body)})
    scope = re.search(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/", environ.get("HTTP_AUTHORIZATION", ""))
    if scope:
        key, region, signed = scope.groups()
    else:  # a signature in the URL
        presigned = parse_qs(environ.get("QUERY_STRING", "")).get("X-Amz-Credential", [""])[0].split("/")
        if len(presigned) != 5:
            return None
        key, _date, region, signed, _end = presigned
    service = _SIGNED_AS.get(signed, signed)
    if service == "elbv2" and request.values.get("Version") == "2012-06-01":
        service = "elb"
    try:
        operation, in_path = get_service_router(service).match(request)
    except HTTPException:
        return None
    protocol = determine_request_protocol(operation.service_model, request.content_type)
    params = PROTOCOL_PARSERS[protocol](operation).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": request.data,
            "url_path": request.path,
            "url_params": in_path,
        }
    )
    agent = environ.get("HTTP_USER_AGENT", "")
    return Call(service, region, operation, request, dict(params or {}), key, agent)


def answer(call: Call, output: dict[str, Any]) -> Answer:
    """A result in the call's protocol."""
    serializer = get_serializer_class(call.service, call.protocol)(call.operation)
    done = serializer.serialize(output)
    return Answer(done["status_code"], dict(done["headers"]), _bytes(done["body"]))


def refuse(call: Call, refusal: Refusal) -> Answer:
    """An error in the call's protocol."""
    code, message, status = refusal.code, refusal.message, refusal.status
    import json
    from xml.sax.saxutils import escape

    if call.protocol in ("json", "rest-json"):
        body = json.dumps({"__type": code, "message": message, **refusal.members})
        return Answer(status, {"Content-Type": "application/json", "X-Amzn-Errortype": code}, body.encode())
    if call.protocol == "ec2":
        body = (
            f"<Response><Errors><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error></Errors>"
            "<RequestID>request-id</RequestID></Response>"
        )
    else:
        body = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
            "</Error><RequestId>request-id</RequestId></ErrorResponse>"
        )
    return Answer(status, {"Content-Type": "text/xml"}, body.encode())


def model(service: str) -> ServiceModel:
    """The model of a service."""
    return get_service_model(service)


def _bytes(body: str | bytes) -> bytes:
    return body.encode() if isinstance(body, str) else body

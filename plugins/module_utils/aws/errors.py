# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWS refuses, as one sentence: what is wrong, where, and what to do."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "AuthFailure",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "UnauthorizedException"}
_REGION = {"OptInRequired", "InvalidEndpoint"}
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "BandwidthLimitExceeded",
    "SlowDown",
    "PriorRequestNotComplete",
}
_BROKEN = {"InternalError", "InternalFailure", "InternalServerError", "ServerException", "ServiceUnavailable"}
_BROKEN |= {"ServiceUnavailableException", "Unavailable", "500", "502", "503", "504"}
# As services call what is not there: InvalidVpcID.NotFound, DBInstanceNotFound, NoSuchEntity, ResourceNotFoundException
_ABSENT = re.compile(r"NotFound(Fault|Exception)?$|^NoSuchEntity|^ResourceNotFound|NotFoundException$|\.NotFound$")
_QUOTA = re.compile(r"LimitExceeded|QuotaExceeded|^InsufficientFreeAddresses|^MaxSpotInstanceCount")
_ACTION = re.compile(r"not authorized to perform:? ?\[?([a-z0-9-]+:\w+)")
_PREFIX = {"logs": "logs", "resourcegroupstaggingapi": "tag"}


class AwsError(DbosError):
    """AWS refused, or can't be reached. C(code) is AWS' own; empty when there was no answer."""

    def __init__(self, msg: str, code: str = "", *, transient: bool = False, lost: bool = False, **result: Any) -> None:
        super().__init__(msg, **result)
        self.code = code
        self.transient = transient  # it may work when tried again
        self.lost = lost  # it may have been done all the same
        self.absent = bool(_ABSENT.search(code))
        self.taken = "AlreadyExists" in code


def permission(service: str, operation: str) -> str:
    """The IAM action of a call: ("eks", "describe_cluster") → eks:DescribeCluster."""
    words = "".join(part.capitalize() for part in operation.split("_"))
    words = re.sub(r"^(Create|Describe|Modify|Delete|Restore|Reset|Start|Stop|Reboot)Db", r"\1DB", words)
    return f"{_PREFIX.get(service, service)}:{words}"


def explain(error: Exception, action: str, region: str) -> AwsError:
    """The AwsError for an exception of botocore, which C(action) in C(region) has raised."""
    import botocore.exceptions as known
    from botocore.parsers import ResponseParserError

    if isinstance(error, known.ClientError):
        return _refused(error.response, action, region)
    if isinstance(error, known.NoCredentialsError | known.PartialCredentialsError):
        return AwsError(
            "There are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(in AWX: give the job template an AWS credential)."
        )
    if isinstance(error, known.ProfileNotFound):
        return AwsError(f"{str(error).rstrip('.')}: correct AWS_PROFILE, or add the profile to ~/.aws/config.")
    if isinstance(error, known.TokenRetrievalError | known.SSOTokenLoadError | known.UnauthorizedSSOTokenError):
        return AwsError(f"The AWS single sign-on has ended: run 'aws sso login', then again. ({error})", "ExpiredToken")
    if isinstance(error, known.EndpointConnectionError | known.InvalidRegionError):
        return AwsError(
            f"AWS does not answer to {action} in region {region}: {error} "
            "Check that the region exists, and that its endpoints are reachable from here.",
            transient=True,
        )
    if isinstance(error, known.HTTPClientError):
        return AwsError(f"The connection to AWS broke at {action}: {error}", transient=True, lost=True)
    if isinstance(error, ResponseParserError):
        text = " ".join(str(error).split())
        return AwsError(f"The answer to {action} is none of AWS': {text[:300]}", transient=True, lost=True)
    return AwsError(f"{action} could not be sent to AWS: {error}")


def _refused(response: dict[str, Any], action: str, region: str) -> AwsError:
    """What an error answer means."""
    code = str(response.get("Error", {}).get("Code", ""))
    text = " ".join(str(response.get("Error", {}).get("Message", "")).split()).rstrip(".")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _EXPIRED:
        return AwsError(f"The AWS credentials have expired (at {action}): renew them and run again.", code)
    if code in _UNKNOWN:
        return AwsError(
            f"AWS does not accept the credentials (at {action} in {region}): {text} ({code}). Check the keys, and that "
            "the region is enabled for the account.",
            code,
        )
    if code in _DENIED:
        needed = match[1] if (match := _ACTION.search(text)) else action
        return AwsError(
            f"The AWS credentials lack the permission {needed}: {text} ({code}). "
            "docs/iam lists what each playbook needs.",
            code,
            permission=needed,
        )
    if code in _REGION:
        return AwsError(
            f"AWS refuses {action} in region {region}: {text} ({code}). Enable the region, or take another.", code
        )
    if code in _THROTTLED:
        return AwsError(
            f"AWS still throttles {action} after many attempts: {text} ({code}). Run again.", code, transient=True
        )
    if code in _BROKEN or status >= 500:
        return AwsError(f"AWS fails at {action}: {text} ({code}). Run again.", code, transient=True, lost=True)
    if _QUOTA.search(code):
        return AwsError(
            f"A quota of the AWS account in {region} is reached at {action}: {text} ({code}). "
            "Have it raised in Service Quotas, or delete what is not needed.",
            code,
        )
    return AwsError(f"AWS refuses {action}: {text} ({code}).", code)

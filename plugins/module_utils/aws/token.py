# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bearer token of an EKS cluster: a presigned sts:GetCallerIdentity, with which the cluster asks STS who calls.

Made here in a millisecond, without a call; C(aws eks get-token) makes the same.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account

PREFIX = "k8s-aws-v1."
CLUSTER_HEADER = "x-k8s-aws-id"
VALID = 15 * 60  # seconds from X-Amz-Date; STS and the cluster look at nothing else …
EXPIRES = 60  # … but old versions of the authenticator refuse more in X-Amz-Expires
RENEW = 10 * 60  # seconds after which a token is not used any more: clocks differ, and requests last


def create(account: Account, cluster: str) -> str:
    """A token for the cluster, as the identity of the account's credentials."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    url = f"{account.regional_endpoint('sts').rstrip('/')}/?Action=GetCallerIdentity&Version=2011-06-15"
    request = AWSRequest("GET", url, headers={CLUSTER_HEADER: cluster})
    SigV4QueryAuth(account.credentials, "sts", account.region, expires=EXPIRES).add_auth(request)
    return PREFIX + base64.urlsafe_b64encode(request.url.encode()).decode().rstrip("=")


def presigned(token: str) -> str:
    """The URL that a token holds."""
    text = token.removeprefix(PREFIX)
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def age(token: str) -> float:
    """Seconds since it was signed."""
    date = parse_qs(urlsplit(presigned(token)).query)["X-Amz-Date"][0]
    signed = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return (datetime.now(UTC) - signed).total_seconds()

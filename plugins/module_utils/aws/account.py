# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One AWS account in one region: calls by name, errors as one sentence for a person.

botocore, boto3's core, finds credentials and endpoints as everywhere (environment, profile, AWS_ENDPOINT_URL,
AWS_ENDPOINT_URL_EKS), and retries throttling, server errors and lost connections with jittered backoff. boto3 itself,
whose clients are the same, would take 0.1 s more to load in every task.
"""

from __future__ import annotations

import difflib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from ansible.module_utils.basic import env_fallback

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import errors
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError

ATTEMPTS = 8
TIMEOUT = 20  # seconds for a connection, and for an answer
LOST = 6.0  # seconds after which what a lost answer has made is listed by AWS

Json = dict[str, Any]
Found = TypeVar("Found")


def argument_spec() -> dict[str, dict[str, Any]]:
    """Options of every module that talks to AWS, documented in the fragment dbos.kubernetes.aws."""

    def option(*variables: str, **spec: Any) -> dict[str, Any]:
        return {"type": "str", "fallback": (env_fallback, list(variables)), **spec}

    return {
        "region": option("AWS_REGION", "AWS_DEFAULT_REGION"),
        "profile": option("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
        "access_key": option("AWS_ACCESS_KEY_ID", no_log=False),  # it is no secret, and messages name it
        "secret_key": option("AWS_SECRET_ACCESS_KEY", no_log=True),
        # AWX sets both of its AWS credential's token.
        "session_token": option("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", no_log=True),
    }


def _failures() -> tuple[type[Exception], ...]:
    """What a call raises: a refusal, no answer, or one that is none of the service's, as from a proxy in between."""
    import botocore.exceptions
    import botocore.parsers

    return botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, botocore.parsers.ResponseParserError


class Account:
    """The clients of one account and region, made when they are first used; safe to share between threads."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        """C(params) as in argument_spec(); a given profile wins over keys."""
        import botocore.exceptions
        import botocore.session

        try:
            self._session = botocore.session.get_session()
            if params.get("profile"):
                self._session.set_config_variable("profile", params["profile"])
            elif params.get("access_key"):
                keys = (params["access_key"], params.get("secret_key"), params.get("session_token") or None)
                self._session.set_credentials(*keys)
            if params.get("region"):
                self._session.set_config_variable("region", params["region"])
            self.region: str = self._session.get_config_variable("region") or ""
        except botocore.exceptions.BotoCoreError as error:
            raise errors.explain(error, "sts:GetCallerIdentity", str(params.get("region"))) from error
        if not self.region:
            raise AwsError("No AWS region is given: set platform_region, or the environment variable AWS_REGION.")
        self._clients: dict[tuple[str, bool], Any] = {}
        self._lock = threading.Lock()  # a session's clients are safe to share, making them is not

    def client(self, service: str, *, once: bool = False) -> Any:
        """The client of a service; with C(once) one that never sends a request twice."""
        with self._lock:
            if (service, once) not in self._clients:
                from botocore.config import Config

                retries = {"mode": "standard", "total_max_attempts": 1 if once else ATTEMPTS}
                config = Config(retries=retries, connect_timeout=TIMEOUT, read_timeout=TIMEOUT, max_pool_connections=16)
                client = self._session.create_client(service, self.region, config=config)
                if not self._clients:
                    self._check_region(client.meta.endpoint_url)
                self._clients[(service, once)] = client
            return self._clients[(service, once)]

    def _check_region(self, endpoint: str) -> None:
        """Refuse a region that AWS does not have: its name resolves nowhere, which botocore would try for a minute."""
        host = urlsplit(endpoint).hostname
        try:
            socket.getaddrinfo(host, None)
        except OSError as error:
            partitions = self._session.get_available_partitions()
            known = [name for one in partitions for name in self._session.get_available_regions("ec2", one)]
            if self.region in known:  # a proxy may resolve what this machine can't
                return
            near = difflib.get_close_matches(self.region, known, 1)
            raise AwsError(
                f"AWS has no region {self.region}, and {host} does not resolve. "
                + (f"Did you mean {near[0]}?" if near else "Correct platform_region.")
            ) from error

    def call(self, service: str, operation: str, *, once: bool = False, **arguments: Any) -> Json:
        """One call, such as C(call("eks", "describe_cluster", name="shop")); raises AwsError.

        With C(once) a request whose fate is unknown is not sent again: see create().
        """
        try:
            answer: Json = getattr(self.client(service, once=once), operation)(**arguments)
        except _failures() as error:
            raise errors.explain(error, errors.permission(service, operation), self.region) from error
        return answer

    def find(self, service: str, operation: str, **arguments: Any) -> Json | None:
        """The same; None when AWS answers that there is no such thing."""
        try:
            return self.call(service, operation, **arguments)
        except AwsError as error:
            if error.absent:
                return None
            raise

    def pages(self, service: str, operation: str, key: str, **arguments: Any) -> list[Any]:
        """The items under C(key) of all pages of a list; none when what holds them does not exist."""
        paginator = self.client(service).get_paginator(operation)
        try:
            return [item for page in paginator.paginate(**arguments) for item in page.get(key) or []]
        except _failures() as error:
            explained = errors.explain(error, errors.permission(service, operation), self.region)
            if explained.absent:
                return []
            raise explained from error

    def create(self, find: Callable[[], Found | None], service: str, operation: str, **arguments: Any) -> Json | Found:
        """Make what AWS would make twice when asked twice (it takes no token), such as a VPC or an address.

        When the answer is lost, or AWS says that there is one although C(find) has seen none (a run that was killed a
        moment ago has made it), what C(find) finds then is taken for the result; what it gives is what the caller knows
        from before. An Elastic IP, for one, is found by its tags, so these must be part of the call.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self.call(service, operation, once=True, **arguments)
            except AwsError as error:
                if not (error.transient or error.taken) or attempt == ATTEMPTS:
                    raise
                if not (error.lost or error.taken):
                    time.sleep(min(0.5 * 2**attempt, 20.0))
                    continue
                give_up = time.monotonic() + LOST
                while True:
                    found = find()
                    if found is not None:
                        return found
                    if time.monotonic() > give_up:
                        break
                    time.sleep(1.0)
        raise AssertionError("unreachable")

    @property
    def identity(self) -> Json:
        """Who the credentials belong to: Account, Arn and UserId."""
        return self.call("sts", "get_caller_identity")

    @property
    def credentials(self) -> Any:
        """The keys to sign with, as they are now: temporary ones are renewed before they end."""
        import botocore.exceptions

        try:
            found = self._session.get_credentials()
            if found is None:
                raise botocore.exceptions.NoCredentialsError
            return found.get_frozen_credentials()
        except botocore.exceptions.BotoCoreError as error:
            raise errors.explain(error, "sts:GetCallerIdentity", self.region) from error

    def endpoint(self, service: str) -> str:
        """The URL that a service's calls go to."""
        return str(self.client(service).meta.endpoint_url)

    def regional_endpoint(self, service: str) -> str:
        """The same, without making a client (50 ms for STS) where nothing but the region decides it."""
        variables = ("AWS_ENDPOINT_URL", f"AWS_ENDPOINT_URL_{service.upper()}")
        configured = (
            any(os.environ.get(name) for name in variables)
            or not {"endpoint_url", "services"}.isdisjoint(self._session.get_scoped_config())
            or self._session.get_config_variable("use_fips_endpoint")
            or self._session.get_config_variable("use_dualstack_endpoint")
        )
        if not configured:
            for partition in self._session.get_component("data_loader").load_data("partitions")["partitions"]:
                if re.match(partition["regionRegex"], self.region):
                    return f"https://{service}.{self.region}.{partition['outputs']['dnsSuffix']}"
        return self.endpoint(service)

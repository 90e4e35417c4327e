"""An AWS account for tests: a server per test file, the modules and playbooks that use it, and its faults."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import boto3
import botocore.loaders
import module_call
from botocore.config import Config
from server import Server

REGION = "eu-west-1"
MODELS = functools.cache(botocore.loaders.create_loader)  # AWS' models, which every client would read anew
_NONE = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


class Aws:
    """The account: what to pass to Ansible, boto3's clients, and what the server is told."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.url = server.url
        self.env = {
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": "AKIAQZ7N3XJ5T4VWLK2M",
            "AWS_SECRET_ACCESS_KEY": "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",  # long: Ansible hides it everywhere
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        application = server.application
        self.reset, self.calls, self.clear_calls = application.reset, application.calls, application.clear_calls
        self.delays, self.fail_next, self.set = application.delays, application.fail_next, application.set
        self.enforce, self.before_calls, self.later = application.enforce, application.before_calls, application.later
        self._clients: dict[tuple[str, str, str], Any] = {}

    def client(self, service: str, region: str = REGION) -> Any:
        """A client of boto3 that is no part of what is tested: it meets no faults, and may do everything."""
        return self._client(service, region, "AKIATESTTESTTESTTEST", "test" * 10)

    def own_client(self, service: str, region: str = REGION) -> Any:
        """A client with the account's own keys, which meets faults and policies as modules do."""
        return self._client(service, region, self.env["AWS_ACCESS_KEY_ID"], self.env["AWS_SECRET_ACCESS_KEY"])

    def _client(self, service: str, region: str, key: str, secret: str) -> Any:
        if (service, region, key) not in self._clients:
            self._clients[(service, region, key)] = boto3.client(
                service,
                region_name=region,
                endpoint_url=self.url,
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                config=Config(retries={"total_max_attempts": 1}),
            )
        return self._clients[(service, region, key)]

    def faults(self, *rules: Mapping[str, Any]) -> None:
        """What goes wrong from now on, see fake_aws.faults; nothing when none are given."""
        self.server.application.faults([dict(rule) for rule in rules])

    def made_calls(self, service: str = "") -> list[str]:
        """The IAM actions of what was called with the account's own keys, in their order."""
        return [
            call["action"]
            for call in self.calls()
            if call["access_key"] == self.env["AWS_ACCESS_KEY_ID"] and service in ("", call["service"])
        ]

    def module(self, name: str, /, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """The result of one of our modules, called in this process."""
        with mock.patch.dict(os.environ, self.env), mock.patch("botocore.session.create_loader", MODELS):
            for variable in _NONE:
                os.environ.pop(variable, None)
            return module_call.call(name, check=check, **options)

    def role(self, name: str, service: str, *policies: str) -> str:
        """Make an IAM role that a service may take; its ARN."""
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": service},
                    "Action": ["sts:AssumeRole", "sts:TagSession"],
                }
            ],
        }
        made = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        for policy in policies:
            arn = f"arn:aws:iam::aws:policy/{policy}"
            self.client("iam").attach_role_policy(RoleName=name, PolicyArn=arn)
        return str(made["Role"]["Arn"])

    def vpc(self, cidr: str = "10.0.0.0/16", zones: str = "abc") -> tuple[str, list[str]]:
        """Make a VPC with a subnet in each zone; their ids."""
        ec2 = self.client("ec2")
        vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        prefix = cidr.rsplit(".", 2)[0]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"{prefix}.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")
            for number, zone in enumerate(zones)
        ]
        return vpc, [subnet["Subnet"]["SubnetId"] for subnet in subnets]


@contextlib.contextmanager
def serving() -> Iterator[Aws]:
    """An empty account, as long as the context lasts."""
    server = Server()
    server.start()
    account = Aws(server)
    account.reset()
    try:
        yield account
    finally:
        server.stop()

"""What moto does otherwise than AWS, mended; services with more of it have a file of their own."""

from __future__ import annotations

import hashlib
import json
import re
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.ecr.models import Image
from moto.iam.aws_managed_policies import aws_managed_policies_data
from moto.iam.models import AWSManagedPolicy, IAMBackend
from moto.sts.models import STSBackend

from fake_aws import ec2, rds, tagging
from fake_aws.eks_checks import release
from fake_aws.networks import Networks
from fake_aws.wire import ACCOUNT, CALLER, Answer, Call, Refusal, answer

if TYPE_CHECKING:
    from fake_aws.application import Application

_ALL_POLICIES: dict[str, Any] = json.loads(aws_managed_policies_data)
# What moto lacks as a whole
_OWN: dict[tuple[str, str], Callable[[Call], dict[str, Any]]] = {
    ("ec2", "delete_launch_template_versions"): ec2.delete_launch_template_versions,
}
# Nodes' images, as the Systems Manager has them for everybody
_IMAGE = re.compile(r"/aws/service/eks/optimized-ami/(1\.\d+)/amazon-linux-2023/\w+/\w+/recommended/(\w+)")
_TOKENS = ("ClientToken", "ClientRequestToken", "clientToken", "CreatorRequestId")


class Patches:
    """State of what is mended."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.networks = Networks(application.timeline)
        self.reset()

    def reset(self) -> None:
        self.networks.reset()
        self.database_endpoint: dict[str, Any] = {}  # what instances show instead of their own: Address, Port
        self.database_password = ""  # the managed password of new instances instead of a random one
        self.registry = ""  # host and port of the registry behind ECR, instead of AWS'
        self.registry_scheme = "https"
        self.registry_password = ""  # of the user AWS, instead of moto's
        self.tags_linger = 0.0  # seconds that the tagging API goes on listing what is deleted
        self._answers: dict[tuple[str, str, str, str], tuple[str, Answer]] = {}
        self._gone: list[tuple[float, str, str, dict[str, str], str]] = []

    def own(self, call: Call) -> Answer | None:
        """The answer to what moto is not asked for: calls that it lacks, and calls repeated with the same token."""
        if call.service == "ec2":
            ec2.before(call)
        if call.service == "pricing":
            raise Refusal("AccessDeniedException", "Prices are not part of this test server")
        if (call.service, call.name) == ("ssm", "get_parameter") and (found := _IMAGE.fullmatch(call.params["Name"])):
            value = {"release_version": release(found[1])}.get(found[2], "ami-0123456789abcdef0")
            shown = {"Name": call.params["Name"], "Type": "String", "Value": value, "Version": 1}
            return answer(call, {"Parameter": shown})
        handler = _OWN.get((call.service, call.name))
        if handler:
            return answer(call, handler(call))
        known = self._answers.get(self._token(call))
        if known and call.name != "create_nat_gateway":  # which is shown as it is now
            if known[0] != _fingerprint(call):
                raise Refusal("IdempotentParameterMismatch", "The client token was used with other parameters before")
            return known[1]
        return None

    def after(self, call: Call, done: Answer) -> Answer:
        """Complete an answer of moto."""
        if done.status >= 400:
            return done
        if call.service == "ec2":
            ec2.after(call)
            if call.name == "describe_tags":
                body = done.body.replace(b">nat-gateway<", b">natgateway<").replace(
                    b">vpc-elastic-ip<", b">elastic-ip<"
                )
                done = Answer(done.status, done.headers, body)
        if call.service == "ecr" and self.registry:
            own = f"{ACCOUNT}.dkr.ecr.{call.region}.amazonaws.com"
            body = done.body.replace(f"https://{own}".encode(), f"{self.registry_scheme}://{self.registry}".encode())
            done = Answer(done.status, done.headers, body.replace(own.encode(), self.registry.encode()))
        token = self._token(call)
        if token[3] and call.service != "secretsmanager":
            self._answers[token] = _fingerprint(call), done
        return done

    def watch(self, call: Call) -> None:
        """Remember what is there, so that the tagging API can go on listing what will be gone."""
        if self.tags_linger and re.match(r"delete_|release_", call.name):
            for item in tagging._all(self, call.region):
                if item.tags:
                    self._gone.append(
                        (time.time() + self.tags_linger, item.resource_type, item.arn, item.tags, call.region)
                    )

    def lingering(self, region: str) -> list[tuple[float, str, str, dict[str, str]]]:
        """What the tagging API may still list although it is gone."""
        self._gone = [item for item in self._gone if item[0] > time.time()]
        latest = {item[2]: item for item in self._gone if item[4] == region}
        return [item[:4] for item in latest.values()]

    def _token(self, call: Call) -> tuple[str, str, str, str]:
        given = next((str(call.params[name]) for name in _TOKENS if call.params.get(name)), "")
        return call.service, call.region, call.name, given


def _fingerprint(call: Call) -> str:
    return json.dumps(call.params, default=str, sort_keys=True)


def _aws_policies(backend: Any) -> list[Any]:
    """AWS' own IAM policies, but only those that tests may use: making all 1,500 takes longer than most tests."""
    wanted = ("AmazonEKS", "AmazonEC2ContainerRegistry", "AmazonEBSCSI", "AmazonSSM", "CloudWatchAgent")
    return [
        AWSManagedPolicy.from_data(name, backend.account_id, backend.region_name, data)
        for name, data in _ALL_POLICIES.items()
        if name.startswith(wanted)
    ]


def _digest(image: Image) -> None:
    """A digest is that of the manifest."""
    manifest = image.image_manifest
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    image._image_digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def install(application: Application) -> Patches:
    """Mend moto in this process."""
    from moto.core.responses import ActionResult
    from moto.ecr.responses import ECRResponse

    patches = Patches(application)

    def token(_self: Any) -> ActionResult:
        password = patches.registry_password or f"{ACCOUNT}-auth-token"
        return ActionResult(
            {
                "authorizationData": [
                    {
                        "authorizationToken": b64encode(f"AWS:{password}".encode()).decode(),
                        "expiresAt": datetime.now(UTC) + timedelta(hours=12),
                        "proxyEndpoint": f"https://{ACCOUNT}.dkr.ecr.{_self.region}.amazonaws.com",
                    }
                ]
            }
        )

    IAMBackend._init_aws_policies = _aws_policies
    STSBackend.get_caller_identity = lambda _self, _key, _region: ("AIDACKCEVSQ6C2EXAMPLE", CALLER, ACCOUNT)
    Image._create_digest = _digest
    ECRResponse.get_authorization_token = token
    ec2.install()
    rds.install(patches)
    tagging.install(patches)
    return patches

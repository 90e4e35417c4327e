"""EKS tokens: their format, against what botocore's own client signs; the kubeconfig round them; and their renewal."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import kubeconfig, token
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import PlatformAbsent
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError

ARN = "arn:aws:eks:eu-central-1:123456789012:cluster/shop"
KEYS = {"access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["access_key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["secret_key"])


def account(region: str = "eu-central-1", **extra: Any) -> Account:
    return Account({"region": region, **KEYS, **extra})


def by_the_client(cluster: str, region: str, session_token: str | None) -> str:
    """The same URL the long way, with the STS client's own presigning, as the AWS CLI does it."""
    client = boto3.client(
        "sts",
        region,
        aws_access_key_id=KEYS["access_key"],
        aws_secret_access_key=KEYS["secret_key"],
        aws_session_token=session_token,
    )
    client.meta.events.register(
        "before-sign.sts.GetCallerIdentity",
        lambda request, **_: request.headers.add_header("x-k8s-aws-id", cluster),
    )
    return client.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's clock stands, so that two signatures of the same are the same."""
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime(2026, 11, 25, 14, 0, 0))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cluster=st.from_regex(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}", fullmatch=True),
    region=st.sampled_from(["eu-central-1", "us-east-1", "cn-north-1", "us-gov-west-1"]),
    session_token=st.none() | st.just("IQoJb3JpZ2lu/x+y=="),
)
def test_a_token_is_what_botocore_presigns(frozen: None, cluster: str, region: str, session_token: str | None) -> None:
    made = token.create(account(region, session_token=session_token), cluster)
    assert made.startswith("k8s-aws-v1.") and "=" not in made
    assert token.presigned(made) == by_the_client(cluster, region, session_token)


def test_a_token_as_the_authenticator_checks_it() -> None:
    made = token.create(account(), "shop")
    url = urlsplit(base64.urlsafe_b64decode(made.removeprefix("k8s-aws-v1.") + "==").decode())
    query = {key.lower(): value for key, (value,) in parse_qs(url.query).items()}
    assert (url.scheme, url.netloc, url.path) == ("https", "sts.eu-central-1.amazonaws.com", "/")
    allowed = {"action", "version", *(f"x-amz-{n}" for n in ("algorithm", "credential", "date", "expires"))}
    assert set(query) <= allowed | {"x-amz-signature", "x-amz-signedheaders", "x-amz-security-token"}
    assert "x-k8s-aws-id" in query["x-amz-signedheaders"].split(";")
    assert (query["action"], query["version"], query["x-amz-expires"]) == ("GetCallerIdentity", "2011-06-15", "60")
    assert -1 < token.age(made) < 5


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"])
def test_another_endpoint_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:5000")
    assert token.presigned(token.create(account(), "shop")).startswith("http://127.0.0.1:5000/?Action=")


def test_another_endpoint_is_taken_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[default]\nendpoint_url = https://vpce-1.sts.eu-central-1.vpce.amazonaws.com\n")
    assert token.presigned(token.create(account(), "shop")).startswith("https://vpce-1.sts.")


def described(endpoint: str = "https://shop.example") -> dict[str, Any]:
    return {"name": "shop", "arn": ARN, "endpoint": endpoint, "certificateAuthority": {"data": "Q0E="}}


def test_a_kubeconfig_holds_what_any_client_needs_and_no_keys() -> None:
    made = kubeconfig.build(described(), "k8s-aws-v1.x", profile="prod", proxy="http://proxy:3128")
    (cluster,), (user,), (context,) = made["clusters"], made["users"], made["contexts"]
    assert made["current-context"] == context["name"]
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"]}
    assert cluster["cluster"] == {
        "server": "https://shop.example",
        "certificate-authority-data": "Q0E=",
        "proxy-url": "http://proxy:3128",
    }
    assert user["user"]["token"] == "k8s-aws-v1.x"
    assert kubeconfig.Bearer.of(made) == kubeconfig.Bearer("k8s-aws-v1.x", "eu-central-1", "shop", "prod")
    assert not any(secret in json.dumps(made) for secret in KEYS.values())
    # Ansible masks each of these wherever it appears.
    texts = [ARN, "https://shop.example", "Q0E=", "k8s-aws-v1.x", "http://proxy:3128", "prod", kubeconfig.EXTENSION]
    assert set(_texts(made)) == set(texts)
    assert kubeconfig.Bearer.of({"users": [{"name": "a", "user": {"token": "b"}}]}) is None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(item)


def test_a_cluster_that_is_not_there_is_an_absent_platform() -> None:
    with pytest.raises(PlatformAbsent, match="no Kubernetes platform yet: EKS cluster shop is CREATING"):
        Client.from_params({"kubeconfig": kubeconfig.absent("EKS cluster shop is CREATING.")})


class Cluster(BaseHTTPRequestHandler):
    """An API server that notes the tokens that it is given, and refuses the first ones."""

    seen: ClassVar[list[str]] = []
    refused = 0
    refuse_first = 0

    def do_GET(self) -> None:
        kind = type(self)
        kind.seen.append(self.headers["Authorization"].removeprefix("Bearer "))
        bad = kind.refused < kind.refuse_first
        kind.refused += bad
        body = b'{"message": "Unauthorized"}' if bad else b'{"gitVersion": "v1.35.0"}'
        self.send_response(401 if bad else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def cluster() -> Iterator[tuple[type[Cluster], str]]:
    kind = type("Cluster", (Cluster,), {"seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield kind, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Stopped(datetime):
    """A clock that stands."""

    NOW: ClassVar[datetime] = datetime.now(UTC).replace(microsecond=0)

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls.NOW


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a test takes, what it has made gets no older."""
    monkeypatch.setattr(token, "datetime", Stopped)


def aged(seconds: float) -> str:
    date = (Stopped.NOW - timedelta(seconds=seconds)).strftime("%Y%m%dT%H%M%SZ")
    return token.PREFIX + base64.urlsafe_b64encode(f"https://sts/?X-Amz-Date={date}".encode()).decode().rstrip("=")


@pytest.mark.parametrize(("seconds", "renewed"), [(0, False), (token.RENEW, False), (token.RENEW + 1, True)])
def test_an_old_token_is_renewed_before_it_is_used(
    stopped: None, cluster: tuple[type[Cluster], str], seconds: float, renewed: bool
) -> None:
    server, url = cluster
    first = aged(seconds)
    client = Client.from_params({"kubeconfig": kubeconfig.build(described(url), first)})
    for _ in range(2):
        assert client.version() == "v1.35.0"
    assert len(set(server.seen)) == 1  # a renewed one is kept
    assert (server.seen[0] != first) is renewed
    assert token.age(server.seen[0]) <= token.RENEW


def test_a_refused_token_is_renewed_once(stopped: None, cluster: tuple[type[Cluster], str]) -> None:
    server, url = cluster
    server.refuse_first = 1
    first = aged(5)
    client = Client.from_params({"kubeconfig": kubeconfig.build(described(url), first)})
    assert client.version() == "v1.35.0"
    assert server.seen[0] == first and token.age(server.seen[1]) < 5


def test_an_identity_without_access_is_named(
    stopped: None, cluster: tuple[type[Cluster], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, url = cluster
    server.refuse_first = 99
    monkeypatch.setattr(Account, "identity", {"Arn": "arn:aws:iam::123456789012:user/ci"})
    client = Client.from_params({"kubeconfig": kubeconfig.build(described(url), aged(5))})
    with pytest.raises(KubeError, match=r"cluster shop does not accept arn:aws:iam::123456789012:user/ci") as caught:
        client.version()
    assert caught.value.status == 401
    assert len(server.seen) == 2

"""A module that runs longer than its EKS token lives, against an API server that checks tokens as EKS does."""

from __future__ import annotations

import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from aws_kit import REGION
from eks_front import EksFront
from process_kit import until

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import kubeconfig, token
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account


@pytest.fixture
def front(platform, aws, monkeypatch):
    for name, value in aws.env.items():
        monkeypatch.setenv(name, value)
    keys = aws.env["AWS_ACCESS_KEY_ID"], aws.env["AWS_SECRET_ACCESS_KEY"]
    with EksFront(platform.directory, "shop", aws.url, *keys).running() as front:
        yield front


def kubeconfig_of(front, signed_for="shop"):
    described = {
        "arn": f"arn:aws:eks:{REGION}:123456789012:cluster/shop",
        "endpoint": front.url,
        "certificateAuthority": {"data": front.ca_data},
    }
    return kubeconfig.build(described, token.create(Account({"region": REGION}), signed_for))


def job(platform, namespace):
    """It begins when somebody lets it, and is done at once."""
    name = f"true-{uuid.uuid4().hex[:6]}"
    container = {"name": "true", "image": f"{platform.node}:5443/tools/busybox:1", "command": ["true"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "suspend": True,
            "backoffLimit": 0,
            "template": {
                "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
            },
        },
    }


@pytest.mark.parametrize(("renew", "refusals"), [(1.5, set()), (token.RENEW, {"expired"})])
def test_a_wait_outlives_its_token(front, aws, platform, namespace, monkeypatch, renew, refusals):
    """With seconds for minutes: renewed in time, and, where the clocks differ that much, after a refusal."""
    monkeypatch.setattr(token, "RENEW", renew)
    config, resource = kubeconfig_of(front), job(platform, namespace)
    first = config["users"][0]["user"]["token"]
    with ThreadPoolExecutor(1) as pool:
        module = pool.submit(aws.module, "manifests", kubeconfig=config, resources=[resource], wait_timeout=300)
        until("begun", lambda: front.tokens)
        if not refusals:
            until("renewed", lambda: len(front.tokens) > 1)
        until("another token's time", lambda: token.age(first) >= 1)
        front.expired |= {first}
        until("gone on with another token", lambda: front.tokens - {first})
        kind, name = "job", resource["metadata"]["name"]
        platform.kubectl("patch", kind, name, "-n", namespace, "--type=merge", "-p", '{"spec":{"suspend":false}}')
        done = module.result()
    assert done.get("changed") is True, done
    assert set(front.refused) == refusals


def test_a_token_of_another_cluster_is_renewed_for_this_one(front, aws, namespace, monkeypatch, tmp_path):
    """And the CA, which the library wants in a file, is in none when the module has ended."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    resource = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}}
    done = aws.module("manifests", kubeconfig=kubeconfig_of(front, "other"), resources=[resource])
    assert done.get("changed") is True, done
    assert set(front.refused) == {"not signed for this cluster"}
    assert list(tmp_path.iterdir()) == []


def test_an_identity_that_the_cluster_does_not_know(front, aws, namespace):
    front.access_key = "AKIASOMEONEELSE"
    resource = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": namespace}}
    done = aws.module("manifests", kubeconfig=kubeconfig_of(front), resources=[resource])
    assert done["failed"] and "The EKS cluster shop does not accept arn:aws:" in done["msg"]
    assert "give it an access entry" in done["msg"]

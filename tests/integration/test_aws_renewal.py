"""A module that runs longer than its EKS token lives, against an API server that checks tokens as EKS does."""

from __future__ import annotations

import tempfile
import uuid

import pytest
from aws_kit import REGION
from eks_front import EksFront

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


def job(platform, namespace, seconds):
    name = f"sleep-{uuid.uuid4().hex[:6]}"
    container = {
        "name": "sleep",
        "image": f"{platform.node}:5443/tools/busybox:1",
        "command": ["sleep", str(seconds)],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
            },
        },
    }


@pytest.mark.parametrize(("renew", "refusals"), [(1.5, set()), (token.RENEW, {"expired"})])
def test_a_wait_outlives_its_token(front, aws, platform, namespace, monkeypatch, renew, refusals):
    """With minutes for seconds: renewed in time, and, where the clocks differ that much, after a refusal."""
    front.lifetime = 3
    monkeypatch.setattr(token, "RENEW", renew)
    done = aws.module(
        "manifests", kubeconfig=kubeconfig_of(front), resources=[job(platform, namespace, 7)], wait_timeout=60
    )
    assert done.get("changed") is True, done
    assert len(front.tokens) > 1
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

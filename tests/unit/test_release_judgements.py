"""What pods, logs and nodes say, judged by example."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils import capacity, conductor, executors
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

NOW = datetime.datetime(2026, 11, 23, 12, 0, 0, tzinfo=datetime.UTC)


def pod(container=None, *, started="2026-11-23T11:59:55Z", conditions=(), deleted=False, name="shop-v1-0"):
    status = {"phase": "Pending", "startTime": started, "conditions": list(conditions)}
    if container:
        status["containerStatuses"] = [{"name": "app", "image": "i", "restartCount": 0, **container}]
    metadata = {"name": name} | ({"deletionTimestamp": "x"} if deleted else {})
    return {"metadata": metadata, "spec": {"containers": [{"name": "app", "image": "i"}]}, "status": status}


def waiting(reason, message=""):
    return {"state": {"waiting": {"reason": reason, "message": message}}}


ENDED = {"terminated": {"exitCode": 3, "reason": "Error"}}


@pytest.mark.parametrize(
    ("found", "hopeless", "text"),
    [
        (pod(waiting("ImagePullBackOff", "no such image")), True, "no such image"),
        (pod(waiting("ErrImagePull", "no route")), False, "no route"),
        (pod(waiting("CreateContainerConfigError", "secret")), False, "secret"),
        (pod(waiting("CreateContainerConfigError", "secret"), started="2026-11-23T11:59:00Z"), True, "secret"),
        (pod({"state": ENDED}), False, "ended 1 time (Error, exit code 3)"),
        (pod({"state": {"running": {}}, "lastState": ENDED, "restartCount": 1}), False, "ended 1 time"),
        (pod({**waiting("CrashLoopBackOff"), "lastState": ENDED, "restartCount": 1}), True, "ended 2 times"),
        (pod({"state": {"running": {}}, "lastState": ENDED, "restartCount": 2}), True, "ended 2 times"),
        (
            pod(
                conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"}]
            ),
            False,
            "no cpu",
        ),
    ],
)
def test_trouble(found, hopeless, text):
    trouble = executors.trouble(found, NOW)
    assert (trouble.hopeless, text in trouble.text) == (hopeless, True), trouble


@pytest.mark.parametrize(
    "found",
    [
        pod(),
        pod(waiting("ContainerCreating")),
        pod({"state": {"running": {}}, "ready": True, "lastState": ENDED, "restartCount": 5}),
        pod(waiting("ImagePullBackOff"), deleted=True),
    ],
)
def test_no_trouble(found):
    assert executors.trouble(found, NOW) is None


@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1))
def test_lines_carry_no_secret(secret):
    line = f"failed: postgresql://shop:{secret}@db/x wss://c.test/websocket/shop/{secret} end"
    shown = executors.redact(line)
    assert shown == "failed: postgresql://shop:***@db/x wss://c.test/websocket/shop/*** end"


@pytest.mark.parametrize("url", ["", "wss://conductor.example.com/conductor/", "ws://conductor.dbos.svc.cluster.local:8090",
                                 "ws://conductor", "ws://conductor.dbos.svc:8090"])  # fmt: skip
def test_good_conductors(url):
    conductor.check_url(url)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ws://conductor.example.com", "not in the cluster"),
        ("ws://conductor.svc.example.com", "not in the cluster"),
        ("ws://10.0.0.1:8090", "not in the cluster"),
        ("https://conductor.example.com", "must be ws://"),
        ("conductor", "must be ws://"),
        ("wss://", "must be ws://"),
    ],
)
def test_bad_conductors(url, text):
    with pytest.raises(DbosError, match=text):
        conductor.check_url(url)


def test_the_log_proves_the_connection():
    assert conductor.connected('time=… level=INFO msg="Connected to DBOS conductor"')
    assert not conductor.connected("failed to connect to conductor")
    said = conductor.why_not("x\nWARN dial wss://c/websocket/shop/KEY failed: conductor refused\n")
    assert "conductor refused" in said and "KEY" not in said
    assert "nothing about Conductor" in conductor.why_not("hello")
    missing = "Conductor requires go.dbos.dev/dbos-enterprise-go at the same minor version"
    assert "enterprise package" in conductor.why_not(missing)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        ("2", 2),
        (2, 2),
        ("1Ki", 1024),
        ("1k", 1000),
        ("1.5Gi", 1.5 * 2**30),
        ("1e3", 1000),
        ("1E", 10**18),
    ],
)
def test_quantities(text, number):
    assert capacity.quantity(text) == number


def node(cpu="4", memory="8Gi", **spec):
    return {"metadata": {"name": "n"}, "spec": spec, "status": {"allocatable": {"cpu": cpu, "memory": memory}}}


def busy(cpu, **labels):
    resources = {"requests": {"cpu": cpu}}
    spec = {"nodeName": "n", "containers": [{"resources": resources}], "initContainers": [{"resources": resources}]}
    return {"metadata": {"labels": labels}, "spec": spec}


WANTED = {"requests": {"cpu": "500m", "memory": "256Mi"}}


def test_room_and_no_room():
    own = {"app": "shop"}
    assert capacity.shortage([node()], [], WANTED, 8, own) is None
    assert "cpu 4500m of 4000m left" in capacity.shortage([node()], [], WANTED, 9, own)
    assert "cpu 4000m of 3000m left" in capacity.shortage([node()], [busy("1")], WANTED, 8, own)
    assert capacity.shortage([node()], [busy("1", app="shop")], WANTED, 8, own) is None
    assert "0 nodes" in capacity.shortage([node(unschedulable=True)], [], WANTED, 1, own)
    assert capacity.shortage([], [], {}, 100, own) is None

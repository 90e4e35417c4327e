"""KEDA's documents and the limits that are refused. What the query answers is tested on a real database."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import scaling
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

DATABASE = scaling.DatabaseTrigger("db.test", 5432, "shop", "shop_metrics", "shop-metrics")
METRICS = scaling.MetricsTrigger("/metrics/taskQueue", 8080)
SPEC = scaling.Spec(
    app="shop", namespace="dbos", version="v1", strategy="versions", kind="StatefulSet", owner="shop", minimum=1,
    maximum=20, concurrency=2, interval=15, scale_in_delay=30, trigger=DATABASE,
)  # fmt: skip


def scaled(spec, server=(1, 36)):
    return scaling.documents(spec, server)[-1]["spec"]


def test_metadata_is_strings_only():
    for trigger in (DATABASE, METRICS):
        found = scaled(dataclasses.replace(SPEC, trigger=trigger))["triggers"][0]["metadata"]
        assert all(isinstance(value, str) for value in found.values())


def test_one_more_than_ten_counts_where_kubernetes_can():
    new, old = scaled(SPEC), scaled(SPEC, (1, 34))
    behavior = ("advanced", "horizontalPodAutoscalerConfig", "behavior", "scaleUp")

    def up(spec):
        for key in behavior:
            spec = spec[key]
        return spec

    assert up(new)["tolerance"] == "0" and new["maxReplicaCount"] == 20
    assert "tolerance" not in up(old) and old["maxReplicaCount"] == 10
    assert "at most 10 replicas" in scaling.limited(SPEC, (1, 34))
    assert scaling.limited(SPEC, (1, 35)) is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"minimum": 0}, "scale_to_zero: true"),
        ({"minimum": 0, "zero_confirmed": True, "trigger": METRICS}, "must be 1 or more"),
        ({"minimum": 5, "maximum": 4}, "contradict each other"),
        ({"maximum": 0, "minimum": 0}, "contradict each other"),
        ({"minimum": -1}, "contradict each other"),
        ({"concurrency": 0}, "at least 1"),
    ],
)
def test_limits_that_cannot_work(changes, text):
    scaling.check(SPEC)
    scaling.check(dataclasses.replace(SPEC, minimum=0, zero_confirmed=True))
    with pytest.raises(DbosError, match=text):
        scaling.check(dataclasses.replace(SPEC, **changes))


def test_the_query_quotes_its_literals():
    spec = dataclasses.replace(SPEC, owner="o'hara")
    query = scaled(spec)["triggers"][0]["metadata"]["query"]
    assert "'o''hara'" in query and "\n" not in query
    # The literal statuses are what makes PostgreSQL use the partial indexes.
    assert "IN ('ENQUEUED', 'PENDING')" in query and "status = 'DELAYED'" in query


def test_the_fallback_keeps_what_is_there():
    assert scaled(SPEC)["fallback"]["behavior"] == "currentReplicas"


@pytest.mark.parametrize(("text", "number"), [("v1.36.3", (1, 36)), ("1.35.0-eks-1", (1, 35)), ("?", (0, 0))])
def test_server_versions(text, number):
    assert scaling.server_version(text) == number


def test_an_unverified_server_is_said():
    assert scaling.unverified(SPEC) is None
    assert "believed" in scaling.unverified(
        dataclasses.replace(SPEC, trigger=dataclasses.replace(DATABASE, sslmode="require"))
    )

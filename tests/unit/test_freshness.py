"""Which pods run on older Secrets and ConfigMaps."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import freshness, workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.freshness import Source

SECRET = Source("Secret", "dbos-app-db")


def at(second: int) -> str:
    return f"2026-11-24T12:00:{second:02d}Z"


def stored(kind: str, name: str, created: int, **written: int) -> dict[str, Any]:
    """An object as the API server shows it; C(written) names fields with the second of their last change."""
    fields = [
        {"manager": f"m{field}", "time": at(second), "fieldsV1": {f"f:{field}": {}}}
        for field, second in written.items()
    ]
    return {"kind": kind, "metadata": {"name": name, "creationTimestamp": at(created), "managedFields": fields}}


def pod(started: int, spec: dict[str, Any] | None = None, restarted: int | None = None) -> dict[str, Any]:
    env = [{"name": "URL", "valueFrom": {"secretKeyRef": {"name": "dbos-app-db", "key": "database-url"}}}]
    metadata: dict[str, Any] = {"name": "p", "creationTimestamp": at(started)}
    if restarted is not None:
        metadata["annotations"] = {freshness.RESTARTED: at(restarted)}
    return {"metadata": metadata, "spec": spec or {"containers": [{"env": env}]}}


def test_only_a_change_of_data_counts() -> None:
    assert freshness.changed(stored("Secret", "s", 1, data=5, metadata=9)).time == at(5)
    assert freshness.changed(stored("Secret", "s", 7, data=5)).time == at(7)
    assert freshness.changed({"kind": "Secret", "metadata": {"name": "s", "creationTimestamp": at(3)}}).time == at(3)


@pytest.mark.parametrize(
    ("started", "restarted", "missed"),
    [
        (4, None, True),
        (5, None, True),  # within the same second nobody knows
        (6, None, False),
        (5, 5, False),  # but this one was made for that very change
        (5, 4, True),
        (9, 5, False),
    ],
)
def test_a_pod_is_as_new_as_it_is(started: int, restarted: int | None, missed: bool) -> None:
    change = freshness.changed(stored("Secret", "dbos-app-db", 1, data=5))
    found = freshness.missed(pod(started, restarted=restarted), {SECRET: change})
    assert found == (change if missed else None)


def test_a_change_that_is_coming_concerns_every_pod() -> None:
    change = freshness.Change(freshness.COMING, SECRET)
    assert freshness.missed(pod(59, restarted=59), {SECRET: change}) == change
    assert str(change) == "Secret dbos-app-db changes"


def test_what_a_pod_does_not_use_does_not_matter() -> None:
    change = freshness.changed(stored("Secret", "other", 1, data=5))
    assert freshness.missed(pod(1), {change.source: change}) is None
    assert freshness.missed(pod(1), {}) is None


def test_all_that_our_own_pods_are_given() -> None:
    spec = workload.Spec(
        app="shop",
        namespace="shop",
        version="v1",
        image="i@sha256:1",
        kind="StatefulSet",
        owner="shop",
        secret_env={"SMTP": {"secret": "smtp", "key": "password"}},
        files={"a": "b"},
        conductor=workload.Conductor("wss://c", ca_secret="conductor-tls", ca_image="i"),
    )
    found = freshness.sources(workload.workload(spec)["spec"]["template"])
    assert found == {
        SECRET,
        Source("Secret", "conductor-api-key"),
        Source("Secret", "smtp"),
        Source("Secret", "conductor-tls"),
        Source("ConfigMap", "dbos-database-ca"),
        Source("ConfigMap", workload.files_name(spec)),
    }


def test_other_peoples_pods() -> None:
    spec = {
        "initContainers": [{"envFrom": [{"secretRef": {"name": "a"}}]}],
        "containers": [{"env": [{"name": "X", "value": "1"}], "envFrom": [{"configMapRef": {"name": "b"}}]}],
        "volumes": [
            {"name": "v", "emptyDir": {}},
            {"name": "w", "projected": {"sources": [{"secret": {"name": "c"}}, {"serviceAccountToken": {}}]}},
        ],
    }
    assert freshness.sources({"spec": spec}) == {Source("Secret", "a"), Source("ConfigMap", "b"), Source("Secret", "c")}

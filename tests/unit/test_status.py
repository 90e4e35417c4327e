"""The judgement of status.yml and verification: each thing that goes wrong is said, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils.attention import Wanted, attention
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import Work
from ansible_collections.dbos.kubernetes.plugins.module_utils.status import (
    Certificate,
    Database,
    Observation,
    parse_time,
    report,
    shown,
    why_pod_is_not_ready,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.table import age, columns, size, summary, until

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def labels(version):
    return {"app.kubernetes.io/name": "shop", "app.kubernetes.io/version": version}


def workload(version, replicas=1, ready=1):
    return {
        "kind": "StatefulSet",
        "metadata": {"name": f"shop-{version}", "labels": labels(version)},
        "spec": {"replicas": replicas},
        "status": {"readyReplicas": ready},
    }


def pod(version="v1", name="shop-v1-0", ready="True", **status):
    return {
        "metadata": {"name": name, "labels": labels(version), "creationTimestamp": "2026-11-23T11:00:00Z"},
        "spec": {"nodeName": "node"},
        "status": {"conditions": [{"type": "Ready", "status": ready}], **status},
    }


def row(version, latest=False, **counts):
    return {
        "version": version,
        "latest": latest,
        "registered": version is not None,
        "timestamp": 5 if version is not None else None,
        "pending": 0,
        "enqueued": 0,
        "delayed": 0,
        "oldest_at": None,
        **counts,
    }


def sealed(name="dbos-app-db", synced="True", generation=1):
    return {
        "metadata": {"name": name, "generation": generation},
        "status": {
            "observedGeneration": 1,
            "conditions": [{"type": "Synced", "status": synced, "message": "no key could decrypt"}],
        },
    }


def scaled(ready="True"):
    return {
        "kind": "ScaledObject",
        "metadata": {"name": "shop-v1"},
        "spec": {"scaleTargetRef": {"name": "shop-v1"}, "minReplicaCount": 1, "maxReplicaCount": 10},
        "status": {
            "conditions": [{"type": "Ready", "status": ready, "reason": "TriggerError", "message": "no database"}]
        },
    }


def database(*versions, level=125, **more):
    work = {one["version"]: Work(one["pending"], one["enqueued"], one["delayed"]) for one in versions}
    tables = [{"name": "workflow_status", "bytes": 2048}]
    return Database(schema_level=level, versions=list(versions), tables=tables, work=work, **more)


def record(version, **annotations):
    """A ledger record of the version; C(rolled_back="…") is annotation dbos.kubernetes/rolled-back."""
    written = {f"dbos.kubernetes/{key.replace('_', '-')}": value for key, value in annotations.items()}
    metadata = {"name": version, "creationTimestamp": "2026-11-23T10:00:00Z", "annotations": written}
    return {"metadata": metadata, "revision": 1, "data": {"version": version, "template": "t", "identity": {}}}


def service(version, **annotations):
    return {"metadata": {"annotations": annotations}, "spec": {"selector": labels(version)}}


GOOD = Observation(
    application="shop",
    namespace="dbos",
    now=NOW,
    workloads=[workload("v1")],
    pods=[pod()],
    service=service("v1"),
    health={"shop-v1-0": None},
    secrets=[{"name": "dbos-app-db", "keys": ["database-url"]}],
    sealed_secrets=[sealed()],
    scaled_objects=[scaled()],
    database=database(row("v1", latest=True)),
    certificates=[Certificate("sealing", NOW + timedelta(days=400))],
)
WANTED = Wanted(version="v1", autoscaling=True)


def judged(seen, wanted=WANTED):
    picture = report(seen)
    return {**picture, "attention": attention(picture, wanted)}


def test_a_good_application_needs_nobody():
    seen = judged(GOOD)
    assert seen["attention"] == []
    assert seen["versions"][0]["state"] == "Promoted"
    assert "Nothing needs a person." in summary(seen)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"service": None}, "No promoted version of shop runs"),
        ({"workloads": []}, "Version v1 of shop has no workload"),
        ({"workloads": [workload("v1", 3, 1)]}, "1 of 3 pods ready"),
        ({"pods": [pod(ready="False")]}, "Pod shop-v1-0 in namespace dbos is not ready"),
        ({"health": {"shop-v1-0": "GET /healthz answered 503"}}, "is not healthy: GET /healthz answered 503"),
        (
            {"sealed_secrets": [sealed(synced="False")]},
            "SealedSecret dbos-app-db in namespace dbos is not unsealed: no key",
        ),
        ({"sealed_secrets": [sealed(generation=2)]}, "is not unsealed"),
        ({"secrets": []}, "Secret dbos-app-db in namespace dbos is missing"),
        (
            {"scaled_objects": [scaled("False")]},
            "ScaledObject shop-v1 in namespace dbos is not ready: TriggerError: no database",
        ),
        ({"scaled_objects": []}, "Nothing scales version v1"),
        ({"certificates": [Certificate("sealing", NOW + timedelta(days=3))]}, "expires in 3 days, on 2026-11-26"),
        ({"certificates": [Certificate("sealing", NOW - timedelta(days=3))]}, "expired on 2026-11-20"),
        ({"database": database(row("v1", latest=True), level=None)}, "no DBOS schema"),
        (
            {"database": database(row("0.1.0", latest=True))},
            "did not register itself; registered without being asked for: 0.1.0",
        ),
        ({"database": database(row("v1"), row("v0", latest=True))}, "while version v0 takes new work"),
        (
            {"database": database(row("v1", latest=True), row("v0", delayed=2))},
            "Version v0 is stranded: 2 unfinished workflows and no workload: deploy it again, or fork its work",
        ),
        ({"service": service("v1", **{"dbos.kubernetes/promoting": "v2"})}, "promotion of version v2 is half done"),
        ({"unreadable": {"The database": "no route"}, "database": None}, "The database could not be read: no route"),
    ],
)
def test_what_is_wrong_is_said(broken, said):
    attention = judged(replace(GOOD, **broken))["attention"]
    assert any(said in sentence for sentence in attention), attention


def test_work_for_any_version_and_finished_versions_need_nobody():
    seen = replace(GOOD, database=database(row("v1", latest=True), row("v0"), row(None, enqueued=3)))
    result = judged(seen, Wanted())
    assert result["attention"] == []
    assert {one["version"]: one["state"] for one in result["versions"]} == {
        "v1": "Promoted",
        "v0": "Past",
        None: "Unversioned",
    }
    summary(result)


def test_a_staged_version_need_not_be_promoted():
    both = replace(
        GOOD,
        workloads=[workload("v1"), workload("v2")],
        database=database(row("v1", latest=True), row("v2", timestamp=1)),
        scaled_objects=[scaled()],
    )
    staged = judged(both, Wanted(version="v2", promoted=False))
    assert staged["attention"] == []
    assert [one["state"] for one in staged["versions"]] == ["Promoted", "Staged"]
    assert "Version v2 is not promoted" in judged(both, Wanted(version="v2"))["attention"][0]


def test_a_version_that_was_promoted_once_is_draining():
    seen = replace(
        GOOD,
        workloads=[workload("v1"), workload("v0")],
        database=database(row("v1", latest=True), row("v0", pending=1)),
    )
    assert [one["state"] for one in judged(seen)["versions"]] == ["Promoted", "Draining"]


def test_what_the_ledger_says_is_told():
    seen = replace(
        GOOD,
        records=[
            record("v1", promoted="2026-11-23T10:01:00+00:00,2026-11-23T11:30:00+00:00"),
            record("v2", promoted="2026-11-23T11:00:00+00:00", rolled_back="2026-11-23T11:30:00+00:00 v1"),
            record("v0", promoted="2026-11-22T10:00:00+00:00", retired="2026-11-23T10:30:00+00:00"),
        ],
    )
    promoted, bad, old = judged(seen)["versions"]
    assert (promoted["version"], bad["version"], old["version"]) == ("v1", "v2", "v0")
    assert promoted["promoted_at"] == "2026-11-23T11:30:00+00:00" and len(promoted["promotions"]) == 2
    assert bad["rolled_back"] == {"at": "2026-11-23T11:30:00+00:00", "to": "v1"}
    assert (old["state"], old["retired_at"]) == ("Retired", "2026-11-23T10:30:00+00:00")
    assert "2026-11-23 10:30" in summary(judged(seen))


def test_history_does_not_bury_what_is_alive():
    records = [record(f"v0-{n}", promoted=f"2026-11-{n:02}T10:00:00+00:00") for n in range(1, 20)]
    rows, hidden = shown(judged(replace(GOOD, records=records))["versions"])
    assert [one["version"] for one in rows] == ["v1", "v0-19", "v0-18", "v0-17", "v0-16", "v0-15"]
    assert hidden == 14
    assert "… and 14 older versions" in summary(judged(replace(GOOD, records=records)))


def test_a_drain_past_its_deadline_needs_a_person():
    old = row("v0", pending=1, oldest_at="2026-11-23T10:00:00Z")
    blocker = {
        "id": "w1",
        "version": "v0",
        "workflow": "nap",
        "status": "PENDING",
        "created_at": "2026-11-23T10:00:00Z",
    }
    blocker |= {"queue": None, "executor": "shop-v0-0", "waits_for": "sleeps"}
    data = database(row("v1", latest=True), old, blockers=[blocker])
    data = replace(data, work={"v0": Work(pending=1, oldest=NOW.timestamp() - 7200)})
    seen = judged(replace(GOOD, workloads=[workload("v1"), workload("v0")], database=data, deadline=3600))
    assert [(one["state"], one["blockers"]) for one in seen["versions"]] == [("Promoted", 0), ("DrainBlocked", 1)]
    assert "Version v0 does not drain: its oldest unfinished workflow is" in seen["attention"][0]
    assert "sleeps" in summary(seen)


def test_a_frozen_application_is_said_to_be():
    assert "Frozen by alice: an incident" in summary(
        judged(replace(GOOD, frozen={"by": "alice", "reason": "an incident"}))
    )


def test_terminating_pods_are_no_complaint():
    ending = pod(name="shop-v1-1", ready="False")
    ending["metadata"]["deletionTimestamp"] = "2026-11-23T12:00:00Z"
    assert judged(replace(GOOD, pods=[pod(), ending]))["attention"] == []


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (
            {"containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}]},
            "ImagePullBackOff: not found",
        ),
        ({"containerStatuses": [{"state": {"terminated": {"reason": "Error", "exitCode": 1}}}]}, "Error, exit code 1"),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "cpu"}]},
            "Unschedulable: cpu",
        ),
        ({"conditions": [], "phase": "Pending"}, "Pending"),
    ],
)
def test_the_most_telling_reason(status, why):
    assert why_pod_is_not_ready(pod(ready="False") | {"status": status}) == why


def test_text():
    assert columns(("A", "B"), []) == []
    assert columns(("A", "B"), [("long", None)]) == ["A     B", "long  -"]
    assert age("2026-11-23T11:00:00Z", NOW) == "60 min"
    assert age(None, NOW) == "-"
    assert (until(None, NOW), until("2026-11-23T12:05:00Z", NOW), until("2026-11-23T11:59:00Z", NOW)) == (
        "-",
        "in 5 min",
        "now",
    )
    assert (size(5), size(2048), size(5 * 1024**4)) == ("5 B", "2.0 KiB", "5.0 TiB")
    assert parse_time("Nov 23 12:00:00 2026 GMT") == parse_time("2026-11-23T12:00:00Z") == NOW

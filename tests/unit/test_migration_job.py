"""The migration's Job, recognised again, and what a CLI prints: no cluster, no database."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import migration_job as jobs
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.pods import by_a_rule, trouble
from ansible_collections.dbos.kubernetes.plugins.module_utils.migration_job import Spec

SPEC = Spec(
    application="shop",
    namespace="shops",
    image="registry/migrate@sha256:1",
    sdk="go",
    command=(),
    app_role="shop_role",
    schema="dbos",
    database="db:5432/shop",
    url_secret="postgres-admin",
    url_key="database-url",
    ca_config_map="dbos-database-ca",
    timeout=600,
    backoff_limit=1,
)


def ended(
    name: str, end: str | None, *, level: str | None = None, spec: Spec = SPEC, created: int = 0
) -> dict[str, Any]:
    job = jobs.document(spec, name)
    job["metadata"]["creationTimestamp"] = f"2026-11-23T20:00:{created:02}Z"
    if level:
        job["metadata"]["annotations"] = {jobs.LEVEL: level}
    job["status"] = {"conditions": [{"type": end, "status": "True"}] if end else []}
    return job


@pytest.mark.parametrize("sdk", ["go", "python", "typescript"])
def test_no_url_in_arguments(sdk: str) -> None:
    document = jobs.document(dataclasses.replace(SPEC, sdk=sdk, schema="other"), "shop-migrate-1")
    [container] = document["spec"]["template"]["spec"]["containers"]
    words = json.dumps([container.get("command"), container["args"]])
    assert "$(" not in words  # Kubernetes would write the value into the process's arguments
    assert "shop_role" in words
    assert "other" in words
    assert container["env"] == [
        {"name": jobs.URL, "valueFrom": {"secretKeyRef": {"name": "postgres-admin", "key": "database-url"}}}
    ]


def test_the_restricted_profile() -> None:
    pod = jobs.document(SPEC, "shop-migrate-1")["spec"]["template"]["spec"]
    security = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    # a Service of the application selects by version: a Job has none
    assert "app.kubernetes.io/version" not in jobs.document(SPEC, "x")["spec"]["template"]["metadata"]["labels"]


def test_no_ca_no_mount() -> None:
    pod = jobs.document(dataclasses.replace(SPEC, ca_config_map=""), "x")["spec"]["template"]["spec"]
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]


@pytest.mark.parametrize(
    "changes",
    [{"image": "other"}, {"command": ("x",)}, {"app_role": "other"}, {"schema": "other"}, {"database": "other"}],
)
def test_another_migration_is_recognised(changes: dict[str, Any]) -> None:
    assert dataclasses.replace(SPEC, **changes).fingerprint != SPEC.fingerprint


def test_names_are_never_used_twice() -> None:
    assert jobs.job_name("shop", []) == "shop-migrate-1"
    assert (
        jobs.job_name("shop", [ended("shop-migrate-9", "Complete"), ended("shop-migrate-10", None)])
        == "shop-migrate-11"
    )
    assert jobs.job_name("shop", [ended("shop-migrate-x", "Complete")]) == "shop-migrate-1"
    assert len(jobs.job_name("a" * 63, [])) <= 63


def test_the_last_good_job() -> None:
    good = ended("shop-migrate-2", "Complete", level="107", created=2)
    others = [
        ended("shop-migrate-1", "Complete", level="107", created=1),
        ended("shop-migrate-3", "Failed", level="107", created=3),
        ended("shop-migrate-4", "Complete", created=4),
        ended("shop-migrate-5", "Complete", level="125", created=5),
        ended("shop-migrate-6", "Complete", level="107", created=6, spec=dataclasses.replace(SPEC, image="other")),
        ended("shop-migrate-7", None, level="107", created=7),
    ]
    assert jobs.last_good([*others, good], SPEC.fingerprint, 107) is good
    # a database that was restored from a backup is behind what the Job reached
    assert jobs.last_good([good], SPEC.fingerprint, 106) is None
    assert jobs.last_good([good], SPEC.fingerprint, None) is None
    assert jobs.active(others) == [others[-1]]


def test_a_job_that_was_never_verified_counts_while_its_run_may_just_have_been_killed() -> None:
    killed = ended("shop-migrate-1", "Complete")
    killed["status"]["completionTime"] = "2026-11-23T20:05:00Z"
    verified = ended("shop-migrate-2", "Complete", level="125")
    verified["status"]["completionTime"] = "2026-11-23T20:06:00Z"
    before, after = datetime(2026, 11, 23, 20, 4, tzinfo=UTC), datetime(2026, 11, 23, 20, 6, tzinfo=UTC)
    assert jobs.unverified([verified, killed], SPEC.fingerprint, before) is killed
    assert jobs.unverified([verified, killed], SPEC.fingerprint, after) is None
    assert jobs.unverified([killed], "another", before) is None


def test_pruning_keeps_the_newest_and_the_active() -> None:
    found = [ended(f"shop-migrate-{n}", "Complete", created=n) for n in range(1, 5)]
    running = ended("shop-migrate-5", None, created=0)
    assert [job["metadata"]["name"] for job in jobs.to_prune([running, *found], 2)] == [
        "shop-migrate-1",
        "shop-migrate-2",
    ]
    assert jobs.to_prune(found, 9) == []


def test_what_a_cli_prints() -> None:
    assert jobs.print_command("/bin/dbos", "go", "dbos", None) == ["/bin/dbos", "migrate", "--print-migrations", "all"]
    assert jobs.print_command("/bin/dbos", "typescript", "x", 107) == [
        "/bin/dbos", "schema", "--schema", "x", "--print-migrations", "108",
    ]  # fmt: skip
    sql = "-- DBOS\n-- Migration 108\nALTER TABLE a;\n-- Migration 109\n-- Migration 109: words\nSELECT 1;\n"
    assert jobs.read_printed(0, sql, "", 107) == (109, sql)
    nothing = "Migration 126 does not exist: valid migrations are 1 through 125"
    assert jobs.read_printed(1, "", nothing, 125) == (125, "")
    assert jobs.read_printed(1, "", nothing, 999) == (999, "")
    with pytest.raises(DbosError, match="exit status 2") as caught:
        jobs.read_printed(2, "", "no such option postgresql://u:hidden@h/d", None)
    assert "hidden" not in caught.value.msg


@pytest.mark.parametrize(
    "text", ["postgresql://u:hidden@h/d", "postgres://u:hid%20den@h", "postgresql+psycopg://u:hidden@h:5432/d?x=y"]
)
def test_passwords_are_masked_in_logs(text: str) -> None:
    assert "hid" not in jobs.mask(f"error at {text} today")
    assert jobs.mask("the word", "word") == "the ***"


def pod(**state: Any) -> dict[str, Any]:
    return {"status": {"phase": "Pending", "containerStatuses": [{"image": "i", "state": state}]}}


@pytest.mark.parametrize(
    ("state", "hopeless"),
    [
        ({"waiting": {"reason": "ImagePullBackOff", "message": "m"}}, True),
        ({"waiting": {"reason": "InvalidImageName"}}, True),
        ({"waiting": {"reason": "CreateContainerConfigError", "message": "m"}}, False),
        ({"terminated": {"reason": "StartError", "exitCode": 128, "message": "m"}}, True),
        ({"terminated": {"reason": "Error", "exitCode": 1}}, False),
        ({"waiting": {"reason": "ContainerCreating"}}, None),
        ({"terminated": {"reason": "Completed", "exitCode": 0}}, None),
        ({"running": {}}, None),
    ],
)
def test_what_waiting_heals(state: dict[str, Any], hopeless: bool | None) -> None:
    found = trouble(pod(**state))
    assert (found.hopeless if found else None) is hopeless


@pytest.mark.parametrize(
    ("refused", "rule"),
    [
        ('pods "a" is forbidden: exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0', True),
        ('pods "a" is forbidden: violates PodSecurity "restricted:latest"', True),
        ('pods "a" is forbidden: error looking up service account n/default: … not found', False),
        ("", False),
    ],
)
def test_a_new_namespace_gets_its_account(refused: str, rule: bool) -> None:
    assert by_a_rule(refused) is rule


def test_a_pod_without_a_node() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    found = trouble({"status": {"phase": "Pending", "conditions": [condition]}})
    assert found
    assert found.reason == "Unschedulable: 0/1 nodes"
    assert not found.hopeless

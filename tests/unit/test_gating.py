"""What passes a gate and what does not, and whose objects are left alone."""

from __future__ import annotations

import json

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import gating, lifecycle, preflight, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.gating import Http, Subject

SUBJECT = Subject("shop", "prod", "v2", "shop", 8080)


@pytest.mark.parametrize(
    ("wanted", "status", "body", "text"),
    [
        (Http("/a"), 200, b"", None),
        (Http("/a", contains="ok"), 200, b'{"status": "ok"}', None),
        (Http("/a", status=404), 404, b"no such page", None),
        (Http("/a"), 500, b"it\nbroke", "answered 500 instead of 200: it broke"),
        (Http("/a", contains="ok"), 200, b"fine", "without 'ok': fine"),
    ],
)
def test_answers(wanted: Http, status: int, body: bytes, text: str | None) -> None:
    found = gating.wrong(wanted, status, body)
    assert found is None if text is None else text in str(found)


def test_an_answer_is_shown_without_passwords() -> None:
    found = gating.wrong(Http("/a"), 500, b"postgresql://shop:secret@db/shop refused")
    assert found and "secret" not in found


@pytest.mark.parametrize(
    ("status", "body", "unanswered"),
    [
        (503, json.dumps({"kind": "Status", "apiVersion": "v1", "reason": "ServiceUnavailable"}).encode(), True),
        (503, b"error trying to reach service: connection refused", True),
        (404, json.dumps({"kind": "Status", "apiVersion": "v1", "reason": "NotFound"}).encode(), True),
        (404, b"404 page not found", False),
        (503, b'{"status": "draining"}', False),
        (503, b"[]", False),
        (200, b"anything", False),
    ],
)
def test_only_the_api_servers_own_refusal_is_asked_again(status: int, body: bytes, unanswered: bool) -> None:
    assert gating.unanswered(status, body) is unanswered


def test_the_preview_leads_to_the_gated_version_only() -> None:
    service = gating.preview(SUBJECT)
    assert service["metadata"]["name"] == "shop-preview"
    assert service["spec"]["selector"]["app.kubernetes.io/version"] == "v2"
    assert gating.proxy(SUBJECT, "/a?b=c") == "/api/v1/namespaces/prod/services/shop-preview:http/proxy/a?b=c"


def test_the_account_counts_and_names() -> None:
    made = [{"id": f"w{number}", "workflow": "task", "status": "SUCCESS"} for number in range(60)]
    text = gating.verdict("it broke.", SUBJECT, "v1", [{"id": "x", "workflow": "task", "status": "ERROR"}, *made])
    assert "61 workflows (1 ERROR, 60 SUCCESS): x, w0, " in text and "w59" not in text
    assert "it broke. It made" in text and "v1 goes on serving" in text
    assert "no version serves yet" in gating.verdict("it broke", SUBJECT, None, [])


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        ({"labels": {"app.kubernetes.io/managed-by": "dbos.kubernetes"}}, ""),
        ({}, "another"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
        ({"annotations": {"meta.helm.sh/release-name": "shop"}}, "Helm's release shop"),
        (
            {
                "annotations": {"meta.helm.sh/release-name": "shop"},
                "labels": {"helm.toolkit.fluxcd.io/name": "shops"},
            },
            "Flux' HelmRelease shops",
        ),
        ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "Argo CD's application shop"),
        ({"ownerReferences": [{"kind": "DBOSApplication", "name": "shop"}]}, "DBOSApplication shop"),
    ],
)
def test_whose_an_object_is(metadata: dict[str, object], owner: str) -> None:
    assert version_objects.owner_of({"metadata": metadata}) == owner


@pytest.mark.parametrize(
    "found", [{"metadata": {"name": "shop"}}, {"metadata": {"name": "a"}, "spec": {"appName": "shop"}}]
)
def test_an_application_of_the_operator_is_its_own(found: dict[str, object]) -> None:
    with pytest.raises(DbosError, match="DBOS' operator deploys this application"):
        version_objects.refuse_others("shop", "prod", None, [found])
    version_objects.refuse_others("other", "prod", None, [found])


def test_one_version_too_many_names_what_keeps_the_others() -> None:
    observed = lifecycle.Observed(
        workloads=tuple(lifecycle.Workload(version, "StatefulSet", 1) for version in ("v1", "v2")),
        selected="v2",
        records=(lifecycle.Record("v1", 1, {}, "t", promotions=("2026-01-01T00:00:00Z",)),),
        work={"v1": lifecycle.Work(pending=2, delayed=1)},
    )
    wanted = lifecycle.Wanted("v3", "shop", {}, "t", "StatefulSet", 1, most_live=2)
    refusal = str(lifecycle.plan(observed, wanted).refusal)
    assert "release_max_live_versions is 2" in refusal and "v2 (promoted)" in refusal
    assert "v1 (draining, 3 unfinished)" in refusal


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"release_gate_approval": "true", "release_strategy": "patching"}, "needs release_strategy versions"),
        ({"release_approve": "v1", "release_version": "v2"}, "release_approve names version v1, but v2"),
        ({"release_frozen": {"by": "alice"}}, "exactly 'by' and 'reason'"),
        ({"release_gate_workflow": {"name": "task"}}, "needs 'name' and 'queue'"),
    ],
)
def test_contradictions(values: dict[str, object], text: str) -> None:
    assert any(text in problem for problem in preflight.contradictions({"dbos_app": "shop", **values}))


def test_gates_that_are_off_contradict_nothing() -> None:
    off = {"release_gate_approval": "false", "release_gate_tasks": "", "release_gate_http": [], "release_frozen": {}}
    assert not list(preflight.contradictions({"dbos_app": "shop", "release_strategy": "patching", **off}))

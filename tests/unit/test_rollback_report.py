"""The report of a rollback: every unfinished workflow has one line and one outcome."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import rollback_report

WHEN = "2026-11-24T10:00:00Z"


def workflow(id_: str) -> dict[str, Any]:
    return {"id": id_, "workflow": "task", "status": "PENDING", "queue": None, "executor": "shop-v2-0",
            "schedule": None, "created_at": WHEN}  # fmt: skip


def result(policy: str, *ids: str, **changes: Any) -> dict[str, Any]:
    made = {
        "since": WHEN, "runs": {"SUCCESS": 5, "PENDING": len(ids)}, "workflows": [workflow(one) for one in ids],
        "unversioned": 3, "queues": ["mails"],
        "schedules": [
            {"name": "nightly", "workflow": "tick", "status": "ACTIVE", "runs": 2, "new": False},
            {"name": "hourly", "workflow": "sum", "status": "ACTIVE", "runs": 0, "new": True},
            {"name": "other", "workflow": "sum", "status": "ACTIVE", "runs": 0, "new": False},
        ],
        "registered": [{"version": "v2", "latest_since": WHEN, "created_at": WHEN, "owner": "shop"}],
    }  # fmt: skip
    return {"version": "v1", "from_version": "v2", "policy": policy, "steps": ["promote v1: …"], "settled": {},
            "account": made, **changes}  # fmt: skip


def test_every_unfinished_workflow_has_an_outcome() -> None:
    settled = {"forked": [{"from": "a", "to": "a2"}], "cancelled": [], "refused": [{"id": "b", "why": "its parent"}]}
    found = rollback_report.outcomes(result("fork", "a", "b", "c", settled=settled), check=False)
    assert found == {"a": "forked to a2", "b": "kept: its parent", "c": "ended meanwhile"}


@pytest.mark.parametrize(
    ("policy", "said"), [("drain", "drains on v2"), ("cancel", "would be cancelled"), ("fork", "would be forked to v1")]
)
def test_check_mode_tells_the_plan(policy: str, said: str) -> None:
    text = rollback_report.text("shop", result(policy, "a"), check=True)
    assert text.startswith("shop would be rolled back from v2 to v1.") and said in text


def test_everything_is_told() -> None:
    text = rollback_report.text("shop", result("cancel", "a", settled={"cancelled": ["a"]}), check=False)
    for said in ("is rolled back from v2 to v1.", "runs: 5 SUCCESS, 1 PENDING", "queues registered: mails",
                 "nightly", "new: v1 may not know its workflow", "cancelled",
                 "3 unfinished workflows name no version"):  # fmt: skip
        assert said in text, said
    assert "other" not in text


def test_a_second_run_says_so() -> None:
    assert "as it was before this run" in rollback_report.text("shop", result("drain", steps=[]), check=False)
    nothing = result("drain", from_version=None, account=None)
    assert "nothing to do" in rollback_report.text("shop", nothing, check=False)


def test_thousands_of_workflows_do_not_flood_the_screen() -> None:
    text = rollback_report.text("shop", result("drain", *map(str, range(1000))), check=False)
    assert text.count("drains on v2") == 50 and "and 950 more" in text

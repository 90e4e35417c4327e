"""When a run that waits goes on, and what it tells at its end."""

from __future__ import annotations

from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.retiring import joined, unfinished


def tick(changed: bool, *types: str, **more: Any) -> dict[str, Any]:
    conditions = {f"v{number}": [{"type": one, "message": ""}] for number, one in enumerate(types)}
    return {"changed": changed, "conditions": conditions, "actions": [], "evidence": {}, **more}


def test_it_goes_on_while_something_was_done_or_drains() -> None:
    assert unfinished(tick(True, "Promoted"))
    assert unfinished(tick(False, "Promoted", "Draining"))
    assert unfinished(tick(False, "Drained", "Promoted"))
    assert not unfinished(tick(False, "Promoted", "Retired", "Staged"))


def test_all_ticks_are_told_and_the_last_says_how_it_is() -> None:
    first = tick(True, "Drained", actions=[{"verb": "stop"}], evidence={"v0": {"reads": 3}})
    found = joined(first, tick(False, "Retired"))
    assert found["changed"] and [action["verb"] for action in found["actions"]] == ["stop"]
    assert found["conditions"]["v0"][0]["type"] == "Retired" and "v0" in found["evidence"]
    assert not unfinished(tick(False, "Retired"))

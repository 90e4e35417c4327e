"""Which schedules fire, at every schema level that changed their table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import open_server
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import schedules

from .database_kit import Kit
from .schema_kit import insert, make


@pytest.fixture(scope="module")
def kit(platform: Any, namespace: str) -> Iterator[Kit]:
    kit = Kit(platform, namespace)
    kit.ok("database", **kit.database_options())
    yield kit
    kit.remove()


def active(kit: Kit) -> list[str]:
    with open_server({"database_url": kit.owner_url(), "ca": kit.ca}) as server, server.connect() as session:
        return schedules.active(session, "shop")


# Their table is made at level 9, and tells applications apart from 102 on.
@pytest.mark.parametrize("level", [8, 9, 101, 102, 125])
def test_active_ones(kit: Kit, level: int) -> None:
    make(kit, level)
    rows: list[dict[str, Any]] = [
        {"schedule_name": "nightly", "application_name": "shop"},
        {"schedule_name": "hourly", "application_name": None},
        {"schedule_name": "paused", "application_name": "shop", "status": "PAUSED"},
        {"schedule_name": "of-others", "application_name": "others"},
    ]
    if level >= 9:
        for row in rows:
            if level < 102:
                del row["application_name"]
            more = {
                "schedule_id": row["schedule_name"],
                "workflow_name": "w",
                "schedule": "* * * * * *",
                "context": "{}",
            }
            insert(kit, "workflow_schedules", row | more)
    known = {8: set(), 9: {"nightly", "hourly", "of-others"}, 101: {"nightly", "hourly", "of-others"}}
    assert active(kit) == sorted(known.get(level, {"nightly", "hourly"}))

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schedules by which an application makes work for itself."""

from __future__ import annotations

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database

_COLUMNS = """
SELECT attname::text FROM pg_attribute
WHERE attrelid = to_regclass('dbos.workflow_schedules') AND attnum > 0 AND NOT attisdropped
"""
_ACTIVE = "SELECT schedule_name FROM dbos.workflow_schedules WHERE status = 'ACTIVE'"
_OWNED = " AND (application_name = %(owner)s OR application_name IS NULL)"


def active(db: Database, owner: str) -> list[str]:
    """Names of those that fire, in order; of all applications' where the schema does not tell them apart yet."""
    columns = {name for (name,) in db.read(_COLUMNS)}
    if not columns:
        return []
    return sorted(
        name for (name,) in db.read(_ACTIVE + (_OWNED if "application_name" in columns else ""), {"owner": owner})
    )

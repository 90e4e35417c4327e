# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The databases of a server: whether their owners are of our making, and whether they may be looked into."""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.roles import MARK


class Found(NamedTuple):
    """One database."""

    name: str
    made: bool
    readable: bool


def read(db: Database) -> list[Found]:
    """All that connections are allowed to."""
    rows = db.read(
        """
        SELECT datname::text, coalesce(shobj_description(datdba, 'pg_authid') = %s, false),
            has_database_privilege(oid, 'CONNECT')
        FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1
        """,
        (MARK,),
    )
    return [Found(*row) for row in rows]

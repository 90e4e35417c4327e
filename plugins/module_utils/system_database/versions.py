# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Statements on DBOS' application_versions: which versions are registered, and which is the latest."""

from __future__ import annotations

import uuid
from typing import NamedTuple

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database, DatabaseError
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import AHEAD, Registration
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.schema import ABSENT

# Not all schema levels have the column application_name.
_LIST = """
SELECT version_name, version_timestamp, created_at, to_jsonb(v) ->> 'application_name', to_jsonb(v) ? 'application_name'
FROM {table} AS v
"""
# Unclaimed: the first pod that launches with this version claims the row, which proves that it did.
_REGISTER = """
INSERT INTO {table} (version_id, version_name, version_timestamp, created_at)
VALUES (%s, %s, %s, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
ON CONFLICT DO NOTHING RETURNING version_name
"""
# After every other, even when a clock was wrong once.
_PROMOTE = """
UPDATE {table} SET {claimed} version_timestamp = greatest(
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    (SELECT max(version_timestamp) + 1 FROM {table} WHERE version_name <> {version} AND {owned}))
WHERE version_name = {version} AND {owned}
RETURNING version_name
"""
# What was true when it was decided must still be.
_FORGET = """
DELETE FROM {table} AS v WHERE version_name = {version} AND {owned}
AND version_timestamp < (SELECT max(version_timestamp) FROM {table} WHERE version_name <> {version} AND {owned})
AND NOT EXISTS (
    SELECT FROM {work} WHERE status IN ('ENQUEUED', 'PENDING') AND application_version = {version} AND {owned})
AND NOT EXISTS (SELECT FROM {work} WHERE status = 'DELAYED' AND application_version = {version} AND {owned})
RETURNING version_name
"""


class Row(NamedTuple):
    """A registered version; times in epoch milliseconds, C(owner) is the application that claimed it."""

    version: str
    timestamp: int
    created: int
    owner: str | None


class Register(NamedTuple):
    """All rows; C(claims) is false where the schema does not say which application a version belongs to."""

    rows: tuple[Row, ...]
    claims: bool


def read(db: Database, schema: str = "dbos") -> Register | None:
    """What is registered; None when the schema has no versions yet (below level 13), or there is none."""
    from psycopg2 import sql

    try:
        rows = db.read(sql.SQL(_LIST).format(table=sql.Identifier(schema, "application_versions")))
    except DatabaseError as error:
        if error.code in ABSENT:
            return None
        raise
    return Register(tuple(Row(*row[:4]) for row in rows), all(row[4] for row in rows))


def registrations(db: Database) -> tuple[Registration, ...] | None:
    """All rows, as the decisions take them; None when the database was not migrated yet."""
    found = read(db)
    if found and not found.claims:
        raise DbosError(
            f"The schema of database {db.name} is older than level 103: it does not say which application a version "
            "belongs to. Migrate it with a current SDK (role migration)."
        )
    return found and tuple(Registration(row.version, row.timestamp, row.owner) for row in found.rows)


def register_ahead(db: Database, version: str, schema: str = "dbos") -> bool:
    """Register a version that shall not be the latest when its first pod launches; False when its name is taken."""
    from psycopg2 import sql

    table = sql.Identifier(schema, "application_versions")
    return bool(db.write(sql.SQL(_REGISTER).format(table=table), (str(uuid.uuid4()), version, AHEAD)))


def promote(db: Database, owner: str, version: str, *, schema: str = "dbos", claims: bool = True) -> bool:
    """Make a registered version the latest of the application; False when it is not registered, or another's."""
    return _write(db, _PROMOTE, owner, version, schema, claims)


def forget(db: Database, owner: str, version: str, *, schema: str = "dbos", claims: bool = True) -> bool:
    """Delete a version's row; False when it has unfinished work, is the latest, is not registered, or another's."""
    return _write(db, _FORGET, owner, version, schema, claims)


def _write(db: Database, statement: str, owner: str, version: str, schema: str, claims: bool) -> bool:
    from psycopg2 import sql

    mine = sql.SQL("(application_name = {} OR application_name IS NULL)").format(sql.Literal(owner))
    text = sql.SQL(statement).format(
        table=sql.Identifier(schema, "application_versions"),
        work=sql.Identifier(schema, "workflow_status"),
        version=sql.Literal(version),
        owned=mine if claims else sql.SQL("true"),
        claimed=sql.SQL("application_name = {},").format(sql.Literal(owner)) if claims else sql.SQL(""),
    )
    return bool(db.write(text))

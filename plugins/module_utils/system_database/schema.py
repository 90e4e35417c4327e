# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schema of the system database: its level, the privileges on it, its size, and the lock round a migration."""

from __future__ import annotations

from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import (
    Database,
    DatabaseError,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

# One lock per database: advisory locks do not reach across databases. The number is the collection's own.
LOCK = 0x64626F736B38  # "dbosk8"
# Writes to DBOS' tables are tested up to this level.
NEWEST_TESTED = 125
ABSENT = ("42P01", "3F000")  # undefined_table, invalid_schema_name

# What scaling and monitoring may read, where the schema has it.
METRICS_COLUMNS = {
    "workflow_status": (
        "status", "queue_name", "application_version", "application_name", "executor_id", "created_at",
        "delay_until_epoch_ms",
    ),
    "application_versions": ("version_name", "version_timestamp", "application_name"),
}  # fmt: skip


def level(db: Database, schema: str = "dbos") -> int | None:
    """The number of the last migration; None when the schema was never made."""
    from psycopg2 import sql

    try:
        rows = db.read(sql.SQL("SELECT version FROM {}.dbos_migrations").format(sql.Identifier(schema)))
    except DatabaseError as error:
        if error.code in ABSENT:
            return None
        raise
    return int(rows[0][0]) if rows else 0


def check_writable(found: int | None, confirmed: bool) -> None:
    """Refuse to write to tables whose meaning may have changed since; C(confirmed) is option allow_newer_schema."""
    if found is None:
        raise DbosError("The database has no DBOS schema to write to: run role migration (deploy.yml) first.")
    if found > NEWEST_TESTED and not confirmed:
        raise DbosError(
            f"The system database is at schema level {found}, but {NEWEST_TESTED} is the newest that writes were "
            "tested with. Reading goes on; to write all the same, set allow_newer_schema to true, or use a newer "
            "release of this collection.",
            schema_version=found,
        )


def demand_level(found: int | None, needed: int, application: str) -> None:
    """A database ahead of the SDK is fine; one behind fails with what to run."""
    if found is None or found < needed:
        raise DbosError(
            f"The system database of {application} is at schema level {found or 'none'}, but its SDK needs {needed}. "
            "Run role migration (deploy.yml) with a migration image of that SDK's version or a newer one.",
            from_version=found,
            to_version=needed,
        )


def privileges(db: Database, schema: str, application: str, metrics: str | None) -> dict[str, Any]:
    """Which of the two roles exist, and what each lacks in the schema; one statement, empty lists when all is well."""
    rows = db.read(
        """
        WITH app AS (SELECT oid FROM pg_roles WHERE rolname = %(application)s),
             metrics AS (SELECT oid FROM pg_roles WHERE rolname = %(metrics)s),
             space AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = %(schema)s),
             tables AS (SELECT c.oid, c.relname FROM pg_class c JOIN space s ON c.relnamespace = s.oid
                        WHERE c.relkind IN ('r', 'p'))
        SELECT (SELECT count(*) FROM app), (SELECT count(*) FROM metrics),
            ARRAY(
                SELECT 'USAGE on schema ' || s.nspname FROM app, space s
                WHERE NOT has_schema_privilege(app.oid, s.oid, 'USAGE')
                UNION ALL
                SELECT p || ' on table ' || t.relname
                FROM app, tables t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
                WHERE NOT has_table_privilege(app.oid, t.oid, p)
                UNION ALL
                SELECT 'EXECUTE on function ' || f.proname FROM app, space s JOIN pg_proc f ON f.pronamespace = s.oid
                WHERE NOT has_function_privilege(app.oid, f.oid, 'EXECUTE')),
            ARRAY(
                SELECT 'USAGE on schema ' || s.nspname FROM metrics, space s
                WHERE NOT has_schema_privilege(metrics.oid, s.oid, 'USAGE')
                UNION ALL
                SELECT t.relname || '.' || a.attname
                FROM metrics, tables t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0
                JOIN unnest(%(tables)s, %(columns)s) AS wanted(t, c) ON wanted.t = t.relname AND wanted.c = a.attname
                WHERE NOT has_column_privilege(metrics.oid, t.oid, a.attnum, 'SELECT'))
        """,
        {
            "application": application,
            "metrics": metrics,
            "schema": schema,
            "tables": [table for table, columns in METRICS_COLUMNS.items() for _column in columns],
            "columns": [column for columns in METRICS_COLUMNS.values() for column in columns],
        },
    )
    application_exists, metrics_exists, missing, missing_metrics = rows[0]
    return {
        "application_exists": bool(application_exists),
        "metrics_exists": bool(metrics_exists),
        "missing": sorted(missing),
        "missing_metrics": sorted(missing_metrics),
    }


def grant_metrics(db: Database, schema: str, role: str, missing: list[str]) -> None:
    """Grant the metrics role what privileges() found missing."""
    from psycopg2 import sql

    names = {"schema": sql.Identifier(schema), "role": sql.Identifier(role)}
    with db.transaction():
        db.write(sql.SQL("GRANT USAGE ON SCHEMA {schema} TO {role}").format(**names))
        for table, column in (entry.split(".", 1) for entry in missing if "." in entry):
            db.write(
                sql.SQL("GRANT SELECT ({column}) ON {schema}.{table} TO {role}").format(
                    column=sql.Identifier(column), table=sql.Identifier(table), **names
                )
            )


def try_lock(db: Database) -> bool:
    """Take the migration lock for this session, or not. It ends with the session.

    Never waited for in SQL: a waiting statement holds a snapshot, and CREATE INDEX CONCURRENTLY waits for snapshots.
    """
    return bool(db.read("SELECT pg_try_advisory_lock(%s)", (LOCK,))[0][0])


def lock_holder(db: Database) -> str:
    """Who holds the migration lock, for a person."""
    rows = db.read(
        """
        SELECT format('session %%s of %%s from %%s, connected since %%s', a.pid, a.usename,
                      coalesce(host(a.client_addr), 'the server itself'), to_char(a.backend_start, 'HH24:MI:SS'))
        FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
          AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND (l.classid::bigint << 32) + l.objid::bigint = %s
        """,
        (LOCK,),
    )
    return str(rows[0][0]) if rows else "a session that has just ended"


def table_sizes(db: Database, schema: str = "dbos") -> list[dict[str, Any]]:
    """Rows (the planner's estimate) and bytes, with indexes and TOAST, of each table of the schema; largest first."""
    rows = db.read(
        """
        SELECT c.relname, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %s AND c.relkind IN ('r', 'p') ORDER BY 3 DESC, 1
        """,
        (schema,),
    )
    return [{"name": name, "rows": int(count), "bytes": int(size)} for name, count, size in rows]

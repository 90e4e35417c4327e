# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two logins that take turns, so that a password changes while programs are connected.

A new password is given to the login that is free; the other goes on until nobody uses it, and is disabled then.
That both may log in is what tells that a rotation is unfinished: nothing else remembers it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.roles import Role, Wanted


def settle(wanted: Wanted, seen: Mapping[str, Any], wrong: set[str]) -> Wanted:
    """The roles as they shall be: of those that take turns one has the given password, the other stays as it is.

    C(seen) is what roles.observe() returned; C(wrong) names the roles that the given password does not open.
    """
    there = seen["roles"]
    able = {role.name for role in wanted.roles if there.get(role.name, {}).get("login")}
    return dataclasses.replace(
        wanted, logins=_turn(wanted.logins, able, wrong), metrics=_turn(wanted.metrics, able, wrong)
    )


def active(turns: Sequence[Role]) -> str | None:
    """After settle(): the login that has the given password; where none was given, the first that may log in."""
    able = [role for role in turns if role.login]
    return next((role.name for role in able if role.password is not None), able[0].name if able else None)


def _turn(turns: tuple[Role, ...], able: set[str], wrong: set[str]) -> tuple[Role, ...]:
    """The same logins after the change; C(able) may log in now."""
    free = [role for role in turns if role.name not in able]
    right = [role for role in turns if role.name in able - wrong]
    if len(turns) < 2:
        return turns
    if not right and not free and turns[0].password is not None:
        names = " and ".join(role.name for role in turns)
        raise DbosError(
            f"{names} may both log in, and neither with the given password: a rotation to another one is unfinished. "
            "Run rotate.yml, which finishes it and then changes to this one."
        )
    untouched = turns[0].password is None and len(free) < len(turns)
    chosen = [] if untouched else (right or free)[:1]
    return tuple(
        role if role in chosen else dataclasses.replace(role, login=role.name in able, password=None) for role in turns
    )


def enabled(db: Database, names: Sequence[str]) -> set[str]:
    """Those of the roles that may log in."""
    rows = db.read("SELECT rolname::text FROM pg_roles WHERE rolcanlogin AND rolname = ANY(%s)", (list(names),))
    return {row[0] for row in rows}


def sessions(db: Database, name: str) -> list[str | None]:
    """The login's sessions now, in any database: the address of each client, None where the admin may not see it."""
    return [row[0] for row in db.read("SELECT host(client_addr) FROM pg_stat_activity WHERE usename = %s", (name,))]


def disable(db: Database, name: str) -> int:
    """Nobody logs in as this role any more, not even with its last password; the number of sessions that were ended."""
    from psycopg2 import sql

    role = sql.Identifier(name)
    db.write(sql.SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(role))
    options = sql.SQL(" WITH SET TRUE, INHERIT TRUE" if db.version >= 16 else "")
    # Only its members may end a role's sessions. The admin is one within this transaction, which is never committed.
    db.write("BEGIN")
    try:
        db.write(sql.SQL("GRANT {} TO CURRENT_USER{}").format(role, options))
        rows = db.write("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))
    finally:
        db.write("ROLLBACK")
    return sum(ended for (ended,) in rows)

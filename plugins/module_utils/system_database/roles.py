# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The database and its roles: what is there, and the statements that lead to what is wanted.

An owner (LOGIN) owns the database and migrates it; the application's privileges belong to a NOLOGIN role whose LOGIN
members are used in turn, so that a password is rotated while the application runs; a metrics role reads a few columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import (
    Database,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

MARK = "dbos.kubernetes"  # COMMENT ON ROLE of the roles that we made; only those are ever dropped
MAINTENANCE = "postgres"  # the Go SDK connects to it at each launch

Statement = tuple[str, tuple[str, ...], tuple[Any, ...]]  # SQL, identifiers for its {}, values for its %s
Verifier = Callable[[str, str], str]  # (password, role) → what PostgreSQL stores


@dataclass(frozen=True)
class Role:
    """One role as it shall be."""

    name: str
    login: bool = True
    password: str | None = field(default=None, repr=False)
    connection_limit: int = -1
    member_of: str | None = None


@dataclass(frozen=True)
class Wanted:
    """The database, and all roles: owner first, members after the role they belong to.

    The C(logins) of the application take turns, and so do those of C(metrics), the first of which holds the privileges.
    """

    database: str
    owner: Role
    application: Role
    logins: tuple[Role, ...] = ()
    metrics: tuple[Role, ...] = ()

    @property
    def roles(self) -> tuple[Role, ...]:
        return (self.owner, self.application, *self.logins, *self.metrics)

    @property
    def guests(self) -> tuple[Role, ...]:
        """Who may connect without owning."""
        return (self.application, *self.metrics[:1])


@dataclass
class Plan:
    """Statements in order: those of one transaction, then those that PostgreSQL allows outside of one only."""

    together: list[Statement] = field(default_factory=list)
    after: list[Statement] = field(default_factory=list)
    diff_before: dict[str, Any] = field(default_factory=dict)
    diff_after: dict[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return bool(self.together or self.after)


def observe(db: Database, database: str, names: list[str]) -> dict[str, Any]:
    """Roles, database, its privileges, and what the logged-in admin may do with the owner: one statement."""
    switch = "SET" if db.version >= 16 else "MEMBER"
    rows = db.read(
        """
        SELECT json_build_object(
            'roles', (
                SELECT json_object_agg(r.rolname, json_build_object(
                    'login', r.rolcanlogin, 'connection_limit', r.rolconnlimit, 'superuser', r.rolsuper,
                    'creates', r.rolcreatedb OR r.rolcreaterole,
                    'ours', coalesce(shobj_description(r.oid, 'pg_authid') = %s, false),
                    'serves', pg_has_role(r.oid, 'USAGE') AND pg_has_role(r.oid, %s),
                    'maintenance', has_database_privilege(r.oid, %s, 'CONNECT'),
                    'member_of', (
                        SELECT coalesce(json_agg(g.rolname ORDER BY g.rolname), '[]')
                        FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid)))
                FROM pg_roles r WHERE r.rolname = ANY(%s)),
            'database', (
                SELECT json_build_object(
                    'owner', pg_get_userbyid(d.datdba),
                    'access', (
                        SELECT coalesce(json_object_agg(a.grantee, a.privileges), '{}') FROM (
                            SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.grantee) END AS grantee,
                                   json_agg(x.privilege_type) AS privileges
                            FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x GROUP BY 1) a))
                FROM pg_database d WHERE d.datname = %s))
        """,
        (MARK, switch, MAINTENANCE, names, database),
    )
    found: dict[str, Any] = rows[0][0]
    return {"roles": found["roles"] or {}, "database": found["database"], "user": db.user, "version": db.version}


def plan(wanted: Wanted, seen: dict[str, Any], wrong_passwords: set[str], verifier: Verifier) -> Plan:
    """What leads from what was seen to what is wanted; nothing where both are the same."""
    result = Plan()
    for role in wanted.roles:
        _plan_role(result, role, seen, role.name in wrong_passwords, verifier)
    _plan_owner_access(result, wanted, seen)
    _plan_database(result, wanted, seen)
    return result


def _plan_role(result: Plan, role: Role, seen: dict[str, Any], wrong_password: bool, verifier: Verifier) -> None:
    there = seen["roles"].get(role.name)
    before = (
        {"login": there["login"], "connection_limit": there["connection_limit"], "member_of": there["member_of"]}
        if there
        else {}
    )
    memberships = sorted({*before.get("member_of", []), *([role.member_of] if role.member_of else [])})
    after: dict[str, Any] = {
        "login": role.login, "connection_limit": role.connection_limit, "member_of": memberships,
    }  # fmt: skip
    if there and there["superuser"] and role.name != seen["user"]:
        raise DbosError(f"Role {role.name} is a superuser; an application's role must not be. Choose another name.")
    attributes = f"{'LOGIN' if role.login else 'NOLOGIN'} CONNECTION LIMIT {role.connection_limit}"
    if not there:
        result.together.append((f"CREATE ROLE {{}} {attributes}", (role.name,), ()))
        result.together.append(("COMMENT ON ROLE {} IS %s", (role.name,), (MARK,)))
    elif role.name != seen["user"]:  # nobody changes itself, and so locks itself out
        if there["creates"]:
            attributes += " NOCREATEDB NOCREATEROLE"
        if there["creates"] or any(before[key] != after[key] for key in ("login", "connection_limit")):
            result.together.append((f"ALTER ROLE {{}} {attributes}", (role.name,), ()))
    if role.password is not None and role.login and (not there or wrong_password):
        verified = verifier(role.password, role.name)
        result.together.append(("ALTER ROLE {} PASSWORD %s", (role.name,), (verified,)))
        before["password"], after["password"] = ("another" if there else "none"), "as given"
    if role.member_of and role.member_of not in before.get("member_of", []):
        result.together.append(("GRANT {} TO {}", (role.member_of, role.name), ()))
    if not there or before != after:
        result.diff_before[f"role {role.name}"], result.diff_after[f"role {role.name}"] = before, after


def _plan_owner_access(result: Plan, wanted: Wanted, seen: dict[str, Any]) -> None:
    """An admin that is no superuser must be a member of the owner to make it one, and to grant in its name."""
    there = seen["roles"].get(wanted.owner.name)
    if wanted.owner.name == seen["user"] or (there and there["serves"]):
        return
    options = " WITH SET TRUE, INHERIT TRUE" if seen["version"] >= 16 else ""
    result.together.append((f"GRANT {{}} TO CURRENT_USER{options}", (wanted.owner.name,), ()))


def _plan_database(result: Plan, wanted: Wanted, seen: dict[str, Any]) -> None:
    name, owner, there = wanted.database, wanted.owner.name, seen["database"]
    access = dict(there["access"]) if there else {"PUBLIC": ["CONNECT", "TEMPORARY"]}
    before = {"owner": there["owner"], "access": sorted(access)} if there else {}
    if not there:
        # template0 takes any encoding, and nobody is ever connected to it.
        result.after.append(("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'", (name, owner), ()))
    elif there["owner"] != owner:
        result.after.append(("ALTER DATABASE {} OWNER TO {}", (name, owner), ()))
        access[owner] = access.pop(there["owner"], [])
    if "PUBLIC" in access:
        result.after.append(("REVOKE ALL ON DATABASE {} FROM PUBLIC", (name,), ()))
        del access["PUBLIC"]
    for guest in wanted.guests:
        if "CONNECT" not in access.get(guest.name, []) and guest.name != owner:
            result.after.append(("GRANT CONNECT ON DATABASE {} TO {}", (name, guest.name), ()))
            access[guest.name] = ["CONNECT"]
    for role in (wanted.owner, wanted.application):
        if role.name in seen["roles"] and not seen["roles"][role.name]["maintenance"]:
            result.after.append(("GRANT CONNECT ON DATABASE {} TO {}", (MAINTENANCE, role.name), ()))
    after = {"owner": owner, "access": sorted({*access, owner})}
    if before != after:
        result.diff_before[f"database {name}"], result.diff_after[f"database {name}"] = before, after


def execute(db: Database, changes: Plan) -> None:
    """Carry a plan out."""
    if changes.together:
        with db.transaction():
            for statement in changes.together:
                _execute(db, statement)
    for statement in changes.after:
        _execute(db, statement)


def _execute(db: Database, statement: Statement) -> None:
    from psycopg2 import sql

    text, identifiers, values = statement
    db.write(sql.SQL(text).format(*map(sql.Identifier, identifiers)), values)


def scram_verifier(db: Database) -> Verifier:
    """A maker of SCRAM verifiers, computed here: the password itself never travels."""
    from psycopg2.extensions import encrypt_password

    def make(password: str, role: str) -> str:
        return str(encrypt_password(password, role, scope=db.session, algorithm="scram-sha-256"))

    return make


def strangers(db: Database, database: str, roles: list[str]) -> list[str]:
    """Other roles that are connected to the database."""
    rows = db.read(
        "SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = %s AND usename <> ALL(%s) ORDER BY 1",
        (database, roles),
    )
    return [str(row[0]) for row in rows]


def plan_removal(wanted: Wanted, seen: dict[str, Any]) -> Plan:
    """Ends the sessions of our own roles with the database; only roles that we made are dropped."""
    result = Plan()
    database, owner = seen["database"], wanted.owner.name
    ours = [role.name for role in wanted.roles if seen["roles"].get(role.name, {}).get("ours")]
    if database and (database["owner"] != owner or owner not in ours):
        raise DbosError(
            f"Database {wanted.database} belongs to role {database['owner']}, which this collection did not make: "
            "it is not dropped. Drop it yourself if that is meant."
        )
    options = " WITH SET TRUE, INHERIT TRUE" if seen["version"] >= 16 else ""
    for name in ours:
        result.together.append((f"GRANT {{}} TO CURRENT_USER{options}", (name,), ()))
        result.together.append(("ALTER ROLE {} NOLOGIN", (name,), ()))
        result.diff_before[f"role {name}"] = {"login": seen["roles"][name]["login"]}
    if database:
        result.after.append(("DROP DATABASE {} WITH (FORCE)", (wanted.database,), ()))
        result.diff_before[f"database {wanted.database}"] = {"owner": owner}
    for name in reversed(ours):
        result.after.append(("DROP ROLE {}", (name,), ()))
    return result

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The application's database and roles, brought to what a task asks for, or removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import (
    DatabaseAbsent,
    DatabaseError,
    Server,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import logins, roles
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.roles import (
    Plan,
    Role,
    Wanted,
)

LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer names without a word
# PostgreSQL says these only once the password was right.
AFTER_LOGIN = ("permission denied for database", "too many connections", "is not permitted to log in")


def wanted(params: Mapping[str, Any]) -> Wanted:
    """What the module's options ask for; refused where PostgreSQL or an SDK would misread it."""
    application = Role(params["role"], login=False)
    members = tuple(
        Role(name, password=params["login_password"], member_of=application.name) for name in params["logins"]
    )
    first = params["metrics_role"]
    metrics = tuple(
        Role(
            name,
            password=params["metrics_password"],
            connection_limit=params["metrics_connection_limit"],
            member_of=None if name == first else first,
        )
        for name in (first, params["metrics_spare"])
        if name
    )
    owner = Role(params["owner"], password=params["owner_password"])
    asked = Wanted(params["name"], owner, application, members, metrics)
    names = [role.name for role in asked.roles]
    for name in {asked.database, *names}:
        check_name(name)
    for name in sorted({name for name in names if names.count(name) > 1}):
        raise DbosError(f"Role {name} is asked for twice: owner, role, logins and those of metrics must all differ.")
    for role in asked.roles:
        if role.password is not None and (not role.password or "\0" in role.password):
            raise DbosError(f"The password of role {role.name} is empty or holds a NUL character.")
    return asked


def check_name(name: str) -> None:
    """Refuse a name of a database or role that PostgreSQL cuts, reserves, or that the SDKs cannot quote."""
    if not name or len(name.encode()) > LONGEST_NAME:
        raise DbosError(f"The name '{name}' of a database or role needs 1 to {LONGEST_NAME} bytes. Shorten it.")
    if (
        any(character in "\"'%\\\0" for character in name)
        or name.lower() in ("public", "none")
        or name.startswith("pg_")
    ):
        raise DbosError(f"The name '{name}' cannot be used for a database or role: no quotes, %, \\, no pg_ or public.")


def converge(server: Server, asked: Wanted, *, check: bool) -> dict[str, Any]:
    """Bring database and roles to what is asked."""
    with server.connect() as admin:
        seen = roles.observe(admin, asked.database, [role.name for role in asked.roles])
        wrong = wrong_passwords(server, asked, seen)
        settled = logins.settle(asked, seen, wrong)
        plan = roles.plan(settled, seen, wrong, roles.scram_verifier(admin))
        if not check:
            try:
                roles.execute(admin, plan)
            except DatabaseError as error:
                raise explained(error, asked, admin.user) from error
        return {
            **result(plan, seen["version"]),
            "login": logins.active(settled.logins),
            "metrics_login": logins.active(settled.metrics),
        }


def explained(error: DatabaseError, asked: Wanted, user: str) -> DbosError:
    """Say what the admin lacks where PostgreSQL only says that it was refused."""
    if error.code != "42501":
        return error
    return DatabaseError(
        f"{error.msg} The user {user} needs CREATEDB and CREATEROLE, and the admin option on existing roles "
        f"({', '.join(role.name for role in asked.roles)}) that it did not create itself.",
        error.code,
    )


def wrong_passwords(server: Server, asked: Wanted, seen: Mapping[str, Any]) -> set[str]:
    """Roles whose password is not the given one, found by logging in: nobody may read pg_authid on RDS.

    One that may not log in is not tried, and would get its password anew.
    """
    database = asked.database if seen["database"] else None
    given = [role for role in asked.roles if role.password is not None and role.name in seen["roles"]]
    to_try = [role for role in given if seen["roles"][role.name]["login"]]

    def is_wrong(role: Role) -> bool:
        try:
            with server.connect(database=database, user=role.name, password=role.password):
                return False
        except DatabaseAbsent:
            return False
        except DatabaseError as error:
            if error.code == "28P01":
                return True
            if any(text in error.msg for text in AFTER_LOGIN):
                return False
            raise

    tried = {role.name for role, wrong in zip(to_try, parallel(is_wrong, to_try), strict=True) if wrong}
    return tried | {role.name for role in given if role not in to_try}


def remove(server: Server, asked: Wanted, *, check: bool) -> dict[str, Any]:
    """Drop what this collection made; refuse while others are connected."""
    names = [role.name for role in asked.roles]
    with server.connect() as admin:
        seen = roles.observe(admin, asked.database, names)
        plan = roles.plan_removal(asked, seen)
        others = roles.strangers(admin, asked.database, names) if seen["database"] else []
        if others:
            raise DbosError(
                f"Database {asked.database} is in use by {', '.join(others)}, which are not its application's roles. "
                "End those sessions first."
            )
        if not check:
            roles.execute(admin, plan)
        return result(plan, seen["version"])


def result(plan: Plan, version: int) -> dict[str, Any]:
    """What the module returns."""
    return {
        "changed": plan.changed,
        "diff": {"before": plan.diff_before, "after": plan.diff_after},
        "server_version": version,
    }

"""System databases of any schema level, made by the SDK's own statements."""

from __future__ import annotations

import functools
import re
import subprocess
from typing import Any

from .database_kit import Kit

# Levels at which a table or column that is read or written appears, and those just before them.
LEVELS = [1, 7, 8, 12, 13, 15, 16, 31, 36, 41, 47, 100, 102, 103, 107, 113, 125]


@functools.cache
def migrations(program: str) -> dict[int, str]:
    """The SDK's SQL by level; C(program) is its command line tool."""
    script = subprocess.check_output([program, "migrate", "--print-migrations", "all"], text=True)
    parts = re.split(r"(?m)^-- Migration (\d+)\n", script)
    prologue, numbers, texts = parts[0], parts[1::2], parts[2::2]
    found: dict[int, str] = {}
    for number, text in zip(numbers, texts, strict=True):
        found[int(number)] = found.get(int(number), "") + text
    found[min(found)] = prologue + found[min(found)]
    return found


def make(kit: Kit, level: int) -> None:
    """A fresh schema of that level."""
    steps = migrations(kit.platform.program("dbos"))
    with owner(kit) as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS dbos CASCADE")
        for number in sorted(steps):
            if number <= level:
                # psql's way: no transaction round CREATE INDEX CONCURRENTLY
                cursor.execute(steps[number].replace("CONCURRENTLY", ""))


def owner(kit: Kit) -> Any:
    """A session as the owner of the application's database."""
    return kit.cursor(database=kit.database, user=f"{kit.database}_owner", password="owner-secret")


def insert(kit: Kit, table: str, *rows: dict[str, Any]) -> None:
    """Rows of one of DBOS' tables, by column."""
    with owner(kit) as cursor:
        for row in rows:
            names, places = ", ".join(row), ", ".join(["%s"] * len(row))
            cursor.execute(f"INSERT INTO dbos.{table} ({names}) VALUES ({places})", [*row.values()])

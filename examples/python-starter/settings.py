"""Everything about a deployment comes by environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What the environment says."""

    application: str
    database_url: str
    conductor_url: str | None
    conductor_key: str | None
    port: int
    drain_seconds: int
    pool_size: int | None


def read(environment: Mapping[str, str]) -> Settings:
    """The settings, or a ValueError that names the variable."""
    url = environment.get("DBOS_SYSTEM_DATABASE_URL")
    if not url:
        raise ValueError("DBOS_SYSTEM_DATABASE_URL is not set: give the system database's URL")
    return Settings(
        application=environment.get("DBOS_APPLICATION_NAME") or "dbos-app",
        database_url=url,
        conductor_url=environment.get("DBOS_CONDUCTOR_URL") or None,
        conductor_key=environment.get("DBOS_CONDUCTOR_KEY") or None,
        port=_whole(environment, "PORT", 8080),
        drain_seconds=_whole(environment, "DBOS_DRAIN_SECONDS", 20),
        pool_size=_whole(environment, "DBOS_POOL_SIZE", 0) or None,
    )


def _whole(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal():
        raise ValueError(f"{name} is {text!r}: give a whole number, 0 or more")
    return int(text)

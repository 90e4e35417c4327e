# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts the unfinished work of applications, before anything of them is taken down.

One connection as the server's admin, who is a member of every owner that this collection has made, reaches all of them.
No data is no proof: what cannot be read has no count but an error; what was never made has nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import teardown_plan
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import (
    Database,
    DatabaseAbsent,
    Server,
    open_server,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError, PlatformAbsent
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import Work
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import databases, work
from ansible_collections.dbos.kubernetes.plugins.module_utils.unfinished_work import Count

OURS = "app.kubernetes.io/managed-by=dbos.kubernetes,app.kubernetes.io/name"
# By any of these an application is found in a cluster, whatever else of it is gone.
TELLING = (
    ("apps/v1", "ControllerRevision"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "Deployment"),
    ("v1", "Service"),
    ("v1", "ServiceAccount"),
    ("bitnami.com/v1alpha1", "SealedSecret"),
    ("keda.sh/v1alpha1", "ScaledObject"),
)
Demand = Callable[[Database], None]
# Objects that users make get higher numbers than those that come with a server.
_FIRST_USER_OID = 16384


@dataclasses.dataclass(frozen=True)
class Application:
    """One application; C(owner) is its name in DBOS."""

    name: str
    namespace: str
    owner: str
    database: str


def deployed(client: Client) -> set[tuple[str, str]]:
    """(name, namespace) of every application of ours in the cluster."""
    found = parallel(lambda kind: client.list(*kind, label_selector=OURS), TELLING)
    return teardown_plan.applications(obj for objects in found for obj in objects)


def never_made(directory: str | None) -> bool:
    """Whether the files of a local platform show that its server never had a database of a user's."""
    if directory is None:
        return False
    try:
        numbers = [path.name for path in (Path(directory) / "postgresql/data/base").iterdir()]
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return not any(number.isdigit() and int(number) >= _FIRST_USER_OID for number in numbers)


@contextlib.contextmanager
def server(params: Mapping[str, Any], client: Client | None, *, check: bool) -> Iterator[Server | None]:
    """The server that the options name; None where there is none to be reached: no address, or a relay's platform gone.

    Where the application's namespace is gone, the relay runs in C(default), for this module alone.
    """
    relay = params["relay"]
    if not params["database_url"] or (relay and client is None):
        yield None
        return
    if relay and client and client.get("v1", "Namespace", relay["namespace"]) is None:
        relay, check = {**relay, "namespace": "default"}, True
    with open_server({**params, "relay": relay}, check=check) as found:
        yield found


def count_applications(
    found: Server, applications: Sequence[Application], *, whole: bool, demand: Demand | None = None
) -> list[Count]:
    """Of these applications; C(whole) counts all rows of their databases, whoever's they are.

    C(demand) is asked about each database that has unfinished work, and raises where it refuses it.
    """
    return [_count(found, one.name, one.database, None if whole else one.owner, demand) for one in applications]


def count_server(
    found: Server, applications: Sequence[Application], *, everything: bool, demand: Demand | None = None
) -> list[Count]:
    """Of every database with DBOS' tables: those of the applications, those of other owners that we made, and with
    C(everything) those of anybody. C(demand) is asked about the applications'.
    """
    with found.connect() as session:
        there = databases.read(session)
    names = {one.database: one.name for one in applications}
    counts = []
    for one in there:
        known = one.name in names
        if not (known or one.made or (everything and one.readable)):
            continue
        counts.append(
            _count(found, names.get(one.name, one.name), one.name, None, demand if known else None, known=known)
        )
    # One that is not the inventory's and has nothing unfinished is no news.
    return [one for one in counts if one.known or one.total or one.error]


def _count(
    found: Server, application: str, name: str, owner: str | None, demand: Demand | None, *, known: bool = True
) -> Count:
    count = Count(application, name, known=known)
    with contextlib.ExitStack() as stack:
        try:
            session = stack.enter_context(found.connect(database=name))
            done = unfinished(session, owner)
        except DatabaseAbsent:
            return count
        except DbosError as error:
            return dataclasses.replace(count, error=error.msg)
        if demand and done.unfinished:
            demand(session)
    return dataclasses.replace(count, pending=done.pending, enqueued=done.enqueued, delayed=done.delayed)


def unfinished(session: Database, owner: str | None) -> Work:
    """Everything unfinished of all versions, on a primary. Nothing where DBOS' tables were never made."""
    seen = work.read(session, owner)
    if seen is None:
        return Work()
    if seen["replica"]:
        raise DbosError(f"Database {session.name} is a replica, which may not show all work yet.")
    found = work.per_version(seen).values()
    return Work(
        pending=sum(one.pending for one in found),
        enqueued=sum(one.enqueued for one in found),
        delayed=sum(one.delayed for one in found),
    )


def client_if_any(params: Mapping[str, Any]) -> Client | None:
    """None where there is no platform."""
    try:
        return Client.from_params(params)
    except PlatformAbsent:
        return None

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The promotion of a version: the Service that clients use and DBOS' latest version turn together, and both are proven.

The intent is recorded first. Whoever finds one finishes it, and nothing is drained while it is there.
"""

from __future__ import annotations

import datetime

from ansible_collections.dbos.kubernetes.plugins.module_utils import ledger, lifecycle, version_objects, workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import apply_all
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import versions


def recorded_port(objects: version_objects.Objects, version: str) -> int:
    """The port that the version's ledger record was made with; raises DbosError when it has none."""
    record = objects.record(version)
    if record is None:
        raise DbosError(f"Version {version} has no ledger record, so its port is not known. Deploy it again.")
    container = record["data"]["documents"][-1]["spec"]["template"]["spec"]["containers"][0]
    return int(container["ports"][0]["containerPort"])


def promote(
    client: Client,
    database: Database,
    lease: Lease,
    objects: version_objects.Objects,
    owner: str,
    version: str,
    port: int,
) -> None:
    """Promote a version whose pods are ready; C(owner) is the application's name in DBOS, C(port) its Service's.

    Safe to kill at any point and to call again. Raises DbosError when the version is not registered, and when Service
    and DBOS do not agree afterwards.
    """
    app, namespace = objects.app, objects.namespace
    service = workload.service(app, namespace, port, version)
    if objects.service is None:
        lease.check()
        apply_all(client, [service], check=False)
    _intend(client, lease, objects, version)
    before = lifecycle.Observed(registrations=versions.registrations(database))
    if before.latest(owner) != version:
        lease.check()
        if not versions.promote(database, owner, version):
            _intend(client, lease, objects, None)
            raise DbosError(f"Version {version} is not registered for application {owner}: nothing was promoted.")
    lease.check()
    apply_all(client, [service], check=False)
    _verify(client, database, objects, owner, version)
    _remember(client, lease, objects, version)
    _intend(client, lease, objects, None)


def _verify(client: Client, database: Database, objects: version_objects.Objects, owner: str, version: str) -> None:
    found = client.get("v1", "Service", objects.app, objects.namespace) or {"spec": {}}
    after = lifecycle.Observed(
        registrations=versions.registrations(database),
        selected=(found["spec"].get("selector") or {}).get(version_objects.VERSION),
    )
    if not lifecycle.agree(after, owner, version):
        raise DbosError(
            f"After the promotion of {version} the Service selects {after.selected} and DBOS takes "
            f"{after.latest(owner)} for the latest: another writer interferes. Run again."
        )


def _remember(client: Client, lease: Lease, objects: version_objects.Objects, version: str) -> None:
    """The ledger keeps when a version was promoted: rollback and status tell the order from it."""
    record = objects.record(version)
    if record is None:
        return
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    promotions = ledger.promoted(ledger.parse(record).promotions, now)
    lease.check()
    changes = {ledger.PROMOTED_ANNOTATION: promotions, ledger.ROLLED_BACK_ANNOTATION: None}
    version_objects.annotate(client, record, changes)


def _intend(client: Client, lease: Lease, objects: version_objects.Objects, version: str | None) -> None:
    lease.check()
    patch = {"metadata": {"annotations": {version_objects.PROMOTING: version}}}
    client.patch("v1", "Service", objects.app, objects.namespace, patch)

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ledger of versions: what each was made of, recorded before its first pod starts.

A record is a ControllerRevision: Kubernetes refuses to change its data. The StatefulSet controller adopts and prunes
any that match a workload's selector, so a record carries the component 'ledger' and has no owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import naming, workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import Record, RolledBack

Object = dict[str, Any]

COMPONENT = "ledger"
CONDUCTOR_ANNOTATION = "dbos.kubernetes/conductor"
# Times of its promotions, the newest last; of its last retirement, until it is revived; and that one's proof.
PROMOTED_ANNOTATION = "dbos.kubernetes/promoted"
RETIRED_ANNOTATION = "dbos.kubernetes/retired"
EVIDENCE_ANNOTATION = "dbos.kubernetes/evidence"
# "<time> <version>": left for that version; until it is promoted again.
ROLLED_BACK_ANNOTATION = "dbos.kubernetes/rolled-back"
# A version that is promoted back and forth keeps its newest promotions.
MOST_PROMOTIONS = 20


def record(spec: workload.Spec, revision: int) -> Object:
    """The document of a record; its name carries the template's fingerprint, so that writing it twice is one record."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{spec.name}-{workload.fingerprint(spec)}",
            "namespace": spec.namespace,
            "labels": naming.labels(spec.app, spec.version, COMPONENT),
        },
        "revision": revision,
        "data": {
            "version": spec.version,
            "template": workload.fingerprint(spec),
            "identity": workload.identity(spec),
            "documents": workload.documents(spec),
        },
    }


def selector(app: str) -> str:
    """The label selector of an application's records."""
    labels = naming.labels(app, component=COMPONENT)
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def parse(obj: Object) -> Record:
    """What a record says."""
    data = obj["data"]
    annotations = obj["metadata"].get("annotations") or {}
    rolled_back = annotations.get(ROLLED_BACK_ANNOTATION)
    return Record(
        version=data["version"],
        revision=obj["revision"],
        identity=data["identity"],
        template=data["template"],
        conductor=annotations.get(CONDUCTOR_ANNOTATION) == "connected",
        promotions=tuple(filter(None, annotations.get(PROMOTED_ANNOTATION, "").split(","))),
        retired=annotations.get(RETIRED_ANNOTATION),
        rolled_back=RolledBack(*rolled_back.split(" ", 1)) if rolled_back else None,
    )


def promoted(promotions: Sequence[str], now: str) -> str:
    """The annotation after another promotion at C(now) (RFC 3339)."""
    return ",".join([*promotions, now][-MOST_PROMOTIONS:])

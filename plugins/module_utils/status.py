# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was read of an application, as a report in plain data. Nothing here reads or waits; attention.py judges it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import lifecycle, lifecycle_tick, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import condition

Json = dict[str, Any]

# Versions that run nowhere and have nothing to do are history: a person wants to see the newest of them.
PAST_SHOWN = 5
# The order in which a person wants to read them; whatever else there is comes in between.
_RANKS = {"Promoted": 0, "Staged": 1, "Retired": 3, "Past": 3, "Unversioned": 4}


@dataclass(frozen=True)
class Database:
    """What DBOS' tables say."""

    schema_level: int | None
    versions: list[Json]  # rows of workflow_info.versions, and {registered, timestamp}
    tables: list[Json]  # {name, bytes}
    work: Mapping[str | None, lifecycle.Work] = field(default_factory=dict)
    ages: Mapping[str | None, list[int]] = field(default_factory=dict)  # version -> counts by class of age
    blockers: list[Json] = field(default_factory=list)  # the oldest of each version


@dataclass(frozen=True)
class Certificate:
    name: str
    not_after: datetime


@dataclass(frozen=True)
class Observation:
    application: str
    namespace: str
    now: datetime
    workloads: list[Json] = field(default_factory=list)
    pods: list[Json] = field(default_factory=list)
    service: Json | None = None
    health: dict[str, str | None] = field(default_factory=dict)  # pod -> why it is not healthy
    secrets: list[Json] = field(default_factory=list)  # {name, keys}: never values
    sealed_secrets: list[Json] = field(default_factory=list)
    scaled_objects: list[Json] = field(default_factory=list)
    records: list[Json] = field(default_factory=list)  # of the ledger
    frozen: dict[str, str] | None = None  # {by, reason}
    database: Database | None = None
    certificates: list[Certificate] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)  # what -> why
    deadline: float | None = None  # seconds that a version may drain


def report(seen: Observation) -> Json:
    """The whole picture as JSON-ready data."""
    promoted = promoted_version(seen.service)
    return {
        "application": seen.application,
        "namespace": seen.namespace,
        "taken_at": seen.now.isoformat(timespec="seconds"),
        "promoted": promoted,
        "promoting": ((seen.service or {"metadata": {}})["metadata"].get("annotations") or {}).get(
            version_objects.PROMOTING
        ),
        "frozen": seen.frozen,
        "versions": _versions(seen),
        "blockers": seen.database.blockers if seen.database else [],
        "pods": [_pod(pod, seen) for pod in seen.pods],
        "schema": _schema(seen.database),
        "secrets": _secrets(seen),
        "certificates": [_certificate(one, seen.now) for one in seen.certificates],
        "scaling": [_scaling(one) for one in seen.scaled_objects],
        "unreadable": dict(seen.unreadable),
    }


def label(thing: Json, name: str) -> str | None:
    value = thing.get("metadata", {}).get("labels", {}).get(f"app.kubernetes.io/{name}")
    return None if value is None else str(value)


def promoted_version(service: Json | None) -> str | None:
    if service is None:
        return None
    selector = service.get("spec", {}).get("selector") or {}
    return selector.get("app.kubernetes.io/version")


def why_pod_is_not_ready(pod: Json) -> str | None:
    """The most telling reason first: why a container waits or ended, then why the pod isn't scheduled or ready."""
    if pod.get("metadata", {}).get("deletionTimestamp"):
        return "terminating"
    status = pod.get("status", {})
    for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        state = container.get("state", {})
        waiting, ended = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason") not in (
            "PodInitializing",
            "ContainerCreating",
        ):
            return _said(waiting)
        if ended and ended.get("exitCode") != 0:
            return f"{_said(ended)}, exit code {ended.get('exitCode')}"
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return _said(scheduled)
    if condition(pod, "Ready").get("status") == "True":
        return None
    return _said(condition(pod, "Ready")) or str(status.get("phase", "Unknown"))


def _said(thing: Json) -> str:
    return ": ".join(part for part in (thing.get("reason"), thing.get("message")) if part)


def _versions(seen: Observation) -> list[Json]:
    rows: dict[str | None, Json] = {}
    for workload in seen.workloads:
        version = label(workload, "version")
        rows[version] = {
            "version": version,
            "workload": f"{workload['kind']}/{workload['metadata']['name']}",
            "replicas": workload.get("spec", {}).get("replicas") or 0,
            "ready": workload.get("status", {}).get("readyReplicas") or 0,
        }
    absent = {"workload": None, "replicas": 0, "ready": 0}
    for row in seen.database.versions if seen.database else []:
        rows.setdefault(row["version"], {"version": row["version"], **absent}).update(row)
    for record in seen.records:
        version = record["data"]["version"]
        rows.setdefault(version, {"version": version, **absent})
    observed = _observed(seen)
    policy = lifecycle_tick.Policy(deadline=seen.deadline)
    conditions = lifecycle_tick.tick(observed, seen.application, policy, seen.now.timestamp()).conditions
    for version, row in rows.items():
        row.update(_history(seen, observed, version))
        for count in ("pending", "enqueued", "delayed"):
            row.setdefault(count, 0 if seen.database else None)
        row.setdefault("registered", False)
        row["latest"] = bool(row.get("latest"))
        row["ages"] = (seen.database.ages if seen.database else {}).get(version)
        said = conditions.get(version, ()) if version is not None else ()
        row["conditions"] = [{"type": one.type, "message": one.message} for one in said]
        row["state"] = _state(version, said)
        # Whatever is unfinished keeps a version from being retired, but for the promoted one, which is not to be.
        row["blockers"] = unfinished(row) if version not in (None, observed.selected) else 0
    newest_first = sorted(rows.values(), key=lambda row: (row["promoted_at"] or "", str(row["version"])), reverse=True)
    return sorted(newest_first, key=lambda row: _RANKS.get(row["state"], 2))


def _observed(seen: Observation) -> lifecycle.Observed:
    """What the decisions see, so that a report never says another thing than the next tick."""
    objects = version_objects.Objects(
        seen.application, seen.namespace, seen.workloads, seen.pods, seen.records, seen.scaled_objects, seen.service
    )
    observed = objects.observed()
    if seen.database is None or seen.database.schema_level is None:
        return dataclasses.replace(observed, registrations=None)
    return dataclasses.replace(
        observed,
        registrations=tuple(
            lifecycle.Registration(row["version"], row["timestamp"], seen.application)
            for row in seen.database.versions
            if row["registered"]
        ),
        work=seen.database.work,
        read_at=seen.now.timestamp(),
    )


def _history(seen: Observation, observed: lifecycle.Observed, version: str | None) -> Json:
    """What the ledger says of a version: a change that rolls in place is another record of the same version."""
    record = observed.record(version) if version is not None else None
    created = [one["metadata"].get("creationTimestamp") for one in seen.records if one["data"]["version"] == version]
    rolled_back = record.rolled_back if record else None
    return {
        "created_at": min(filter(None, created), default=None),
        "promotions": list(record.promotions) if record else [],
        "promoted_at": record.promotions[-1] if record and record.promotions else None,
        "retired_at": record.retired if record else None,
        "rolled_back": dataclasses.asdict(rolled_back) if rolled_back else None,
    }


def unfinished(row: Json) -> int:
    return sum(row.get(count) or 0 for count in ("pending", "enqueued", "delayed"))


def shown(rows: list[Json]) -> tuple[list[Json], int]:
    """Versions without those that are history, but the newest of them; and how many were left out."""
    past = [row for row in rows if _RANKS.get(row["state"]) == 3]
    hidden = past[PAST_SHOWN:]
    return [row for row in rows if row not in hidden], len(hidden)


def _state(version: str | None, said: Sequence[lifecycle_tick.Condition]) -> str:
    """The condition that matters most to a person."""
    if version is None:
        return "Unversioned"  # work that the latest version takes
    types = [one.type for one in said]
    if "DrainBlocked" in types:
        return "DrainBlocked"
    return types[0] if types else "Past"


def _pod(pod: Json, seen: Observation) -> Json:
    name = pod["metadata"]["name"]
    why = why_pod_is_not_ready(pod)
    return {
        "name": name,
        "version": label(pod, "version"),
        "ready": why is None,
        "reason": why or seen.health.get(name),
        "restarts": sum(one.get("restartCount", 0) for one in pod.get("status", {}).get("containerStatuses") or []),
        "node": pod.get("spec", {}).get("nodeName"),
        "created_at": pod["metadata"].get("creationTimestamp"),
    }


def _schema(database: Database | None) -> Json | None:
    if database is None:
        return None
    tables = sorted(database.tables, key=lambda table: -int(table["bytes"]))
    return {
        "level": database.schema_level,
        "bytes": sum(int(table["bytes"]) for table in tables),
        "tables": tables,
    }


def _secrets(seen: Observation) -> list[Json]:
    keys = {secret["name"]: secret["keys"] for secret in seen.secrets}
    rows = []
    for sealed in seen.sealed_secrets:
        name = sealed["metadata"]["name"]
        synced = condition(sealed, "Synced")
        current = sealed.get("status", {}).get("observedGeneration") == sealed["metadata"].get("generation")
        rows.append(
            {
                "name": name,
                "keys": sorted(keys.get(name, [])),
                "exists": name in keys,
                "synced": synced.get("status") == "True" and current,
                "message": synced.get("message"),
            }
        )
    return rows


def _certificate(certificate: Certificate, now: datetime) -> Json:
    return {
        "name": certificate.name,
        "not_after": certificate.not_after.astimezone(UTC).isoformat(timespec="seconds"),
        "days_left": (certificate.not_after - now).days,
    }


def _scaling(scaled: Json) -> Json:
    spec = scaled.get("spec", {})
    paused = any(key.startswith("autoscaling.keda.sh/paused") for key in scaled["metadata"].get("annotations") or {})
    return {
        "name": scaled["metadata"]["name"],
        "target": spec.get("scaleTargetRef", {}).get("name"),
        "ready": condition(scaled, "Ready").get("status") == "True",
        "active": condition(scaled, "Active").get("status") == "True",
        "paused": paused,
        "minimum": spec.get("minReplicaCount", 0),
        "maximum": spec.get("maxReplicaCount", 100),
        "message": _said(condition(scaled, "Ready")),
    }


def parse_time(text: str) -> datetime:
    """RFC 3339 as Kubernetes writes it, or the form of ssl.getpeercert()."""
    if re.match(r"\d{4}-", text):
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    return datetime.strptime(text, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)

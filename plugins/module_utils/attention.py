# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What in a report of status.py needs a person, in sentences: what is wrong, where, what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.dbos.kubernetes.plugins.module_utils.status import Json

CERTIFICATE_DAYS = 30
_STATES = {"Stranded": "is stranded", "DrainBlocked": "does not drain"}


@dataclass(frozen=True)
class Wanted:
    """What a deployment asked for; status.yml asks for nothing."""

    version: str | None = None
    promoted: bool = True
    autoscaling: bool = False


def attention(report: Json, wanted: Wanted) -> list[str]:
    """Everything that needs a person. What could not be read does too: no data is not proof that all is well."""
    said = [f"{what} could not be read: {why}" for what, why in report["unreadable"].items()]
    if "Kubernetes" in report["unreadable"]:
        return said
    where = f"in namespace {report['namespace']}"
    for part in (_versions, _registration, _pods, _schema, _secrets, _certificates, _scaling):
        said += part(report, wanted, where)
    return said


def _rows(report: Json) -> dict[str | None, Json]:
    return {row["version"]: row for row in report["versions"]}


def _runs(rows: dict[str | None, Json], version: str | None) -> bool:
    return version is not None and version in rows and rows[version]["workload"] is not None


def _versions(report: Json, wanted: Wanted, where: str) -> Iterator[str]:
    rows, application = _rows(report), report["application"]
    if wanted.promoted and not _runs(rows, report["promoted"]):
        yield f"No promoted version of {application} runs {where}: deploy one."
    elif wanted.promoted and wanted.version not in (None, report["promoted"]):
        yield f"Version {wanted.version} is not promoted {where}: the Service sends requests to {report['promoted']}."
    if wanted.version is not None and not _runs(rows, wanted.version):
        yield f"Version {wanted.version} of {application} has no workload {where}."
    for version, row in rows.items():
        if row["workload"] and row["ready"] < row["replicas"]:
            yield f"Version {version} {where} has {row['ready']} of {row['replicas']} pods ready."
        for one in row["conditions"]:
            if one["type"] in ("Stranded", "DrainBlocked"):
                yield f"Version {version} {_STATES[one['type']]}: {one['message'].rstrip('.')}."
    if report["promoting"]:
        yield f"The promotion of version {report['promoting']} is half done {where}: run the same playbook again."


def _registration(report: Json, wanted: Wanted, _where: str) -> Iterator[str]:
    if report["schema"] is None or report["schema"]["level"] is None:
        return  # said elsewhere
    rows, promoted = _rows(report), report["promoted"]
    for version in dict.fromkeys(one for one in (wanted.version, promoted) if one is not None):
        if not rows.get(version, {}).get("registered"):
            others = [str(row["version"]) for row in rows.values() if row["registered"] and row["workload"] is None]
            hint = f"; registered without being asked for: {', '.join(others)}" if others else ""
            yield (
                f"Version {version} did not register itself{hint}. "
                "An application_version in its code overrides DBOS__APPVERSION."
            )
    latest = next((row["version"] for row in rows.values() if row["latest"]), None)
    if promoted is not None and rows.get(promoted, {}).get("registered") and latest != promoted:
        yield f"The Service sends requests to version {promoted}, while version {latest} takes new work: deploy again."


def _pods(report: Json, _wanted: Wanted, where: str) -> Iterator[str]:
    for pod in report["pods"]:
        if pod["reason"] and pod["reason"] != "terminating":
            state = "not healthy" if pod["ready"] else "not ready"
            yield f"Pod {pod['name']} {where} is {state}: {pod['reason']}. See its log and its events."


def _schema(report: Json, _wanted: Wanted, _where: str) -> Iterator[str]:
    if report["schema"] is not None and report["schema"]["level"] is None:
        yield "The system database has no DBOS schema: run the migration (deploy.yml)."


def _secrets(report: Json, _wanted: Wanted, where: str) -> Iterator[str]:
    for secret in report["secrets"]:
        if not secret["synced"]:
            why = secret["message"] or "the controller is silent"
            yield f"SealedSecret {secret['name']} {where} is not unsealed: {why}."
        elif not secret["exists"]:
            yield f"Secret {secret['name']} {where} is missing, its SealedSecret is not: delete that and deploy."


def _certificates(report: Json, _wanted: Wanted, _where: str) -> Iterator[str]:
    for one in report["certificates"]:
        day = one["not_after"][:10]
        if one["days_left"] < 0:
            yield f"The {one['name']} certificate expired on {day}: renew it."
        elif one["days_left"] < CERTIFICATE_DAYS:
            yield f"The {one['name']} certificate expires in {one['days_left']} days, on {day}: renew it."


def _scaling(report: Json, wanted: Wanted, where: str) -> Iterator[str]:
    for scaling in report["scaling"]:
        if not scaling["ready"]:
            yield f"ScaledObject {scaling['name']} {where} is not ready: {scaling['message'] or 'KEDA is silent'}."
    workload = _rows(report).get(wanted.version, {}).get("workload")
    if wanted.autoscaling and workload:
        targets = [scaling["target"] for scaling in report["scaling"]]
        if workload.partition("/")[2] not in targets:
            yield f"Nothing scales version {wanted.version} {where}: its ScaledObject is missing."

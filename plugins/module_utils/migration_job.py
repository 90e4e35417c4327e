# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The migration as a Kubernetes Job: its document, how it is recognised again, and what a local CLI says. All pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.dbos.kubernetes.plugins.module_utils import naming
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.pods import (
    RESTRICTED_CONTAINER,
    RESTRICTED_POD,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import condition

URL = "DBOS_SYSTEM_DATABASE_URL"
CA_DIRECTORY = "/etc/dbos/database-ca"
FINGERPRINT = "dbos.kubernetes/migration"
DATABASE = "dbos.kubernetes/database"
LEVEL = "dbos.kubernetes/schema-level"

# Python's and TypeScript's CLI take the URL as an argument only. A process's arguments can be read by others on its
# node, its environment cannot: so the argument is added inside the process.
_PYTHON = f"""
import os, sys
from importlib.metadata import entry_points
found = list(entry_points(group="console_scripts", name="dbos"))
if not found:
    sys.exit("dbos: not found in this image")
sys.argv += ["--sys-db-url", os.environ["{URL}"]]
found[0].load()()
""".strip()
_NODE = (
    'process.argv.splice(1, 0, "dbos"); '
    f"process.argv.push(process.env.{URL}); "
    'require(require("path").resolve("node_modules/.bin/dbos"))'
)
_PRINT = {"go": "migrate", "python": "migrate", "typescript": "schema"}
_PASSWORD_IN_URL = re.compile(r"(postgres(?:ql)?(?:\+\w+)?://[^:/@\s]*:)[^@\s]*@")


@dataclass(frozen=True)
class Spec:
    """What one migration is."""

    application: str
    namespace: str
    image: str
    sdk: str
    command: tuple[str, ...]
    app_role: str
    schema: str
    database: str  # host:port/name
    url_secret: str
    url_key: str
    ca_config_map: str
    timeout: int
    backoff_limit: int

    @property
    def invocation(self) -> tuple[list[str], list[str]]:
        """The container's command (empty: the image's own entry point) and arguments."""
        if self.command:
            return list(self.command), []
        schema = [] if self.schema == "dbos" else ["--schema", self.schema]
        arguments = ["--app-role", self.app_role, *schema]
        if self.sdk == "python":
            return ["python3", "-c", _PYTHON], ["migrate", *arguments]
        if self.sdk == "typescript":
            return ["node", "-e", _NODE, "--"], ["schema", *arguments]
        return [], ["migrate", *arguments]

    @property
    def fingerprint(self) -> str:
        """Equal for migrations that do the same to the same database."""
        return _digest(self.image, *self.invocation[0], *self.invocation[1], self.database)

    @property
    def database_label(self) -> str:
        """Equal for all migrations of one database, whichever application's."""
        return _digest(self.database)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def job_name(application: str, jobs: Sequence[Object]) -> str:
    """The next free name after those that were used."""
    prefix = f"{application[:48].rstrip('-')}-migrate-"
    names = [job["metadata"]["name"] for job in jobs]
    used = [int(name[len(prefix) :]) for name in names if name.startswith(prefix) and name[len(prefix) :].isdigit()]
    return f"{prefix}{max(used, default=0) + 1}"


def document(spec: Spec, name: str) -> Object:
    """The Job."""
    labels = {
        **naming.labels(spec.application, component="migration"),
        FINGERPRINT: spec.fingerprint,
        DATABASE: spec.database_label,
    }
    command, arguments = spec.invocation
    secret = {"name": spec.url_secret, "key": spec.url_key}
    mounts = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the pod's own
    volumes: list[Object] = [{"name": "tmp", "emptyDir": {}}]
    if spec.ca_config_map:
        mounts.append({"name": "database-ca", "mountPath": CA_DIRECTORY})
        volumes.append({"name": "database-ca", "configMap": {"name": spec.ca_config_map}})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": spec.namespace, "labels": labels},
        "spec": {
            "activeDeadlineSeconds": spec.timeout,
            "backoffLimit": spec.backoff_limit,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    # Failed pods stay, and so do their logs.
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 10,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": RESTRICTED_POD,
                    "containers": [
                        {
                            "name": "migrate",
                            "image": spec.image,
                            **({"command": command} if command else {}),
                            **({"args": arguments} if arguments else {}),
                            "env": [{"name": URL, "valueFrom": {"secretKeyRef": secret}}],
                            "securityContext": RESTRICTED_CONTAINER,
                            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
                            "volumeMounts": mounts,
                        }
                    ],
                    "volumes": volumes,
                },
            },
        },
    }


def ended(job: Object) -> str | None:
    """Complete, Failed, or None while it is active."""
    for kind in ("Complete", "Failed"):
        if condition(job, kind).get("status") == "True":
            return kind
    return None


def active(jobs: Sequence[Object]) -> list[Object]:
    """Jobs that may still write to the database."""
    return [job for job in jobs if not ended(job)]


def last_good(jobs: Sequence[Object], fingerprint: str, level: int | None) -> Object | None:
    """A Job that did this very migration and was verified, to a level that the database still has."""
    for job in sorted(jobs, key=lambda job: str(job["metadata"].get("creationTimestamp")), reverse=True):
        reached = (job["metadata"].get("annotations") or {}).get(LEVEL)
        same = (job["metadata"].get("labels") or {}).get(FINGERPRINT) == fingerprint
        if same and ended(job) == "Complete" and reached and level is not None and level >= int(reached):
            return job
    return None


def unverified(jobs: Sequence[Object], fingerprint: str, since: datetime) -> Object | None:
    """A Job that did this very migration after C(since), and whose run was killed before it could verify it."""
    for job in jobs:
        metadata, finished = job["metadata"], job.get("status", {}).get("completionTime")
        same = (metadata.get("labels") or {}).get(FINGERPRINT) == fingerprint
        marked = LEVEL in (metadata.get("annotations") or {})
        if same and not marked and ended(job) == "Complete" and finished and datetime.fromisoformat(finished) > since:
            return job
    return None


def to_prune(jobs: Sequence[Object], keep: int) -> list[Object]:
    """Ended Jobs beyond the newest C(keep)."""
    done = sorted(
        (job for job in jobs if ended(job)),
        key=lambda job: (str(job["metadata"].get("creationTimestamp")), job["metadata"]["name"]),
    )
    return done[: max(0, len(done) - keep)]


def print_command(cli: str, sdk: str, schema: str, after: int | None) -> list[str]:
    """How a local CLI prints the SQL of all migrations after a level, without connecting anywhere."""
    first = "all" if not after else str(after + 1)
    return [cli, _PRINT[sdk], *([] if schema == "dbos" else ["--schema", schema]), "--print-migrations", first]


def read_printed(status: int, stdout: str, stderr: str, after: int | None) -> tuple[int, str]:
    """The newest level that the CLI knows, and the SQL that is pending."""
    newest = re.search(r"valid migrations are 1 through (\d+)", stderr)
    if newest:
        return max(int(newest[1]), after or 0), ""
    numbers = [int(number) for number in re.findall(r"^-- Migration (\d+)\b", stdout, re.MULTILINE)]
    if status or not numbers:
        said = mask(stderr.strip() or stdout.strip())[-500:]
        raise DbosError(f"The CLI of option cli does not print migrations (exit status {status}): {said}")
    return max(numbers), stdout


def mask(text: str, *secrets: str) -> str:
    """A program's output without the passwords of PostgreSQL URLs, nor the given secrets."""
    text = _PASSWORD_IN_URL.sub(r"\1***@", text)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text

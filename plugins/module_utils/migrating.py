# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One migration: decided by what the database says, done by a Job, verified by what the database says then."""

# Below the modules, there is no run_command: pylint: disable=ansible-bad-function

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import migration_job as jobs
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Object
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.pods import by_a_rule, phase, refusal, trouble
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import condition
from ansible_collections.dbos.kubernetes.plugins.module_utils.migration_job import Spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress, Step
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database import schema

DOUBT = 15.0  # seconds that a reason which another step may heal is watched
SLICE = 5.0  # seconds between two looks at a Job that says nothing
GRACE = 60.0  # seconds that a Job may take beyond its own deadline
LOG_LINES = 20


@dataclass(frozen=True)
class State:
    """What the database says."""

    level: int | None = None
    missing: tuple[str, ...] = ()
    missing_metrics: tuple[str, ...] = ()
    application_exists: bool = True
    metrics_exists: bool = True


@dataclass
class Migration:
    """The work of one module call."""

    client: Client
    database: Database
    spec: Spec
    metrics_role: str | None
    expected_level: int | None
    keep_jobs: int
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def run(self) -> dict[str, Any]:
        """Migrate if something is pending, grant what the roles lack, verify; the result of the module."""
        before = self.observe()
        self._demand_roles(before)
        done = self._done(before)
        job = str(done["metadata"]["name"]) if done else None
        after = before
        if not self._current(before, done):
            self._lock()
            before, job = self._migrate()
            after = self.observe()
            self._verify(after, before, job)
        if self.metrics_role and after.missing_metrics:
            schema.grant_metrics(self.database, self.spec.schema, self.metrics_role, list(after.missing_metrics))
        return result(before, after, job)

    def check(self, cli: str | None, sdk: str) -> dict[str, Any]:
        """What run() would do; creates nothing."""
        before = self.observe()
        done = self._done(before)
        if self._current(before, done):
            return result(before, before, done["metadata"]["name"] if done else None)
        level, sql = pending(cli, sdk, self.spec.schema, before.level, self.expected_level)
        after = State(level=level)
        return result(before, after, jobs.job_name(self.spec.application, self._jobs()), sql)

    def observe(self) -> State:
        """Level and privileges, in two statements."""
        level = schema.level(self.database, self.spec.schema)
        found = schema.privileges(self.database, self.spec.schema, self.spec.app_role, self.metrics_role)
        return State(
            level,
            tuple(found["missing"]),
            tuple(found["missing_metrics"]),
            found["application_exists"],
            found["metrics_exists"],
        )

    def _demand_roles(self, state: State) -> None:
        for role, exists in ((self.spec.app_role, state.application_exists), (self.metrics_role, state.metrics_exists)):
            if role and not exists:
                raise DbosError(
                    f"Role {role} does not exist in PostgreSQL, so it can be granted nothing: run role database first."
                )

    def _jobs(self) -> list[Object]:
        """Migration Jobs of this application."""
        selector = f"app.kubernetes.io/name={self.spec.application},app.kubernetes.io/component=migration"
        return self.client.list("batch/v1", "Job", self.spec.namespace, selector)

    def _done(self, state: State) -> Object | None:
        return jobs.last_good(self._jobs(), self.spec.fingerprint, state.level)

    def _current(self, state: State, done: Object | None) -> bool:
        """Whether nothing is pending."""
        if state.level is None or state.missing:
            return False
        if self.expected_level is not None:
            return state.level >= self.expected_level
        return done is not None

    def _lock(self) -> None:
        """Wait for the migration lock; it ends with our session."""
        deadline = time.monotonic() + self.spec.timeout
        with Progress().step(f"waiting for another migration of {self.spec.database}") as step:
            while not schema.try_lock(self.database):
                holder = schema.lock_holder(self.database)
                if time.monotonic() > deadline:
                    raise DbosError(
                        f"Another migration of {self.spec.database} still runs after {self.spec.timeout} s, in "
                        f"{holder}. Wait for it to end, or end that session."
                    )
                step.update(holder)
                time.sleep(1.0)

    def _migrate(self) -> tuple[State, str]:
        """Let active Jobs of this database end, then run ours unless one of them was the same; the state before it."""
        while True:
            before = self.observe()
            running = jobs.active(self._jobs_of_database())
            if not running:
                done = self._done(before)
                if not self._current(before, done):
                    done = self._unverified(before)
                if done:
                    return before, str(done["metadata"]["name"])
                self._demand_needs()
                job = self._create()
                if job is None:
                    continue
                running = [job]
            for job in running:
                metadata = job["metadata"]
                same = (metadata.get("labels") or {}).get(jobs.FINGERPRINT) == self.spec.fingerprint
                self._follow(job, before, ours=same)
                if same:
                    return before, str(metadata["name"])

    def _unverified(self, state: State) -> Object | None:
        """The Job of a run that was killed: it is verified now, instead of doing its work again."""
        if state.level is None or state.missing:
            return None
        recently = datetime.now(UTC) - timedelta(seconds=self.spec.timeout)
        return jobs.unverified(self._jobs(), self.spec.fingerprint, recently)

    def _jobs_of_database(self) -> list[Object]:
        """Migration Jobs of this database in all namespaces that may be listed."""
        selector = f"{jobs.DATABASE}={self.spec.database_label}"
        try:
            return self.client.list("batch/v1", "Job", None, selector)
        except KubeError as error:
            if error.status != 403:
                raise
            return self.client.list("batch/v1", "Job", self.spec.namespace, selector)

    def _demand_needs(self) -> None:
        """A pod without its Secret or ConfigMap would hang until the deadline."""
        spec = self.spec
        needs = [("Secret", spec.url_secret, spec.url_key, "secrets")]
        if spec.ca_config_map:
            needs.append(("ConfigMap", spec.ca_config_map, "ca.crt", "release (its namespace step)"))
        found = parallel(lambda need: self.client.get("v1", need[0], need[1], spec.namespace), needs)
        for (kind, name, key, role), obj in zip(needs, found, strict=True):
            if key not in ((obj or {}).get("data") or {}):
                what = f"has no key {key}" if obj else "does not exist"
                raise DbosError(f"{kind} {name} in namespace {spec.namespace} {what}: run role {role} first.")

    def _create(self) -> Object | None:
        name = jobs.job_name(self.spec.application, self._jobs())
        try:
            return self.client.create(jobs.document(self.spec, name))
        except KubeError as error:
            if error.reason == "AlreadyExists":  # another run was faster: its Job is looked at next
                return None
            raise

    def _follow(self, job: Object, before: State, *, ours: bool) -> None:
        """Watch a Job to its end; raises when it was ours and failed, or cannot succeed any more."""
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        deadline = time.monotonic() + job["spec"].get("activeDeadlineSeconds", self.spec.timeout) + GRACE
        doubted: float | None = None
        with Progress().step(f"migrating {self.spec.database} by Job {name}") as step:
            while True:
                found = self.client.get("batch/v1", "Job", name, namespace)
                if found is None and ours:
                    raise DbosError(f"Migration Job {name} was deleted while it ran. Run again.")
                if found is None:
                    return
                pods = self.client.list("v1", "Pod", namespace, pods_of(found))
                end = jobs.ended(found)
                if end == "Complete" or (end and not ours):
                    return
                if end:
                    why = condition(found, "Failed")
                    self._fail(found, pods, f"{why.get('reason')}: {why.get('message')}", before)
                problem, hopeless = judge(pods) if pods else refused(self.client, found)
                doubted = (doubted or time.monotonic()) if problem else None
                step.update(problem or "running")
                if hopeless or (doubted and "Config" in problem and time.monotonic() - doubted > DOUBT):
                    # Its program never ran, so nothing is lost; left alone it would block the next run.
                    self.client.delete("batch/v1", "Job", name, namespace, uid=found["metadata"]["uid"])
                    if ours:
                        self._fail(found, pods, problem, before)
                    return
                if time.monotonic() > deadline:
                    self._fail(found, pods, problem or "it does not end", before)
                self._wait(found, pods, step)

    def _wait(self, job: Object, pods: list[Object], step: Step) -> None:
        """Until something happens, or for a moment; also keeps the lock's session busy."""
        # Repeated, as an idle stream may be cut: the session that replaces it needs the lock anew.
        schema.try_lock(self.database)
        namespace = job["metadata"]["namespace"]
        if any(phase(pod) in ("Succeeded", "Failed") for pod in pods) or not pods:
            events = self.client.watch(
                "batch/v1", "Job", namespace, name=job["metadata"]["name"],
                resource_version=job["metadata"]["resourceVersion"], timeout=SLICE,
            )  # fmt: skip
        else:
            events = self.client.watch(
                "v1", "Pod", namespace, label_selector=pods_of(job),
                resource_version=max((pod["metadata"]["resourceVersion"] for pod in pods), key=int), timeout=SLICE,
            )  # fmt: skip
        for _kind, obj in events:
            step.update(phase(obj) if "phase" in obj.get("status", {}) else "running")
            return

    def _fail(self, job: Object, pods: Sequence[Object], reason: str, before: State) -> None:
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        lines = ""
        for pod in sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True):
            lines = jobs.mask(self.client.logs(namespace, pod["metadata"]["name"], tail=LOG_LINES), *self.secrets)
            if lines:
                break
        level = schema.level(self.database, self.spec.schema)
        moved = (
            f"stays at {shown(level)}"
            if level == before.level
            else f"went from {shown(before.level)} to {shown(level)}"
        )
        words = f" Its last lines:\n{lines.strip()}" if lines else ""
        raise DbosError(
            f"Migration Job {namespace}/{name} failed: {reason}. The schema level {moved}.{words}",
            from_version=before.level,
            to_version=level,
            job=name,
        )

    def _verify(self, after: State, before: State, job: str) -> None:
        """The Job's word is not taken for it."""
        facts = {"from_version": before.level, "to_version": after.level, "job": job}
        if after.level is None:
            raise DbosError(
                f"Migration Job {job} succeeded, but {self.spec.database} has no schema {self.spec.schema}: does "
                f"Secret {self.spec.url_secret} point to another database?",
                **facts,
            )
        if after.missing:
            raise DbosError(
                f"Migration Job {job} succeeded, but role {self.spec.app_role} still lacks "
                f"{', '.join(after.missing[:5])} ({len(after.missing)} in all): does its command grant (--app-role)?",
                **facts,
            )
        if self.expected_level is not None:
            schema.demand_level(after.level, self.expected_level, self.spec.application)
        annotation = {"metadata": {"annotations": {jobs.LEVEL: str(after.level)}}}
        self.client.patch("batch/v1", "Job", job, self.spec.namespace, annotation)
        for old in jobs.to_prune(self._jobs(), self.keep_jobs):
            self.client.delete("batch/v1", "Job", old["metadata"]["name"], self.spec.namespace)


def judge(pods: Sequence[Object]) -> tuple[str, bool]:
    """What is wrong with the newest pod, and whether waiting cannot help."""
    for pod in sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True):
        problem = trouble(pod)
        return (problem.reason, problem.hopeless) if problem else ("", False)
    return "", False


def pods_of(job: Object) -> str:
    """Selects this very Job's pods: one of the same name before it may still have some that are going."""
    return f"batch.kubernetes.io/controller-uid={job['metadata']['uid']}"


def refused(client: Client, job: Object) -> tuple[str, bool]:
    """Why there is no pod, and whether waiting cannot help."""
    reason = refusal(client, job)
    return reason, by_a_rule(reason)


def pending(
    cli: str | None, sdk: str, schema_name: str, level: int | None, expected: int | None
) -> tuple[int | None, str]:
    """The level that a migration would lead to, and its SQL, where a local CLI or the task knows them."""
    if cli:
        command = jobs.print_command(cli, sdk, schema_name, level)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DbosError(f"The CLI of option cli cannot be run: {error}") from error
        return jobs.read_printed(done.returncode, done.stdout, done.stderr, level)
    return (None if expected is None else max(expected, level or 0)), ""


def shown(level: int | None) -> str:
    """A level in words."""
    return "none" if level is None else str(level)


def result(before: State, after: State, job: str | None, sql: str = "") -> dict[str, Any]:
    """What the module returns; changed by the database's word alone, and by caution where the target is unknown."""
    unknown = after.level is None
    lacking = [*before.missing, *before.missing_metrics]
    changed = unknown or before.level != after.level or bool(lacking)
    return {
        "changed": changed,
        "from_version": before.level,
        "to_version": after.level,
        "job": job,
        "diff": {
            "before": f"schema level {shown(before.level)}\n" + "".join(f"lacks {entry}\n" for entry in lacking),
            "after": (f"schema level {'unknown' if unknown else after.level}\n" + sql) if changed else
            f"schema level {shown(after.level)}\n",
        },
    }  # fmt: skip

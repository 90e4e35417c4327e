"""What tests of a deployment in several versions share: the application's database, its Service, and small pods."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2
from module_call import call
from process_kit import until

from ansible_collections.dbos.kubernetes.plugins.filter.database_url import database_url

SMALL = {
    "autoscaling_enabled": False,
    "release_replicas": 1,
    "release_drain_seconds": 2,
    "release_resources": {"requests": {"cpu": "5m", "memory": "32Mi"}},
}
VERSION = "app.kubernetes.io/version"


class Deployed:
    """An application that deploy.yml made."""

    def __init__(self, platform: Any, application: Any, ansible_playbook: Any) -> None:
        self.platform = platform
        self.application = application
        self.namespace = application.namespace
        self._playbook = ansible_playbook
        name = application.name.replace("-", "_")
        self._login = {
            "dbname": name,
            "user": f"{name}_owner",
        }

    @property
    def variables(self) -> dict[str, Any]:
        return {**self.application.variables, **SMALL}

    def deploy(self, version: str, *flags: str, check: bool = True, **variables: Any) -> Any:
        """A run of deploy.yml for this version."""
        wanted = {**self.variables, "release_version": version, **variables}
        return self._playbook("deploy.yml", *flags, extra_vars=wanted, check=check)

    def tick(self) -> Any:
        """A run of retire.yml."""
        return self._playbook("retire.yml", extra_vars=self.variables)

    # Looking

    @property
    def _password(self) -> str:
        path = self.platform.directory / "credentials" / self.application.name / "owner"
        return str(path.read_text().split()[0])

    def url(self) -> str:
        """The system database's, as its owner."""
        server = {"host": self.platform.node, "port": 5432}
        return str(
            database_url(server, user=self._login["user"], password=self._password, database=self._login["dbname"])
        )

    def session(self) -> Any:
        """Another session of the database's owner."""
        return psycopg2.connect(**{**self.platform.database(), **self._login, "password": self._password})

    def sql(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement as the database's owner."""
        with closing(self.session()) as session, session.cursor() as cursor:
            session.autocommit = True
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def kubectl(self, *arguments: str, **options: Any) -> str:
        return str(self.platform.kubectl("-n", self.namespace, *arguments, **options))

    def selected(self, service: str | None = None) -> str:
        """The version that a Service leads to."""
        path = "{.spec.selector.app\\.kubernetes\\.io/version}"
        return self.kubectl("get", "service", service or self.application.name, "-o", f"jsonpath={path}")

    def latest(self) -> str:
        """What DBOS takes for the latest version."""
        rows = self.sql("SELECT version_name FROM dbos.application_versions ORDER BY version_timestamp DESC LIMIT 1")
        return str(rows[0][0])

    def promoted(self) -> str:
        """The version that Service and DBOS agree on, with nothing half done."""
        intent = self.kubectl("get", "service", self.application.name, "-o", "jsonpath={.metadata.annotations}")
        assert "promoting" not in intent
        assert self.selected() == self.latest()
        return self.latest()

    def uids(self, version: str) -> list[str]:
        """Its pods."""
        return self.kubectl(
            "get", "pods", "-l", f"{VERSION}={version}", "-o", "jsonpath={.items[*].metadata.uid}"
        ).split()

    def enqueue(self, seconds: int) -> None:
        """Work through the Service that clients use."""
        path = f"/api/v1/namespaces/{self.namespace}/services/{self.application.name}:8080/proxy/enqueue/{seconds}"
        until("answered", lambda: "workflow_id" in self.platform.kubectl("get", "--raw", path, check=False))

    def module(self) -> dict[str, Any]:
        """Options of modules that work on this application."""
        return {
            "kubeconfig": str(self.platform.kubeconfig),
            "name": self.application.name,
            "namespace": self.namespace,
            "database_url": self.url(),
            "ca": (self.platform.directory / "pki/ca.crt").read_text(),
        }

    def once(self, module: str, **options: Any) -> dict[str, Any]:
        """One call, as a run of its own: the Lease is given up after it."""
        try:
            return call(module, **self.module(), **options)
        finally:
            where = {"application": self.application.name, "namespace": self.namespace}
            call("lease", kubeconfig=str(self.platform.kubeconfig), state="absent", **where)

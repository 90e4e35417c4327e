"""What tests of releases share: an application with its database and Secrets, and one call of a module."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import yaml
from module_call import call
from process_kit import until
from psycopg2 import sql


def one_task(module: str, options: dict[str, Any], result_file: Path) -> dict[str, Any]:
    """A play that calls a module here and keeps its result."""
    keep = {"dest": str(result_file), "content": "{{ result | to_json }}", "mode": "0600"}
    return {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_pipelining": True, "ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        "tasks": [
            {module: options, "register": "result", "ignore_errors": True},
            {"ansible.builtin.copy": keep},
        ],
    }


def sample_image(kit: Kit, root: Path) -> str:
    """The sample application's digest, built and pushed unless it is there."""
    source = {"context": str(root / "examples/go-starter"), "containerfile": "Containerfile.local"}
    build = {"name": "tests/dbos-app", "prepare": ["sh", "local-context.sh", "app"], **source}
    return kit.digest(build["name"], build=[build])


class Kit:
    """One application: names, passwords, and what a person would do with psql and kubectl."""

    def __init__(self, platform: Any, ansible_playbook: Callable[..., Any], namespace: str, directory: Path) -> None:
        self.platform = platform
        self.namespace = namespace
        self.app = "shop"
        self._playbook = ansible_playbook
        self._directory = directory
        self.database = namespace.replace("-", "_")
        self.password = secrets.token_hex(8)
        self.kubectl = platform.kubectl

    # Preparation, by hand instead of by the other roles

    def prepare(self, *, migrate: bool = True) -> None:
        """Database with owner, application's and metrics' login; namespace with Secrets and CA."""
        roles = {name: f"{self.database}_{name}" for name in ("owner", "role", "a", "metrics")}
        with closing(psycopg2.connect(**self.platform.database())) as admin, admin.cursor() as cursor:
            admin.autocommit = True
            for role in roles.values():
                cursor.execute(
                    sql.SQL("CREATE ROLE {} LOGIN PASSWORD %s").format(sql.Identifier(role)), (self.password,)
                )
            owner = sql.Identifier(roles["owner"])
            cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER WITH SET TRUE, INHERIT TRUE").format(owner))
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(self.database), owner))
            cursor.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(roles["role"]), sql.Identifier(roles["a"])))
        if migrate:
            self.migrate(roles)
        self._objects()

    def migrate(self, roles: dict[str, str]) -> None:
        command = [self.platform.program("dbos"), "migrate", "--app-role", roles["role"], "-D", self.url("owner")]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        for table in ("workflow_status", "application_versions"):
            self.sql(f"GRANT SELECT ON dbos.{table} TO {roles['metrics']}")
        self.sql(f"GRANT USAGE ON SCHEMA dbos TO {roles['metrics']}")

    def _objects(self) -> None:
        ca = (self.platform.directory / "pki/ca.crt").read_text()
        inside = self.url("a", "/etc/dbos/database-ca/ca.crt")
        objects = [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self.app}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dbos-database-ca"}, "data": {"ca.crt": ca}},
            self.secret("dbos-app-db", {"database-url": inside}),
            self.secret(f"{self.app}-metrics", {"password": self.password}),
        ]
        self.kubectl("label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted")
        self.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=yaml.dump_all(objects))

    @staticmethod
    def secret(name: str, values: dict[str, str]) -> dict[str, Any]:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}

    def forget(self) -> None:
        """Drop database and roles; the namespace goes with its fixture."""
        with closing(psycopg2.connect(**self.platform.database())) as admin, admin.cursor() as cursor:
            admin.autocommit = True
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.database)))
            for role in ("a", "metrics", "role", "owner"):
                cursor.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"{self.database}_{role}")))

    # Looking and acting

    def url(self, login: str, ca: str | None = None) -> str:
        ca = ca or str(self.platform.directory / "pki/ca.crt")
        user = f"{self.database}_{login}"
        where = f"{self.platform.node}:5432/{self.database}"
        return f"postgresql://{user}:{self.password}@{where}?sslmode=verify-full&sslrootcert={ca}"

    def sql(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement as the database's owner."""
        with closing(psycopg2.connect(self.url("owner"))) as session, session.cursor() as cursor:
            session.autocommit = True
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []

    def versions(self) -> dict[str, tuple[int, str | None]]:
        """Registered versions: timestamp and owner."""
        rows = self.sql("SELECT version_name, version_timestamp, application_name FROM dbos.application_versions")
        return {name: (timestamp, owner) for name, timestamp, owner in rows}

    def latest(self) -> str:
        versions = self.versions()
        return max(versions, key=lambda name: versions[name][0])

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        text = self.kubectl("get", kind, name, "-n", self.namespace, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def names(self, kind: str) -> list[str]:
        text = self.kubectl("get", kind, "-n", self.namespace, "-o", "jsonpath={.items[*].metadata.name}")
        return text.split()

    def http(self, path: str) -> str:
        """A GET through the API server and the application's Service."""
        until("led to its pods", self._leads)
        return self.kubectl("get", "--raw", f"/api/v1/namespaces/{self.namespace}/services/{self.app}:8080/proxy{path}")

    def _leads(self) -> bool:
        """Whether the Service leads to pods that it selects and to no others; it follows its selector in a moment."""
        version = self.get("service", self.app)["spec"]["selector"]["app.kubernetes.io/version"]
        where = ("-n", self.namespace, "-o")
        pods = self.kubectl("get", "pods", "-l", f"app.kubernetes.io/version={version}", *where, "name").split()
        each = "jsonpath={range .subsets[*].addresses[*]}pod/{.targetRef.name} {end}"
        # kubectl also says there that Endpoints are deprecated, which the API server still goes by.
        said = self.kubectl("get", "endpoints", self.app, "--ignore-not-found", *where, each).split()
        behind = {word for word in said if word.startswith("pod/")}
        return bool(behind) and behind <= {*pods}

    # One call of a module

    def call(self, module: str, *flags: str, **options: Any) -> dict[str, Any]:
        """The module's result; C(failed) tells whether it failed, C(output) has all that was said.

        In this process, as the action plugin does, which takes a tenth of a playbook's time; with C(flags) of
        ansible-playbook in a playbook, for what Ansible itself prints.
        """
        if flags:
            return self._in_playbook(module, flags, options)
        result = call(module, **options)
        if options.get("lease"):
            self.lease("absent")
        # Ansible's own form of a warning, which a playbook's result doesn't have.
        warnings = [warning["event"]["msg"] for warning in result.get("warnings", [])]
        return {"failed": False, "changed": False, **result, "warnings": warnings, "output": json.dumps(result)}

    def _in_playbook(self, module: str, flags: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
        result_file = self._directory / "result.json"
        result_file.unlink(missing_ok=True)
        playbook = self._directory / f"{module}.yml"
        playbook.write_text(json.dumps([one_task(f"dbos.kubernetes.{module}", options, result_file)]))
        run = self._playbook(playbook, *flags, inventory="localhost,", check=False)
        if "--check" in flags:
            # The file is not written in check mode; the message and the recap are what a person sees.
            return {"output": run.output, "failed": "fatal:" in run.output, "changed": run.changed > 1}
        assert result_file.exists(), run.output
        return {**json.loads(result_file.read_text()), "output": run.output}

    def once(self, module: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """The same in this process, much faster, as a run of its own: the Lease is given up after it."""
        common = {"name": self.app, "namespace": self.namespace, "database_url": self.url("owner")}
        try:
            return call(module, check=check, kubeconfig=str(self.platform.kubeconfig), **{**common, **options})
        finally:
            self.lease("absent")

    def lease(self, state: str, **options: Any) -> None:
        """What a person does with the application's Lease."""
        where = {"application": self.app, "namespace": self.namespace}
        result = call("lease", kubeconfig=str(self.platform.kubeconfig), state=state, **where, **options)
        assert not result.get("failed"), result

    def digest(self, image: str, build: list[dict[str, Any]] | None = None) -> str:
        """What the role images makes of an image's name."""
        registry = {"host": f"{self.platform.node}:5443", "ca_file": str(self.platform.directory / "pki/ca.crt")}
        resolve = [] if build else [image]
        result = self.call("images", build=build or [], resolve=resolve, registry=registry)
        assert not result["failed"], result["output"]
        return str(result["digests"][image])

    def on_application(self, module: str, *flags: str, **options: Any) -> dict[str, Any]:
        """A call of a module that works on this application."""
        common = {"name": self.app, "namespace": self.namespace, "lease": self.app}
        return self.call(module, *flags, kubeconfig=str(self.platform.kubeconfig), **{**common, **options})

    def released(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """A release that succeeds."""
        result = self.release(*arguments, **options)
        assert not result["failed"], result["output"]
        return result

    def release(self, version: str, image: str, *flags: str, **options: Any) -> dict[str, Any]:
        """Release a version with small resources."""
        settings = {
            "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}},
            "database_url": self.url("owner"),
            "ca": (self.platform.directory / "pki/ca.crt").read_text(),
            "drain_seconds": 3,
            "timeout": 90,
        }
        return self.on_application("release", *flags, **{**settings, "version": version, "image": image, **options})

"""What tests of the database share: module calls in one process each, and psql's view of the server."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from process_kit import until

from ansible_collections.dbos.kubernetes.plugins.filter.database_url import database_url

# Runs a module the way Ansible does, without Ansible round it.
RUNNER = """
import importlib, json, sys
from ansible.module_utils.testing import patch_module_args
with patch_module_args(json.load(sys.stdin)):
    importlib.import_module("ansible_collections.dbos.kubernetes.plugins.modules." + sys.argv[1]).main()
"""
ROOT = Path(__file__).resolve().parents[2]


class Call:
    """A module that runs."""

    def __init__(self, module: str, options: dict[str, Any], run: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "collections"), "DBOS_KUBERNETES_RUN": run}
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, module],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.options = options

    def start(self) -> Call:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(self.options))
        self.process.stdin.close()
        self.process.stdin = None
        return self

    def end(self) -> dict[str, Any]:
        stdout, stderr = self.process.communicate(timeout=300)
        assert stdout.strip(), f"no result:\n{stderr}"
        result: dict[str, Any] = json.loads(stdout.strip().splitlines()[-1])
        assert "Traceback" not in stdout + stderr, stdout + stderr
        result["seconds"] = time.monotonic() - self.started
        return result


class Kit:
    """One application's database on the local platform; all calls of a test file are one run, and share a relay."""

    def __init__(self, platform: Any, namespace: str) -> None:
        self.platform = platform
        self.namespace = namespace
        self.app = namespace.removeprefix("test-")
        self.database = self.app.replace("-", "_")
        self.server = {key: platform.database()[key] for key in ("host", "user", "password", "sslmode")}
        self.ca = (platform.directory / "pki/ca.crt").read_text()
        self.run = self.new_run()
        self.relay = {"namespace": namespace, "application": self.app, "image": f"{platform.node}:5443/tools/relay:1"}

    @staticmethod
    def new_run() -> str:
        """What the action plugin would tell modules about a run of Ansible."""
        return json.dumps({"host": "test", "pid": 1, "start": "1", "boot": "", "job": uuid.uuid4().hex})

    def url(self, user: str | None = None, password: str | None = None, **more: str) -> str:
        return database_url(self.server, user=user, password=password, **more)

    def start(self, module: str, *, check: bool = False, run: str | None = None, **options: Any) -> Call:
        shared = {"kubeconfig": str(self.platform.kubeconfig)}
        if module != "relay":
            shared |= {"ca": self.ca, "relay": self.relay}
        given = {key: value for key, value in (shared | options).items() if value is not None}
        return Call(module, given | {"_ansible_check_mode": check, "_ansible_diff": True}, run or self.run).start()

    def call(self, module: str, **options: Any) -> dict[str, Any]:
        return self.start(module, **options).end()

    def ok(self, module: str, **options: Any) -> dict[str, Any]:
        result = self.call(module, **options)
        assert not result.get("failed"), result
        return result

    def refused(self, module: str, **options: Any) -> str:
        """The message of a call that must fail."""
        result = self.call(module, **options)
        assert result.get("failed"), result
        return str(result["msg"])

    def database_options(self, **changes: Any) -> dict[str, Any]:
        """Module database's, for a whole application."""
        name = self.database
        return {
            "database_url": self.url(),
            "name": name,
            "owner": f"{name}_owner",
            "owner_password": "owner-secret",
            "role": f"{name}_role",
            "logins": [f"{name}_a", f"{name}_b"],
            "login_password": "app-secret",
            "metrics_role": f"{name}_metrics",
            "metrics_spare": f"{name}_metrics_b",
            "metrics_password": "metrics-secret",
            **changes,
        }

    def owner_url(self) -> str:
        return self.url(f"{self.database}_owner", "owner-secret", database=self.database)

    @contextmanager
    def cursor(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> Iterator[Any]:
        """A direct session, as the admin or another user."""
        login = {"user": user, "password": password} if user else {}
        with closing(psycopg2.connect(**(self.platform.database(database) | login))) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                yield cursor

    def rows(self, sql: str, *parameters: Any, **login: Any) -> list[tuple[Any, ...]]:
        with self.cursor(**login) as cursor:
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall()) if cursor.description else []

    def secret(self, name: str, **values: str) -> None:
        data = {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})

    def apply(self, document: dict[str, Any]) -> None:
        self.platform.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=json.dumps(document))

    def objects(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        arguments = ["get", kind, "-n", self.namespace, "-o", "json", *(["-l", selector] if selector else [])]
        return list(json.loads(self.platform.kubectl(*arguments))["items"])

    @contextmanager
    def quota(self, name: str, pods: int) -> Iterator[None]:
        """No more than so many pods in the namespace; counts once its controller has seen it."""
        metadata, hard = {"name": name}, {"pods": str(pods)}
        self.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}})
        try:
            until("the quota counts", lambda: all(one.get("status") for one in self.objects("resourcequota")))
            yield
        finally:
            self.platform.kubectl("delete", "resourcequota", name, "-n", self.namespace)

    def remove(self) -> None:
        """Drop database and roles."""
        self.ok("database", **self.database_options(state="absent"))

"""What tests of recovery share: an application in two versions whose work and pods are lost, and found again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import module_call
from process_kit import until
from release_kit import Kit, sample_image

UNTOUCHED = "SELECT workflow_uuid, status, executor_id, recovery_attempts, updated_at FROM dbos.workflow_status"


class Shop(Kit):
    """The application with v1, and v2 promoted; one pod each."""

    def recover(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        common = {
            "database_url": self.url("owner"), "kubeconfig": str(self.platform.kubeconfig), "namespace": self.namespace,
            "name": self.app,
        }  # fmt: skip
        result = module_call.call("workflow_recovery", check=check, **{**common, **options})
        assert not result.get("failed"), result
        return result

    def start(self, version: str, seconds: int, ordinal: int = 0) -> str:
        return self._begun(version, ordinal, f"start/{seconds}")

    def wait(self, version: str, ordinal: int = 0) -> str:
        """Work that goes on until end()."""
        return self._begun(version, ordinal, "wait/paid")

    def end(self, *ids: str) -> None:
        for id_ in ids:
            self.sql("SELECT dbos.send_message(%s, '\"now\"'::json, 'paid')", id_)

    def _begun(self, version: str, ordinal: int, path: str) -> str:
        pod = f"{self.app}-{version}-{ordinal}"
        where = f"/api/v1/namespaces/{self.namespace}/pods/{pod}:8080/proxy/{path}"
        id_ = str(json.loads(self.kubectl("get", "--raw", where))["workflow_id"])
        until("running", lambda: self.sql("SELECT 1 FROM dbos.operation_outputs WHERE workflow_uuid = %s", id_))
        return id_

    def insert(self, executor: str | None, status: str = "PENDING", **columns: Any) -> str:
        id_ = f"row-{uuid.uuid4()}"
        row = {
            "workflow_uuid": id_, "status": status, "name": "task", "application_version": "v1",
            "executor_id": executor, "application_name": self.app, "recovery_attempts": 1, "queue_name": "elsewhere",
            **columns,
        }  # fmt: skip
        marks = ", ".join(["%s"] * len(row))
        self.sql(f"INSERT INTO dbos.workflow_status ({', '.join(row)}) VALUES ({marks})", *row.values())
        return id_

    def row(self, id_: str) -> tuple[str, str | None, int]:
        (found,) = self.sql(
            "SELECT status, executor_id, recovery_attempts FROM dbos.workflow_status WHERE workflow_uuid = %s", id_
        )
        return found

    def scale(self, version: str, replicas: int) -> None:
        self.kubectl("scale", "statefulset", f"{self.app}-{version}", "-n", self.namespace, f"--replicas={replicas}")

    def gone(self, version: str) -> bool:
        return not [name for name in self.names("pod") if name.startswith(f"{self.app}-{version}-")]

    def kill(self, *pods: str) -> None:
        """With next to no grace. Not by force: the process would go on for a moment after its object, and take work."""
        how = ["--grace-period=1", "--wait=false", "--ignore-not-found"]  # it may be gone already, or not be back yet
        self.kubectl("delete", "pod", *pods, "-n", self.namespace, *how)

    def finish(self) -> None:
        self.sql(
            "UPDATE dbos.workflow_status SET status = 'CANCELLED', owner_xid = NULL, queue_name = NULL "
            "WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')"
        )

    def ready(self, version: str, replicas: int) -> None:
        """So many pods, and all of them ready."""
        self.scale(version, replicas)
        get = ["get", "statefulset", f"{self.app}-{version}", "-n", self.namespace, "-o"]
        path = "jsonpath={.status.replicas} {.status.readyReplicas}"
        until("ready", lambda: self.kubectl(*get, path) == f"{replicas} {replicas}")


@contextmanager
def deployed_shop(
    platform: Any, ansible_playbook: Callable[..., Any], namespace: str, directory: Path, root: Path
) -> Iterator[Shop]:
    """Released; its database and roles go when the block is left."""
    one = Shop(platform, ansible_playbook, namespace, directory)
    one.prepare()
    image = sample_image(one, root)
    one.released("v1", image, replicas=1)
    one.released("v2", image, replicas=1)
    yield one
    one.forget()

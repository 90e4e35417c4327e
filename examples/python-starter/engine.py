"""A launched DBOS with this application's one workflow and one queue."""

from __future__ import annotations

import threading
from typing import Any

import sqlalchemy
from dbos import DBOS, DBOSConfig
from service import UnknownQueueError, UnknownWorkflowError
from settings import Settings

QUEUE = "taskQueue"
WORKER_CONCURRENCY = 2

# Work that needs an executor now: DELAYED rows become ENQUEUED when they are due. The statuses are literals, so that
# PostgreSQL can use the SDK's partial index: the cost does not grow with what has ended.
_QUEUE_LENGTH = sqlalchemy.text("""
    SELECT count(*) FROM dbos.workflow_status
    WHERE queue_name = :queue AND status IN ('ENQUEUED', 'PENDING') AND application_version = :version
      AND (application_name = :application OR application_name IS NULL)
""")

_running = 0
_lock = threading.Lock()


@DBOS.workflow(name="task")
def task(seconds: int) -> str:
    """A durable sleep, which a recovered execution goes on with."""
    _count(1)
    try:
        DBOS.sleep(seconds)
        return "done"
    finally:
        _count(-1)


def _count(change: int) -> None:
    global _running  # noqa: PLW0603 - DBOS is one per process, too
    with _lock:
        _running += change


class Engine:
    """What the routes need of DBOS."""

    def __init__(self, settings: Settings) -> None:
        # Version and executor id are taken from DBOS__APPVERSION and DBOS__VMID by the SDK; one in this configuration
        # would win over them. With a key, the SDK wants the licensed package dbos-enterprise, and says so.
        config: DBOSConfig = {
            "name": settings.application,
            "system_database_url": settings.database_url,
            "run_migrations": False,  # `dbos migrate` has run; the application's role may not alter the schema
            "sys_db_pool_size": settings.pool_size,
            "conductor_url": settings.conductor_url,
            "conductor_key": settings.conductor_key,
        }
        DBOS(config=config)
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=WORKER_CONCURRENCY)
        self._application = settings.application
        url = sqlalchemy.make_url(settings.database_url).set(drivername="postgresql+psycopg")
        self._database = sqlalchemy.create_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True)

    @property
    def version(self) -> str:
        """The version as DBOS registered it."""
        return DBOS.application_version

    @property
    def executor(self) -> str:
        """The executor's id as DBOS uses it."""
        return DBOS.executor_id

    @property
    def running(self) -> int:
        """How many workflows run here."""
        return _running

    def enqueue(self, seconds: int) -> str:
        """Enqueue a workflow for this version; its id."""
        return DBOS.enqueue_workflow(QUEUE, task, seconds).workflow_id

    def status(self, workflow_id: str) -> dict[str, Any]:
        """A workflow's status."""
        rows = DBOS.list_workflows(workflow_ids=[workflow_id])
        if not rows:
            raise UnknownWorkflowError(workflow_id)
        row = rows[0]
        return {
            "id": row.workflow_id,
            "status": row.status,
            "name": row.name,
            "application_version": row.app_version,
            "executor_id": row.executor_id,
            "queue_name": row.queue_name,
            "attempts": row.recovery_attempts,
            "created_at": row.created_at,
            "output": row.output,
            "error": str(row.error) if row.error else None,
        }

    def queue_length(self, queue: str) -> int:
        """How many workflows of this version run or wait in a queue, counted by the database."""
        values = {"queue": queue, "version": self.version, "application": self._application}
        with self._database.connect() as connection:
            length: int = connection.execute(_QUEUE_LENGTH, values).scalar_one()
        # Zero of a queue that doesn't exist would scale an application in for a typing error.
        if not length and DBOS.retrieve_queue(queue) is None:
            raise UnknownQueueError(queue)
        return length

    def finish(self, seconds: int) -> int:
        """Claim no more work, wait so long for what runs; how many workflows were left running."""
        DBOS.destroy(workflow_completion_timeout_sec=seconds)
        self._database.dispose()
        return _running

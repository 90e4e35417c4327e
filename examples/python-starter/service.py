"""The HTTP side: what the routes answer, and the server that asks."""

from __future__ import annotations

import json
import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

log = logging.getLogger("dbos-app")


class UnknownQueueError(Exception):
    """There is no queue of that name."""


class UnknownWorkflowError(Exception):
    """There is no workflow of that id."""


class Backend(Protocol):
    """What the routes need of DBOS."""

    def enqueue(self, seconds: int) -> str: ...

    def status(self, workflow_id: str) -> dict[str, Any]: ...

    def queue_length(self, queue: str) -> int: ...


class Service:
    """Answers requests; it has no backend until DBOS is launched."""

    def __init__(self) -> None:
        self.backend: Backend | None = None
        self.draining = False

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """HTTP status and body."""
        if path == "/healthz":
            return self._health()
        _empty, route, value = [*path.split("/", 2), "", ""][:3]
        if route not in {"enqueue", "workflow", "metrics"} or not value or "/" in value:
            return 404, {"error": f"there is no route {path!r}"}
        if self.backend is None:
            return 503, {"error": "DBOS is not launched yet"}
        try:
            return self._ask(self.backend, route, unquote(value))
        except UnknownWorkflowError:
            return 404, {"error": f'there is no workflow "{unquote(value)}"'}
        except UnknownQueueError:
            return 404, {"error": f'there is no queue "{unquote(value)}"'}
        except Exception as error:
            log.exception("request failed: %s", path)
            return 500, {"error": str(error)}

    def _health(self) -> tuple[int, dict[str, Any]]:
        if self.draining:
            return 503, {"status": "draining"}
        return (200, {"status": "ok"}) if self.backend else (503, {"status": "launching"})

    @staticmethod
    def _ask(backend: Backend, route: str, value: str) -> tuple[int, dict[str, Any]]:
        if route == "enqueue":
            if not value.isdecimal():
                return 400, {"error": f'"{value}" is no whole number of seconds'}
            return 200, {"workflow_id": backend.enqueue(int(value))}
        if route == "workflow":
            return 200, backend.status(value)
        return 200, {"queue_length": backend.queue_length(value)}


class Server(ThreadingHTTPServer):
    """A thread per connection and, as HTTP/1.0 has it, a connection per request: closing waits for no idle client."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, port: int, service: Service) -> None:
        super().__init__(("", port), _Handler)
        self.service = service


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 10

    def do_GET(self) -> None:
        status, body = self.server.service.answer(urlsplit(self.path).path)
        content = json.dumps(body, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Probes and scalers ask all the time: nothing is logged."""

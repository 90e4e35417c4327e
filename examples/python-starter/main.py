"""A DBOS application as the guide deploys it, in Python: HTTP routes that enqueue durable workflows, and a queue whose
depth the autoscaler reads."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime

import settings
from engine import Engine
from service import Server, Service, log


class Json(logging.Formatter):
    """One JSON document per line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "msg": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1]:
            line["error"] = str(record.exc_info[1])
        return json.dumps(line, default=str)


def main() -> int:
    """Runs until SIGTERM; the exit status."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Json())
    for logger in (log, logging.getLogger("dbos")):
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_signal: stop.set())
    try:
        run(settings.read(os.environ), stop)
    except Exception as error:
        log.error("dbos-app stopped", extra={"fields": {"error": str(error)}})
        return 1
    return 0


def run(given: settings.Settings, stop: threading.Event) -> None:
    """Serves until it is told to stop, then drains. The HTTP server is up before DBOS, so that probes get an answer
    (503) while it launches."""
    service = Service()
    server = Server(given.port, service)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    if given.conductor_url and not given.conductor_key:
        log.warning("DBOS_CONDUCTOR_URL is set without DBOS_CONDUCTOR_KEY: not connecting to Conductor")
    engine = Engine(given)
    service.backend = engine
    said = {"application": given.application, "version": engine.version, "executor": engine.executor}
    log.info("ready", extra={"fields": {"port": given.port, **said}})
    stop.wait()
    log.info("draining", extra={"fields": {"running": engine.running, "seconds": given.drain_seconds}})
    service.draining = True
    server.shutdown()
    server.server_close()  # waits for the requests that are being answered
    left = engine.finish(given.drain_seconds)
    # Whoever has this executor's id next resumes what is left.
    log.info("drained", extra={"fields": {"left_pending": left}})


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # The thread of a workflow that still sleeps would keep the interpreter from ending.
    os._exit(status)

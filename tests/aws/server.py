"""Serve an AWS account for tests and by hand: python tests/aws/server.py [--port 5000]; control under /control/…"""

from __future__ import annotations

import argparse
import threading
from typing import Any

from fake_aws.application import Application
from moto.server import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server


class _Quiet(MotoRequestHandler):
    """Says nothing about each request."""

    def log(self, type: str, message: str, *args: Any) -> None:
        if type == "error":
            super().log(type, message, *args)

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """An answer that is withheld ends the connection."""
        self.close_connection = True


class Server:
    """The account behind a port of this process."""

    def __init__(self, port: int = 0) -> None:
        self.application = Application()
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", port, self.application, threaded=True, request_handler=_Quiet
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Serve in a thread."""
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self) -> None:
        """Serve until interrupted."""
        self._server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    server = Server(parser.parse_args().port)
    print(server.url, flush=True)
    server.serve()

"""A run that is killed takes its module with it; one that is doubled is told so; one that is cut off says it."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path

import pytest
import yaml
from process_kit import processes_in, start

pytestmark = pytest.mark.slow


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


def test_a_killed_run_takes_its_module_with_it(root, ansible_environment, converged, temporary):
    """The demonstration's one module runs for most of a minute."""
    environment = ansible_environment | {"TMPDIR": str(temporary)}
    killed = start(root, environment, "demo.yml", converged.variables)

    for line in killed.stdout:
        if "unfinished" in line:
            break
    assert len(processes_in(temporary)) > 1
    killed.kill()
    killed.wait()
    wait_for(lambda: not processes_in(temporary), 5)


def test_two_runs_at_once(root, ansible_environment, ansible_playbook, platform, new_application):
    with new_application() as application:
        first = start(root, ansible_environment, "site.yml", application.variables)
        wait_for(
            lambda: platform.kubectl(
                "get", "lease", "-n", application.namespace, f"dbos-{application.name}", "-o", "name", check=False
            ).startswith("lease")
        )
        second = ansible_playbook("deploy.yml", extra_vars=application.variables, check=False)
        output, _ = first.communicate(timeout=300)
        assert first.returncode == 0, output
        assert second.returncode != 0
        found = re.search(r"Another run is changing application (\S+) in namespace (\S+): process (\d+)", second.output)
        assert found, second.output
        assert found.groups() == (application.name, application.namespace, str(first.pid))


class Cable:
    """A TCP connection to the API server that can be pulled."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
                there = socket.create_connection(self._target)
            except OSError:
                return
            self._open += [here, there]
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def pull(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            one.close()


def test_the_api_goes_away_in_mid_run(root, ansible_environment, ansible_playbook, platform, new_application, tmp_path):
    cable = Cable(platform.node, 6443)
    kubeconfig = yaml.safe_load(platform.kubeconfig.read_text())
    kubeconfig["clusters"][0]["cluster"] |= {
        "server": f"https://127.0.0.1:{cable.port}",
        "tls-server-name": platform.node,
    }
    path = Path(tmp_path / "kubeconfig")
    path.write_text(yaml.safe_dump(kubeconfig))
    with new_application() as application:
        run = start(
            root,
            ansible_environment,
            "deploy.yml",
            application.variables | {"platform_kubernetes": {"kubeconfig": str(path)}},
        )
        wait_for(
            lambda: platform.kubectl(
                "get", "lease", "-n", application.namespace, f"dbos-{application.name}", "-o", "name", check=False
            ).startswith("lease")
        )
        cable.pull()
        output, _ = run.communicate(timeout=300)
        assert run.returncode != 0
        assert f"The Kubernetes API at https://127.0.0.1:{cable.port} does not answer" in output
        assert "Traceback" not in output
        ansible_playbook("deploy.yml", extra_vars=application.variables)
        assert ansible_playbook("deploy.yml", extra_vars=application.variables).changed == 0

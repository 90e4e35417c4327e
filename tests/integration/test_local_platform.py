"""A second instance of the local platform, in a network namespace of its own: the shared one is not disturbed.

The tests go through one life of it, in their order: refused, built, broken, repaired, removed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from process_kit import until

from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform import cgroups
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.processes import kill
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import Settings
from tests.conftest import ROOT, Run

pytestmark = pytest.mark.slow

NODE = "10.219.0.1"
# Where an instance leaves traces outside its directory.
SHARED = ("/run/containerd", "/run/mount", "/var/lib/cni", "/var/log/containers", "/var/lib/kubelet", "/var/log/pods")

WEB = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "containers": [
            {
                "name": "web",
                "image": f"{NODE}:5443/tools/busybox:1",
                "command": ["sh", "-c", "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"],
                "readinessProbe": {"httpGet": {"port": 8080, "path": "/index.html"}, "periodSeconds": 1},
                "securityContext": {"runAsNonRoot": True},
            }
        ]
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
}


@dataclass(frozen=True)
class Instance:
    """The second instance."""

    directory: Path
    namespace: str
    playbook: Path
    environment: dict[str, str]

    @property
    def name(self) -> str:
        """What it is called outside its directory."""
        return Settings(self.directory, Path(), Path(), "", NODE, "", "", 0, 0, 0).instance

    def inside(self, *command: object, prefix: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[str]:
        """Start a command in the instance's network."""
        words = ["nsenter", f"--net=/run/netns/{self.namespace}", *prefix, *map(str, command)]
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(words, **{"stdin": subprocess.DEVNULL, "env": self.environment, **streams, **options})

    def output(self, *command: object) -> str:
        """What a command prints there; it has to succeed."""
        process = self.inside(*command)
        text = process.communicate(timeout=240)[0]
        assert process.returncode == 0, text
        return text

    def start(self, *arguments: str, prefix: tuple[str, ...] = (), **variables: Any) -> subprocess.Popen[str]:
        """Start the role."""
        values = json.dumps({"local_platform_directory": str(self.directory), **variables})
        command = ["ansible-playbook", "-i", "localhost,", self.playbook, "-e", values, *arguments]
        return self.inside(*command, prefix=prefix, start_new_session=True)

    def run(self, *arguments: str, **variables: Any) -> Run:
        """Run the role to its end."""
        process = self.start(*arguments, **variables)
        output = process.communicate(timeout=600)[0]
        return Run(process.returncode, output)

    def teardown(self, **variables: Any) -> Run:
        """Run teardown.yml, as make down does."""
        confirmed = {"teardown_scope": "platform", "teardown_confirm": "local"}
        values = json.dumps({"local_platform_directory": str(self.directory), **confirmed, **variables})
        command = ["ansible-playbook", "-i", ROOT / "inventories/local", ROOT / "teardown.yml", "-e", values]
        process = self.inside(*command)
        output = process.communicate(timeout=600)[0]
        return Run(process.returncode, output)

    def down(self, **variables: Any) -> int:
        """The same; it has to succeed."""
        done = self.teardown(**variables)
        assert done.returncode == 0, done.output
        return done.changed

    def up(self, *arguments: str, **variables: Any) -> Run:
        """Run the role; it has to succeed."""
        done = self.run(*arguments, **variables)
        assert done.returncode == 0, done.output
        return done

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints."""
        return self.output(self.directory / "bin/kubectl", f"--kubeconfig={self.directory}/kubeconfig", *arguments)

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply documents and wait for the pod, once there is the account that it runs as."""
        self.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=180s")
        path = self.directory / "log/applied.json"
        for document in documents:
            path.write_text(json.dumps(document))
            self.kubectl("apply", "-f", str(path))
        self.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=180s")

    def as_before(self, before: dict[str, list[str]]) -> bool:
        """Whether nothing is left; the kernel takes its time only for the devices of pods that have ended."""
        until("without pods' devices", lambda: self.output("ip", "-brief", "link").splitlines() == before["links"])
        assert self.traces() == before
        return True

    def pid(self, component: str) -> int:
        """The process of a component."""
        return int((self.directory / "run/processes" / component).read_text().split()[0])

    def traces(self) -> dict[str, list[str]]:
        """All that could be left of it on the machine."""
        mine = (str(self.directory), self.name)
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        users = Path("/etc/passwd").read_text().splitlines()
        # Files of the shared platform come and go meanwhile.
        walks = [walk for folder in SHARED for walk in os.walk(folder)]
        files = [f"{folder}/{name}" for folder, folders, names in walks for name in (*folders, *names)]
        links = list(_links(Path("/var/log/containers")))
        groups = [str(tree / self.name) for tree in cgroups.hierarchies() if (tree / self.name).exists()]
        return {
            "processes": sorted(_processes(mine)),
            "mounts": [line for line in mounts if str(self.directory) in line],
            "files": sorted(line for line in [*files, *links, *users] if any(name in line for name in mine)),
            "directory": [str(self.directory)] if self.directory.exists() else [],
            "groups": groups,
            "links": self.output("ip", "-brief", "link").splitlines(),
            "addresses": [line.split() for line in self.output("ip", "-brief", "address").splitlines()],
            "routes": self.output("ip", "route", "show", "table", "all").splitlines(),
            "tables": self.output("nft", "list", "ruleset").splitlines(),
            "rules": _rules(self.output("iptables-save")) + _rules(self.output("ip6tables-save")),
            "forwarding": [self.output("cat", "/proc/sys/net/ipv4/ip_forward")],
        }


def _processes(names: tuple[str, ...]) -> Iterator[str]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                command = (process / "cmdline").read_text().replace("\0", " ")
                groups = (process / "cgroup").read_text()
                state = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            # One that has ended but whose parent was killed waits for the machine's init to read its status; only
            # that one can, and in a container it may take its time.
            orphaned = state == ["Z", "1"]
            if not orphaned and any(name in command + groups for name in names):
                yield f"{process.name} {' '.join(state)} {command} {[g for g in groups.split() if 'dbos' in g]}"


def _links(folder: Path) -> Iterator[str]:
    for path in folder.glob("*"):
        with suppress(OSError):
            yield f"{path} -> {path.readlink()}"


def _descendants(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _rules(listed: str) -> list[str]:
    return [line.partition(" [")[0] for line in listed.splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module")
def instance(platform, root, ansible_environment, tmp_path_factory) -> Iterator[Instance]:
    """The second instance, not there yet. The shared platform is asked for first, so that everything is built."""
    namespace = f"dbos-test-{os.getpid()}"
    playbook = tmp_path_factory.mktemp("play") / "play.yml"
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"ansible_pipelining": True, "ansible_python_interpreter": sys.executable},
        "roles": ["dbos.kubernetes.local_platform"],
    }
    playbook.write_text(json.dumps([play]))
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)
    made = Instance(Path(f"/var/lib/{namespace}"), namespace, playbook, ansible_environment)
    try:
        yield made
    finally:
        made.run(local_platform_state="absent")
        subprocess.run(["ip", "netns", "delete", namespace], check=True)


@pytest.fixture(scope="module")
def before(instance) -> dict[str, list[str]]:
    """What the machine is like without it."""
    return instance.traces()


@pytest.fixture(scope="module")
def running(instance, before) -> Instance:
    """The instance, up."""
    instance.up()
    return instance


class TestRefusals:
    """Each is one clear sentence, and nothing is touched."""

    def refused(self, instance, before, reason, *prefix, **variables):
        process = instance.start(prefix=prefix, **variables)
        output = process.communicate(timeout=300)[0]
        assert process.returncode != 0, output
        assert reason in output
        assert instance.traces() == before

    def test_without_root(self, instance, before):
        # In a user namespace without a mapping one is nobody, but may still read the checkout.
        self.refused(instance, before, "needs root, and this runs as user 65534", "unshare", "--user")

    def test_with_a_port_taken(self, instance, before):
        with self.listener(instance):
            self.refused(instance, before, f"Port 6443 on {NODE}, for kube-apiserver, is taken by python")

    @contextmanager
    def listener(self, instance):
        program = "import socket; s = socket.create_server(('0.0.0.0', 6443)); print('up', flush=True); s.accept()"
        process = instance.inside(sys.executable, "-c", program)
        try:
            assert process.stdout.readline() == "up\n"
            yield
        finally:
            process.kill()
            process.wait()

    def test_with_too_little_disk(self, instance, before):
        self.refused(instance, before, "MiB of disk left, and the platform's state", local_platform_minimum_disk=10**9)

    def test_with_too_little_memory(self, instance, before):
        self.refused(instance, before, "MiB of memory available", local_platform_minimum_memory=10**9)

    def test_with_ranges_that_overlap(self, instance, before):
        self.refused(instance, before, "overlap", local_platform_pod_range="10.219.2.0/24")

    def test_with_a_directory_of_others(self, instance, before, tmp_path):
        (tmp_path / "thesis.odt").touch()
        done = instance.run(local_platform_directory="/etc")
        assert "/etc is there and is no local platform" in done.output or "absolute path" in done.output
        done = instance.run(local_platform_directory="/etc", local_platform_state="absent")
        assert done.returncode != 0
        assert Path("/etc/passwd").exists()
        assert instance.traces() == before

    def test_check_mode_creates_nothing(self, instance, before):
        done = instance.up("--check", "--diff")
        assert done.changed == 1
        assert "start kube-apiserver" in done.output
        assert instance.traces() == before
        assert instance.up("--check", local_platform_state="absent").changed == 0


class TestLife:
    def test_up_within_a_minute_and_then_unchanged(self, instance, before):
        begin = time.monotonic()
        done = instance.up()
        seconds = time.monotonic() - begin
        assert done.changed == 1
        assert seconds < 60, done.output
        assert " Ready " in instance.kubectl("get", "nodes", "--no-headers")
        again = instance.up("--diff")
        assert again.changed == 0, again.output

    def test_every_listener_is_private(self, running):
        for line in running.output("ss", "-Hltnu").splitlines():
            address = line.split()[4].rpartition(":")[0].strip("[]")
            assert address in (NODE, "127.0.0.1", "::1"), line

    def test_pods_find_each_other_by_name(self, running):
        running.apply(WEB, SERVICE)
        assert self.served(running) == "hello\n"
        assert "/tmp/index.html" in running.kubectl("exec", "web", "--", "ls", "/tmp/index.html")
        assert running.kubectl("logs", "web") == ""

    def served(self, running):
        """What the Service answers in the pod, as soon as its name and endpoint are known to CoreDNS and kube-proxy."""
        ask = "until wget -qO- http://web.default/index.html 2>/dev/null; do sleep 0.3; done"
        return running.kubectl("exec", "web", "--", "sh", "-c", ask)

    def test_credentials_are_closed_to_others(self, running):
        open_to_all = [
            path
            for path in running.directory.rglob("*")
            if path.suffix in (".key", ".kubeconfig") or path.name in ("kubeconfig", "admin-password")
            if path.stat().st_mode & 0o077 and "containerd" not in path.parts
        ]
        assert open_to_all == []

    def test_postgresql_takes_nothing_but_tls_and_scram(self, running):
        connects = self.connects
        password = (running.directory / "postgresql/admin-password").read_text().strip()
        assert "17." in connects(running, "verify-full", "dbos_admin", password)
        assert "no encryption" in connects(running, "disable", "dbos_admin", password)
        assert "password authentication failed" in connects(running, "require", "dbos_admin", "wrong")
        assert "rejects connection" in connects(running, "require", "postgres", password)
        assert password not in (running.directory / "log/postgresql.log").read_text()

    def password(self, running):
        return (running.directory / "postgresql/admin-password").read_text().strip()

    def connects(self, running, sslmode, user, password, statement="SELECT 1"):
        program = (
            "import json, psycopg2, sys\n"
            "try: connection = psycopg2.connect(**json.loads(sys.argv[1]))\n"
            "except psycopg2.OperationalError as error: sys.exit(print(error))\n"
            "connection.autocommit = True\n"
            "cursor = connection.cursor()\n"
            "cursor.execute(sys.argv[2])\n"
            "cursor.execute('SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user')\n"
            "assert cursor.fetchone() == (False, True, True)\n"
            "cursor.execute('SHOW server_version'); print(cursor.fetchone()[0])\n"
        )
        options = {"host": NODE, "dbname": "postgres", "user": user, "password": password, "sslmode": sslmode}
        if sslmode == "verify-full":
            options["sslrootcert"] = str(running.directory / "pki/ca.crt")
        return running.output(sys.executable, "-c", program, json.dumps(options), statement)

    @pytest.mark.parametrize("component", ["containerd", "kubelet", "postgresql", "registry", "coredns", "etcd"])
    def test_a_crashed_component_is_brought_back(self, running, component):
        running.apply(WEB, SERVICE)
        pod = running.kubectl("get", "pod", "web", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
        os.kill(running.pid(component), signal.SIGKILL)
        done = running.up("-v")
        assert done.changed == 1
        assert f"start {component}" in done.output
        assert running.up().changed == 0
        assert running.kubectl("get", "pod", "web", "-o", "jsonpath={.status.containerStatuses[0].containerID}") == pod

    def test_a_hanging_component_is_started_anew(self, running):
        os.kill(running.pid("coredns"), signal.SIGSTOP)
        assert running.up("--check", "-v").changed == 1
        assert running.up().changed == 1
        assert running.up().changed == 0

    def test_another_configuration_restarts_what_reads_it(self, running):
        path = running.directory / "etc/Corefile"
        path.write_text(path.read_text().replace("cache 30", "cache 60"))
        assert "write" in running.up("--check", "--diff").output
        assert running.up().changed == 1
        assert "cache 30" in path.read_text()
        assert running.up().changed == 0

    def test_what_was_lost_is_made_again(self, running):
        password = running.directory / "postgresql/admin-password"
        for name in ("postgresql/admin-password", "bin/kubectl", "pki/registry.crt", "pki/ca.key", "kubeconfig"):
            (running.directory / name).unlink()
        shutil.rmtree(running.directory / "registry/docker/registry/v2/repositories/tools/relay")
        assert running.up().changed == 1
        assert running.up().changed == 0
        assert " Ready " in running.kubectl("get", "nodes", "--no-headers")
        assert "17." in self.connects(running, "verify-full", "dbos_admin", password.read_text().strip())

    def test_a_reboot_is_taken_over(self, running):
        container = ("get", "pod", "web", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
        before = running.kubectl(*container)
        kill(lambda: cgroups.all_processes(running.name), timeout=60)
        cgroups.remove(running.name, timeout=60)
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in reversed([point for point in points if point.startswith(f"{running.directory}/")]):
            subprocess.run(["umount", "--lazy", point], check=True)
        running.output("ip", "address", "delete", f"{NODE}/32", "dev", "lo")
        running.output("iptables", "-t", "nat", "-F")
        assert running.up().changed == 1
        # Until the kubelet has looked, the pod's status is the one from before.
        until("restarted", lambda: running.kubectl(*container) not in (before, ""), 180)
        running.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=180s")
        assert self.served(running) == "hello\n"
        assert running.up().changed == 0

    def test_two_runs_at_once_agree(self, running):
        os.kill(running.pid("registry"), signal.SIGKILL)
        both = [running.start(), running.start()]
        outputs = [process.communicate(timeout=300)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], outputs
        assert running.up().changed == 0

    def test_down_leaves_the_machine_as_it_was(self, running, before):
        assert running.up("--check", local_platform_state="absent").changed == 1
        assert running.directory.exists()
        self.connects(running, "verify-full", "dbos_admin", self.password(running), "CREATE DATABASE dbos_app")
        for component in ("postgresql", "kube-apiserver"):
            os.kill(running.pid(component), signal.SIGKILL)
        refused = running.teardown()
        assert refused.returncode != 0
        assert "teardown_unreadable=abandon" in " ".join(refused.output.split()), refused.output
        assert running.directory.exists()
        assert running.down(teardown_unreadable="abandon") == 1
        assert running.as_before(before)
        assert running.down() == 0


class TestKilledRuns:
    @pytest.mark.parametrize("seconds", [1.2, 2.0, 3.0, 5.0])
    def test_a_killed_run_is_continued_by_the_next(self, instance, before, seconds):
        self.kill_after(instance, seconds)
        assert instance.up().returncode == 0
        assert instance.up().changed == 0
        assert instance.down() == 1
        assert instance.as_before(before)

    def test_what_a_killed_run_left_can_be_removed(self, instance, before):
        self.kill_after(instance, 3.5)
        self.kill_after(instance, 2.0, local_platform_state="absent")
        instance.down()
        assert instance.as_before(before)

    def kill_after(self, instance, seconds, **variables):
        process = instance.start(**variables)
        time.sleep(seconds)
        # Ansible, its workers and the module; what the module has started on the host lives on, as it would.
        # All are stopped first, so that none has started another while it was looked at.
        stopped: set[int] = set()
        while found := _descendants(process.pid) - cgroups.all_processes(instance.name) - stopped:
            _signal(found, signal.SIGSTOP)
            stopped |= found
        _signal(stopped, signal.SIGKILL)
        process.communicate()


def test_the_shared_platform_was_not_disturbed(platform, instance):
    assert instance.directory != platform.directory
    with socket.create_connection((platform.node, 6443), timeout=60):
        pass
    assert " Ready " in platform.kubectl("get", "nodes", "--no-headers")

"""The pure parts of the local platform."""

from __future__ import annotations

import io
import json
import os
import socket
import tarfile
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import graph
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform import (
    addons,
    certificates,
    checks,
    components,
    images,
    network,
    parts,
    traces,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.platform import node_is_ready
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import Settings

DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n'


@pytest.fixture
def settings(tmp_path, root):
    return Settings(
        directory=tmp_path / "platform",
        cache=tmp_path / "cache",
        source=root / "roles/local_platform/files",
        go="go",
        node_address="10.219.0.1",
        pod_range="10.219.1.0/24",
        service_range="10.219.2.0/24",
        wait_timeout=10,
        minimum_disk=1,
        minimum_memory=1,
    )


class TestSteps:
    def step(self, name, action, *after):
        return graph.Step(name, lambda cancelled: action(), frozenset(after))

    def test_each_waits_for_what_it_needs(self):
        done = []
        steps = [self.step(name, lambda name=name: done.append(name), *after) for name, after in self.NEEDS.items()]
        graph.run(steps)
        assert sorted(done) == sorted(self.NEEDS)
        for name, after in self.NEEDS.items():
            assert all(done.index(needed) < done.index(name) for needed in after)

    NEEDS = {"kubelet": ["containerd", "api"], "api": ["etcd"], "etcd": [], "containerd": [], "node": ["kubelet"]}  # noqa: RUF012

    def test_what_does_not_wait_runs_side_by_side(self):
        both = threading.Barrier(2, timeout=60)
        graph.run([self.step("one", both.wait), self.step("other", both.wait)])

    def test_the_first_failure_is_raised_and_stops_the_rest(self):
        def fail():
            raise DbosError("etcd ended")

        done = []
        with pytest.raises(DbosError, match="etcd ended"):
            graph.run([self.step("etcd", fail), self.step("api", lambda: done.append("api"), "etcd")])
        assert done == []

    def test_a_failure_is_told_to_those_at_work(self):
        def fail(cancelled):
            raise DbosError("no")

        told = []
        steps = [
            graph.Step("builds", lambda cancelled: told.append(cancelled.wait(60))),
            graph.Step("fails", fail),
        ]
        with pytest.raises(DbosError):
            graph.run(steps)
        assert told == [True]

    @pytest.mark.parametrize("needs", [{"a": ["b"], "b": ["a"]}, {"a": ["nobody"]}])
    def test_a_circle_or_an_unknown_name_is_refused(self, needs):
        with pytest.raises(ValueError, match=r"wait for one another|is called"):
            graph.order([self.step(name, lambda: None, *after) for name, after in needs.items()])


class TestChecks:
    def test_debian_on_amd64_is_fine(self):
        checks.machine("Linux", "x86_64", DEBIAN)
        checks.machine("Linux", "x86_64", 'ID=ubuntu\nID_LIKE="debian"\n')

    @pytest.mark.parametrize(
        ("system", "architecture", "release"),
        [("Darwin", "x86_64", DEBIAN), ("Linux", "aarch64", DEBIAN), ("Linux", "x86_64", "ID=fedora\n")],
    )
    def test_other_machines_are_refused(self, system, architecture, release):
        with pytest.raises(DbosError, match="Debian or a relative of it on amd64"):
            checks.machine(system, architecture, release)

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"node_address": "10.219.0.256"}, "is not one"),
            ({"pod_range": "10.219.1.1/24"}, "has host bits set"),
            ({"pod_range": "10.219.2.0/25"}, "overlap"),
            ({"node_address": "10.219.1.1"}, "overlap"),
        ],
    )
    def test_addresses(self, settings, change, problem):
        checks.ranges(settings)
        with pytest.raises(DbosError, match=problem):
            checks.ranges(replace(settings, **change))

    def test_a_directory_of_others_is_refused(self, settings):
        # Sockets lie below it, and Linux has 107 bytes for their paths: pytest's own folders are too deep.
        with tempfile.TemporaryDirectory() as short:
            self.refuse_what_is_not_ours(replace(settings, directory=Path(short) / "platform"))

    def refuse_what_is_not_ours(self, settings):
        checks.directory(settings)
        settings.directory.mkdir()
        checks.directory(settings)
        (settings.directory / "thesis.odt").touch()
        with pytest.raises(DbosError, match="is no local platform"):
            checks.directory(settings)
        (settings.directory / checks.MARKER).touch()
        checks.directory(settings)

    @pytest.mark.parametrize("path", ["relative/path", "/", "/var", "/var/lib/" + "x" * 100])
    def test_directories_that_cannot_be(self, settings, path):
        with pytest.raises(DbosError, match=r"absolute path|too long"):
            checks.directory(replace(settings, directory=Path(path)))

    def test_too_little_disk_or_memory(self, settings):
        with pytest.raises(DbosError, match=r"MiB of disk left, and the state below .* needs 1000000000"):
            checks.disk(settings.directory, 10**9, "the state")
        with pytest.raises(DbosError, match=r"MiB of memory available, and the platform needs 1000000000"):
            checks.memory(replace(settings, minimum_memory=10**9))

    def test_memory_is_what_is_available(self):
        assert checks.memory_available("MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:    4194304 kB\n") == 4096


def test_rules_to_remove_are_ours_and_kubernetes_own():
    listed = """\
# Generated by iptables-save
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-X - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -j DOCKER
-A POSTROUTING -s 10.219.1.0/24 -m comment --comment dbos-0123 -j MASQUERADE
-A POSTROUTING -s 10.9.0.0/16 -m comment --comment dbos-4567 -j MASQUERADE
-A KUBE-SERVICES -j KUBE-SVC-X
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
COMMIT
"""
    assert network.removal(listed, "dbos-0123").splitlines() == [
        "*nat",
        '-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        "-D POSTROUTING -s 10.219.1.0/24 -m comment --comment dbos-0123 -j MASQUERADE",
        "-F KUBE-SERVICES",
        "-F KUBE-SVC-X",
        "-X KUBE-SERVICES",
        "-X KUBE-SVC-X",
        "COMMIT",
    ]
    assert network.removal("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", "dbos-0123") == ""


def test_mounts_below_a_directory_and_no_other():
    lines = [
        "1 0 8:1 / / rw - ext4 /dev/vda rw",
        "2 1 0:1 / /var/lib/one rw - tmpfs tmpfs rw",
        "3 1 0:1 / /var/lib/one/kubelet/a\\040b rw - tmpfs tmpfs rw",
        "4 1 0:1 / /var/lib/one-more/x rw - tmpfs tmpfs rw",
    ]
    assert traces.mounted_below("\n".join(lines), "/var/lib/one") == ["/var/lib/one/kubelet/a b"]


def test_what_a_command_line_names_decides_its_fingerprint():
    directory = Path("/var/lib/one")
    text = '--config=/var/lib/one/etc/a.json {"key": "/var/lib/one/pki/b.key"} /var/lib/one/log/c /etc/d'
    assert components.mentioned(text, directory) == [directory / "etc/a.json", directory / "pki/b.key"]


class TestCertificates:
    def test_made_once_and_again_when_damaged(self, settings):
        assert "ca" in certificates.missing(settings)
        made = certificates.ensure(settings)
        assert {"ca", "kubernetes-ca", "front-proxy-ca", "kube-apiserver", "service-accounts.key"} <= set(made)
        assert certificates.missing(settings) == []
        assert certificates.ensure(settings) == []
        (settings.pki / "registry.crt").write_text("no certificate")
        assert certificates.missing(settings) == ["registry"]
        assert certificates.ensure(settings) == ["registry"]

    def test_a_new_authority_renews_what_it_signs(self, settings):
        certificates.ensure(settings)
        (settings.pki / "ca.key").unlink()
        assert certificates.ensure(settings) == ["ca", "postgresql", "registry"]

    def test_another_address_is_another_certificate(self, settings):
        certificates.ensure(settings)
        moved = replace(settings, node_address="10.219.0.2")
        assert set(certificates.missing(moved)) == {"kube-apiserver", "kubelet-server", "postgresql", "registry"}

    def test_those_about_to_expire_are_renewed(self, settings, monkeypatch):
        certificates.ensure(settings)
        monkeypatch.setattr(certificates, "RENEW_DAYS", certificates.CERTIFICATE_DAYS)
        assert "kubelet" in certificates.missing(settings)
        assert "ca" not in certificates.missing(settings)

    def test_keys_are_closed_to_others(self, settings):
        certificates.ensure(settings)
        assert all(path.stat().st_mode & 0o077 == 0 for path in settings.pki.glob("*.key"))

    def test_a_file_is_written_once(self, tmp_path):
        path = tmp_path / "folder" / "file"
        assert certificates.write(path, "text", mode=0o600)
        assert not certificates.write(path, "text", mode=0o600)
        assert certificates.write(path, "text", mode=0o644)
        assert path.read_text() == "text"
        assert path.stat().st_mode & 0o777 == 0o644


class TestImages:
    @pytest.fixture
    def image(self, tmp_path):
        (tmp_path / "relay").write_bytes(b"program")
        (tmp_path / "relay").chmod(0o700)
        return images.Image(
            "tools/relay", "1", {"usr/bin/relay": tmp_path / "relay"}, ["/usr/bin/relay"], {"r": "relay"}
        )

    def test_a_layer_holds_the_files_and_their_folders(self, image):
        with tarfile.open(fileobj=io.BytesIO(images.layer(image).data)) as archive:
            names = {entry.name: entry for entry in archive.getmembers()}
        assert set(names) == {"tmp", "usr", "usr/bin", "usr/bin/relay", "r"}
        assert names["usr/bin/relay"].mode == 0o755
        assert names["tmp"].mode == 0o1777
        assert names["r"].linkname == "relay"

    def test_the_same_files_make_the_same_image(self, image):
        one, other = images.manifest(image, images.layer(image)), images.manifest(image, images.layer(image))
        assert one[1].digest == other[1].digest

    def test_nobody_is_root(self, image):
        configuration, document = images.manifest(image, images.layer(image))
        assert json.loads(configuration.data)["config"]["User"] == "65532:65532"
        assert json.loads(document.data)["config"]["digest"] == configuration.digest

    def test_its_key_follows_its_content(self, image):
        before = image.content_key
        image.files["usr/bin/relay"].write_bytes(b"another program")
        assert image.content_key != before


class TestParts:
    def test_versions_are_those_of_go_mod(self, root):
        source = root / "roles/local_platform/files"
        versions = {program.name: parts.version(source, program) for program in parts.PROGRAMS if program.module}
        assert versions["kubernetes"] == "1.36.3"
        assert versions["kubeseal"] == "0.40.0"
        assert versions["keda-operator"] == "2.21.0"
        assert versions["dbos"] == "1.8.0"

    def test_kubernetes_says_its_version(self, root):
        kubernetes = next(program for program in parts.PROGRAMS if program.name == "kubernetes")
        flags = parts.linker_flags(root / "roles/local_platform/files", kubernetes)
        assert "gitVersion=v1.36.3 " in flags
        assert flags.endswith("gitMinor=36")

    def test_npms_lock_names_no_registry(self, root):
        lock = json.loads((root / "roles/local_platform/files/postgresql/package-lock.json").read_text())
        packages = [package for name, package in lock["packages"].items() if name]
        assert all("integrity" in package and "resolved" not in package for package in packages)

    def test_keda_gets_our_images(self):
        text = "image: example.org/kedacore/keda:latest\nimage: example.org/kedacore/keda-metrics-apiserver:latest\n"
        assert addons.with_images(text, "10.0.0.1:5443", "2.21.0").splitlines() == [
            "image: 10.0.0.1:5443/addons/keda-operator:2.21.0",
            "image: 10.0.0.1:5443/addons/keda-metrics-adapter:2.21.0",
        ]


def test_two_directories_are_two_instances(settings):
    other = replace(settings, directory=settings.directory / "other")
    assert settings.instance != other.instance
    assert len(settings.instance) <= 32, "it is a user's name too"
    assert settings.address_in_services(1) == "10.219.2.1"


@pytest.mark.parametrize(("status", "ready"), [("True", True), ("False", False), ("Unknown", False)])
def test_a_node_is_ready_when_it_says_so(status, ready):
    assert node_is_ready({"status": {"conditions": [{"type": "Ready", "status": status}]}}) is ready
    assert not node_is_ready({})


def test_a_port_of_our_own_process_is_found_while_that_opens_and_closes_files(settings, monkeypatch):
    done = threading.Event()

    def churn():
        while not done.is_set():
            for descriptor in [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]:
                os.close(descriptor)

    first = [os.open(os.devnull, os.O_RDONLY) for _ in range(50)]  # looked at before the socket
    with socket.create_server(("127.0.0.1", 0)) as server:
        for descriptor in first:
            os.close(descriptor)
        monkeypatch.setattr(checks, "PORTS", {"test": server.getsockname()[1]})
        thread = threading.Thread(target=churn)
        thread.start()
        try:
            for _ in range(100):
                checks.ports(replace(settings, node_address="127.0.0.1"), {os.getpid()})
            with pytest.raises(DbosError, match=rf"for test, is taken by \S+ \(process {os.getpid()}\)"):
                checks.ports(replace(settings, node_address="127.0.0.1"), set())
        finally:
            done.set()
            thread.join()

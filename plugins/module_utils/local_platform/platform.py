# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The local platform as a whole: what differs from what is wanted, and the steps that make it so."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import graph
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform import (
    addons,
    certificates,
    cgroups,
    checks,
    components,
    configuration,
    debian,
    network,
    parts,
    postgresql,
    probes,
    traces,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.build import Cache
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.command import run
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.images import Image, Registry
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.processes import Component, Host
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import NODE_NAME, PORTS, Settings
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress

# Links to programs for people and roles, by name.
TOOLS = {"kubectl": "kubernetes", "kubeseal": "kubeseal", "helm": "helm", "dbos": "dbos"}
HUNG_SECONDS = 10.0  # a process that runs and does not answer for so long is started anew
BUILD_DISK = 10240  # MiB that all builds leave in each of the compiler's caches
COMPILERS = 2  # each uses all cores, but while it links


class Platform:
    """One instance of the local platform."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self.settings = settings
        self._progress = progress
        self._host = Host(settings.instance, settings.directory)
        self._cache = Cache(settings.cache, settings.source, settings.go, progress)
        self._compiling = threading.Semaphore(COMPILERS)
        # Programs of one module share most of what is compiled: side by side, it would be compiled for each.
        self._modules = {program.folder: threading.Lock() for program in parts.PROGRAMS}

    @cached_property
    def _programs(self) -> dict[str, Path]:
        return {program.name: self._cache.program(program) for program in parts.PROGRAMS}

    @cached_property
    def components(self) -> dict[str, Component]:
        """All processes on the host, by name; their configuration has to be there."""
        listed = [
            *components.control_plane(self.settings, self._programs),
            *components.node(self.settings, self._programs),
            postgresql.component(self.settings, self._cache.postgresql()),
        ]
        return {component.name: component for component in listed}

    @cached_property
    def images(self) -> list[Image]:
        """All images in the registry; the programs have to be there."""
        return addons.images(self._programs, self._versions)

    @property
    def _packages(self) -> tuple[str, ...]:
        # Debian's npm brings hundreds of packages with it: only where there is no other.
        return (*parts.DEBIAN_PACKAGES, "npm") if self._cache.needs_npm() else parts.DEBIAN_PACKAGES

    @cached_property
    def _versions(self) -> dict[str, str]:
        source = self.settings.source
        return {program.name: parts.version(source, program) for program in parts.PROGRAMS if program.module}

    def differences(self) -> list[str]:
        """What a run would do, a line each; nothing for a healthy platform. Touches nothing."""
        settings = self.settings
        found = [f"install {package}" for package in debian.missing(self._packages)]
        found += [f"build {name}" for name, path in self._programs.items() if not path.exists()]
        if not self._cache.postgresql().exists():
            found.append("install postgresql")
        if checks.read_marker(settings) is None:
            return [*found, f"create {settings.directory}", *(f"start {name}" for name in components.STOP_ORDER[::-1])]
        issue = [f"issue the certificate {name}" for name in certificates.missing(settings)]
        if found or issue:
            # All that follows depends on these.
            return found + issue
        found += [f"write {path}" for path, text in configuration.files(settings).items() if not _holds(path, text)]
        if network.missing(settings):
            found.append("set up the network")
        for component in self.components.values():
            running = self._host.running(component.name)
            if running is None:
                found.append(f"start {component.name}")
            # Answers may come late on a busy machine; where there is work anyway, it will be asked again.
            elif running[1] != component.fingerprint or not (component.ready() if found else _in_time(component.ready)):
                found.append(f"restart {component.name}")
        if found:
            return found
        found += [f"push {image.reference}" for image in self._images_missing()]
        if not self._tools_linked():
            found.append("link the tools")
        if not self._addons_done():
            found.append("write the manifests of the add-ons")
        if not _in_time(self._node_ready):
            found.append("wait for the node")
        if postgresql.admin_missing(settings):
            found.append(f"create the database's role {postgresql.ADMIN}")
        return found

    def check(self) -> None:
        """Fail, before anything is touched, when the platform cannot be here."""
        settings = self.settings
        checks.directory(settings)
        checks.ranges(settings)
        checks.control_groups()
        ours = cgroups.all_processes(settings.instance)
        if not ours:
            checks.memory(settings)
            checks.disk(settings.directory, settings.minimum_disk, "the platform's state")
        if not all(path.exists() for path in self._programs.values()):
            for folder in self._cache.compilers_folders():
                checks.disk(folder, BUILD_DISK, "the Go compiler's cache")
        checks.ports(settings, ours)

    def converge(self) -> None:
        """Make the platform as wanted, from any state."""
        settings = self.settings
        with self._progress.step("installing Debian's packages"):
            debian.ensure(self._packages)
        traces.begin(settings)
        if not cgroups.exists(settings.instance):
            # First start, or the machine was: what was running when it went down is only in our way.
            traces.remove_runtime_state(settings)
        cgroups.create(settings.instance)
        settings.below("etcd").mkdir(mode=0o700, exist_ok=True)
        certificates.ensure(settings)
        for path, text in configuration.files(settings).items():
            certificates.write(path, text, mode=0o600)
        graph.run(self._steps())

    def _steps(self) -> Iterable[graph.Step]:
        settings = self.settings

        def step(name: str, action: Callable[[], Any], after: Iterable[str] = ()) -> graph.Step:
            return graph.Step(name, lambda cancelled: action(), frozenset(after))

        yield step("network", lambda: network.ensure(settings))
        yield step("postgresql programs", self._cache.install_postgresql)
        yield step(
            "postgresql data",
            lambda: postgresql.prepare(settings, self._cache.postgresql()),
            ["postgresql programs", "network"],
        )
        for program in parts.PROGRAMS:
            yield graph.Step(f"build {program.name}", self._builder(program))
        for component in self.components.values():
            yield graph.Step(component.name, self._starter(component), frozenset(self._before(component)))
        yield step("database admin", lambda: postgresql.ensure_admin(settings), ["postgresql"])
        yield step("tools", self._link_tools, [f"build {name}" for name in TOOLS.values()])
        yield step("dns access", self._allow_dns, ["kube-apiserver", "tools"])
        image_programs = ["relay", "pause", "sealed-secrets-controller"]
        image_programs += ["keda-operator", "keda-metrics-adapter", "keda-webhooks"]
        yield step("images", self._push_images, ["registry", *(f"build {name}" for name in image_programs)])
        yield step("add-ons", self._write_addons, ["tools"])
        yield step("node", self._wait_for_node, ["kubelet", "kube-proxy", "coredns", "images"])

    def _before(self, component: Component) -> list[str]:
        """The steps that have to be done before a component starts."""
        before = ["network", *component.after]
        if component.name == "postgresql":
            before.append("postgresql data")
        for name in ("kubernetes", "coredns"):
            if str(self._programs[name]) in component.command:
                before.append(f"build {name}")
        return before

    def _builder(self, program: parts.Program) -> graph.Action:
        def build(cancelled: threading.Event) -> None:
            with self._modules[program.folder], self._compiling:
                if not cancelled.is_set():
                    self._cache.build(program, cancelled)

        return build

    def _starter(self, component: Component) -> graph.Action:
        def start(cancelled: threading.Event) -> None:
            running = self._host.running(component.name)
            mine = running is not None and running[1] == component.fingerprint
            if mine and _in_time(lambda: cancelled.is_set() or component.ready()):
                return
            self._host.stop(component)
            self._progress.say(f"starting {component.name}")
            self._host.start(component)
            with self._progress.step(f"waiting for {component.name}"):
                self._host.wait(component, self.settings.wait_timeout, cancelled)

        return start

    def _tools_linked(self) -> bool:
        links = {self.settings.below("bin", name): self._programs[program] for name, program in TOOLS.items()}
        return all(link.is_symlink() and link.readlink() == program for link, program in links.items())

    def _link_tools(self) -> None:
        folder = self.settings.below("bin")
        folder.mkdir(exist_ok=True)
        for name, program in TOOLS.items():
            temporary = folder / f".{name}"
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(self._programs[program])
            temporary.replace(folder / name)

    def _allow_dns(self) -> None:
        """CoreDNS reads with rights of its own."""
        self._kubectl("apply", "--server-side", "--force-conflicts", "-f", str(self.settings.source / "dns.yml"))

    def _kubectl(self, *arguments: str) -> str:
        command = [self.settings.below("bin", "kubectl"), f"--kubeconfig={self.settings.kubeconfig}", *arguments]
        return run(command, what=f"{arguments[0]} with kubectl").stdout

    def _images_missing(self) -> list[Image]:
        registry = Registry(self.settings.registry, self.settings.pki / "ca.crt")
        noted = traces.noted_images(self.settings)
        return [
            image
            for image in self.images
            if (digest := registry.digest(image)) is None or noted.get(image.reference) != [image.content_key, digest]
        ]

    def _push_images(self) -> None:
        registry = Registry(self.settings.registry, self.settings.pki / "ca.crt")
        for image in self._images_missing():
            digest = registry.push(image)
            traces.note_images(self.settings, {image.reference: [image.content_key, digest]})
            self._progress.say(f"pushed {self.settings.registry}/{image.reference}")

    def _addons_stamp(self) -> str:
        programs = [str(self._programs[name]) for name in ("kubeseal", "keda-operator")]
        return "\n".join([*programs, self.settings.registry])

    def _addons_done(self) -> bool:
        return _holds(self.settings.below("addons", ".from"), self._addons_stamp())

    def _write_addons(self) -> None:
        settings = self.settings
        if self._addons_done():
            return
        chart = self._cache.module_folder("sealed-secrets", "github.com/bitnami/sealed-secrets")
        addons.copy_chart(chart, settings.below("addons", "sealed-secrets"))
        keda = self._cache.module_folder("keda", "github.com/kedacore/keda/v2")
        kubectl = settings.below("bin", "kubectl")
        versions = {"sealed_secrets": self._versions["kubeseal"], "keda": self._versions["keda-operator"]}
        addons.render_keda(keda, kubectl, settings.registry, versions["keda"], settings.below("addons", "keda"))
        certificates.write(settings.below("addons", "versions.json"), json.dumps(versions) + "\n")
        certificates.write(settings.below("addons", ".from"), self._addons_stamp())

    def _node_ready(self) -> bool:
        settings = self.settings
        pair = (settings.pki / "admin.crt", settings.pki / "admin.key")
        status, body = probes.get(
            settings.node_address,
            PORTS["kube-apiserver"],
            f"/api/v1/nodes/{NODE_NAME}",
            settings.pki / "kubernetes-ca.crt",
            pair,
        )
        return status == 200 and node_is_ready(json.loads(body))

    def _wait_for_node(self) -> None:
        timeout = self.settings.wait_timeout
        with self._progress.step("waiting for the node") as step:
            while not self._node_ready():
                if step.seconds > timeout:
                    raise DbosError(f"The node is not Ready after {timeout} s. {self._host.last_lines('kubelet')}")
                time.sleep(0.1)

    def remove(self) -> None:
        """Take everything away, whatever of it is there."""
        settings = self.settings
        for name in components.STOP_ORDER:
            if self._host.stop(_stopping(name)):
                self._progress.say(f"stopped {name}")
        traces.remove(settings)


def node_is_ready(node: dict[str, Any]) -> bool:
    """Whether a Node says so itself."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _stopping(name: str) -> Component:
    """As much of a component as stopping it takes: it may have been started from a configuration long gone."""
    if name == "postgresql":
        signal, seconds = postgresql.STOP_SIGNAL, postgresql.STOP_SECONDS
        return Component(name, [], lambda: False, "", stop_signal=signal, stop_seconds=seconds)
    seconds = 3.0 if name == "kube-apiserver" else 10.0
    return Component(name, [], lambda: False, "", stop_seconds=seconds, children_stay=name == "containerd")


def _in_time(ready: Callable[[], bool]) -> bool:
    """Whether it comes true before a process would be taken for one that hangs."""
    until = time.monotonic() + HUNG_SECONDS
    while not ready():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text() == text
    except OSError:
        return False

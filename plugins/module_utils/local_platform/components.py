# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs of the platform: how each is called, configured, and asked whether it is ready."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform import probes
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.processes import Component
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import (
    CLUSTER_DOMAIN,
    NODE_NAME,
    PORTS,
    Settings,
)


def control_plane(settings: Settings, programs: Mapping[str, Path]) -> list[Component]:
    """etcd, and what runs on the control plane."""
    node, pki = settings.node_address, settings.pki
    kubernetes = programs["kubernetes"]

    def client(name: str) -> str:
        return str(settings.below("etc", f"{name}.kubeconfig"))

    def loop(name: str, *options: str) -> Component:
        return _component(
            settings,
            name,
            [
                kubernetes,
                name,
                f"--kubeconfig={client(name)}",
                f"--authentication-kubeconfig={client(name)}",
                f"--authorization-kubeconfig={client(name)}",
                f"--bind-address={node}",
                f"--tls-cert-file={pki / 'kube-apiserver.crt'}",
                f"--tls-private-key-file={pki / 'kube-apiserver.key'}",
                "--leader-elect=false",
                *options,
            ],
            lambda: probes.answers(node, PORTS[name], "/healthz", pki / "kubernetes-ca.crt"),
            after=["kube-apiserver"],
        )

    admin = (pki / "admin.crt", pki / "admin.key")
    return [
        _component(
            settings,
            "etcd",
            [
                kubernetes,
                "etcd",
                f"--name={NODE_NAME}",
                f"--data-dir={settings.below('etcd', 'data')}",
                f"--listen-client-urls={settings.etcd_socket}",
                f"--listen-peer-urls=unix://{settings.below('etcd', 'peer.sock')}",
                # Only names: the one member has nobody to tell, and nothing listens there.
                "--advertise-client-urls=http://etcd:2379",
                "--initial-advertise-peer-urls=http://etcd:2380",
                f"--initial-cluster={NODE_NAME}=http://etcd:2380",
                "--unsafe-no-fsync",  # a platform for trials: after a power cut it is made anew
            ],
            lambda: probes.listens(settings.below("etcd", "client.sock")),
        ),
        _component(
            settings,
            "kube-apiserver",
            [
                kubernetes,
                "kube-apiserver",
                f"--advertise-address={node}",
                f"--bind-address={node}",
                f"--etcd-servers={settings.etcd_socket}",
                f"--service-cluster-ip-range={settings.service_range}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                f"--client-ca-file={pki / 'kubernetes-ca.crt'}",
                f"--tls-cert-file={pki / 'kube-apiserver.crt'}",
                f"--tls-private-key-file={pki / 'kube-apiserver.key'}",
                f"--kubelet-certificate-authority={pki / 'kubernetes-ca.crt'}",
                f"--kubelet-client-certificate={pki / 'kube-apiserver-kubelet.crt'}",
                f"--kubelet-client-key={pki / 'kube-apiserver-kubelet.key'}",
                # The node's name resolves nowhere.
                "--kubelet-preferred-address-types=InternalIP",
                f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
                f"--service-account-key-file={pki / 'service-accounts.key'}",
                f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
                f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
                "--requestheader-allowed-names=front-proxy-client",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-username-headers=X-Remote-User",
                f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
                f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
                "--enable-aggregator-routing=true",
                "--profiling=false",
            ],
            lambda: probes.answers(node, PORTS["kube-apiserver"], "/readyz", pki / "kubernetes-ca.crt", admin),
            after=["etcd"],
            stop_seconds=5.0,
        ),
        loop(
            "kube-controller-manager",
            f"--root-ca-file={pki / 'kubernetes-ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'kubernetes-ca.crt'}",
            f"--cluster-signing-key-file={pki / 'kubernetes-ca.key'}",
            f"--service-account-private-key-file={pki / 'service-accounts.key'}",
            f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
            "--use-service-account-credentials=true",
            "--allocate-node-cidrs=true",
            f"--flex-volume-plugin-dir={settings.below('kubelet', 'volume-plugins')}",
            f"--cluster-cidr={settings.pod_range}",
            f"--service-cluster-ip-range={settings.service_range}",
        ),
        loop("kube-scheduler"),
        _component(
            settings,
            "coredns",
            [programs["coredns"], "-conf", settings.below("etc", "Corefile"), "-dns.port", str(PORTS["dns"])],
            lambda: probes.resolves(node, f"kubernetes.default.svc.{CLUSTER_DOMAIN}"),
            after=["kube-apiserver", "dns access"],
        ),
    ]


def node(settings: Settings, programs: Mapping[str, Path]) -> list[Component]:
    """What runs pods, and where their images come from."""
    address, kubernetes = settings.node_address, programs["kubernetes"]
    return [
        _component(
            settings,
            "containerd",
            ["containerd", "--config", settings.below("etc", "containerd.toml")],
            lambda: probes.listens(settings.containerd_socket),
            children_stay=True,
        ),
        _component(
            settings,
            "registry",
            ["docker-registry", "serve", settings.below("etc", "registry.yml")],
            lambda: probes.answers(address, PORTS["registry"], "/v2/", settings.pki / "ca.crt"),
        ),
        _component(
            settings,
            "kubelet",
            [
                kubernetes,
                "kubelet",
                f"--config={settings.below('etc', 'kubelet.json')}",
                f"--kubeconfig={settings.below('etc', 'kubelet.kubeconfig')}",
                f"--hostname-override={NODE_NAME}",
                f"--node-ip={address}",
                f"--root-dir={settings.below('kubelet')}",
            ],
            lambda: probes.answers(address, PORTS["kubelet health"], "/healthz"),
            after=["containerd", "kube-apiserver"],
        ),
        _component(
            settings,
            "kube-proxy",
            [
                kubernetes,
                "kube-proxy",
                f"--kubeconfig={settings.below('etc', 'kube-proxy.kubeconfig')}",
                f"--hostname-override={NODE_NAME}",
                "--proxy-mode=iptables",
                f"--cluster-cidr={settings.pod_range}",
                f"--bind-address={address}",
                f"--healthz-bind-address={address}:{PORTS['kube-proxy']}",
                f"--metrics-bind-address={address}:{PORTS['kube-proxy metrics']}",
                f"--nodeport-addresses={address}/32",
                "--iptables-localhost-nodeports=false",
                # The machine's own limits stay as they are.
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0s",
                "--conntrack-tcp-timeout-close-wait=0s",
            ],
            lambda: probes.answers(address, PORTS["kube-proxy"], "/livez"),
            after=["kubelet"],
        ),
    ]


def _component(
    settings: Settings, name: str, command: Sequence[object], ready: Callable[[], bool], **more: Any
) -> Component:
    """A component that is started anew whenever its command, program, configuration or certificates change."""
    words = [str(word) for word in command]
    digest = hashlib.sha256("\0".join(words).encode())
    for path in mentioned("\n".join(words), settings.directory):
        content = path.read_bytes() if path.is_file() else b""
        digest.update(content)
        for further in mentioned(content.decode(), settings.directory):
            digest.update(further.read_bytes() if further.is_file() else b"")
    if Path(words[0]).is_absolute():
        # The cache names programs by their content.
        digest.update(str(Path(words[0]).resolve()).encode())
    return Component(name, words, ready, digest.hexdigest()[:16], **more)


def mentioned(text: str, directory: Path) -> list[Path]:
    """The configuration and certificates that a command line or a file names. Pure."""
    found = re.findall(rf"{re.escape(str(directory))}/(?:etc|pki)/[\w./:-]+", text)
    return sorted({Path(name) for name in found})


STOP_ORDER = (
    "kubelet",
    "kube-proxy",
    "kube-scheduler",
    "kube-controller-manager",
    "coredns",
    # The API server hangs on SIGTERM once etcd is gone.
    "kube-apiserver",
    "containerd",
    "etcd",
    "registry",
    "postgresql",
)

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user may set about the local platform, and the places that follow from it. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

CLUSTER_DOMAIN = "cluster.local"
NODE_NAME = "local"

# Ports on the node's address. Nothing listens anywhere else, but for Unix sockets.
PORTS = {
    "dns": 53,
    "postgresql": 5432,
    "registry": 5443,
    "kube-apiserver": 6443,
    "kubelet": 10250,
    "kubelet health": 10248,
    "kube-proxy metrics": 10249,
    "kube-proxy": 10256,
    "kube-controller-manager": 10257,
    "kube-scheduler": 10259,
}


@dataclass(frozen=True)
class Settings:
    """One instance of the platform. All of its state is below C(directory); what is built, below C(cache)."""

    directory: Path
    cache: Path
    source: Path
    go: str
    node_address: str
    pod_range: str
    service_range: str
    wait_timeout: int
    minimum_disk: int
    minimum_memory: int

    @property
    def instance(self) -> str:
        """A short name of this instance, for what it makes outside its directory (cgroups, the database's user)."""
        return "dbos-" + hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:8]

    def address_in_services(self, position: int) -> str:
        """The address at this position of the service range; Kubernetes itself takes the first."""
        return str(ipaddress.ip_network(self.service_range)[position])

    @property
    def registry(self) -> str:
        """Host and port of the registry, as in an image's name."""
        return f"{self.node_address}:{PORTS['registry']}"

    def below(self, *names: str) -> Path:
        """A path below the instance's directory."""
        return self.directory.joinpath(*names)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's credentials for the cluster."""
        return self.below("kubeconfig")

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.below("pki")

    @property
    def containerd_socket(self) -> Path:
        """Where containerd answers."""
        return self.below("run", "containerd.sock")

    @property
    def etcd_socket(self) -> str:
        """Where etcd answers: a socket in a folder of root's needs neither a port nor certificates."""
        return f"unix://{self.below('etcd', 'client.sock')}"

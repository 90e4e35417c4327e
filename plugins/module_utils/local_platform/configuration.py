# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration files of the platform's programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform import certificates
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import (
    CLUSTER_DOMAIN,
    PORTS,
    Settings,
)

RESOLV_CONF = Path("/etc/resolv.conf")
CNI_PROGRAMS = "/usr/lib/cni"


def files(settings: Settings) -> dict[Path, str]:
    """The configuration files, with their content."""
    clients = ["kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "coredns"]
    found = {settings.below("etc", f"{name}.kubeconfig"): certificates.kubeconfig(settings, name) for name in clients}
    found[settings.kubeconfig] = certificates.kubeconfig(settings, "admin")
    found[settings.below("etc", "kubelet.json")] = json.dumps(_kubelet(settings), indent=1)
    found[settings.below("etc", "containerd.toml")] = _containerd(settings)
    found[settings.below("etc", "registry.yml")] = json.dumps(_registry(settings), indent=1)
    found[settings.below("etc", "Corefile")] = _corefile(settings, _nameservers())
    found[settings.below("etc", "cni", "10-pods.conflist")] = json.dumps(_pod_network(settings), indent=1)
    hosts = settings.below("etc", "certs.d", settings.registry, "hosts.toml")
    found[hosts] = f'[host."https://{settings.registry}"]\n  ca = "{settings.pki / "ca.crt"}"\n'
    return found


def _nameservers() -> list[str]:
    """The machine's own DNS servers, but for one on loopback (it could be us)."""
    lines = RESOLV_CONF.read_text().splitlines() if RESOLV_CONF.exists() else []
    servers = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    return [server for server in servers if not server.startswith("127.") and server != "::1"]


def _corefile(settings: Settings, nameservers: Sequence[str]) -> str:
    forward = f"    forward . {' '.join(nameservers)}\n" if nameservers else ""
    return (
        f".:{PORTS['dns']} {{\n"
        f"    bind {settings.node_address}\n"
        "    errors\n"
        f"    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{\n"
        f"        kubeconfig {settings.below('etc', 'coredns.kubeconfig')}\n"
        "        fallthrough in-addr.arpa\n"
        "        ttl 5\n"
        "    }\n"
        f"{forward}"
        "    cache 30\n"
        "}\n"
    )


def _kubelet(settings: Settings) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": settings.node_address,
        "port": PORTS["kubelet"],
        "healthzBindAddress": settings.node_address,
        "healthzPort": PORTS["kubelet health"],
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(settings.pki / "kubernetes-ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(settings.pki / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(settings.pki / "kubelet-server.key"),
        "clusterDNS": [settings.node_address],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": "",
        "containerRuntimeEndpoint": f"unix://{settings.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        # A group of our own: a kubelet kills what it finds in its group and doesn't know.
        "cgroupRoot": f"/{settings.instance}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "podLogsDir": str(settings.below("log", "pods")),
        "volumePluginDir": str(settings.below("kubelet", "volume-plugins")),
        "registerNode": True,
        "nodeStatusUpdateFrequency": "5s",
        "serializeImagePulls": False,
        # A machine's disk is full of other things: that is no reason to evict pods or delete images.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 200,
    }


def _containerd(settings: Settings) -> str:
    """containerd's own format is TOML; strings are written as JSON's, which TOML reads."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    runc = f"{cri}.containerd.runtimes.runc"

    def table(name: str, **values: object) -> str:
        lines = [
            f"{key} = {json.dumps(str(value) if isinstance(value, Path) else value)}" for key, value in values.items()
        ]
        return "\n".join([f"[{name}]" if name else "", *lines, ""])

    return "\n".join(
        [
            table(
                "",
                version=2,
                root=settings.below("containerd"),
                state=settings.below("run", "containerd"),
                disabled_plugins=["io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing"],
            ),
            table("grpc", address=settings.containerd_socket),
            table(
                cri,
                sandbox_image=f"{settings.registry}/tools/pause:1",
                # A machine may lack CAP_SYS_RESOURCE; runc cannot lower a score then.
                restrict_oom_score_adj=True,
                # Otherwise network namespaces lie in a folder that all instances share.
                netns_mounts_under_state_dir=True,
                enable_unprivileged_ports=True,
                enable_unprivileged_icmp=True,
            ),
            table(f"{cri}.cni", bin_dir=CNI_PROGRAMS, conf_dir=settings.below("etc", "cni")),
            table(f"{cri}.registry", config_path=settings.below("etc", "certs.d")),
            table(f"{cri}.containerd", snapshotter="overlayfs", default_runtime_name="runc"),
            table(runc, runtime_type="io.containerd.runc.v2"),
            table(f"{runc}.options", Root=settings.below("run", "runc"), SystemdCgroup=False),
        ]
    )


def _registry(settings: Settings) -> dict[str, Any]:
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(settings.below("registry"))},
            "delete": {"enabled": True},
        },
        "http": {
            "addr": settings.registry,
            "tls": {
                "certificate": str(settings.pki / "registry.crt"),
                "key": str(settings.pki / "registry.key"),
            },
        },
    }


def _pod_network(settings: Settings) -> dict[str, Any]:
    """Each pod has a link of its own to the host, which routes: Services work without a bridge's filter."""
    return {
        "cniVersion": "0.4.0",
        "name": settings.instance,
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": settings.pod_range}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(settings.below("run", "cni")),
                },
            }
        ],
    }

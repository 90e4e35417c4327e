# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images and manifests of the add-ons: what the role that installs them finds here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.command import run
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.images import CERTIFICATES, Image

BUSYBOX = Path("/bin/busybox")


def images(programs: Mapping[str, Path], versions: Mapping[str, str]) -> list[Image]:
    """All images that the platform's registry starts with."""

    def single(name: str, tag: str, program: str, inside: str = "", certificates: bool = False) -> Image:
        path = inside or f"usr/bin/{program}"
        files = {path: programs[program]}
        if certificates:
            files[str(CERTIFICATES).lstrip("/")] = CERTIFICATES
        return Image(name, tag, files, [f"/{path}"])

    applets = run([BUSYBOX, "--list"], what="list busybox's programs").stdout.split()
    busybox = Image(
        "tools/busybox",
        "1",
        {"bin/busybox": BUSYBOX},
        ["/bin/sh"],
        links={f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"},
    )
    keda, sealed_secrets = versions["keda-operator"], versions["kubeseal"]
    return [
        single("tools/pause", "1", "pause", "pause"),
        single("tools/relay", "1", "relay", "relay"),
        busybox,
        # Their manifests name the programs themselves.
        single(
            "addons/sealed-secrets-controller", sealed_secrets, "sealed-secrets-controller", "usr/local/bin/controller"
        ),
        single("addons/keda-operator", keda, "keda-operator", "keda", certificates=True),
        single("addons/keda-metrics-adapter", keda, "keda-metrics-adapter", "keda-adapter", certificates=True),
        single("addons/keda-webhooks", keda, "keda-webhooks", "keda-admission-webhooks", certificates=True),
    ]


def copy_chart(module: Path, target: Path) -> None:
    """The Helm chart that the Sealed Secrets module carries."""
    _replace(module / "helm" / "sealed-secrets", target)


def render_keda(module: Path, kubectl: Path, registry: str, version: str, target: Path) -> None:
    """KEDA's own manifests, with the platform's images."""
    work = target / "config"
    _replace(module / "config", work)
    text = run([kubectl, "kustomize", work / "default"], what="render KEDA's manifests").stdout
    (target / "keda.yaml").write_text(with_images(text, registry, version))


def with_images(text: str, registry: str, version: str) -> str:
    """KEDA's manifests name its published images; these are ours. Pure."""
    names = {
        "keda": "keda-operator",
        "keda-metrics-apiserver": "keda-metrics-adapter",
        "keda-admission-webhooks": "keda-webhooks",
    }

    def ours(match: re.Match[str]) -> str:
        return f"image: {registry}/addons/{names[match.group(1)]}:{version}"

    return re.sub(r"image: \S+/kedacore/(keda|keda-metrics-apiserver|keda-admission-webhooks):\S+", ours, text)


def _replace(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # Go's module cache is read-only

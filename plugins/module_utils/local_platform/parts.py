# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the platform is built from: Go programs pinned by go.mod, and PostgreSQL pinned by an npm lock."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

DEBIAN_PACKAGES = (
    "buildah",  # for role images, on a machine that has no other tool
    "busybox-static",
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "docker-registry",
    "iproute2",
    "iptables",
    "mount",
    "nftables",
    "runc",
)


@dataclass(frozen=True)
class Program:
    """One program: the folder with its go.mod, the package, and where its version goes."""

    name: str
    folder: str
    package: str
    module: str = ""  # whose version in go.mod is the program's
    version_variables: tuple[str, ...] = ()
    seconds: int = 60  # about, on two cores with nothing cached


# The longest first: it decides how long all take.
PROGRAMS = (
    Program(
        "kubernetes",
        "kubernetes",
        ".",
        "k8s.io/kubernetes",
        (
            "k8s.io/component-base/version.gitVersion=v{version}",
            "k8s.io/component-base/version.gitMajor={major}",
            "k8s.io/component-base/version.gitMinor={minor}",
        ),
        seconds=360,
    ),
    Program("coredns", "coredns", "github.com/coredns/coredns", "github.com/coredns/coredns", seconds=100),
    Program("relay", "tools", "./relay", seconds=5),
    Program("pause", "tools", "./pause", seconds=5),
    Program(
        "keda-operator",
        "keda",
        "github.com/kedacore/keda/v2/cmd/operator",
        "github.com/kedacore/keda/v2",
        ("github.com/kedacore/keda/v2/version.Version={version}",),
        seconds=320,
    ),
    Program(
        "keda-metrics-adapter",
        "keda",
        "github.com/kedacore/keda/v2/cmd/adapter",
        "github.com/kedacore/keda/v2",
        ("github.com/kedacore/keda/v2/version.Version={version}",),
    ),
    Program(
        "keda-webhooks",
        "keda",
        "github.com/kedacore/keda/v2/cmd/webhooks",
        "github.com/kedacore/keda/v2",
        ("github.com/kedacore/keda/v2/version.Version={version}",),
    ),
    Program(
        "sealed-secrets-controller",
        "sealed-secrets",
        "github.com/bitnami/sealed-secrets/cmd/controller",
        "github.com/bitnami/sealed-secrets",
        ("main.VERSION={version}",),
    ),
    Program(
        "kubeseal",
        "sealed-secrets",
        "github.com/bitnami/sealed-secrets/cmd/kubeseal",
        "github.com/bitnami/sealed-secrets",
        ("main.VERSION={version}",),
    ),
    Program(
        "helm",
        "helm",
        "helm.sh/helm/v4/cmd/helm",
        "helm.sh/helm/v4",
        ("helm.sh/helm/v4/internal/version.version=v{version}",),
        seconds=120,
    ),
    Program(
        "dbos", "dbos", "github.com/dbos-inc/dbos-transact-golang/cmd/dbos", "github.com/dbos-inc/dbos-transact-golang"
    ),
)


def version(source: Path, program: Program) -> str:
    """The program's version, as its go.mod pins it, without the leading "v"."""
    text = (source / program.folder / "go.mod").read_text()
    found = re.search(rf"^(?:require )?\s*{re.escape(program.module)} v(\S+)", text, re.MULTILINE)
    if found is None:
        raise DbosError(f"{source / program.folder / 'go.mod'} does not require {program.module}.")
    return found.group(1)


def linker_flags(source: Path, program: Program) -> str:
    """Flags that leave out debugging tables and put the version in."""
    flags = ["-s", "-w"]
    if program.version_variables:
        whole = version(source, program)
        major, minor = whole.split(".")[:2]
        flags += [
            f"-X {variable.format(version=whole, major=major, minor=minor)}" for variable in program.version_variables
        ]
    return " ".join(flags)

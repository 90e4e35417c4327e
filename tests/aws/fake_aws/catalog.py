"""What AWS offers: Kubernetes versions and add-ons, in the autumn of 2026."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

EXTENDED = timedelta(days=365)
DEFAULT_VERSION = "1.35"
# Kubernetes version: patch, on EKS since, end of standard support
_VERSIONS = {
    "1.31": ("1.31.14", "2024-09-26", "2025-11-26"),
    "1.32": ("1.32.13", "2025-01-23", "2026-03-23"),
    "1.33": ("1.33.11", "2025-05-29", "2026-07-29"),
    "1.34": ("1.34.8", "2025-10-02", "2026-12-02"),
    "1.35": ("1.35.4", "2026-01-27", "2027-03-27"),
    "1.36": ("1.36.1", "2026-06-02", "2027-08-02"),
}
# Add-on: namespace, kind, whether it needs permissions
_ADDONS: dict[str, tuple[str, str, bool]] = {
    "vpc-cni": ("kube-system", "networking", True),
    "coredns": ("kube-system", "networking", False),
    "kube-proxy": ("kube-system", "networking", False),
    "eks-pod-identity-agent": ("kube-system", "security", False),
    "metrics-server": ("kube-system", "observability", False),
    "aws-ebs-csi-driver": ("kube-system", "storage", True),
}
_RELEASES = {
    "vpc-cni": ("v1.21.1-eksbuild.3", "v1.21.1-eksbuild.1", "v1.20.4-eksbuild.2"),
    "eks-pod-identity-agent": ("v1.3.10-eksbuild.2", "v1.3.10-eksbuild.1", "v1.3.8-eksbuild.2"),
    "metrics-server": ("v0.8.1-eksbuild.2", "v0.8.1-eksbuild.1", "v0.8.0-eksbuild.6"),
    "aws-ebs-csi-driver": ("v1.56.0-eksbuild.1", "v1.55.0-eksbuild.2", "v1.54.0-eksbuild.1"),
}
ACCESS_POLICIES = (
    "AmazonEKSAdminPolicy",
    "AmazonEKSClusterAdminPolicy",
    "AmazonEKSAdminViewPolicy",
    "AmazonEKSEditPolicy",
    "AmazonEKSViewPolicy",
    "AmazonEKSSecretReaderPolicy",
)


def date(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def versions(now: datetime | None = None) -> list[dict[str, Any]]:
    """Every Kubernetes version that EKS knows, the newest first."""
    now = now or datetime.now(UTC)
    found = []
    for version, (patch, since, until) in reversed(_VERSIONS.items()):
        standard = date(until)
        extended = standard + EXTENDED
        support = "STANDARD_SUPPORT" if now < standard else "EXTENDED_SUPPORT" if now < extended else "UNSUPPORTED"
        found.append(
            {
                "clusterVersion": version,
                "clusterType": "eks",
                "defaultPlatformVersion": "eks.9",
                "defaultVersion": version == DEFAULT_VERSION,
                "releaseDate": date(since),
                "endOfStandardSupportDate": standard,
                "endOfExtendedSupportDate": extended,
                "status": support.lower().replace("_", "-"),
                "versionStatus": support,
                "kubernetesPatchVersion": patch,
            }
        )
    return found


def newer(version: str, other: str) -> int:
    """By how many minor versions it is newer than another."""
    return int(version.split(".")[1]) - int(other.split(".")[1])


def addon_releases(name: str, kubernetes: str) -> list[str]:
    """The versions of an add-on for a Kubernetes version, the newest first; the second one is the default."""
    minor = int(kubernetes.split(".")[1])
    patch = _VERSIONS[kubernetes][0]
    if name == "kube-proxy":
        return [f"v{patch}-eksbuild.5", f"v{patch}-eksbuild.2", f"v1.{minor}.0-eksbuild.2"]
    if name == "coredns":
        base = "v1.13.2" if minor >= 35 else "v1.12.4" if minor >= 33 else "v1.11.4"
        return [f"{base}-eksbuild.{number}" for number in (7, 4, 1)]
    return list(_RELEASES[name])


def addon_default(name: str, kubernetes: str) -> str:
    return addon_releases(name, kubernetes)[1]


def addons(name: str | None, kubernetes: str | None) -> list[dict[str, Any]]:
    """What DescribeAddonVersions says."""
    found = []
    for addon, (namespace, kind, permissions) in _ADDONS.items():
        if name not in (None, addon):
            continue
        compatible: dict[str, list[dict[str, Any]]] = {}
        for version in [kubernetes] if kubernetes else list(reversed(_VERSIONS)):
            for release in addon_releases(addon, version):
                compatible.setdefault(release, []).append(
                    {
                        "clusterVersion": version,
                        "platformVersions": ["*"],
                        "defaultVersion": release == addon_default(addon, version),
                    }
                )
        found.append(
            {
                "addonName": addon,
                "type": kind,
                "publisher": "eks",
                "owner": "aws",
                "defaultNamespace": namespace,
                "addonVersions": [
                    {
                        "addonVersion": release,
                        "architecture": ["amd64", "arm64"],
                        "computeTypes": ["ec2", "auto", "hybrid"],
                        "compatibilities": where,
                        "requiresConfiguration": False,
                        "requiresIamPermissions": permissions,
                    }
                    for release, where in compatible.items()
                ],
            }
        )
    return found


def known_addon(name: str) -> bool:
    return name in _ADDONS


def addon_namespace(name: str) -> str:
    return _ADDONS[name][0]

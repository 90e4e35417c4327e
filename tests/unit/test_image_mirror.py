"""Names of images' copies, and what is copied by default."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.dbos.kubernetes.plugins.module_utils.image_mirror import mirrored
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import parse

ROOT = Path(__file__).resolve().parents[2]
DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("source", "copy"),
    [
        ("ghcr.io/kedacore/keda:2.21.1", "ecr/mirror/ghcr.io/kedacore/keda:2.21.1"),
        ("busybox", "ecr/mirror/docker.io/library/busybox:latest"),
        ("127.0.0.1:5000/a:1", "ecr/mirror/127.0.0.1-5000/a:1"),  # ECR knows no colon in a name
        (f"quay.io/a/b@{DIGEST}", f"ecr/mirror/quay.io/a/b:sha256-{'a' * 64}"),
    ],
)
def test_a_copy_is_named_after_its_source(source: str, copy: str) -> None:
    assert str(mirrored(parse(source), "ecr", "mirror")) == copy


def test_what_is_copied_by_default_is_what_the_cluster_runs_by_default() -> None:
    def variables(path: str) -> dict[str, str]:
        found: dict[str, str] = yaml.safe_load((ROOT / path).read_text())
        return found

    images = variables("roles/ecr/defaults/main.yml")["ecr_mirror_images"]
    version = variables("roles/addons/defaults/main.yml")["addons_keda_chart_version"]
    for name in ("keda", "keda-admission-webhooks", "keda-metrics-apiserver"):
        assert f"ghcr.io/kedacore/{name}:{version}" in images
    platform = variables("inventories/aws/group_vars/dbos_platforms/platform.yml")
    assert platform["platform_relay_image"].removeprefix("{{ platform__mirror }}") in images
    assert "platform_registry.host ~ '/mirror/'" in platform["platform__mirror"]

"""rollback.yml as a person runs it: to a version whose autoscaler has left it no pod, and again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from process_kit import until

pytestmark = pytest.mark.slow


def test_back_to_a_version_that_sleeps(ansible_playbook: Any, application: Any, platform: Any) -> None:
    def get(kind: str, version: str) -> dict[str, Any]:
        name, namespace = f"{application.name}-{version}", application.namespace
        return dict(json.loads(platform.kubectl("get", kind, name, "-n", namespace, "-o", "json")))

    ansible_playbook("deploy.yml", extra_vars=application.variables)
    ansible_playbook("deploy.yml", extra_vars=application.variables | {"release_version": "v2"})
    until("asleep", lambda: get("statefulset", "v1")["spec"]["replicas"] == 0, timeout=180)

    done = ansible_playbook("rollback.yml", extra_vars=application.variables)
    assert f"{application.name} is rolled back from v2 to v1." in done.output
    assert get("statefulset", "v1")["status"]["readyReplicas"] == 1
    limits = {version: get("scaledobject", version)["spec"]["minReplicaCount"] for version in ("v1", "v2")}
    assert limits == {"v1": 1, "v2": 0}
    again = ansible_playbook("rollback.yml", extra_vars=application.variables)
    assert again.changed == 0, again.output

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change reports and diffs say what changed and never a secret."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.apply import content, hide, identity
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import error_from
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.resources import known


def secret(data: dict[str, str]) -> dict[str, Any]:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": encoded}


VALUES = st.dictionaries(st.sampled_from("abc"), st.text("WXYZ", min_size=6, max_size=20), max_size=3)


@given(VALUES, VALUES)
def test_diff_of_secrets_hides_values_and_shows_changed_keys(old: dict[str, str], new: dict[str, str]) -> None:
    before, after = hide(secret(old), secret(new))
    shown = json.dumps([before, after])
    for value in (*old.values(), *new.values()):
        assert value not in shown
        assert base64.b64encode(value.encode()).decode() not in shown
    assert (before == after) == (old == new)


def test_content_ignores_what_the_server_writes() -> None:
    obj = {"kind": "ConfigMap", "metadata": {"name": "c", "resourceVersion": "1", "managedFields": []}, "status": {}}
    later = {
        "kind": "ConfigMap",
        "metadata": {"name": "c", "resourceVersion": "2", "managedFields": [1]},
        "status": {"a": 1},
    }
    assert content(obj) == content(later)
    assert content(obj) != content({**later, "data": {"a": "b"}})


def test_identity() -> None:
    assert identity({"kind": "Job", "metadata": {"name": "j", "namespace": "n"}}) == "Job n/j"
    assert identity({"kind": "Namespace", "metadata": {"name": "n"}}) == "Namespace n"


def test_error_shows_message_and_causes() -> None:
    status = {
        "message": "StatefulSet is invalid",
        "reason": "Invalid",
        "details": {"causes": [{"field": "spec.selector", "message": "field is immutable"}]},
    }
    error = error_from(422, json.dumps(status).encode(), "PATCH /x")
    assert error.reason == "Invalid"
    assert error.msg == "Kubernetes refused PATCH /x: StatefulSet is invalid (spec.selector: field is immutable)"
    assert error_from(503, b"no endpoints", "GET /y").msg == "Kubernetes refused GET /y: no endpoints"


def test_known_kinds_need_no_discovery() -> None:
    assert known("keda.sh/v1alpha1", "ScaledObject") == ("scaledobjects", True)
    assert known("example.com/v1", "Thing") is None

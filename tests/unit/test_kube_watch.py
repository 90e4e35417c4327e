# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judgements about objects are pure: each kind's states by example."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.watch import ready


def obj(kind: str, *, spec: dict[str, Any] | None = None, generation: int = 2, **status: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"generation": generation}, "spec": spec or {}, "status": status}


def conditions(**by_type: str) -> list[dict[str, str]]:
    return [{"type": kind, "status": status} for kind, status in by_type.items()]


@pytest.mark.parametrize(
    ("given", "done", "failed"),
    [
        (
            obj(
                "Deployment",
                spec={"replicas": 2},
                observedGeneration=1,
                replicas=2,
                updatedReplicas=2,
                availableReplicas=2,
            ),
            False,
            False,
        ),
        (
            obj(
                "Deployment",
                spec={"replicas": 2},
                observedGeneration=2,
                replicas=2,
                updatedReplicas=2,
                availableReplicas=2,
            ),
            True,
            False,
        ),
        (
            obj(
                "Deployment",
                spec={"replicas": 2},
                observedGeneration=2,
                replicas=3,
                updatedReplicas=2,
                availableReplicas=3,
            ),
            False,
            False,
        ),
        (
            obj(
                "Deployment",
                spec={"replicas": 1},
                observedGeneration=2,
                conditions=[{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}],
            ),
            False,
            True,
        ),
        (
            obj(
                "StatefulSet",
                spec={"replicas": 1},
                observedGeneration=2,
                replicas=1,
                currentReplicas=1,
                readyReplicas=1,
                currentRevision="a",
                updateRevision="a",
            ),
            True,
            False,
        ),
        (
            obj(
                "StatefulSet",
                spec={"replicas": 1},
                observedGeneration=2,
                replicas=1,
                currentReplicas=1,
                readyReplicas=1,
                currentRevision="a",
                updateRevision="b",
            ),
            False,
            False,
        ),
        (obj("StatefulSet", spec={"replicas": 0}, observedGeneration=2), True, False),
        (obj("Job", conditions=conditions(Complete="True")), True, False),
        (obj("Job", conditions=conditions(Failed="True")), False, True),
        (obj("Job", active=1), False, False),
        (obj("SealedSecret", observedGeneration=1, conditions=conditions(Synced="True")), False, False),
        (obj("SealedSecret", observedGeneration=2, conditions=conditions(Synced="True")), True, False),
        (obj("SealedSecret", observedGeneration=2, conditions=conditions(Synced="False")), False, False),
        (obj("ScaledObject", conditions=conditions(Ready="Unknown")), False, False),
        (obj("APIService", conditions=conditions(Available="True")), True, False),
        (obj("Pod", phase="Failed"), False, True),
        (obj("Pod", phase="Running", conditions=conditions(Ready="False")), False, False),
        (obj("ConfigMap"), True, False),
    ],
)
def test_ready(given: dict[str, Any], done: bool, failed: bool) -> None:
    state = ready(given)
    assert (state.done, state.failed) == (done, failed), state.reason

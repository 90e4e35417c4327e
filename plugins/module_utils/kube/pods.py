# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why pods do not get on: judgements over their status, and over the events of what should have made them."""

from __future__ import annotations

from typing import Any, NamedTuple

from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, Object

RESTRICTED_POD: Object = {
    "runAsNonRoot": True,
    # Images without a numeric USER would be refused by runAsNonRoot.
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
RESTRICTED_CONTAINER: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}

# Waiting reasons that time does not heal.
_HOPELESS = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerError", "RunContainerError"}
# Waiting reasons that another step of the same run may heal within moments, such as a Secret that is being unsealed.
_DOUBTFUL = {"CreateContainerConfigError", "ErrImagePull"}
# Terminated reasons that tell that the program never ran.
_NEVER_RAN = {"StartError", "ContainerCannotRun"}


class Trouble(NamedTuple):
    """What keeps a pod from its work, in words; hopeless when waiting longer cannot help."""

    reason: str
    hopeless: bool


def phase(pod: Object) -> str:
    """Pending, Running, Succeeded, Failed or Unknown."""
    return str(pod.get("status", {}).get("phase") or "Pending")


def trouble(pod: Object) -> Trouble | None:
    """The first thing that is wrong with the pod, or None."""
    status: dict[str, Any] = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        waiting, terminated = state.get("waiting") or {}, state.get("terminated") or {}
        reason = waiting.get("reason", "")
        if reason in _HOPELESS | _DOUBTFUL:
            # Back-off messages only repeat the image; the last attempt's cause is in the message too when there is one.
            return Trouble(
                f"{reason}: {waiting.get('message') or container.get('image', '')}".strip(), reason in _HOPELESS
            )
        if terminated.get("reason") in _NEVER_RAN:
            return Trouble(f"{terminated['reason']}: {terminated.get('message', '')}".strip(), True)
        if terminated and terminated.get("exitCode"):
            reason = terminated.get("reason") or "Error"
            return Trouble(f"{reason}: exit status {terminated['exitCode']}", False)
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Trouble(f"{condition.get('reason')}: {condition.get('message')}", False)
    if phase(pod) == "Failed":
        return Trouble(f"{status.get('reason', 'Failed')}: {status.get('message', '')}".strip(": "), False)
    return None


def refusal(client: Client, owner: Object) -> str:
    """Why an object's pods are never made (the namespace's rules, a quota, a missing ServiceAccount), or nothing."""
    metadata = owner["metadata"]
    selector = f"involvedObject.uid={metadata['uid']},reason=FailedCreate"
    events = client.list("v1", "Event", metadata["namespace"], field_selector=selector)
    newest: Object = max(events, key=lambda event: event.get("lastTimestamp") or "", default={})
    return str(newest.get("message", ""))


def by_a_rule(refused: str) -> bool:
    """Whether a rule of the namespace refuses pods, which waiting does not change: a new namespace's own ServiceAccount
    is made a moment after it.
    """
    return "forbidden" in refused and "looking up service account" not in refused

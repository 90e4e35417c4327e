# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong with an application's variables, found before anything is touched. Values are never shown."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible.module_utils.common.validation import (
    check_type_bool,
    check_type_dict,
    check_type_float,
    check_type_int,
    check_type_list,
    check_type_str,
)

from ansible_collections.dbos.kubernetes.plugins.module_utils import conductor, naming
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

Options = Mapping[str, Mapping[str, Any]]

# The platform's side of the contract: no role has it as an option.
PLATFORM = ("platform_kind", "platform_kubernetes", "platform_database", "platform_registry", "platform_relay_image")
# A slip of the finger, not a word of the user's own.
SIMILARITY = 0.85
# Ansible masks a secret wherever it appears, so a very short one makes every message unreadable.
SHORT_SECRET = 4
LONGEST_DATABASE = 63 - len("_metrics")

_CONVERT: dict[str, Callable[[Any], Any]] = {
    "bool": check_type_bool,
    "dict": check_type_dict,
    "float": check_type_float,
    "int": check_type_int,
    "list": check_type_list,
    "str": check_type_str,
}


def unknown(names: Iterable[str], known: Iterable[str], roles: Iterable[str]) -> Iterator[str]:
    """Variables that look like one of ours but are none, each with the nearest that is."""
    ours = sorted({*known, *PLATFORM})
    prefixes = tuple(f"{role}_" for role in (*roles, "dbos", "platform"))
    for name in sorted(set(names) - set(ours)):
        if "__" in name or name.endswith("_result") or name.startswith("ansible_"):
            continue
        near = difflib.get_close_matches(name, ours, 1, SIMILARITY)
        if name.startswith(prefixes):
            near = near or difflib.get_close_matches(name, ours, 1)
        elif not near:
            continue
        yield f"There is no variable {name}" + (
            f"; did you mean {near[0]}?" if near else ". See the roles' README files."
        )


def wrong_values(values: Mapping[str, Any], options: Options) -> Iterator[str]:
    """Values that cannot be what their option asks for."""
    for name, value in sorted(values.items()):
        option = options.get(name, {})
        kind = option.get("type", "str")
        convert = _CONVERT.get(kind)
        if convert is None or value is None:
            continue
        try:
            converted = convert(value)
        except (TypeError, ValueError):
            yield f"{name} must be of type {kind}."
            continue
        choices = option.get("choices") or []
        if choices and any(one not in choices for one in (converted if kind == "list" else [converted])):
            yield f"{name} must be {'a list of' if kind == 'list' else 'one of'} {', '.join(map(str, choices))}."


def missing(values: Mapping[str, Any], required: Mapping[str, str]) -> Iterator[str]:
    """Required variables that are not set, with the role that needs them, and passwords that are empty."""
    for name, role in sorted(required.items()):
        if name not in values:
            yield f"{name} is not set; role {role} needs it."
    for name, value in sorted(values.items()):
        if name.endswith("_password") and name in required and value in ("", None):
            yield f"{name} is empty."


def short_secrets(values: Mapping[str, Any], options: Options) -> Iterator[str]:
    """Secrets that work but make Ansible's output unreadable."""
    for name, value in sorted(values.items()):
        if name in options and name.endswith(("_password", "_api_key")) and 0 < len(str(value)) < SHORT_SECRET:
            yield (
                f"{name} has fewer than {SHORT_SECRET} characters: Ansible masks it wherever those characters appear, "
                "in all of its output. A longer one is also harder to guess."
            )


def contradictions(values: Mapping[str, Any]) -> Iterator[str]:
    """Names that do not fit together and options that exclude each other."""
    app, version = str(values.get("dbos_app", "")), str(values.get("release_version", "v1"))
    strategy = values.get("release_strategy", "versions")
    checks: list[Callable[[], None]] = [
        lambda: naming.check_application(app),
        lambda: naming.check_version(app, version, strategy),
        lambda: conductor.check_url(str(values.get("release_conductor_url") or "")),
    ]
    for check in checks:
        try:
            check()
        except DbosError as error:
            yield error.msg
    database = str(values.get("database_name") or app.replace("-", "_"))
    if len(database) > LONGEST_DATABASE:
        yield (
            f"The database's name '{database}' has {len(database)} characters, {LONGEST_DATABASE} are the most: its "
            "roles are named after it, and PostgreSQL cuts names at 63. Set database_name."
        )
    yield from _scaling(values)
    yield from _gates(values, strategy, version)
    if values.get("release_conductor_ca_secret") and not values.get("release_conductor_ca_image"):
        yield "release_conductor_ca_secret needs release_conductor_ca_image, whose shell adds the CA."


def _gates(values: Mapping[str, Any], strategy: str, version: str) -> Iterator[str]:
    names = ("release_gate_http", "release_gate_workflow", "release_gate_tasks", "release_gate_approval")
    asked = [name for name in names if values.get(name) not in (None, "", [], {}, False, "false", "False", "no")]
    if asked and strategy == naming.PATCHING:
        yield f"{asked[0]} needs release_strategy versions: a single workload cannot be staged beside itself."
    approved = values.get("release_approve")
    if approved and approved != version:
        yield f"release_approve names version {approved}, but {version} is released: approve that or release the other."
    frozen = values.get("release_frozen")
    if isinstance(frozen, Mapping) and frozen and set(frozen) != {"by", "reason"}:
        yield "release_frozen needs exactly 'by' and 'reason'."
    workflow = values.get("release_gate_workflow")
    if isinstance(workflow, Mapping) and workflow and not {"name", "queue"} <= set(workflow):
        yield "release_gate_workflow needs 'name' and 'queue'."


def _scaling(values: Mapping[str, Any]) -> Iterator[str]:
    try:
        enabled = check_type_bool(values.get("autoscaling_enabled", True))
        confirmed = check_type_bool(values.get("autoscaling_scale_to_zero", False))
        fewest = check_type_int(values.get("autoscaling_min_replicas", 1))
        most = check_type_int(values.get("autoscaling_max_replicas", 10))
    except (TypeError, ValueError):
        # Said already, by wrong_values.
        return
    if not enabled:
        return
    if fewest > most:
        yield "autoscaling_min_replicas is larger than autoscaling_max_replicas."
    if fewest == 0 and values.get("autoscaling_trigger") == "metrics_api":
        yield "autoscaling_min_replicas must be 1 or more with autoscaling_trigger metrics_api: no pod, no metric."
    elif fewest == 0 and not confirmed:
        yield "autoscaling_min_replicas 0 serves no HTTP and fires no schedule: confirm with autoscaling_scale_to_zero."


def neighbours(host: str, places: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Other applications in the same namespace of the same platform: their Secrets have the same names."""
    for other, place in sorted(places.items()):
        if other != host and place == places[host]:
            yield (
                f"{other} has the same namespace '{place[1]}' on platform {place[0]}, where their Secrets would be "
                "one. Set dbos_namespace for each."
            )

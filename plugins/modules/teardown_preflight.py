#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: teardown_preflight
short_description: Count the unfinished work of what is to be taken down, before anything is touched
version_added: 1.0.0
description:
  - Counts unfinished workflows of all the applications at once, and refuses unless a policy says what becomes of them. One refusal stands
    for all, so nothing is touched then.
  - With O(scope=platform) also of applications that are not named, as they are found in the cluster (by the collection's labels) and on
    the database server (by their owners).
  - A database that was never made has nothing unfinished, and so has a platform that was never built. What cannot be read, or is read
    from a replica, is refused.
  - Holds the Leases of all of them when it allows, so that no other run works on them meanwhile.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.connection
  - dbos.kubernetes.connection.writes
  - dbos.kubernetes.kubernetes
attributes:
  check_mode:
    support: full
    details: Counts, and warns of what it would refuse. No Lease is held.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  database_url:
    description:
      - PostgreSQL URL of the server, as the admin who has made the applications' owners and so is a member of them.
      - Without it there is no database server.
    required: false
  applications:
    description: The applications that are named.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the application.
        type: str
        required: true
      namespace:
        description: Its namespace.
        type: str
        required: true
      application_name:
        description: The name it gives itself in DBOS. By default O(applications[].name).
        type: str
      database:
        description: Name of its database.
        type: str
        required: true
  scope:
    description: Whether only O(applications) are taken down, or the platform with all that is on it.
    type: str
    choices: [application, platform]
    default: application
  server_goes:
    description: Whether the database server goes with the platform, so that every database on it counts, whoever made it.
    type: bool
    default: false
  drop:
    description: Whether the databases of O(applications) are dropped, so that all their rows count, whichever application's they are.
    type: bool
    default: false
  policy:
    description:
      - What becomes of unfinished workflows. V(refuse) lets none be lost. V(drain) will wait for them, and V(cancel) cancel them; both are
        done by M(dbos.kubernetes.application_teardown). V(abandon) gives up O(abandon) of them.
    type: str
    choices: [refuse, drain, cancel, abandon]
    default: refuse
  abandon:
    description: With O(policy=abandon), the number of unfinished workflows of all applications together. Refused when it is another now.
    type: int
  unreadable:
    description: V(abandon) gives up what is in a database, or cluster, that cannot be read.
    type: str
    choices: [refuse, abandon]
    default: refuse
  directory:
    description:
      - Directory of a local platform. When its files show that its server has never had a database of a user's, there is nothing to read,
        and its cluster need not answer.
    type: path
"""

EXAMPLES = r"""
- name: Count what is unfinished on the platform
  dbos.kubernetes.teardown_preflight:
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    database_url: "{{ platform_database | dbos.kubernetes.database_url }}"
    ca: "{{ platform_database.ca }}"
    scope: platform
    server_goes: true
    applications:
      - name: shop
        namespace: shop
        database: shop
    policy: abandon
    abandon: 3
"""

RETURN = r"""
unfinished:
  description: The number of unfinished workflows of all together.
  returned: success
  type: int
  sample: 3
counts:
  description: One entry per database that was looked into.
  returned: success
  type: list
  elements: dict
  sample:
    - application: shop
      database: shop
      pending: 1
      enqueued: 2
      delayed: 0
      unfinished: 3
      error: ""
      known: true
found:
  description: Applications of the collection that are in the cluster and are not among O(applications).
  returned: success
  type: list
  elements: dict
  sample: [{name: mail, namespace: mail}]
sealing_keys:
  description: Whether the cluster has keys of Sealed Secrets, that go with it.
  returned: success
  type: bool
refused:
  description: In check mode, why a real run would refuse; else empty.
  returned: success
  type: str
table:
  description: The counts for a person.
  returned: success
  type: str
"""

import contextlib
from collections.abc import Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import counting, draining, tearing_down, unfinished_work
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import (
    Database,
    argument_spec,
    derived_forms,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client, KubeError, Unreachable
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.relay import stop_run
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.sealing_controller import KEY_LABEL
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.unfinished_work import Count, Policy


def teardown_preflight(module: AnsibleModule) -> dict[str, Any]:
    """Count, judge, and hold the Leases."""
    check_library(module, "kubernetes", "psycopg2")
    params = module.params
    policy = unfinished_work.policy_of(params)
    named = [
        counting.Application(one["name"], one["namespace"], one["application_name"] or one["name"], one["database"])
        for one in params["applications"]
    ]
    client = counting.client_if_any(params)
    try:
        return judged(module, policy, named, client)
    except DbosError:
        # The run ends here, and so does its way to the database.
        if client and params["relay"] and not module.check_mode:
            with contextlib.suppress(KubeError):
                stop_run(client, params["relay"]["namespace"], params["relay"]["application"])
        raise


def judged(
    module: AnsibleModule, policy: Policy, named: Sequence[counting.Application], client: Client | None
) -> dict[str, Any]:
    """The module's result."""
    params = module.params
    counts: list[Count] = []
    there, found, keys = [], set[tuple[str, str]](), False
    try:
        if client and params["scope"] == "platform":
            found = counting.deployed(client) - {(one.name, one.namespace) for one in named}
            keys = bool(client.list("v1", "Secret", label_selector=KEY_LABEL))
        there = [one for one in named if client and tearing_down.look(client, one).objects]
    except Unreachable as error:
        client, there = None, named
        if not params["directory"]:
            counts.append(Count("the platform's applications", "", error=error.msg))
    counts += count(module, client, named if params["scope"] == "platform" or params["drop"] else there)
    refused = ""
    try:
        warnings = unfinished_work.judge(counts, policy)
    except unfinished_work.Refused as error:
        if not module.check_mode:
            raise type(error)(error.msg, **error.result, table=unfinished_work.table(counts)) from error
        warnings, refused = [f"{error.msg} (check mode goes on)"], error.msg
    warnings += [
        f"Application {name} in namespace {namespace} is not in the inventory. It goes with the platform."
        for name, namespace in sorted(found)
    ]
    for warning in warnings:
        module.warn(warning)
    if client and not module.check_mode:
        hold(client, [*[(one.name, one.namespace) for one in there], *sorted(found)])
    # Names and numbers only. Masking would garble them where a password is short, and others rely on them.
    module.no_log_values.clear()
    return {
        "changed": False,
        "unfinished": sum(one.total for one in counts),
        "counts": unfinished_work.rows(counts),
        "found": [{"name": name, "namespace": namespace} for name, namespace in sorted(found)],
        "sealing_keys": keys,
        "refused": refused,
        "table": unfinished_work.table(counts),
        "invocation": {"module_args": {"scope": params["scope"], "policy": params["policy"]}},
    }


def count(module: AnsibleModule, client: Client | None, applications: Sequence[counting.Application]) -> list[Count]:
    """Of all; where the server itself cannot be read, of none of them."""
    params = module.params

    def writable(session: Database) -> None:
        try:
            draining.check_writes(session, params["allow_newer_schema"])
        except DbosError as error:
            raise unfinished_work.Refused(f"{unfinished_work.UNTOUCHED}. {error.msg}") from error

    demand = writable if params["policy"] == unfinished_work.CANCEL else None
    if not applications and params["scope"] == "application":
        return []
    try:
        with counting.server(params, client, check=module.check_mode) as server:
            if server is None:
                return []
            module.no_log_values.update(derived_forms(server.settings.get("password")))
            if params["scope"] == "application":
                return counting.count_applications(server, applications, whole=params["drop"], demand=demand)
            everything = params["server_goes"]
            return counting.count_server(server, applications, everything=everything, demand=demand)
    except unfinished_work.Refused:
        raise
    except DbosError as error:
        if counting.never_made(params["directory"]):
            return []
        return [Count(one.name, one.database, error=error.msg) for one in applications] or [
            Count("the platform's applications", "", error=error.msg)
        ]


def hold(client: Client, applications: Sequence[tuple[str, str]]) -> None:
    """All Leases or none."""
    with contextlib.ExitStack() as undo:
        for name, namespace in applications:
            lease = Lease(client, namespace, name)
            if lease.hold():
                undo.callback(lease.release)
        undo.pop_all()


def main() -> None:
    """Entry point."""
    application = {
        "name": {"type": "str", "required": True},
        "namespace": {"type": "str", "required": True},
        "application_name": {"type": "str"},
        "database": {"type": "str", "required": True},
    }
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(writes=True),
                "database_url": {"type": "str", "no_log": True},
                "applications": {"type": "list", "elements": "dict", "options": application, "default": []},
                "scope": {"type": "str", "choices": ["application", "platform"], "default": "application"},
                "server_goes": {"type": "bool", "default": False},
                "drop": {"type": "bool", "default": False},
                "policy": {"type": "str", "choices": [*unfinished_work.POLICIES], "default": unfinished_work.REFUSE},
                "abandon": {"type": "int"},
                "unreadable": {"type": "str", "choices": ["refuse", "abandon"], "default": "refuse"},
                "directory": {"type": "path"},
            },
            supports_check_mode=True,
        ),
        teardown_preflight,
    )


if __name__ == "__main__":
    main()

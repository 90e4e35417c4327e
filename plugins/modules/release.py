#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Release a version of a DBOS application on Kubernetes
version_added: 1.0.0
description:
  - A version is a name, an image digest and the application's own configuration. It is recorded in an immutable ledger before its first
    pod starts, gets a workload of its own, and is promoted when its pods are ready and have registered as what was asked for.
  - A later version is registered ahead, so that its first pod takes no schedules and no version-less work before the promotion.
    Promotion turns the Service and DBOS' latest version together, and verifies both.
  - An image, command, environment or file that differs from what the version was released with needs a new version name and is refused
    otherwise. Resources, probes and other settings roll in place.
  - Replicas are written only while no HorizontalPodAutoscaler or ScaledObject owns them.
  - The namespace with the ServiceAccount O(name), and the Secrets, must exist.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.application
  - dbos.kubernetes.connection
  - dbos.kubernetes.connection.writes
  - dbos.kubernetes.kubernetes
  - dbos.kubernetes.lease
attributes:
  check_mode:
    support: full
    details: Plans from what is there and uses the API server's dry run. A database or namespace that does not exist yet counts as empty.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: Name of the application, a DNS label that begins with a letter.
    type: str
    required: true
  version:
    description:
      - Name of the version, a DNS label. C(<name>-<version>) must not be longer than 52 characters.
      - With O(strategy=patching) any label value, and the same for all releases.
    type: str
    required: true
  image:
    description:
      - Image with its digest, such as V(registry.example.com/shop@sha256:…). In check mode a tag is accepted.
      - Required unless O(state=retired).
    type: str
  state:
    description:
      - V(staged) stops before the promotion. A version that was promoted stays so.
      - V(retired) takes the version down that was proven to have no unfinished work, before and after its last pod ended; it is refused
        for the promoted version, and while there is such work. The ledger keeps what it takes to revive it. All other options but the
        connections, O(application_name) and O(timeout) are without effect.
    type: str
    choices: [promoted, staged, retired]
    default: promoted
  strategy:
    description:
      - V(versions) runs one workload per version.
      - V(patching) rolls a single workload in place; DBOS' patching decides what running workflows see.
    type: str
    choices: [versions, patching]
    default: versions
  kind:
    description:
      - Kind of the workload. V(auto) takes a StatefulSet, whose pods come back under their names and recover their own work, and a
        Deployment once an earlier version was seen connected to Conductor, which recovers by itself.
      - A version keeps its kind.
    type: str
    choices: [auto, statefulset, deployment]
    default: auto
  replicas:
    description: Pods while no autoscaler owns the number.
    type: int
    default: 2
  max_replicas:
    description: The most that scaling may ask for; a warning tells when the nodes have no room for them. By default O(replicas).
    type: int
  port:
    description: Port the application listens on, also given to it as E(PORT).
    type: int
    default: 8080
  health_path:
    description: HTTP path that answers 2xx once DBOS is launched.
    type: str
    default: /healthz
  command:
    description: Replaces the image's entry point.
    type: list
    elements: str
    default: []
  args:
    description: Replaces the image's arguments.
    type: list
    elements: str
    default: []
  env:
    description: The application's own configuration as environment variables, part of the version. No secrets.
    type: dict
    default: {}
  secret_env:
    description: Environment variables from Secrets, each C({secret, key}). Not part of the version, so that credentials can be rotated.
    type: dict
    default: {}
  files:
    description: The application's own configuration as files (name to text), part of the version, in a ConfigMap named by its content.
    type: dict
    default: {}
  files_path:
    description: Directory that O(files) appear in.
    type: path
    default: /etc/dbos/app
  resources:
    description: Requests and limits of each pod, as Kubernetes writes them.
    type: dict
    default: {}
  drain_seconds:
    description:
      - Seconds the application takes at most to end its work on SIGTERM, given to it as E(DBOS_DRAIN_SECONDS).
      - Pods get 10 seconds more before they are killed.
    type: int
    default: 20
  pool_size:
    description: Connections that one pod opens to the database at most, given to it as E(DBOS_POOL_SIZE). Not part of the version.
    type: int
  sdk:
    description:
      - The DBOS SDK of the image, such as V(go 1.8.0) or V(python 3.4.0), for M(dbos.kubernetes.release_preflight).
      - By default what a pod's log says when it launches. The ledger remembers it.
    type: str
  startup_seconds:
    description: Seconds a pod may take to launch before it is restarted.
    type: int
    default: 120
  run_as_user:
    description: Numeric user, for images that name none; root is refused by the namespace.
    type: int
  pull_secret:
    description: Name of a Secret with registry credentials.
    type: str
    default: ""
  database_secret:
    description: Name of the Secret whose key C(database-url) the application connects with.
    type: str
    default: dbos-app-db
  database_ca:
    description: Whether to mount the ConfigMap C(dbos-database-ca) at C(/etc/dbos/database-ca).
    type: bool
    default: true
  conductor:
    description:
      - DBOS Conductor with the key in the Secret C(conductor-api-key), key C(api-key). Without it, Conductor is not used.
      - The pods' logs must show that they connected.
    type: dict
    suboptions:
      url:
        description: Empty for DBOS' managed Conductor, C(ws://) for a Service in the cluster, else C(wss://).
        type: str
        default: ""
      ca_secret:
        description: Name of a Secret with the key C(tls.crt), a private CA that signed Conductor's certificate.
        type: str
        default: ""
      ca_image:
        description: Image with a shell and C(/etc/ssl/certs/ca-certificates.crt), for the init container that adds that CA.
        type: str
        default: ""
  application_name:
    description: The name the application gives itself in DBOS; E(DBOS_APPLICATION_NAME) is set to it. By default O(name).
    type: str
  registry:
    description:
      - The platform's registry. Images of the version that are in it get a tag C(release-<version>-…), so that a lifecycle policy does not forget
        them while the ledger records the version. What the registry refuses is a warning.
    type: dict
    default: {}
    suboptions:
      host:
        description: Host, with port if there is one.
        type: str
      ca_file:
        description: File with the CA that signed its certificate.
        type: path
      username:
        description: User.
        type: str
      password:
        description: Password.
        type: str
  max_live_versions:
    description: How many versions may have a workload. One more is refused, naming what keeps each of the others.
    type: int
    default: 10
  timeout:
    description: Seconds to wait for the pods. A pod that crashes or cannot pull its image ends the wait at once.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Release version 2 of the shop
  dbos.kubernetes.release:
    kubeconfig: /var/lib/dbos-kubernetes/kubeconfig
    name: shop
    namespace: shop
    version: v2
    image: "registry.example.com/shop@sha256:{{ '0' * 64 }}"
    lease: shop
    database_url: "{{ shop_database_url }}"
    ca: "{{ lookup('ansible.builtin.file', 'rds-ca.pem') }}"
    relay:
      namespace: shop
      image: alpine/socat:1.8.0.3
      application: shop
"""

RETURN = r"""
version:
  description: Name of the version.
  returned: success
  type: str
image:
  description: What it runs.
  returned: success, unless O(state=retired)
  type: str
kind:
  description: StatefulSet or Deployment.
  returned: success, unless O(state=retired)
  type: str
kind_reason:
  description: Why this kind.
  returned: success, unless O(state=retired)
  type: str
workload:
  description: Name of the StatefulSet or Deployment.
  returned: success, unless O(state=retired)
  type: str
  sample: shop-v2
replicas:
  description: Replicas the workload was asked to have when it was applied.
  returned: success, unless O(state=retired)
  type: int
promoted:
  description: Whether the version is promoted, or would be.
  returned: success
  type: bool
actions:
  description: What was done, or would be, in order.
  returned: success
  type: list
  elements: dict
  contains:
    verb:
      description: One of record, register, apply, scale, promote; with O(state=retired) stop, retire.
      type: str
    version:
      description: Which version.
      type: str
    reason:
      description: Why.
      type: str
  sample: [{verb: promote, version: v2, reason: takes over from v1}]
"""

import contextlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils import (
    conductor,
    naming,
    releasing,
    sdks,
    withdrawing,
    workload,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import argument_spec, module_database_if_any
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.lease import Lease
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import application_spec, check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.release_options import options, spec_of


def release(module: AnsibleModule) -> dict[str, Any]:
    """Release what the task asks for."""
    check_library(module, "kubernetes", "psycopg2")
    params = module.params
    spec = spec_of(params)
    naming.check_application(spec.app)
    naming.check_version(spec.app, spec.version, spec.strategy)
    if not module.check_mode and params["state"] != "retired":
        naming.check_digest(spec.image)
    workload.check(spec)
    if spec.conductor:
        conductor.check_url(spec.conductor.url)
    client = Client.from_params(params)
    lease = Lease.from_params(client, params)
    if params["state"] == "retired":
        return retire(module, client, lease)
    with contextlib.ExitStack() as stack:
        if not module.check_mode:
            stack.enter_context(lease)
        request = releasing.Request(
            kind=params["kind"],
            replicas=params["replicas"],
            max_replicas=params["max_replicas"] or params["replicas"],
            promoted=params["state"] == "promoted",
            timeout=params["timeout"],
            sdk=str(sdks.parse(params["sdk"])) if params["sdk"] else None,
            most_live=params["max_live_versions"],
            newer_schema=params["allow_newer_schema"],
            registry=params["registry"],
        )
        session = stack.enter_context(module_database_if_any(module, module.warn))
        releaser = releasing.Releaser(client, session, spec, request, lease)
        result = releaser.run(check=module.check_mode)
    for warning in releaser.warnings:
        module.warn(warning)
    return result


def retire(module: AnsibleModule, client: Client, lease: Lease) -> dict[str, Any]:
    """Take a version down that has no unfinished work."""
    params = module.params
    name = params["name"]
    wanted = withdrawing.Version(name, params["namespace"], params["version"], params["application_name"] or name)
    with contextlib.ExitStack() as stack:
        if not module.check_mode:
            stack.enter_context(lease)
        session = stack.enter_context(module_database_if_any(module, module.warn))
        if session is None:
            return withdrawing.result(wanted, [])
        actions = withdrawing.retire(client, session, lease, wanted, params["timeout"], check=module.check_mode)
    return withdrawing.result(wanted, actions)


def main() -> None:
    """Entry point."""
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(writes=True),
                "lease": {"type": "str"},
                **application_spec(),
                **options(),
            },
            required_if=[("state", "staged", ("image",)), ("state", "promoted", ("image",))],
            supports_check_mode=True,
        ),
        release,
    )


if __name__ == "__main__":
    main()

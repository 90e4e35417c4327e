#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: addons
short_description: Install or upgrade cluster add-ons from charts or manifests
version_added: 1.0.0
description:
  - Renders charts, or reads manifests, and applies all documents side by side by server-side apply, CRDs included and first.
  - No release of Helm is made, so nothing is left half-installed by a run that was killed, and what somebody changed in the cluster is
    put right again. What an older version of an add-on consisted of is kept in the ConfigMap C(addon-<name>) of its namespace, so that an
    upgrade removes what the new version dropped; CRDs and namespaces are never removed.
  - With O(state=absent) what that ConfigMap lists is deleted, CRDs included, unless any object of their kinds is left. Namespaces stay,
    and so do the keys that Sealed Secrets has made.
  - Waits until every object of every add-on is ready, an APIService included, and each probe is answered.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.kubernetes
attributes:
  check_mode:
    support: full
    details: Renders the charts and uses the API server's dry run.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description: Whether the add-ons are installed or removed.
    type: str
    choices: [present, absent]
    default: present
  addons:
    description: The add-ons. Only their names and namespaces matter with O(state=absent).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The add-on's name; for a chart also that of the release it is rendered for.
        type: str
        required: true
      namespace:
        description: Namespace of the add-on; made when it is not there.
        type: str
        required: true
      chart:
        description: A chart's folder, archive or C(oci://) URL, or its name in O(addons[].chart_repository).
        type: str
      chart_version:
        description: Exact version of the chart.
        type: str
      chart_repository:
        description: URL of the chart's repository.
        type: str
      values:
        description: The chart's values.
        type: dict
        default: {}
      manifests:
        description: Paths of manifest files, instead of a chart.
        type: list
        elements: path
      overlays:
        description:
          - Partial objects that are merged into the documents of the same kind and name. Dictionaries are merged, lists of named things
            (containers, volumes, environment variables) by name, anything else is replaced.
        type: list
        elements: dict
        default: []
      resources:
        description: More objects that belong to the add-on.
        type: list
        elements: dict
        default: []
      probe:
        description:
          - What must answer. V(sealing-certificate) reads the Sealed Secrets controller's certificate through the API server;
            V(keda-webhook) has KEDA's webhook refuse an impossible ScaledObject in a dry run.
        type: str
        choices: [sealing-certificate, keda-webhook]
  images:
    description:
      - What pods run instead of the images that charts and manifests name, by these images' names. When it is not empty, an image that is not
        among them is an error.
    type: dict
    default: {}
  helm:
    description: Path or name of the program that renders charts.
    type: str
    default: helm
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Install Sealed Secrets
  dbos.kubernetes.addons:
    addons:
      - name: sealed-secrets
        namespace: kube-system
        chart: sealed-secrets
        chart_repository: https://bitnami.github.io/sealed-secrets
        chart_version: 2.20.0
        probe: sealing-certificate
"""

RETURN = r"""
changes:
  description: What was changed, or would be, a line each.
  returned: always
  type: list
  elements: str
  sample: [create Deployment kube-system/sealed-secrets]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.addons import Object, overlaid, with_images
from ansible_collections.dbos.kubernetes.plugins.module_utils.helm import Chart, read, render
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.addons import PROBES, install, remove, wait_serving
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.client import Client
from ansible_collections.dbos.kubernetes.plugins.module_utils.kube.configuration import argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel


def addons(module: AnsibleModule) -> dict[str, Any]:
    """Install or upgrade."""
    check_library(module, "kubernetes", "yaml")
    params = module.params
    wanted = params["addons"]
    client = Client.from_params(params)
    if params["state"] == "absent":
        return joined([_remove(client, one, params["wait_timeout"], module.check_mode) for one in wanted])
    kubernetes = client.version()
    rendered = parallel(lambda one: _documents(one, params["helm"], kubernetes), wanted)
    if params["images"]:
        rendered = [
            with_images(documents, params["images"], one["name"])
            for one, documents in zip(wanted, rendered, strict=True)
        ]
    results = [
        install(client, one["name"], one["namespace"], documents, check=module.check_mode)
        for one, documents in zip(wanted, rendered, strict=True)
    ]
    if not module.check_mode:
        probes = [(one["probe"], one["namespace"]) for one in wanted if one["probe"]]
        targets = [target for result in results for target in result["targets"]]
        wait_serving(client, targets, probes, params["wait_timeout"])
    return joined(results)


def _remove(client: Client, one: dict[str, Any], timeout: float, check: bool) -> dict[str, Any]:
    return remove(client, one["name"], one["namespace"], check=check, timeout=timeout)


def joined(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The result of several add-ons as one."""
    diffs = [result["diff"] for result in results]
    return {
        "changed": any(result["changed"] for result in results),
        "changes": [change for result in results for change in result["changes"]],
        "diff": {
            side: {key: value for diff in diffs for key, value in diff[side].items()} for side in ("before", "after")
        },
    }


def _documents(one: dict[str, Any], helm: str, kubernetes: str) -> list[Object]:
    if one["manifests"]:
        found = read(one["manifests"])
    else:
        chart = Chart(one["chart"], one["chart_version"], one["chart_repository"])
        found = render(helm, chart, one["name"], one["namespace"], one["values"], kubernetes)
    return overlaid([*found, *one["resources"]], one["overlays"])


def main() -> None:
    """Entry point."""
    options = {
        "name": {"type": "str", "required": True},
        "namespace": {"type": "str", "required": True},
        "chart": {"type": "str"},
        "chart_version": {"type": "str"},
        "chart_repository": {"type": "str"},
        "values": {"type": "dict", "default": {}},
        "manifests": {"type": "list", "elements": "path"},
        "overlays": {"type": "list", "elements": "dict", "default": []},
        "resources": {"type": "list", "elements": "dict", "default": []},
        "probe": {"type": "str", "choices": list(PROBES)},
    }
    run(
        AnsibleModule(
            argument_spec={
                **argument_spec(),
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "addons": {
                    "type": "list",
                    "elements": "dict",
                    "required": True,
                    "options": options,
                    "mutually_exclusive": [("chart", "manifests")],
                    "required_one_of": [("chart", "manifests")],
                },
                "images": {"type": "dict", "default": {}},
                "helm": {"type": "str", "default": "helm"},
                "wait_timeout": {"type": "int", "default": 300},
            },
            supports_check_mode=True,
        ),
        addons,
    )


if __name__ == "__main__":
    main()

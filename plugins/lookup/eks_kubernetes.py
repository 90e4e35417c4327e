# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: eks_kubernetes
short_description: Kubeconfig of an EKS cluster
version_added: 1.0.0
description:
  - Finds the cluster by its name, once a run, and signs a fresh token at each use.
  - Modules of this collection renew the token while they run, with the credentials of their own process. For all others it is a
    token like any, valid for 15 minutes.
  - For a cluster that does not exist, or can't be talked to yet, the kubeconfig says so to the collection's modules, which in check
    mode then report that they would change.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.aws.lookup
options:
  _terms:
    description: Name of the cluster.
    required: true
  proxy:
    description: URL of an HTTP proxy through which the cluster is reached.
    type: str
seealso:
  - plugin: dbos.kubernetes.eks_token
    plugin_type: lookup
"""

EXAMPLES = r"""
# In the inventory, for a platform's host; nothing is asked before it is used.
platform_kubernetes:
  kubeconfig: "{{ lookup('dbos.kubernetes.eks_kubernetes', platform_name, region=platform_region) }}"
"""

RETURN = r"""
_raw:
  description:
    - A kubeconfig as a dictionary, with the cluster's address, its CA and a token, which is a secret.
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import kubeconfig, platform, token
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.plugin_utils.aws_lookup import AwsLookup


class LookupModule(AwsLookup):
    """See the documentation."""

    def look(self, account: Account, name: str) -> dict[str, Any]:
        found = platform.cluster(account, self.memory, name)
        if isinstance(found, str):
            return kubeconfig.absent(found)
        return kubeconfig.build(
            found,
            token.create(account, name),
            profile=self.get_option("profile"),
            proxy=self.get_option("proxy"),
        )

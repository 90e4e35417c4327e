# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: eks_token
short_description: Bearer token of an EKS cluster
version_added: 1.0.0
description:
  - Signs the same token as C(aws eks get-token), in process and without a call. It is valid for 15 minutes.
  - The identity that it stands for needs an access entry of the cluster.
  - Modules of this collection renew the token that P(dbos.kubernetes.eks_kubernetes#lookup) gives them as they run; this one is for
    other clients, which do not.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.aws.lookup
options:
  _terms:
    description: Name of the cluster.
    required: true
"""

EXAMPLES = r"""
- name: List pods with another collection's module
  kubernetes.core.k8s_info:
    host: https://0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com
    api_key: "{{ lookup('dbos.kubernetes.eks_token', 'shop', region='eu-central-1') }}"
    kind: Pod
"""

RETURN = r"""
_raw:
  description: The token. It is a secret.
  type: list
  elements: str
"""

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import token
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.plugin_utils.aws_lookup import AwsLookup


class LookupModule(AwsLookup):
    """See the documentation."""

    def look(self, account: Account, name: str) -> str:
        return token.create(account, name)

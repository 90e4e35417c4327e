# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ecr_credentials
short_description: How to log in to Amazon ECR
version_added: 1.0.0
description:
  - Gets a password for the account's registry in a region, in process and with one call. It is valid for 12 hours.
  - There is a registry in each account, even before it has repositories.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.aws.lookup
options:
  _terms:
    description: None; the account is that of the credentials.
"""

EXAMPLES = r"""
# In the inventory, for a platform's host; AWS is asked when it is used.
platform_registry: "{{ lookup('dbos.kubernetes.ecr_credentials', region=platform_region) }}"
"""

RETURN = r"""
_raw:
  description: A dictionary with C(host), C(username) and C(password), of which the last is a secret.
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import ecr
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.plugin_utils.aws_lookup import AwsLookup


class LookupModule(AwsLookup):
    """See the documentation."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **options: Any) -> list[Any]:
        return super().run(terms or [""], variables, **options)

    def look(self, account: Account, name: str) -> dict[str, str]:
        return ecr.credentials(account)

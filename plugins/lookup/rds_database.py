# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rds_database
short_description: How to connect to an RDS instance
version_added: 1.0.0
description:
  - Finds one part of what a client needs, from the instance's identifier. AWS is asked for the instance once a run, and for its password
    each time, because RDS changes it every week.
  - In check mode an instance that does not exist, which a real run would make first, has a host that resolves nowhere (C(.invalid)),
    a user that says so, no password and no CA. So it has with C(teardown_scope=platform), when an earlier run has deleted it already.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.aws.lookup
options:
  _terms:
    description: Identifier of the instance.
    required: true
  part:
    description:
      - What to find. V(password) is that of the master user as RDS keeps it in Secrets Manager. V(ca) are the CAs of the region's RDS
        instances, as PEM.
    type: str
    choices: [host, port, user, password, ca]
    required: true
  ca_url:
    description:
      - Where the CA bundle is downloaded from, once a run. By default it is AWS' own for the region,
        C(https://truststore.pki.rds.amazonaws.com/REGION/REGION-bundle.pem).
    type: str
"""

EXAMPLES = r"""
# In the inventory, for a platform's host; each part is asked for when it is used, so that a host's name costs no secret.
platform_database:
  host: "{{ lookup('dbos.kubernetes.rds_database', platform_name, part='host', region=platform_region) }}"
  port: "{{ lookup('dbos.kubernetes.rds_database', platform_name, part='port', region=platform_region) }}"
  user: "{{ lookup('dbos.kubernetes.rds_database', platform_name, part='user', region=platform_region) }}"
  password: "{{ lookup('dbos.kubernetes.rds_database', platform_name, part='password', region=platform_region) }}"
  ca: "{{ lookup('dbos.kubernetes.rds_database', platform_name, part='ca', region=platform_region) }}"
  sslmode: verify-full
"""

RETURN = r"""
_raw:
  description: The part.
  type: list
  elements: raw
"""

from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import platform
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.changes import UNMADE
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.plugin_utils.aws_lookup import AwsLookup


class LookupModule(AwsLookup):
    """See the documentation."""

    def look(self, account: Account, name: str) -> Any:
        part = self.get_option("part")
        found = platform.database(account, self.memory, name)
        if found is None:
            if not self.previews:
                raise AwsError(
                    f"There is no RDS instance {name} in {account.region} that can be connected to: run provision.yml."
                )
            found = {"host": f"{name}.invalid", "port": 5432, "user": UNMADE, "password": "", "ca": ""}
        elif part == "password":
            return platform.password(account, self.memory, name)
        elif part == "ca":
            return platform.ca_bundle(self.memory, account.region, self.get_option("ca_url"))
        return found[part]

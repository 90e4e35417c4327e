#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sealing_keys_backup
short_description: Back up the sealing keys, encrypted
version_added: 1.0.0
description:
  - Keeps a file on the controller (where Ansible runs) that holds all sealing keys of the Sealed Secrets controller, encrypted as
    C(ansible-vault) does. Without them, SealedSecrets in Git are lost with the cluster.
  - Keys that an older backup holds and the cluster no longer has stay in it. A file that the passphrase does not open is left alone.
  - The keys are in the clear only in the memory of the process that runs Ansible.
  - "To restore them: C(ansible-vault view FILE | kubectl -n NAMESPACE apply --server-side -f -), then restart the controller's pods."
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.kubernetes
  - dbos.kubernetes.sealing.controller
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
    details: Changes when the controller has made a new key since, every 30 days by default.
  action:
    description: Runs on the controller, as an action plugin.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: none
options:
  path:
    description: The file; made with mode 0600, its folder too.
    type: path
    required: true
  passphrase:
    description: What encrypts it. C(ansible-vault view) asks for it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Back up the sealing keys
  dbos.kubernetes.sealing_keys_backup:
    path: backups/sealing-keys.yml
    passphrase: "{{ vault_sealing_keys_passphrase }}"
"""

RETURN = r"""
names:
  description: Names of the keys in the file.
  returned: always
  type: list
  elements: str
  sample: [sealed-secrets-keyqw2xk]
path:
  description: The file.
  returned: when the keys were read
  type: str
"""

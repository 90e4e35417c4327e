#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check an application's variables before anything is touched
version_added: 1.0.0
description:
  - Compares the variables of the host, and of its platform, with the union of all argument specifications of the collection's roles,
    and names the nearest for a misspelt one. Ansible itself does not see unknown variables.
  - Then looks for required variables that are missing, values of a wrong type, names that are too long once joined, options that exclude
    each other, and applications that would share a namespace.
  - All problems are told at once. No value of a variable is ever shown.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  roles:
    description: Roles of the collection whose required variables must be set.
    type: list
    elements: str
    required: true
notes:
  - Runs on the controller; it needs no connection.
"""

EXAMPLES = r"""
- name: Check before anything is touched
  dbos.kubernetes.preflight:
    roles: [images, database, secrets, migration, release, autoscaling]
"""

RETURN = r"""
problems:
  description: What is wrong, a sentence each.
  returned: always
  type: list
  elements: str
  sample: ["There is no variable relase_image; did you mean release_image?"]
"""

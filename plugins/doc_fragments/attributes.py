# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attributes that mean the same in every module of the collection."""

from __future__ import annotations


class ModuleDocFragment:
    """Standard attributes; a module overrides what differs."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in C(check_mode) and tells truthfully what would change, without changing or creating anything.
  diff_mode:
    description: Returns details on what has changed (or would change in check mode), never a secret value.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation changes nothing.
"""

    ACTION = r"""
attributes:
  action:
    description: Runs through the action plugin C(dbos.kubernetes.progress), which shows progress lines while the module works.
    support: full
  async:
    description: Supports being used with the C(async) keyword. Refused, as Ansible writes an async task's arguments to a file.
    support: none
"""

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation shared by every module that works on versions of an application."""

from __future__ import annotations


class ModuleDocFragment:
    """Which application."""

    DOCUMENTATION = r"""
options:
  name:
    description: Name of the application.
    type: str
    required: true
  namespace:
    description: Namespace of the application.
    type: str
    required: true
  application_name:
    description: The name the application gives itself in DBOS. By default O(name).
    type: str
"""

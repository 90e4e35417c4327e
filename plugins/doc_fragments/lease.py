# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation shared by every module that changes an application."""

from __future__ import annotations


class ModuleDocFragment:
    """The option that makes a module hold the application's Lease."""

    DOCUMENTATION = r"""
options:
  lease:
    description:
      - Name of the application whose Lease the run must hold before this module writes.
      - The Lease is taken, or renewed when this run already holds it. It fails when another run holds it, naming the holder and its age;
        a holder on this machine that is dead is taken over at once, one elsewhere after 60 seconds without renewal.
      - Not looked at in check mode.
    type: str
"""

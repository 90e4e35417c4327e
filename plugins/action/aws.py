# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the modules that make a platform on AWS: as the others, in a process that has loaded what all of them need."""

from __future__ import annotations

from ansible_collections.dbos.kubernetes.plugins.action import progress
from ansible_collections.dbos.kubernetes.plugins.plugin_utils.warm import warm_aws

warm_aws()


class ActionModule(progress.ActionModule):
    """Routed for every module of the group aws by meta/runtime.yml."""

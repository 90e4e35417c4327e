# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two states of a platform: present and absent."""

from __future__ import annotations

from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform import checks, lock, traces
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.platform import Platform
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import Settings
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress


def ensure_present(settings: Settings, progress: Progress, check_mode: bool) -> list[str]:
    """Bring the platform up or repair it; what was done, or would be."""

    def differences() -> list[str]:
        platform = Platform(settings, progress)
        platform.check()
        return platform.differences()

    found = differences()
    if found and not check_mode:
        with lock.held(settings.directory, progress):
            # Another run may just have done it.
            found = differences()
            if found:
                Platform(settings, progress).converge()
    return found


def ensure_absent(settings: Settings, progress: Progress, check_mode: bool) -> list[str]:
    """Take the platform away; what was done, or would be."""
    checks.directory(settings)
    if not traces.present(settings):
        return []
    if not check_mode:
        with lock.held(settings.directory, progress):
            Platform(settings, progress).remove()
    return [f"remove {settings.directory} and all that runs from it"]

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's exceptions: a message for a person, and the partial result a module returns with it."""

from __future__ import annotations

from typing import Any


class DbosError(Exception):
    """What is wrong, where, and what to do, in one or two sentences.

    Keyword arguments become keys of the failed module's result. C(not_yet) tells whether an earlier step of a real run
    makes what is missing: in check mode that is no failure.
    """

    not_yet = False

    def __init__(self, msg: str, **result: Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.result = result


class PlatformAbsent(DbosError):
    """The platform does not exist yet (there is no kubeconfig): in check mode a step would change, else it fails."""

    not_yet = True

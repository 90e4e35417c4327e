# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all lookups of a platform on AWS share: the account, the run's memory, and one clear error."""

from __future__ import annotations

import typing as t
from abc import abstractmethod

from ansible import constants, context
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.platform import Memory
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError


class AwsLookup(LookupBase):
    """One result for each term, which is a name in AWS."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **options: t.Any) -> list[t.Any]:
        self.set_options(var_options=variables, direct=options)
        self._goes = (variables or {}).get("teardown_scope") == "platform"
        try:
            account = Account({"region": self.get_option("region"), "profile": self.get_option("profile")})
            return [self.look(account, str(term)) for term in terms]
        except DbosError as error:
            raise AnsibleLookupError(error.msg) from error

    @abstractmethod
    def look(self, account: Account, name: str) -> t.Any:
        """The result for one term."""

    @property
    def memory(self) -> Memory:
        """The run's: Ansible's local temporary folder is the run's own, and goes with it."""
        return Memory(constants.DEFAULT_LOCAL_TMP)

    @property
    def previews(self) -> bool:
        """Whether something may be missing: in check mode what a real run makes first, and in a run that takes the
        platform down what an earlier one has deleted.
        """
        return bool(context.CLIARGS.get("check")) or self._goes

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kubeconfig of an EKS cluster: with a token in it, and with what a module needs to renew the token as it runs.

Any client can use it. Ansible takes the option C(kubeconfig) for a secret and masks every text in it wherever that
appears in a result, so it holds no more than it must, and no short text: no C(v1), and ARNs for names.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import token
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, Json

EXTENSION = "dbos.kubernetes/eks"


def build(cluster: Json, bearer: str, *, profile: str | None = None, proxy: str | None = None) -> Json:
    """The kubeconfig for a cluster as C(describe_cluster) describes it."""
    arn = cluster["arn"]
    server = {
        "server": cluster["endpoint"],
        "certificate-authority-data": cluster["certificateAuthority"]["data"],
        **({"proxy-url": proxy} if proxy else {}),
    }
    renewal = {"cluster": arn, **({"profile": profile} if profile else {})}
    return {
        "current-context": arn,
        "clusters": [{"name": arn, "cluster": server}],
        "users": [{"name": arn, "user": {"token": bearer, "extensions": _extensions(renewal)}}],
        "contexts": [{"name": arn, "context": {"cluster": arn, "user": arn}}],
    }


def absent(reason: str) -> Json:
    """Stands for a cluster that can't be talked to yet; a module says why."""
    return {"extensions": _extensions({"absent": reason})}


def why_absent(kubeconfig: Mapping[str, Any]) -> str | None:
    """The reason, if it is such a one."""
    return _extension(kubeconfig).get("absent")


def _extensions(content: Json) -> list[Json]:
    return [{"name": EXTENSION, "extension": content}]


def _extension(holder: Mapping[str, Any]) -> Json:
    for entry in holder.get("extensions") or []:
        if entry.get("name") == EXTENSION:
            found: Json = entry["extension"]
            return found
    return {}


@dataclass
class Bearer:
    """A token that is renewed when it gets old: the C(refresh_api_key_hook) of a Kubernetes client's configuration."""

    token: str = field(repr=False)
    region: str
    cluster: str
    profile: str | None = None

    @classmethod
    def of(cls, kubeconfig: Mapping[str, Any]) -> Bearer | None:
        """From a kubeconfig that build() has made; None for any other."""
        users = [entry.get("user") or {} for entry in kubeconfig.get("users") or []]
        for user in users:
            renewal = _extension(user)
            if renewal:
                # arn:aws:eks:REGION:ACCOUNT:cluster/NAME
                _arn, _partition, _service, region, _account, cluster = renewal["cluster"].split(":", 5)
                return cls(user["token"], region, cluster.partition("/")[2], renewal.get("profile"))
        return None

    @functools.cached_property
    def account(self) -> Account:
        """Of this process' own credentials, as the first token's were."""
        return Account({"region": self.region, "profile": self.profile})

    def renew(self) -> None:
        """Sign another one."""
        self.token = token.create(self.account, self.cluster)

    def refused(self) -> str:
        """Why a fresh token is refused, as an error says it."""
        return (
            f"The EKS cluster {self.cluster} does not accept {self.account.identity['Arn']}: give it an access entry "
            "(eks_access_entries). If it has one, check that this machine's clock is right."
        )

    def __call__(self, configuration: Any) -> None:
        if token.age(self.token) > token.RENEW:
            self.renew()
        # The library's older releases call the one key that it holds otherwise.
        configuration.api_key = dict.fromkeys(configuration.api_key, f"Bearer {self.token}")

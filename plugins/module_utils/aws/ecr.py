# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A platform's repositories in Amazon ECR, and the credentials for them."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import ecr_lifecycle
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import tags as tagging
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError
from ansible_collections.dbos.kubernetes.plugins.module_utils.parallel import parallel

Json = dict[str, Any]

IMMUTABLE = "IMMUTABLE"
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)*")


@dataclass
class Repository:
    """A repository as it is, and what is to be done about it; C(found) is None when there is none."""

    name: str
    found: Json | None
    tags: dict[str, str] = field(default_factory=dict)
    policy: str | None = None


class Repositories:
    """One run for all repositories of a platform; C(params) as the options of module ecr_repositories."""

    def __init__(self, account: Account, params: Mapping[str, Any], *, check: bool) -> None:
        self.account = account
        self.params = params
        self.platform: str = params["platform"]
        self.names: list[str] = sorted(set(params["repositories"]))
        self.check = check
        self.tags = tagging.wanted(self.platform, params["tags"])
        self.before: Json = {}
        self.after: Json = {}

    def read(self) -> list[Repository]:
        """All that are asked for; what is not the platform's is refused."""
        for name in self.names:
            if not _NAME.fullmatch(name) or not 2 <= len(name) <= 256:
                raise AwsError(
                    f"{name!r} can't be a repository's name in ECR: it has 2 to 256 lower-case letters, digits and "
                    "single . _ - / between them."
                )
        found: dict[str, Json] = {}
        # A request for these fails when one is missing; those of the whole account are a page or two.
        for listed in self.account.pages("ecr", "describe_repositories", "repositories"):
            if listed["repositoryName"] in self.names:
                found[listed["repositoryName"]] = listed
        seen = parallel(lambda name: self._seen(name, found.get(name)), self.names)
        for repository in seen:
            if repository.found and not tagging.owned(repository.tags, self.platform):
                raise AwsError(
                    f"There is a repository {repository.name} in ECR already that does not belong to the platform "
                    f"{self.platform}: take another name, or hand it over with the tag "
                    f"{tagging.PLATFORM}={self.platform}."
                )
        return seen

    def _seen(self, name: str, found: Json | None) -> Repository:
        if found is None:
            return Repository(name, None)
        listed = self.account.call("ecr", "list_tags_for_resource", resourceArn=found["repositoryArn"])["tags"]
        policy = self.account.find("ecr", "get_lifecycle_policy", repositoryName=name)
        return Repository(name, found, tagging.mapping(listed), policy["lifecyclePolicyText"] if policy else None)

    def present(self) -> Json:
        """Make them, or change what differs; the registry and the URIs."""
        seen = self.read()
        for repository in seen:
            self._fixed(repository)
        made = parallel(self._ensure, seen)
        uris = {one.name: str(one.found["repositoryUri"]) for one in made if one.found}
        hosts = {uri.partition("/")[0] for uri in uris.values()}
        return {**self._result(), "repositories": uris, "registry": hosts.pop() if hosts else None}

    def _fixed(self, repository: Repository) -> None:
        have = ((repository.found or {}).get("encryptionConfiguration") or {}).get("encryptionType", "AES256")
        want = "KMS" if self.params["kms_key_id"] else "AES256"
        if repository.found and have != want:
            raise AwsError(
                f"The repository {repository.name} is encrypted with {have}, which can't be changed to {want}: "
                + ("unset ecr_kms_key_id" if want == "KMS" else "set ecr_kms_key_id")
                + ", or take another name."
            )

    def _ensure(self, repository: Repository) -> Repository:
        name, found = repository.name, repository.found
        if found is None:
            self._differs(name, None, self._wanted())
            if self.check:
                return repository
            found = self._create(name)
            repository.tags = self.tags
        else:
            have = {
                "imageTagMutability": found.get("imageTagMutability"),
                "scanOnPush": bool((found.get("imageScanningConfiguration") or {}).get("scanOnPush")),
                "lifecyclePolicy": json.loads(repository.policy) if repository.policy else None,
                "tags": repository.tags,
            }
            put = tagging.missing(repository.tags, self.tags)
            gone = tagging.surplus(repository.tags, self.tags)
            kept = {key: value for key, value in {**repository.tags, **put}.items() if key not in gone}
            self._differs(name, have, {**self._wanted(), "tags": kept})
            if self.check:
                return repository
            self._change(name, found, have, put, gone)
        policy = ecr_lifecycle.policy(self.params["expire_days"])
        if not ecr_lifecycle.same(repository.policy, policy):
            self.account.call(
                "ecr", "put_lifecycle_policy", repositoryName=name, lifecyclePolicyText=json.dumps(policy)
            )
        return Repository(name, found)

    def _wanted(self) -> Json:
        return {
            "imageTagMutability": IMMUTABLE,
            "scanOnPush": self.params["scan_on_push"],
            "lifecyclePolicy": ecr_lifecycle.policy(self.params["expire_days"]),
            "tags": self.tags,
        }

    def _create(self, name: str) -> Json:
        key = self.params["kms_key_id"]
        encryption = {"encryptionType": "KMS", "kmsKey": key} if key else {"encryptionType": "AES256"}
        made = self.account.create(
            lambda: self.account.find("ecr", "describe_repositories", repositoryNames=[name]),
            "ecr",
            "create_repository",
            repositoryName=name,
            imageTagMutability=IMMUTABLE,
            imageScanningConfiguration={"scanOnPush": self.params["scan_on_push"]},
            encryptionConfiguration=encryption,
            tags=tagging.pairs(self.tags),
        )
        repository: Json = made["repository"] if "repository" in made else made["repositories"][0]
        return repository

    def _change(self, name: str, found: Json, have: Json, put: dict[str, str], gone: list[str]) -> None:
        if have["imageTagMutability"] != IMMUTABLE:
            self.account.call("ecr", "put_image_tag_mutability", repositoryName=name, imageTagMutability=IMMUTABLE)
        scan = self.params["scan_on_push"]
        if have["scanOnPush"] != scan:
            self.account.call(
                "ecr",
                "put_image_scanning_configuration",
                repositoryName=name,
                imageScanningConfiguration={"scanOnPush": scan},
            )
        if put:
            self.account.call("ecr", "tag_resource", resourceArn=found["repositoryArn"], tags=tagging.pairs(put))
        if gone:
            self.account.call("ecr", "untag_resource", resourceArn=found["repositoryArn"], tagKeys=gone)

    def absent(self) -> Json:
        """Delete them with all their images."""
        there = [repository for repository in self.read() if repository.found]
        for repository in there:
            self._differs(repository.name, {"tags": repository.tags}, None)
            if not self.check:
                self.account.find("ecr", "delete_repository", repositoryName=repository.name, force=True)
        return {**self._result(), "repositories": {}, "registry": None}

    def _differs(self, name: str, before: Json | None, after: Json | None) -> None:
        """Into the diff, but only what differs."""
        if before and after:
            names = [key for key in after if before.get(key) != after[key]]
            before, after = {key: before.get(key) for key in names}, {key: after[key] for key in names}
        if before or after:
            self.before[name], self.after[name] = before, after

    def _result(self) -> Json:
        before = {name: self.before[name] for name in sorted(self.before)}
        after = {name: self.after[name] for name in sorted(self.after)}
        return {"changed": bool(before), "diff": {"before": before, "after": after}}


def credentials(account: Account) -> dict[str, str]:
    """What to log in to the account's registry with, for twelve hours."""
    data = account.call("ecr", "get_authorization_token")["authorizationData"][0]
    username, _colon, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    return {
        "host": str(data["proxyEndpoint"]).partition("://")[2].rstrip("/"),
        "username": username,
        "password": password,
    }

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an application must know of a platform on AWS, found again from its name in any process, on any day.

A run asks AWS once for what does not change, and keeps the answers in a folder that goes with it; secrets are read each
time, and kept nowhere.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, Json
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.errors import AwsError

CA_URL = "https://truststore.pki.rds.amazonaws.com/{region}/{region}-bundle.pem"


class Memory:
    """Answers of one run of Ansible, shared by its processes through a folder. For nothing that is secret."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def recall(self, what: str, ask: Callable[[], Json | None], *, afresh: bool = False) -> Json | None:
        """What C(ask) has answered before, in whichever process; None is no answer, and is asked for again."""
        path = os.path.join(self._folder, f"aws-{hashlib.sha256(what.encode()).hexdigest()[:24]}")
        with open(path, "a+", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            kept = stream.read()
            if kept and not afresh:
                known: Json = json.loads(kept)
                return known
            found = ask()
            stream.truncate(0)
            if found is not None:
                stream.write(json.dumps(found))
            return found


def cluster(account: Account, memory: Memory, name: str) -> Json | str:
    """A cluster that can be talked to, of C(describe_cluster) what a kubeconfig needs; or why there is none."""
    status = ""

    def ask() -> Json | None:
        nonlocal status
        found = (account.find("eks", "describe_cluster", name=name) or {}).get("cluster") or {}
        status = found.get("status", "")
        ready = found.get("endpoint") and status not in ("CREATING", "DELETING", "FAILED")
        return {key: found[key] for key in ("arn", "endpoint", "certificateAuthority")} if ready else None

    found = memory.recall(f"cluster {account.region} {name}", ask)
    if found:
        return found
    it = f"EKS cluster {name} in {account.region}"
    return f"{it} is {status}." if status else f"{it} does not exist; provision.yml makes it."


def database(account: Account, memory: Memory, identifier: str, *, afresh: bool = False) -> Json | None:
    """Address, port, user and the secret's ARN of an RDS instance that can be connected to; None when there is none."""

    def ask() -> Json | None:
        answer = account.find("rds", "describe_db_instances", DBInstanceIdentifier=identifier) or {}
        for found in answer.get("DBInstances") or []:
            if found.get("Endpoint", {}).get("Address"):
                return {
                    "host": found["Endpoint"]["Address"],
                    "port": found["Endpoint"]["Port"],
                    "user": found["MasterUsername"],
                    "secret": found.get("MasterUserSecret", {}).get("SecretArn", ""),
                }
        return None

    return memory.recall(f"database {account.region} {identifier}", ask, afresh=afresh)


def password(account: Account, memory: Memory, identifier: str) -> str:
    """The master's password, as Secrets Manager has it now: RDS changes it every week."""
    for afresh in (False, True):  # another secret may be its master's since the run has begun
        found = database(account, memory, identifier, afresh=afresh) or {}
        if found.get("secret"):
            answer = account.find("secretsmanager", "get_secret_value", SecretId=found["secret"])
            if answer:
                return str(json.loads(answer["SecretString"])["password"])
    raise AwsError(
        f"RDS instance {identifier} in {account.region} has no password in Secrets Manager: "
        "give it in platform_database, or let RDS manage it."
    )


def ca_bundle(memory: Memory, region: str, url: str | None = None) -> str:
    """The CAs of the region's RDS instances, as PEM."""
    url = url or CA_URL.format(region=region)
    found: Json = memory.recall(f"CA {url}", lambda: {"pem": _download(url)}) or {}
    return str(found["pem"])


def _download(url: str) -> str:
    from ansible.module_utils.urls import open_url

    try:
        text: str = open_url(url, timeout=20).read().decode("ascii")
    except (OSError, ValueError) as error:
        raise AwsError(
            f"The CA bundle of RDS cannot be downloaded from {url}: {error}. Set rds_ca_url to where it can be."
        ) from error
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise AwsError(f"What {url} answers is no CA bundle: it holds no certificate. Check rds_ca_url.")
    return text

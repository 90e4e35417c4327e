# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an API server is reached: a module's options, as the C(kubernetes) library reads them."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import kubeconfig as eks
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import (
    DbosError,
    PlatformAbsent,
)


def argument_spec() -> dict[str, dict[str, Any]]:
    """Connection options, documented in the fragment dbos.kubernetes.kubernetes."""

    def option(variable: str, **spec: Any) -> dict[str, Any]:
        return {"fallback": (env_fallback, [variable]), **spec}

    return {
        "kubeconfig": option("K8S_AUTH_KUBECONFIG", type="raw", no_log=True),
        "context": option("K8S_AUTH_CONTEXT", type="str"),
        "host": option("K8S_AUTH_HOST", type="str"),
        "api_key": option("K8S_AUTH_API_KEY", type="str", no_log=True),
        "username": option("K8S_AUTH_USERNAME", type="str"),
        "password": option("K8S_AUTH_PASSWORD", type="str", no_log=True),
        "validate_certs": option("K8S_AUTH_VERIFY_SSL", type="bool", aliases=["verify_ssl"]),
        "ca_cert": option("K8S_AUTH_SSL_CA_CERT", type="path", aliases=["ssl_ca_cert"]),
        "client_cert": option("K8S_AUTH_CERT_FILE", type="path", aliases=["cert_file"]),
        "client_key": option("K8S_AUTH_KEY_FILE", type="path", aliases=["key_file"], no_log=False),
        "proxy": option("K8S_AUTH_PROXY", type="str"),
    }


def load(params: Mapping[str, Any]) -> tuple[Any, eks.Bearer | None]:
    """The library's configuration, and the token that is renewed while it is used, if it is EKS'.

    Raises PlatformAbsent when there is no cluster yet.
    """
    import kubernetes.config
    from kubernetes.client import Configuration

    loader: Any = kubernetes.config  # the library is only half typed

    # Not Configuration(): that would copy a default somebody else may have set.
    configuration = type.__call__(Configuration)
    kubeconfig = params.get("kubeconfig")
    bearer = None
    try:
        if isinstance(kubeconfig, dict):
            if reason := eks.why_absent(kubeconfig):
                raise PlatformAbsent(f"There is no Kubernetes platform yet: {reason}")
            with _inline_files(configuration) as directory:
                loader.load_kube_config_from_dict(kubeconfig, params.get("context"), configuration, False, directory)
            bearer = eks.Bearer.of(kubeconfig)
        elif kubeconfig or not params.get("host"):
            path = os.path.expanduser(str(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"))
            if not any(os.path.exists(part) for part in path.split(os.pathsep)):
                raise PlatformAbsent(f"There is no Kubernetes platform yet: {path} does not exist.")
            with _inline_files(configuration) as directory:
                loader.load_kube_config(path, params.get("context"), configuration, False, directory)
    except kubernetes.config.ConfigException as error:
        raise DbosError(f"The kubeconfig cannot be used: {error}. Check the platform's platform_kubernetes.") from error
    for option, attribute in (
        ("host", "host"),
        ("username", "username"),
        ("password", "password"),
        ("validate_certs", "verify_ssl"),
        ("ca_cert", "ssl_ca_cert"),
        ("client_cert", "cert_file"),
        ("client_key", "key_file"),
        ("proxy", "proxy"),
    ):
        if params.get(option) is not None:
            setattr(configuration, attribute, params[option])
    if params.get("api_key"):
        configuration.api_key = {"authorization": f"Bearer {params['api_key']}"}
        bearer = None
    return configuration, bearer


@contextmanager
def _inline_files(configuration: Any) -> Iterator[str | None]:
    """Where the library writes what a kubeconfig holds inline, such as a client's key: in memory a moment later.

    It would leave the files to atexit, which neither a kill -9 runs nor Ansible's workers before Python 3.13.
    """
    if not hasattr(os, "memfd_create"):  # macOS
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="dbos-kubernetes-") as directory:
        yield directory
        for attribute in ("ssl_ca_cert", "cert_file", "key_file"):
            path = getattr(configuration, attribute)
            if path and path.startswith(directory):
                setattr(configuration, attribute, _memory_file(Path(path).read_bytes()))


@functools.cache
def _memory_file(content: bytes) -> str:
    """Path of a file that goes with this process and those that it forks."""
    descriptor = os.memfd_create("kubeconfig")
    os.write(descriptor, content)
    return f"/proc/self/fd/{descriptor}"

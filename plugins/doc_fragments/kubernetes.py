# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation shared by every module that talks to a Kubernetes API server."""

from __future__ import annotations


class ModuleDocFragment:
    """Connection options, named and typed as in kubernetes.core."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of a kubeconfig file, or its content as a dictionary.
      - The environment variable E(K8S_AUTH_KUBECONFIG) is used when it is not given, then E(KUBECONFIG), then C(~/.kube/config),
        unless O(host) is set.
    type: raw
  context:
    description: Name of the context in O(kubeconfig); its current context by default. E(K8S_AUTH_CONTEXT) is used when not given.
    type: str
  host:
    description: URL of the API server. E(K8S_AUTH_HOST) is used when not given.
    type: str
  api_key:
    description: Bearer token. E(K8S_AUTH_API_KEY) is used when not given.
    type: str
  username:
    description: User name for basic authentication. E(K8S_AUTH_USERNAME) is used when not given.
    type: str
  password:
    description: Password for basic authentication. E(K8S_AUTH_PASSWORD) is used when not given.
    type: str
  validate_certs:
    description: Whether to verify the API server's certificate. E(K8S_AUTH_VERIFY_SSL) is used when not given.
    type: bool
    aliases: [verify_ssl]
  ca_cert:
    description: Path of the CA certificate that signed the API server's. E(K8S_AUTH_SSL_CA_CERT) is used when not given.
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description: Path of a client certificate. E(K8S_AUTH_CERT_FILE) is used when not given.
    type: path
    aliases: [cert_file]
  client_key:
    description: Path of the client certificate's key. E(K8S_AUTH_KEY_FILE) is used when not given.
    type: path
    aliases: [key_file]
  proxy:
    description: URL of an HTTP proxy for the connection. E(K8S_AUTH_PROXY) is used when not given.
    type: str
"""

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation shared by the modules that seal Secrets."""

from __future__ import annotations


class ModuleDocFragment:
    """What to seal, and where the controller is."""

    DOCUMENTATION = r"""
options:
  secrets:
    description: The Secrets; each is described as a whole.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the SealedSecret and of its Secret.
        type: str
        required: true
      namespace:
        description: Namespace; that of the option O(namespace) when not given.
        type: str
      data:
        description: Key to value, base64-encoded. Needed for binary values.
        type: dict
      string_data:
        description: Key to value, as text. A key is either here or in O(secrets[].data).
        type: dict
      type:
        description:
          - The Secret's type. For C(kubernetes.io/tls), C(dockerconfigjson), C(dockercfg), C(basic-auth) and C(ssh-auth)
            the keys are checked.
        type: str
        default: Opaque
      scope:
        description:
          - What the ciphertext is bound to. V(strict), to name and namespace; V(namespace-wide), to the namespace;
            V(cluster-wide), to nothing.
        type: str
        choices: [strict, namespace-wide, cluster-wide]
        default: strict
      labels:
        description: Labels of the SealedSecret, added to those it has.
        type: dict
        default: {}
      annotations:
        description: Annotations of the SealedSecret, added to those it has.
        type: dict
        default: {}
      template:
        description: What the Secret gets besides the sealed keys.
        type: dict
        default: {}
        suboptions:
          labels:
            description: Labels of the Secret.
            type: dict
            default: {}
          annotations:
            description: Annotations of the Secret.
            type: dict
            default: {}
          data:
            description:
              - Key to Go template, rendered by the controller with the sealed keys as context. These values are not sealed.
                A null leaves the key out of the Secret (Sealed Secrets 0.40 or newer).
            type: dict
            default: {}
      immutable:
        description: Whether the Secret cannot be changed once made.
        type: bool
        default: false
      adopt:
        description:
          - What to do with a Secret of that name that exists and was not made by the SealedSecret. V(managed) takes it over,
            V(patch) adds the sealed keys to it and leaves the rest. Without it the module fails before it touches anything.
        type: str
        choices: [managed, patch]
      purge_keys:
        description: Whether keys that are sealed now but not listed are removed.
        type: bool
        default: true
  namespace:
    description: Namespace of the O(secrets) that name none.
    type: str
  fingerprint_key:
    description:
      - Secret key, at least 32 random characters, of the keyed hashes that prove without a cluster that a value is unchanged.
        They are kept in an annotation of the SealedSecret. Keep the key in a vault; another key reseals everything once.
    type: str
  force:
    description: Whether to seal every key anew.
    type: bool
    default: false
"""

    CONTROLLER = r"""
options:
  controller_namespace:
    description: Namespace of the Sealed Secrets controller. It is looked for in all namespaces when not given.
    type: str
  controller_name:
    description:
      - Name of the controller's Service. When not given, it is found by the Helm chart's label
        C(app.kubernetes.io/name=sealed-secrets) or the plain manifest's name C(sealed-secrets-controller).
    type: str
"""

#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: images
short_description: Build container images, and resolve tags to digests
version_added: 1.0.0
description:
  - Builds images with docker, podman or buildah (the first that works on the machine the module runs on), pushes them to a
    registry, and returns their digests. An image whose build context has not changed is not built again.
  - Resolves any other image's tag to its digest through the registry's HTTP API, which needs none of these tools.
  - An image for several platforms is a list of images, by whose digest each node pulls what fits it.
  - Docker Hub, the GitHub container registry, Amazon ECR (user C(AWS) with a token as the password) and plain registries are understood.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
attributes:
  check_mode:
    support: full
    details: Reads the registry and builds nothing. An image that would be built has no digest in the result.
  diff_mode:
    support: full
    details: Names the images that are built.
  idempotent:
    support: full
    details: A build is known by the hash of its context, which is its tag in the registry.
options:
  build:
    description: Images to build and push.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the repository, below the registry's host.
        type: str
        required: true
      context:
        description: Directory to build in. All its files count for the hash, but C(.git) and what C(.containerignore) or C(.dockerignore) names.
        type: path
        required: true
      containerfile:
        description: Path of the Containerfile (Dockerfile) below O(build[].context).
        type: str
        default: Dockerfile
      prepare:
        description:
          - Command, with its arguments, that is run in O(build[].context) before the build, without a shell.
          - What it writes into the directory named by the environment variable E(BUILD_CONTEXT) is the build's context then.
            It finds the programs beside this module's Python interpreter first.
          - It runs once for each platform, which E(TARGETPLATFORM), E(TARGETOS) and E(TARGETARCH) tell it.
        type: list
        elements: str
        default: []
      build_args:
        description: Build arguments. They stand in the process list and in the image's history, so never give secrets.
        type: dict
        default: {}
      platforms:
        description: Operating systems and architectures to build for; O(platforms) when not given.
        type: list
        elements: str
  platforms:
    description:
      - Operating systems and architectures to build for, such as C(linux/amd64) and C(linux/arm64) (for AWS' Graviton).
      - A Containerfile that runs programs of a foreign architecture needs an emulator (qemu). One that compiles in a stage of the building
        machine's architecture (C(FROM --platform=$BUILDPLATFORM)) needs none.
    type: list
    elements: str
    default: [linux/amd64]
  resolve:
    description: Images to resolve, by tag or digest, as a pod names them. A digest is returned as it is and not looked up.
    type: list
    elements: str
    default: []
  registry:
    description:
      - The platform's registry. What is built is pushed there; its CA and its credentials are used for no other registry.
      - TLS is always used, but for a registry on loopback.
    type: dict
    default: {}
    suboptions:
      host:
        description: Host, with the port if it isn't 443.
        type: str
      ca_file:
        description: Path of the CA certificate that signed the registry's, if the system's CAs don't vouch for it.
        type: path
      username:
        description: User name.
        type: str
      password:
        description: Password or token.
        type: str
notes:
  - The image with the tag C(build-<hash>) stays in the registry; nothing is left in the building tool's storage but base images.
"""

EXAMPLES = r"""
- name: Build the application and resolve the migration's image
  dbos.kubernetes.images:
    build:
      - name: shop
        context: "{{ playbook_dir }}/shop"
    resolve:
      - ghcr.io/example/dbos-migrate:1.8.0
    registry:
      host: registry.example.com
      username: ci
      password: "{{ lookup('ansible.builtin.env', 'REGISTRY_PASSWORD') }}"
  register: images

- name: Show what would be deployed
  ansible.builtin.debug:
    var: images.digests.shop
"""

RETURN = r"""
digests:
  description: The images by digest. Keys are names as in O(build[].name) and references as in O(resolve).
  returned: always
  type: dict
  sample:
    shop: registry.example.com/shop@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b
built:
  description: Names of the images that were built and pushed, or would be.
  returned: always
  type: list
  elements: str
  sample: [shop]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.images import ensure
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import registry_options, run


def images(module: AnsibleModule) -> dict[str, Any]:
    """Build and resolve what the task asks for."""
    params = module.params
    builds = [{**build, "platforms": build["platforms"] or params["platforms"]} for build in params["build"]]
    return ensure(builds, params["resolve"], params["registry"], check=module.check_mode)


def main() -> None:
    """Entry point."""
    build = {
        "name": {"type": "str", "required": True},
        "context": {"type": "path", "required": True},
        "containerfile": {"type": "str", "default": "Dockerfile"},
        "prepare": {"type": "list", "elements": "str", "default": []},
        "build_args": {"type": "dict", "default": {}},
        "platforms": {"type": "list", "elements": "str"},
    }
    run(
        AnsibleModule(
            argument_spec={
                "build": {"type": "list", "elements": "dict", "default": [], "options": build},
                "platforms": {"type": "list", "elements": "str", "default": ["linux/amd64"]},
                "resolve": {"type": "list", "elements": "str", "default": []},
                "registry": {"type": "dict", "default": {}, "options": registry_options()},
            },
            supports_check_mode=True,
        ),
        images,
    )


if __name__ == "__main__":
    main()

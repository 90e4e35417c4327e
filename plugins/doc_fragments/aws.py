# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation shared by every module that talks to AWS."""

from __future__ import annotations


class ModuleDocFragment:
    """Connection options, named and typed as in amazon.aws."""

    DOCUMENTATION = r"""
requirements:
  - boto3 >= 1.40
options:
  region:
    description:
      - The AWS region. E(AWS_REGION), then E(AWS_DEFAULT_REGION), then the profile's is used when not given.
    type: str
  profile:
    description:
      - Name of a profile in the AWS configuration files; it wins over keys. E(AWS_PROFILE), then E(AWS_DEFAULT_PROFILE) is used
        when not given.
    type: str
  access_key:
    description: Access key id. E(AWS_ACCESS_KEY_ID) is used when not given, and then all that boto3 looks at, such as an instance's role.
    type: str
  secret_key:
    description: Secret access key. E(AWS_SECRET_ACCESS_KEY) is used when not given.
    type: str
  session_token:
    description: Token of temporary keys. E(AWS_SESSION_TOKEN), then E(AWS_SECURITY_TOKEN) is used when not given.
    type: str
notes:
  - Endpoints other than AWS' own are named by boto3's environment variables, E(AWS_ENDPOINT_URL) and E(AWS_ENDPOINT_URL_EKS) alike.
  - Throttling, server errors, timeouts and lost connections are retried with growing pauses, for up to two minutes.
"""

    PLATFORM = r"""
options:
  platform:
    description:
      - Name of the platform, which is the EKS cluster's name too.
      - All that the collection makes in AWS carries it as the tag C(dbos.kubernetes/platform), and only what carries it is changed
        or deleted.
    type: str
    required: true
  tags:
    description: Tags of all that is made, beside the platform's own. Other tags are removed, but those of AWS and Kubernetes.
    type: dict
    default: {}
"""

    LOOKUP = r"""
requirements:
  - boto3 >= 1.40
options:
  region:
    description: The AWS region. When not given, that of the environment or of the profile.
    type: str
    env:
      - name: AWS_REGION
      - name: AWS_DEFAULT_REGION
  profile:
    description: Name of a profile in the AWS configuration files. When not given, credentials are found as everywhere.
    type: str
notes:
  - Credentials come from the environment of ansible-playbook, as for the AWS CLI (in AWX, from the job template's AWS credential).
"""

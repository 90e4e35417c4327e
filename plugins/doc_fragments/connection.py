# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation shared by every module that talks to the system database."""

from __future__ import annotations


class ModuleDocFragment:
    """How the database is reached."""

    DOCUMENTATION = r"""
requirements:
  - psycopg2 >= 2.9.10
  - kubernetes >= 34 with O(relay)
options:
  database_url:
    description:
      - PostgreSQL URL of the server, user and database to work with; its special characters percent-encoded,
        see P(dbos.kubernetes.database_url#filter).
      - C(sslmode) is C(verify-full) unless the URL says otherwise, with and without O(relay).
    type: str
    required: true
  ca:
    description: PEM text of the CA certificates that the server's certificate is verified against. Replaces the URL's C(sslrootcert).
    type: str
  relay:
    description:
      - Reaches a private database through the Kubernetes API server, from a pod that can reach it. The database's name is then resolved
        in the cluster, and TLS is still verified end to end.
      - The relay is a Job that listens on its pod's loopback only. All modules of a run of Ansible share one; M(dbos.kubernetes.relay)
        ends it, else its deadline does. It is never reported as a change.
      - In check mode a relay that the run does not have yet runs for the time of the module; without O(relay.namespace) nothing is
        created, and the module says what it could not read.
    type: dict
    suboptions:
      namespace:
        description: Where the relay runs.
        type: str
        required: true
      image:
        description: An image whose entry point takes socat's two addresses, with a digest where it matters.
        type: str
        required: true
      application:
        description: The application's name, for the relay's name and labels.
        type: str
        required: true
      deadline:
        description: Seconds after which the relay ends in any case.
        type: int
        default: 1800
"""

    WRITES = r"""
options:
  allow_newer_schema:
    description: Writes to a schema whose level is above the newest that was tested, which is 125.
    type: bool
    default: false
"""

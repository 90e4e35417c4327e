# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: database_url
short_description: Make a PostgreSQL URL of its parts
version_added: 1.0.0
description:
  - Percent-encodes everything, also the slash, which Jinja's C(urlencode) leaves as it is.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
options:
  _input:
    description: Keys C(host), C(port), C(user), C(password), C(sslmode), such as C(platform_database). Others are ignored.
    type: dict
    required: true
  user:
    description: Replaces the input's user.
    type: str
  password:
    description: Replaces the input's password.
    type: str
  database:
    description: Name of the database.
    type: str
    default: postgres
  sslrootcert:
    description: Path of the CA certificate where the URL will be used, such as in a pod.
    type: str
"""

EXAMPLES = r"""
admin_url: "{{ platform_database | dbos.kubernetes.database_url }}"
url_in_the_pod: >-
  {{ platform_database | dbos.kubernetes.database_url(user=database_owner, password=database_owner_password,
  database=database_name, sslrootcert='/etc/dbos/database-ca/ca.crt') }}
"""

RETURN = r"""
_value:
  description: The URL. It holds the password.
  type: str
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from ansible.errors import AnsibleFilterError


def database_url(
    server: Mapping[str, Any],
    user: str | None = None,
    password: str | None = None,
    database: str = "postgres",
    sslrootcert: str | None = None,
) -> str:
    """The URL of one database on the server, for one user."""
    if not isinstance(server, Mapping) or not server.get("host"):
        raise AnsibleFilterError("A database URL needs at least a host: check the platform's platform_database.")
    user = str(server.get("user", "") if user is None else user)
    password = str(server.get("password", "") if password is None else password)
    host = str(server["host"])
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    options = {"sslmode": server.get("sslmode") or "verify-full", "sslrootcert": sslrootcert}
    query = urlencode({key: value for key, value in options.items() if value}, safe="/")
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return f"postgresql://{login}@{host}:{server.get('port') or 5432}/{quote(database, safe='')}?{query}"


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Any]:
        return {"database_url": database_url}

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: database_parts
short_description: Take a PostgreSQL URL apart
version_added: 1.0.0
description:
  - Makes C(platform_database) of a URL, the opposite of P(dbos.kubernetes.database_url#filter).
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
options:
  _input:
    description: A PostgreSQL URL; user and password percent-encoded as usual. An empty one has no parts.
    type: str
    required: true
"""

EXAMPLES = r"""
platform_database: "{{ lookup('ansible.builtin.env', 'DATABASE_ADMIN_URL') | dbos.kubernetes.database_parts }}"
"""

RETURN = r"""
_value:
  description: The keys host, port, user, password and sslmode (V(verify-full) unless the URL says otherwise).
  type: dict
"""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ansible.errors import AnsibleFilterError


def database_parts(url: str) -> dict[str, Any]:
    """The parts, unquoted. Errors never show the URL: it holds a password."""
    if not url:
        return {}
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError as error:
        raise AnsibleFilterError("The PostgreSQL URL cannot be read: its port or its host is malformed.") from error
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or not parts.username:
        raise AnsibleFilterError("A PostgreSQL URL looks like postgresql://USER:PASSWORD@HOST:5432/postgres.")
    return {
        "host": parts.hostname,
        "port": port,
        "user": unquote(parts.username),
        "password": unquote(parts.password or ""),
        "sslmode": parse_qs(parts.query).get("sslmode", ["verify-full"])[0],
    }


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, Any]:
        return {"database_parts": database_parts}

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTML that cannot be broken out of: whatever is not made here is escaped."""

from __future__ import annotations

import html


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def safe(content: object) -> Html:
    """Content as HTML; None is nothing."""
    if isinstance(content, Html):
        return content
    return Html("" if content is None else html.escape(str(content)))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element; C(cls) is its class, C(data_x) becomes C(data-x), attributes that are None are left out."""
    written = "".join(
        f' {"class" if key == "cls" else key.replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: object) -> Html:
    """Several pieces of content, one after the other."""
    return Html("".join(safe(child) for child in children))

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a build is made from: its context's files and its options, in one hash that names the result."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

_WILDCARDS = re.compile(r"\*\*/?|\*|\?|\[[^]]*\]")


def build_tag(build: dict[str, Any]) -> str:
    """The tag of what this build makes: the same as long as nothing that goes into it changes."""
    context = Path(build["context"])
    if not context.is_dir():
        raise DbosError(f"The build context {context} of the image {build['name']} is no directory.")
    if not (context / build["containerfile"]).is_file():
        raise DbosError(f"There is no {build['containerfile']} in {context}, the build context of {build['name']}.")
    options = {key: build.get(key) for key in ("containerfile", "prepare", "build_args", "platforms")}
    total = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    # Ignore files often name it, but it makes the image.
    total.update((context / build["containerfile"]).read_bytes())
    for path in context_files(context):
        relative = path.relative_to(context).as_posix()
        content = b"link " + path.readlink().as_posix().encode() if path.is_symlink() else path.read_bytes()
        executable = path.lstat().st_mode & 0o111 != 0
        total.update(f"{relative}\0{executable}\0{hashlib.sha256(content).hexdigest()}\0".encode())
    return f"build-{total.hexdigest()[:16]}"


def context_files(context: Path) -> list[Path]:
    """The files of a build context in a fixed order, without Git's own and what its ignore file names."""
    patterns: list[str] = []
    for name in (".containerignore", ".dockerignore"):
        if (context / name).is_file():
            patterns = (context / name).read_text(encoding="utf-8").splitlines()
            break
    rules = ignore_rules(patterns)
    return sorted(path for path in _files(context) if not ignored(path.relative_to(context).as_posix(), rules))


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if path.name != ".git":
                yield from _files(path)
        else:
            yield path


def ignore_rules(lines: list[str]) -> list[tuple[re.Pattern[str], bool]]:
    """An ignore file's patterns, each with whether it ignores (or, after C(!), brings back)."""
    rules = []
    for line in lines:
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        ignores = not pattern.startswith("!")
        pattern = pattern.removeprefix("!").strip().strip("/").removeprefix("./")
        try:
            rules.append((re.compile(_regex(pattern) + r"(/.*)?", re.DOTALL), ignores))
        except re.error as error:
            raise DbosError(f"The pattern {line!r} in the context's ignore file is not valid: {error}.") from error
    return rules


def ignored(relative: str, rules: list[tuple[re.Pattern[str], bool]]) -> bool:
    """Whether the last rule that matches a path, or a folder it is in, ignores it."""
    result = False
    for pattern, ignores in rules:
        if pattern.fullmatch(relative):
            result = ignores
    return result


def _regex(pattern: str) -> str:
    """A pattern of an ignore file as a regular expression: C(**) crosses folders, C(*) and C(?) do not."""
    parts = []
    end = 0
    for match in _WILDCARDS.finditer(pattern):
        wildcard = match.group()
        parts.append(re.escape(pattern[end : match.start()]))
        known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        parts.append(known.get(wildcard) or "[" + wildcard[1:].replace("[", r"\["))
        end = match.end()
    return "".join(parts) + re.escape(pattern[end:])

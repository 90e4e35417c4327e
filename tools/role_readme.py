#!/usr/bin/env python3
"""Writes roles/*/README.md from meta/argument_specs.yml and meta/main.yml; --check only names what is out of date."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
MARKUP = re.compile(r"\b([A-Z])\(((?:[^()\\]|\\.|\([^()]*\))*)\)")


def text(value: Any) -> str:
    """Ansible's markup as Markdown; a list is one paragraph."""
    words = " ".join(value) if isinstance(value, list) else str(value or "")

    def markdown(match: re.Match[str]) -> str:
        kind, inside = match[1], match[2]
        if kind in "CVOE":
            return f"`{inside}`"
        if kind in "MPI":
            return f"*{inside.split('#')[0]}*"
        if kind == "B":
            return f"**{inside}**"
        if kind == "L":
            label, _, target = inside.partition(",")
            return f"[{label}]({target.strip()})"
        return f"<{inside}>" if kind == "U" else match[0]

    return re.sub(r"\s+", " ", MARKUP.sub(markdown, words)).strip()


def default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "**required**"
    if "default" not in option:
        return ""
    value = option["default"]
    return f"`{value}`" if isinstance(value, str) and value else f"`{json.dumps(value)}`"


def kind(option: dict[str, Any]) -> str:
    name = option.get("type", "str")
    return f"list of {option.get('elements', 'str')}" if name == "list" else name


def rows(options: dict[str, Any], prefix: str = "") -> list[str]:
    """One row per variable; the keys of a dictionary follow it."""
    lines = []
    for name, option in options.items():
        words = text(option.get("description"))
        if option.get("choices"):
            words += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
        cells = [f"`{prefix}{name}`", kind(option), default(option), words]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        inner = f"{prefix}{name}{'[]' if option.get('type') == 'list' else ''}."
        lines += rows(option.get("options") or {}, inner)
    return lines


def readme(role: Path) -> str:
    galaxy = yaml.safe_load((role / "meta/main.yml").read_text())["galaxy_info"]
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    parts = [f"# {role.name}", galaxy["description"].rstrip(".") + ".", "<!-- Made by tools/role_readme.py. -->"]
    for entry, spec in specs.items():
        parts.append(f"## {'Variables' if entry == 'main' else f'tasks_from: {entry}'}")
        parts += [text(paragraph) for paragraph in as_list(spec.get("description")) if text(paragraph)]
        if spec.get("options"):
            table = ["| Variable | Type | Default | Meaning |", "| --- | --- | --- | --- |", *rows(spec["options"])]
            parts.append("\n".join(table))
        else:
            parts.append("None.")
    return "\n\n".join(parts) + "\n"


def as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value] if value else []


def main(arguments: list[str]) -> int:
    stale = []
    for specs in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        role = specs.parent.parent
        target, wanted = role / "README.md", readme(role)
        if not target.exists() or target.read_text() != wanted:
            stale.append(role.name)
            if "--check" not in arguments:
                target.write_text(wanted)
    verb = "out of date, run tools/role_readme.py" if "--check" in arguments else "written"
    if stale:
        print(f"roles/{{{','.join(stale)}}}/README.md {verb}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

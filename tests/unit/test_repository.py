"""The repository's parts agree with each other."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(path for path in ROOT.glob("plugins/**/*.py") if path.read_text().strip())
MODULES = sorted(path.stem for path in ROOT.glob("plugins/modules/*.py") if path.stem != "__init__")
ROLES = sorted(path for path in ROOT.glob("roles/*") if path.is_dir())
LOCKS = {release: (ROOT / f"locks/core-{release}.txt").read_text() for release in ("2.20", "2.21")}


def documentation(module: str) -> dict[str, Any]:
    tree = ast.parse((ROOT / f"plugins/modules/{module}.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "DOCUMENTATION":
            return yaml.safe_load(ast.literal_eval(node.value))
    pytest.fail(f"{module} has no DOCUMENTATION")


def runtime() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "meta/runtime.yml").read_text())


def locked(name: str, release: str = "2.21") -> str:
    match = re.search(rf"^{re.escape(name)}==([^ ]+)", LOCKS[release], re.MULTILINE)
    assert match, f"{name} is not in locks/core-{release}.txt"
    return match[1]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugin_has_the_licence_header_and_runs_on_older_pythons(path: Path) -> None:
    source = path.read_text()
    assert "GNU General Public License v3.0+" in source[:500]
    assert "SPDX-License-Identifier: GPL-3.0-or-later" in source[:500]
    # The grammar of Python 3.11 has no PEP 695: modules may have to run beside an older interpreter's libraries.
    ast.parse(source, feature_version=(3, 11))


def test_action_group_holds_the_modules_that_take_connection_options() -> None:
    members = [member for member in runtime()["action_groups"]["kubernetes"] if isinstance(member, str)]
    taking = [
        name
        for name in MODULES
        if "dbos.kubernetes.kubernetes" in documentation(name).get("extends_documentation_fragment", [])
    ]
    assert sorted(members) == taking


def test_every_other_module_speaks_through_the_progress_action() -> None:
    aws = runtime()["action_groups"]["aws"]
    routed = {
        name
        for name, route in runtime()["plugin_routing"]["modules"].items()
        if route["action_plugin"] == f"dbos.kubernetes.{'aws' if name in aws else 'progress'}"
    }
    # An action plugin with a module's own name finds it by itself.
    own = {path.stem for path in ROOT.glob("plugins/action/*.py")}
    assert sorted(routed) == sorted(set(MODULES) - own)


@pytest.mark.parametrize("module", MODULES)
def test_module_says_what_it_supports(module: str) -> None:
    documented = documentation(module)
    assert documented["version_added"] == "1.0.0"
    fragments = documented.get("extends_documentation_fragment", [])
    attributes = set(documented.get("attributes", {}))
    assert "dbos.kubernetes.attributes" in fragments or {"check_mode", "diff_mode", "idempotent"} <= attributes


def test_roles_are_described_and_their_readmes_current() -> None:
    for role in ROLES:
        assert (role / "meta/main.yml").exists(), f"{role.name} has no meta/main.yml"
        assert (role / "meta/argument_specs.yml").exists(), f"{role.name} has no meta/argument_specs.yml"
        assert (role / "README.md").read_text() == role_readme().readme(role), "run tools/role_readme.py"


def role_readme() -> ModuleType:
    spec = importlib.util.spec_from_file_location("role_readme", ROOT / "tools/role_readme.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_markup_becomes_markdown() -> None:
    text = role_readme().text
    assert text("Set O(release_image), see M(dbos.kubernetes.release) or V(none).") == (
        "Set `release_image`, see *dbos.kubernetes.release* or `none`."
    )
    assert text("C(f(x)) and L(the guide,https://example.org)") == "`f(x)` and [the guide](https://example.org)"


def test_each_playbook_has_its_wrapper_at_the_root() -> None:
    playbooks = {path.name for path in ROOT.glob("playbooks/*.yml") if not path.name.endswith(".meta.yml")}
    wrappers = {path.name for path in ROOT.glob("*.yml")} - {"galaxy.yml"}
    assert playbooks == wrappers
    for name in wrappers:
        (play,) = yaml.safe_load((ROOT / name).read_text())
        assert play["ansible.builtin.import_playbook"] == f"dbos.kubernetes.{name.removesuffix('.yml')}"


def test_requirements_say_what_the_project_file_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == project["project"]["dependencies"]
    assert project["project"]["version"] == yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]


@pytest.mark.parametrize("release", LOCKS)
def test_lock_satisfies_the_project_file(release: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    asked = project["project"]["dependencies"] + groups["test"] + groups[f"core-{release.replace('.', '-')}"]
    if release == "2.21":
        asked += groups["lint"] + groups["platform"]
    for line in asked:
        requirement = Requirement(line)
        assert requirement.specifier.contains(locked(requirement.name.lower(), release)), f"run tools/lock: {line}"
    assert locked("ansible-core", release).startswith(f"{release}.")


def test_readme_names_the_tested_versions() -> None:
    table = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert table["ansible-core"] == f"{locked('ansible-core', '2.20')}, {locked('ansible-core', '2.21')}"
    assert table["Python library `kubernetes`"] == locked("kubernetes")
    built = {
        "Kubernetes": ("roles/local_platform/files/kubernetes/go.mod", r"k8s\.io/kubernetes v(\d+\.\d+)"),
        "Sealed Secrets": ("roles/local_platform/files/sealed-secrets/go.mod", r"sealed-secrets v(\d+\.\d+)"),
        "PostgreSQL": ("roles/local_platform/files/postgresql/package-lock.json", r'linux-x64": "(\d+)'),
        "KEDA": ("roles/local_platform/files/keda/go.mod", r"kedacore/keda/v2 v(\d+\.\d+)"),
        "DBOS SDK for Python": ("examples/python-starter/requirements.txt", r"^dbos==(\d+\.\d+)"),
        "DBOS SDK for Python, draining beside it": (
            "tests/integration/python-2.31.1/requirements.txt",
            r"^dbos==(\d+\.\d+)",
        ),
        "DBOS SDK for Go": ("examples/go-starter/go.mod", r"dbos-transact-golang v(\d+\.\d+)"),
    }
    for part, (path, pattern) in built.items():
        found = re.search(pattern, (ROOT / path).read_text(), re.MULTILINE)
        assert found, f"{path} has no {pattern}"
        assert table[part] == found[1]


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda path: path.name)
def test_documents_name_what_exists(page: Path) -> None:
    places = re.findall(
        r"`((?:docs|examples|extensions|inventories|playbooks|plugins|roles|tests|tools)/[\w./-]+)`", page.read_text()
    )
    assert [place for place in places if not (ROOT / place).exists()] == []


def test_map_of_the_guide_names_modules_that_exist() -> None:
    rows = re.findall(r"^\|[^|]+\|[^|]+\|([^|]*)\|[^|]*\|$", (ROOT / "docs/seed-map.md").read_text(), re.MULTILINE)
    named = {name for cell in rows[2:] for name in re.findall(r"`(\w+)`", cell)}
    assert named <= set(MODULES)


def test_the_picture_names_all_roles_and_playbooks() -> None:
    picture = (ROOT / "docs/architecture.md").read_text().split("```")[1]
    playbooks = {path.stem for path in ROOT.glob("playbooks/*.yml") if not path.name.endswith(".meta.yml")}
    assert {role.name for role in ROLES} | playbooks <= set(re.findall(r"\w+", picture))


def test_the_changelog_names_all_that_came_with_a_release() -> None:
    releases = yaml.safe_load((ROOT / "changelogs/changelog.yaml").read_text())["releases"]
    modules = {entry["name"] for release in releases.values() for entry in release["modules"]}
    roles = {entry["name"] for release in releases.values() for entry in release["objects"]["role"]}
    added = {name for name in MODULES if documentation(name)["version_added"] in releases}
    assert (modules, roles) == (added, {role.name for role in ROLES}), "CONTRIBUTING.md, Changes"

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Add-ons on the real API server: installed, healed, upgraded, killed, refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from module_call import call
from process_kit import until


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(image: str) -> dict[str, Any]:
    labels = {"app": "server"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "server", "image": image}]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "server"}, "spec": spec}


@pytest.fixture
def install(platform: Any, namespace_name: str, tmp_path: Path) -> Any:
    """Installs the documents as the add-on `sample`."""

    def run(
        *documents: dict[str, Any],
        check: bool = False,
        fails: bool = False,
        timeout: int = 180,
        state: str = "present",
        **options: Any,
    ) -> dict[str, Any]:
        path = tmp_path / "addon.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        wanted = {"name": "sample", "namespace": namespace_name, "manifests": [str(path)], **options}
        wanted = {key: value for key, value in wanted.items() if value is not None}
        options = {"kubeconfig": str(platform.kubeconfig), "helm": platform.program("helm"), "wait_timeout": timeout}
        result = call("addons", check=check, state=state, addons=[wanted], **options)
        assert bool(result.get("failed")) == fails, result
        return result

    return run


def test_installed_healed_and_upgraded(install: Any, platform: Any, namespace_name: str) -> None:
    documents = [config_map("stays", a="1"), config_map("dropped"), deployment(f"{platform.node}:5443/tools/pause:1")]
    assert install(*documents, check=True)["changed"]
    assert "NotFound" in platform.kubectl("get", "namespace", namespace_name, check=False)

    assert install(*documents)["changed"]
    ready = platform.kubectl(
        "get", "deployment", "server", "-n", namespace_name, "-o", "jsonpath={.status.readyReplicas}"
    )
    assert ready == "1"
    assert not install(*documents)["changed"]
    assert not install(*documents, check=True)["changed"]

    platform.kubectl("patch", "configmap", "stays", "-n", namespace_name, "-p", json.dumps({"data": {"a": "edited"}}))
    healed = install(*documents)
    assert healed["changes"] == [f"update ConfigMap {namespace_name}/stays"]

    upgraded = [config_map("stays", a="1"), documents[2], config_map("new")]
    promised = install(*upgraded, check=True)
    assert f"delete ConfigMap {namespace_name}/dropped" in promised["changes"]
    assert "dropped" in platform.kubectl("get", "configmap", "-n", namespace_name)
    assert install(*upgraded)["changes"] == promised["changes"]
    assert "dropped" not in platform.kubectl("get", "configmap", "-n", namespace_name)
    assert not install(*upgraded)["changed"]


def test_removed_unless_it_is_in_use(install: Any, platform: Any, namespace_name: str) -> None:
    kind, plural = "Thing", "things"
    group = f"{namespace_name}.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }  # fmt: skip
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"}, "spec": spec,
    }  # fmt: skip
    documents = [definition, config_map("removable")]
    assert install(*documents, name="removable")["changed"]
    thing = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "used"}}
    platform.kubectl("apply", "-n", namespace_name, "-f", "-", stdin=yaml.safe_dump(thing))
    refused = install(*documents, name="removable", state="absent", fails=True)
    assert f"Thing {namespace_name}/used" in refused["msg"]
    platform.kubectl("delete", f"{plural}.{group}", "used", "-n", namespace_name)
    changes = [
        f"delete {one}"
        for one in (
            f"CustomResourceDefinition {plural}.{group}",
            f"ConfigMap {namespace_name}/removable",
            f"ConfigMap {namespace_name}/addon-removable",
        )
    ]
    for check in (True, False):
        assert install(*documents, name="removable", state="absent", check=check)["changes"] == changes
    assert "removable" not in platform.kubectl("get", "configmap", "-n", namespace_name, "-o", "name")
    assert not install(*documents, name="removable", state="absent")["changed"]


def test_a_chart_is_rendered_with_its_values(install: Any, platform: Any, namespace_name: str) -> None:
    chart = str(platform.directory / "addons/sealed-secrets")
    result = install(manifests=None, chart=chart, values={"fullnameOverride": "renamed"}, check=True)
    assert f"create Deployment {namespace_name}/renamed" in result["changes"]
    assert "update CustomResourceDefinition sealedsecrets.bitnami.com" not in result["changes"]  # it is there already


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"manifests": ["/no/such.yaml"]}, "/no/such.yaml cannot be read"),
        ({"manifests": None, "chart": "/no/such/chart"}, "The chart /no/such/chart"),
        ({"overlays": [{"kind": "Deployment", "metadata": {"name": "nobody"}}]}, "no Deployment nobody"),
    ],
)
def test_bad_input_is_one_clear_error(install: Any, options: dict[str, Any], message: str) -> None:
    assert message in install(config_map("x"), fails=True, **options)["msg"]


def test_an_image_that_cannot_be_pulled_is_named(install: Any, platform: Any) -> None:
    broken = deployment(f"{platform.node}:5443/tools/nothing:1")
    # Once the kubelet has tried, which takes it a moment.
    until("named", lambda: "tools/nothing:1" in install(broken, fails=True, name="broken", timeout=8)["msg"])


def test_killed_at_any_moment_the_next_run_converges(
    platform: Any, install: Any, namespace_name: str, tmp_path: Path
) -> None:
    documents = [config_map(f"many-{number}") for number in range(40)]
    path = tmp_path / "many.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    wanted = [{"name": "killed", "namespace": namespace_name, "manifests": [str(path)]}]
    program = (
        "import sys; sys.path[:0] = sys.argv[1:3]; from module_call import call; "
        f"call('addons', kubeconfig={str(platform.kubeconfig)!r}, addons={wanted!r})"
    )
    paths = [str(Path(__file__).resolve().parents[2] / "collections"), str(Path(__file__).parent)]
    for delay in (0.6, 0.9, 1.3):
        process = subprocess.Popen([sys.executable, "-c", program, *paths], stdout=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    arguments = {"kubeconfig": str(platform.kubeconfig), "addons": wanted}
    assert not call("addons", **arguments).get("failed")
    assert not call("addons", **arguments)["changed"]
    assert platform.kubectl("get", "configmap", "-n", namespace_name).count("many-") == 40

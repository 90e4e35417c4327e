# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Add-ons as documents, the keys' backup, and files for Git."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.dbos.kubernetes.plugins.module_utils import addons, helm, sealed_files, sealing_keys
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

ROOT = Path(__file__).resolve().parents[2]


def thing(kind: str, name: str, namespace: str = "ns", api: str = "v1", **body: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def deployment() -> dict[str, Any]:
    containers = [{"name": "a", "env": [{"name": "X", "value": "1"}], "args": ["--x"]}, {"name": "b"}]
    return thing("Deployment", "d", api="apps/v1", spec={"template": {"spec": {"containers": containers}}})


def test_an_overlay_adds_to_lists_of_named_things_and_replaces_the_rest() -> None:
    patch = {
        "name": "a",
        "args": ["--y"],
        "env": [{"name": "X", "value": "2"}, {"name": "Y", "value": "3"}],
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    }
    spec = {"template": {"spec": {"containers": [patch], "volumes": [{"name": "ca"}]}}}
    overlay = {"kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    before = deployment()
    (result,) = addons.overlaid([before], [overlay])
    containers = result["spec"]["template"]["spec"]["containers"]
    assert [one["name"] for one in containers] == ["a", "b"]
    assert containers[0]["env"] == [{"name": "X", "value": "2"}, {"name": "Y", "value": "3"}]
    assert containers[0]["args"] == ["--y"]
    assert result["spec"]["template"]["spec"]["volumes"] == [{"name": "ca"}]
    assert before == deployment()


def test_an_overlay_of_nothing_is_refused() -> None:
    with pytest.raises(DbosError, match="no Deployment other"):
        addons.overlaid([deployment()], [{"kind": "Deployment", "metadata": {"name": "other"}}])


def test_pods_run_copies_of_images_where_these_are_given() -> None:
    pod = {
        "initContainers": [{"name": "i", "image": "busybox"}],
        "containers": [{"name": "c", "image": "ghcr.io/k/k:1"}],
    }
    kinds = [
        thing("Deployment", "d", spec={"template": {"spec": pod}}),
        thing("CronJob", "c", spec={"jobTemplate": {"spec": {"template": {"spec": pod}}}}),
        thing("Pod", "p", spec=pod),
    ]
    others = [thing("CustomResourceDefinition", "x", spec={"template": {"spec": pod}}), thing("ConfigMap", "m")]
    copies = {"docker.io/library/busybox:latest": "ecr/b@sha256:1", "ghcr.io/k/k:1": "ecr/k@sha256:2"}
    documents = [*kinds, *others]
    result = addons.with_images(documents, copies, "keda")
    assert result[3:] == others and "ghcr.io" not in str(result[:3]) and "busybox" not in str(result[:3])
    assert result[2]["spec"]["containers"] == [{"name": "c", "image": "ecr/k@sha256:2"}]
    assert kinds[2]["spec"] == pod and pod["containers"][0]["image"] == "ghcr.io/k/k:1", (
        "the documents stay as they were"
    )
    with pytest.raises(DbosError, match=r"keda runs the image ghcr.io/k/k:1, .* add it to ecr_mirror_images"):
        addons.with_images(documents, {"busybox": "ecr/b@sha256:1"}, "keda")


def test_an_upgrade_removes_what_was_dropped_but_no_definitions() -> None:
    old = [
        thing("ConfigMap", "gone"),
        thing("ConfigMap", "stays"),
        thing("ClusterRole", "gone", ""),
        thing("CustomResourceDefinition", "gone", ""),
        thing("Namespace", "gone", ""),
        thing("PodDisruptionBudget", "moved", api="policy/v1beta1"),
    ]
    new = [thing("ConfigMap", "stays"), thing("PodDisruptionBudget", "moved", api="policy/v1")]
    gone = addons.dropped(addons.record("x", "ns", old), new)
    assert gone == [thing("ClusterRole", "gone", ""), thing("ConfigMap", "gone")]
    assert addons.dropped(None, new) == []
    assert addons.dropped({"data": {"objects": "no json"}}, new) == []


def test_tests_and_hooks_of_a_chart_are_left_out() -> None:
    hook = thing("Pod", "test")
    hook["metadata"]["annotations"] = {"helm.sh/hook": "test"}
    assert addons.without_hooks([hook, deployment()]) == [deployment()]


def test_a_missing_program_and_bad_yaml_are_named() -> None:
    chart = helm.Chart("chart", None, None)
    with pytest.raises(DbosError, match="/no/helm is needed to render the chart chart"):
        helm.render("/no/helm", chart, "x", "ns", {}, "v1.36.0")
    with pytest.raises(DbosError, match="file is no YAML"):
        helm.documents("a: [", "file")
    with pytest.raises(DbosError, match="no Kubernetes object"):
        helm.documents("a: 1", "file")
    with pytest.raises(DbosError, match=r"/no/file cannot be read"):
        helm.read(["/no/file"])


def test_keda_gets_the_database_ca_from_chart_and_manifests_alike() -> None:
    """The role wires it twice: what the chart's values say, the overlay must say as well."""
    variables = yaml.safe_load((ROOT / "roles/addons/vars/main.yml").read_text())
    values = variables["addons__ca_values"]
    pod = variables["addons__ca_overlay"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert values["env"] == container["env"]
    assert values["volumes"]["keda"]["extraVolumes"] == pod["spec"]["volumes"]
    assert values["volumes"]["keda"]["extraVolumeMounts"] == container["volumeMounts"]
    assert values["podAnnotations"]["keda"] == pod["metadata"]["annotations"]


def key(name: str, content: str) -> dict[str, Any]:
    secret = thing("Secret", name, type="kubernetes.io/tls", data={"tls.crt": content, "tls.key": content})
    secret["metadata"] |= {"labels": {"l": "active"}, "uid": "u", "resourceVersion": "1"}
    return secret


def test_a_backup_keeps_what_the_cluster_lost_and_nothing_of_the_old_cluster_else() -> None:
    first = sealing_keys.combined([key("a", "1")], [])
    assert first[0]["metadata"] == {"name": "a", "labels": {"l": "active"}}
    assert sealing_keys.combined([key("a", "1")], first) == first
    rebuilt = sealing_keys.combined([key("b", "2")], first)
    assert [one["metadata"]["name"] for one in rebuilt] == ["a", "b"]
    assert sealing_keys.combined([key("b", "2")], rebuilt) == rebuilt


@pytest.mark.parametrize("document", [None, [], "text", {"kind": "Secret"}, {"kind": "List", "items": None}])
def test_a_file_that_is_no_backup_is_refused(document: Any) -> None:
    with pytest.raises(DbosError, match="no backup of sealing keys"):
        sealing_keys.parse(document, "file")


def test_files_for_git_are_written_only_when_they_change(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sealed.yaml"
    assert sealed_files.write(path, "a", check=True)
    assert not path.parent.exists()
    assert sealed_files.write(path, "a", check=False)
    assert path.stat().st_mode & 0o777 == 0o644
    assert not sealed_files.write(path, "a", check=False)
    assert [one.name for one in path.parent.iterdir()] == ["sealed.yaml"]
    sealed = {"metadata": {"name": "n", "namespace": "ns"}, "spec": {"encryptedData": {"k": "x" * 500}}}
    text = sealed_files.text([sealed])
    assert f"    k: {'x' * 500}\n" in text
    assert set(sealed_files.parse(text, "file")) == {("ns", "n")}
    with pytest.raises(DbosError, match="something else than SealedSecrets"):
        sealed_files.parse("kind: Secret\nmetadata: {name: x}", "file")

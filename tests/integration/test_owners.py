"""Who else has a say in an application: each is named, and nothing is touched.

A cap on live versions, a person who froze it, DBOS' operator, Helm, Argo CD and Flux.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml
from process_kit import until
from release_kit import Kit, sample_image

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "dbosapplications.dbos.dev"},
    "spec": {
        "group": "dbos.dev",
        "scope": "Namespaced",
        "names": {"kind": "DBOSApplication", "plural": "dbosapplications", "singular": "dbosapplication"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
MANAGED_BY = "app.kubernetes.io/managed-by"


class Shop(Kit):
    """The application with v1, which has no work left, and v2 promoted."""

    image = ""

    def next(self, version: str = "v3", **options: Any) -> dict[str, Any]:
        """A release of another version, or of one that is there already."""
        return self.once("release", version=version, image=self.image, replicas=1, drain_seconds=3, **options)

    def tick(self, *, check: bool = False) -> dict[str, Any]:
        return self.once("retirement", check=check, seconds=0.1)

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """All objects and registered versions are the same when the block is left."""
        before = self._state()
        yield
        assert self._state() == before

    def _state(self) -> tuple[Any, ...]:
        kinds = "statefulsets,deployments,services,controllerrevisions,configmaps,poddisruptionbudgets"
        found = json.loads(self.kubectl("get", kinds, "-n", self.namespace, "-o", "json"))["items"]
        for one in found:
            one.pop("status", None)
            one["metadata"].pop("resourceVersion")
        return found, self.versions()


@pytest.fixture(scope="module")
def shop(
    platform: Any, ansible_playbook: Any, namespace: str, root: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    one = Shop(platform, ansible_playbook, namespace, tmp_path_factory.mktemp("owners"))
    one.prepare()
    one.image = sample_image(one, root)
    for version in ("v1", "v2"):
        released = one.next(version)
        assert not released.get("failed"), released
    yield one
    one.forget()


def verbs(result: dict[str, Any]) -> list[tuple[str, str]]:
    assert not result.get("failed"), result
    return [(action["verb"], action["version"]) for action in result["actions"]]


def test_one_version_too_many_is_told_what_keeps_each_of_the_others(shop: Shop) -> None:
    shop.sql(
        "SELECT dbos.enqueue_workflow('task', 'nobody', workflow_id => 'kept', app_version => 'v1',"
        " application_name => 'shop')"
    )
    with shop.untouched():
        refused = shop.next(max_live_versions=2)
        assert refused["failed"] and "2 versions are live, and release_max_live_versions is 2" in refused["msg"]
        assert "v1 (draining, 1 unfinished), v2 (promoted)" in refused["msg"] and "retire.yml" in refused["msg"]
    assert verbs(shop.next("v2", max_live_versions=1)) == []
    shop.sql("UPDATE dbos.workflow_status SET status = 'CANCELLED', queue_name = NULL WHERE workflow_uuid = 'kept'")


def test_what_somebody_froze_nobody_changes(shop: Shop) -> None:
    shop.lease("frozen", by="alice", reason="incident 4711")
    with shop.untouched():
        for refused in (shop.next(), shop.next("v1"), shop.tick()):
            assert refused["failed"] and "is frozen by alice: incident 4711." in refused["msg"], refused
    shop.lease("thawed")
    assert verbs(shop.next("v2")) == []


@pytest.fixture
def operated(shop: Shop) -> Iterator[None]:
    """The official operator's kind of application is known to the cluster."""
    shop.kubectl("apply", "-f", "-", stdin=yaml.dump(CRD))
    try:
        shop.kubectl("wait", "--for=condition=Established", "crd/dbosapplications.dbos.dev", "--timeout=90s")
        yield
    finally:
        shop.kubectl("delete", "crd", "dbosapplications.dbos.dev", "--ignore-not-found")


@pytest.mark.parametrize(
    ("name", "application"), [("shop", "storefront"), ("storefront", "shop")], ids=["its-name", "its-application"]
)
def test_what_the_operator_deploys_is_not_fought_over(shop: Shop, operated: None, name: str, application: str) -> None:
    assert verbs(shop.tick(check=True)) == [("stop", "v1")]
    theirs = {
        "apiVersion": "dbos.dev/v1alpha1",
        "kind": "DBOSApplication",
        "metadata": {"name": name, "namespace": shop.namespace},
        "spec": {"appName": application, "template": {"spec": {"containers": [{"name": "app", "image": shop.image}]}}},
    }
    until("accepted", lambda: "created" in shop.kubectl("apply", "-f", "-", stdin=yaml.dump(theirs), check=False))
    with shop.untouched():
        for refused in (shop.next(), shop.next("v1"), shop.tick()):
            assert refused["failed"] and f"DBOSApplication {shop.namespace}/{name} exists" in refused["msg"], refused


# What each of them sets on the objects of its release, application, or HelmRelease named "store".
HELM = {
    "labels": {MANAGED_BY: "Helm"},
    "annotations": {"meta.helm.sh/release-name": "store", "meta.helm.sh/release-namespace": "prod"},
}
ARGO_CD = {"annotations": {"argocd.argoproj.io/tracking-id": "store:apps/StatefulSet:prod/shop-v1"}}
FLUX = {"labels": {"kustomize.toolkit.fluxcd.io/name": "store", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}
FLUX_HELM = {
    "labels": {
        MANAGED_BY: "Helm",
        "helm.toolkit.fluxcd.io/name": "store",
        "helm.toolkit.fluxcd.io/namespace": "flux-system",
    },
    "annotations": HELM["annotations"],
}


@contextmanager
def marked(shop: Shop, kind: str, name: str, marks: dict[str, dict[str, str]]) -> Iterator[None]:
    """As if another had made it, or had taken it over."""

    def write(metadata: dict[str, Any]) -> None:
        patch = json.dumps({"metadata": metadata})
        shop.kubectl("patch", kind, name, "-n", shop.namespace, "--type=merge", "-p", patch)

    write(marks)
    try:
        yield
    finally:
        unmarked = {part: dict.fromkeys(names) for part, names in marks.items()}
        write({**unmarked, "labels": {**unmarked.get("labels", {}), MANAGED_BY: "dbos.kubernetes"}})


@pytest.mark.parametrize(
    ("marks", "owner"),
    [
        (HELM, "Helm's release store"),
        (ARGO_CD, "Argo CD's store:"),
        (FLUX, "Flux' Kustomization store"),
        (FLUX_HELM, "Flux' HelmRelease store"),
    ],
    ids=["helm", "argo-cd", "flux", "flux-helm"],
)
def test_what_others_deploy_is_theirs(shop: Shop, marks: dict[str, dict[str, str]], owner: str) -> None:
    """The Service that clients use, and with it the application; or the workload of a single version."""
    with marked(shop, "service", "shop", marks), shop.untouched():
        for refused in (shop.next(), shop.tick()):
            assert refused["failed"] and f"Service {shop.namespace}/shop exists" in refused["msg"], refused
            assert f"it is {owner}" in refused["msg"]
    assert verbs(shop.tick(check=True)) == [("stop", "v1")]
    with marked(shop, "statefulset", "shop-v1", marks), shop.untouched():
        refused = shop.next("v1")
        assert refused["failed"] and "A StatefulSet for version v1 exists" in refused["msg"], refused
        assert f"it is {owner}" in refused["msg"]
        tick = shop.tick()
        assert verbs(tick) == [] and "Degraded" in {condition["type"] for condition in tick["conditions"]["v1"]}

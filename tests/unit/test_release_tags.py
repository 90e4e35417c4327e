"""Which tags keep the images of recorded versions, and that a release goes on without them."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import ledger, release_tags, workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import Reference
from ansible_collections.dbos.kubernetes.plugins.module_utils.tearing_down import Teardown

HOST = "registry.example.com"
ONE, OTHER = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"


def record(image: str = f"{HOST}/shop@{ONE}", ca_image: str = "", **changes: Any) -> dict[str, Any]:
    conductor = workload.Conductor(url="wss://conductor", ca_secret="ca", ca_image=ca_image) if ca_image else None
    spec = {"app": "shop", "namespace": "shop", "version": "v1", **changes}
    return ledger.record(workload.Spec(kind="StatefulSet", owner="shop", image=image, conductor=conductor, **spec), 1)


class Registry:
    """Holds tags; refuses all when told."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.refuses = False

    def digest(self, reference: Reference) -> str | None:
        return self.tags.get(str(reference))

    def tag(self, image: Reference, tagged: Reference) -> None:
        if self.refuses:
            raise DbosError("It does not let you.")
        self.tags[str(tagged)] = str(image.digest)

    def delete_tag(self, reference: Reference) -> bool:
        if self.refuses:
            raise DbosError("It does not let you.")
        return bool(self.tags.pop(str(reference), None))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    fake = Registry()
    monkeypatch.setattr(release_tags, "client_of", lambda _reference, _registry: fake)
    return fake


def test_a_tag_is_of_one_version_of_one_application_and_of_one_image() -> None:
    records = [
        record(),
        record(version="v2"),
        record(app="other"),
        record(namespace="other"),
        record(image=f"{HOST}/shop@{OTHER}"),
    ]
    tags = [str(tag) for one in records for tag in release_tags.tags(one, HOST).values()]
    assert len(set(tags)) == len(records)
    assert all(tag.startswith(f"{HOST}/shop:release-v") and len(tag) < 128 for tag in tags)
    rolled = record(resources={"limits": {"memory": "1Gi"}})
    assert release_tags.tags(rolled, HOST) == release_tags.tags(record(), HOST), (
        "the same when only its template changes"
    )


def test_all_images_of_the_platforms_registry_and_no_others() -> None:
    both = release_tags.tags(record(ca_image=f"{HOST}/tools/ca@{OTHER}"), HOST)
    assert [image.repository for image in both] == ["shop", "tools/ca"]
    assert release_tags.tags(record(image=f"ghcr.io/shop@{ONE}"), HOST) == {}
    assert release_tags.tags(record(image=f"{HOST}/shop:1"), HOST) == {}, "check mode accepts a tag"
    assert release_tags.tags(record(), None) == {}


def test_tags_come_once_and_go_with_the_record(registry: Registry) -> None:
    assert release_tags.keep(record(), {"host": HOST}, check=True) == (
        [str(tag) for tag in release_tags.tags(record(), HOST).values()],
        [],
    )
    assert not registry.tags
    done, warnings = release_tags.keep(record(), {"host": HOST}, check=False)
    assert (list(registry.tags), warnings) == (done, [])
    assert release_tags.keep(record(), {"host": HOST}, check=False) == ([], [])
    assert release_tags.forget([record()], {"host": HOST}) == (done, [])
    assert not registry.tags


def test_a_teardown_removes_the_tags_of_all_records(registry: Registry) -> None:
    records = [record(), record(version="v2")]
    for one in records:
        release_tags.keep(one, {"host": HOST}, check=False)
    release_tags.keep(record(app="other"), {"host": HOST}, check=False)
    asked = mock.Mock(registry={"host": HOST}, application=mock.Mock(namespace="shop"))
    asked.application.name = "shop"
    client = mock.Mock()
    client.list.return_value = records
    teardown = Teardown(client, asked, mock.Mock(), mock.Mock())
    found = mock.Mock(stages={"ledger": records})
    teardown._untag(found, check=True)
    planned = teardown.outcome.untagged
    assert len(planned) == len({*planned} & {*registry.tags}) > 0
    teardown._untag(found, check=False)
    assert sorted(teardown.outcome.untagged) == planned
    assert list(registry.tags) == [str(tag) for tag in release_tags.tags(record(app="other"), HOST).values()]
    assert teardown.outcome.warnings == []


def test_a_registry_that_refuses_is_a_warning(registry: Registry) -> None:
    registry.refuses = True
    done, warnings = release_tags.keep(record(), {"host": HOST}, check=False)
    assert (done, len(warnings)) == ([], 1)
    assert "has not got the tag release-v1-" in warnings[0] and warnings[0].endswith("It does not let you.")
    assert "still has the tag release-v1-" in release_tags.forget([record()], {"host": HOST})[1][0]

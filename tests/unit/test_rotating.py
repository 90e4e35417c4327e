"""Who is connected, and which versions are restarted in which order."""

from __future__ import annotations

from typing import Any

from ansible_collections.dbos.kubernetes.plugins.module_utils import freshness, version_objects
from ansible_collections.dbos.kubernetes.plugins.module_utils.freshness import Change, Source
from ansible_collections.dbos.kubernetes.plugins.module_utils.rotating import Seen, strangers


def pod(name: str, address: str = "", version: str = "v1") -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {version_objects.VERSION: version}}, "status": {"podIP": address}}


def test_each_pod_must_be_connected() -> None:
    pods = [pod("p-0", "10.0.0.1"), pod("p-1", "10.0.0.2")]
    assert strangers(["10.0.0.1", "10.0.0.2", "10.0.0.1"], pods) == []
    assert strangers(["10.0.0.1", "10.0.0.1", "10.0.0.9"], pods) == ["p-1"]
    assert strangers([], pods) == ["p-0", "p-1"]
    assert strangers([], []) == []


def test_where_addresses_tell_nothing_the_number_counts() -> None:
    pods = [pod("p-0", "10.0.0.1"), pod("p-1", "10.0.0.2")]
    for unknown in (None, "192.168.0.1"):
        assert strangers([unknown, unknown], pods) == []
        assert strangers([unknown], pods) == ["p-0", "p-1"]


def test_the_promoted_version_is_restarted_last() -> None:
    service = {"metadata": {}, "spec": {"selector": {version_objects.VERSION: "v2"}}}
    objects = version_objects.Objects("shop", "shop", [], [], [], [], service)
    live = [pod("c", version="v2"), pod("a", version="v3"), pod("b", version="v1"), pod("d", version="v1")]
    early, late = (Change(f"2026-11-24T12:00:0{second}Z", Source("Secret", "s")) for second in (1, 2))
    seen = Seen(objects, [*live, pod("e", version="v4")], {"a": early, "b": early, "c": late, "d": late}, [])
    assert list(seen.versions().items()) == [("v1", late), ("v3", early), ("v2", late)]
    assert late.time < freshness.COMING

"""Mistakes in an application's variables are named before anything is touched, and never with a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.action.preflight import read_specs
from ansible_collections.dbos.kubernetes.plugins.module_utils import preflight

SPECS = read_specs()
OPTIONS = {name: option for spec in SPECS.values() for name, option in spec.items()}


def unknown(*names):
    return list(preflight.unknown(names, OPTIONS, SPECS))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("relase_image", "release_image"),
        ("release_replicsa", "release_replicas"),
        ("dbos_ap", "dbos_app"),
        ("autoscaling_max_replica", "autoscaling_max_replicas"),
        ("platform_databse", "platform_database"),
    ],
)
def test_the_nearest_is_named(name, near):
    assert unknown(name) == [f"There is no variable {name}; did you mean {near}?"]


def test_others_variables_are_left_alone():
    assert unknown("ansible_user", "my_own", "http_proxy", "release__x", "images_result", "image", "version") == []
    assert unknown(*OPTIONS, *preflight.PLATFORM) == []


@given(st.sampled_from(sorted(OPTIONS)), st.data())
def test_a_swapped_pair_of_letters_is_always_noticed(name, data):
    at = data.draw(st.integers(0, len(name) - 2))
    swapped = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    if swapped not in OPTIONS and "__" not in swapped and not swapped.endswith("_result"):
        assert unknown(swapped)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"release_replicas": "many"}, "release_replicas must be of type int."),
        ({"release_env": "x"}, "release_env must be of type dict."),
        ({"autoscaling_enabled": "perhaps"}, "autoscaling_enabled must be of type bool."),
        ({"release_strategy": "rolling"}, "release_strategy must be one of versions, patching."),
    ],
)
def test_wrong_values(values, text):
    assert list(preflight.wrong_values(values, OPTIONS)) == [text]


def test_strings_are_as_good_as_numbers():
    values = {"release_replicas": "2", "autoscaling_enabled": "yes", "release_env": '{"A": "1"}', "release_image": None}
    assert list(preflight.wrong_values(values, OPTIONS)) == []


def test_missing_and_empty():
    required = {"release_image": "release", "database_owner_password": "database"}
    found = list(preflight.missing({"database_owner_password": ""}, required))
    assert found == ["release_image is not set; role release needs it.", "database_owner_password is empty."]
    assert list(preflight.missing(dict.fromkeys(required), {"release_image": "release"})) == []


def test_a_short_secret_is_a_warning_that_does_not_show_it():
    (said,) = preflight.short_secrets({"database_owner_password": "q7"}, OPTIONS)
    assert "q7" not in said and "masks" in said
    assert list(preflight.short_secrets({"database_owner_password": "q7q7", "conductor_api_key": ""}, OPTIONS)) == []


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"release_version": "1.2"}, "no DNS label"),
        ({"release_version": "v" * 60}, "52 are the most"),
        ({"dbos_app": "Shop"}, "no DNS label"),
        ({"dbos_app": "a" * 57, "release_version": "v", "release_strategy": "patching"}, "database's name"),
        ({"release_conductor_url": "ws://c.example.com"}, "not in the cluster"),
        ({"autoscaling_min_replicas": "0"}, "autoscaling_scale_to_zero"),
        ({"autoscaling_min_replicas": 0, "autoscaling_trigger": "metrics_api"}, "must be 1 or more"),
        ({"autoscaling_min_replicas": 11}, "larger than"),
        ({"release_conductor_ca_secret": "tls"}, "release_conductor_ca_image"),
    ],
)
def test_contradictions(values, text):
    good = {"dbos_app": "shop", "release_version": "v1"}
    assert list(preflight.contradictions(good)) == []
    assert any(text in said for said in preflight.contradictions({**good, **values}))


def test_scaling_that_is_off_contradicts_nothing():
    values = {"dbos_app": "shop", "autoscaling_enabled": "false", "autoscaling_min_replicas": 0}
    assert list(preflight.contradictions(values)) == []


def test_two_applications_do_not_share_a_namespace():
    places = {"a": ("local", "dbos"), "b": ("local", "dbos"), "c": ("aws", "dbos")}
    (said,) = preflight.neighbours("a", places)
    assert said.startswith("b has the same namespace 'dbos' on platform local")
    assert list(preflight.neighbours("c", places)) == []

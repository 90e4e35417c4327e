"""What stops a release: each hazard by example, and what holds for all facts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils import release_preflight, sdks
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.release_preflight import (
    HAZARDS,
    Connections,
    Facts,
    Queue,
    Version,
    judge,
)

ROOT = Path(__file__).resolve().parents[2]
GO, OLD_GO = sdks.parse("go 1.8.0"), sdks.parse("go 1.0.0")
PY2, PY3 = sdks.parse("python 2.31.1"), sdks.parse("python 3.4.0")


def v(name="v2", **values):
    return Version(name, **values)


def facts(wanted=None, *others, **values):
    return Facts(wanted or v(sdk=GO), others, **{"level": 125, "target": 125, "promoted": "v1", **values})


def hazards(*arguments, **values):
    return [finding.hazard for finding in judge(facts(*arguments, **values), ()).refused]


def said(*arguments, **values):
    (finding,) = judge(facts(*arguments, **values), ()).refused
    return f"{finding.message} {finding.way_out}"


def test_a_release_like_the_last_has_no_hazard():
    room = Connections(maximum=200, reserved=3, elsewhere=20, metrics=10)
    queue = Queue("q", 4, {"v1": 4, "v2": 0})
    assert hazards(v(sdk=GO, replicas=5), v("v1", sdk=GO, replicas=2, unfinished=9), connections=room) == []
    # What is promoted now may be as busy as it likes.
    assert hazards(None, v("v1", sdk=GO), queues=(queue,)) == []


def test_nothing_known_is_no_hazard():
    assert hazards(Version("v1"), level=None, target=None, promoted=None) == []


def test_a_go_sdk_that_cancels_on_shutdown():
    assert "Go SDK 1.1.0" in said(v(sdk=OLD_GO), level=50, target=50)
    assert hazards(v(sdk=sdks.parse("go 1.1.0")), level=50, target=50) == []


def test_one_name_for_several_executors():
    assert "3 workflows of version v1 run on executor 'local'" in said(v(sdk=GO, replicas=2), v("v1", sdk=GO, local=3))
    assert hazards(v(sdk=GO, replicas=1), v("v1", sdk=GO, local=3, replicas=1)) == []
    assert hazards(v(sdk=GO, replicas=2, local=1)) == ["executor_ids"]


def test_a_version_that_is_fixed_in_the_code():
    text = said(astray=("v1", "0.1.0"))
    assert "v1 of the same image registered as 0.1.0" in text and "application_version" in text


@pytest.mark.parametrize(
    ("sdk", "level", "target", "found"),
    [
        ("go 1.8.0", 121, 121, True),
        ("go 1.8.0", 107, 125, False),
        ("go 1.8.0", 107, 121, True),
        ("go 1.8.0", 107, None, False),  # a migration whose end is not known: it is said, and the pods will tell
        ("go 1.6.2", 121, 121, False),
        ("python 3.4.0", 123, 123, True),
        ("typescript 5.3.0", 123, 123, False),
        ("go 1.0.0", 35, 35, False),  # below 100 the numbers of other languages say nothing
    ],
)
def test_a_schema_that_is_behind_the_sdk(sdk, level, target, found):
    assert ("schema_behind" in hazards(v(sdk=sdks.parse(sdk)), level=level, target=target)) == found


def test_the_message_tells_what_the_migration_leads_to():
    assert "needs schema level 125, but the migration leads to 121" in said(v(sdk=GO), level=107, target=121)
    assert "needs schema level 125, but it is at 121" in said(v(sdk=GO), level=121, target=121)


def test_an_old_sdk_that_still_drains_beside_a_new_one():
    text = said(v(sdk=PY3), v("v1", sdk=PY2, unfinished=1))
    assert "Version v1 (SDK python 2.31.1) still has 1 workflow unfinished" in text
    assert "version v2 (SDK python 3.4.0)" in text
    # Its rows tell it where nothing else does.
    assert "an SDK of before that, as its rows show" in said(v(sdk=PY3), v("v1", unfinished=2, inline=2))
    assert hazards(v(sdk=PY3), v("v1", sdk=GO, unfinished=2, inline=2)) == []
    # An unknown SDK writes the new way once the schema can.
    assert hazards(v(), v("v1", sdk=PY2)) == ["payload_format"]
    assert hazards(v(), v("v1", sdk=PY2), level=108, target=108) == []
    assert hazards(v(sdk=sdks.parse("python 2.31.2")), v("v1", sdk=PY2)) == []


def test_going_back_to_an_old_sdk():
    assert "cannot read what version v2 enqueues" in said(v("v1", sdk=PY2), v("v2", sdk=PY3))
    text = said(v("v1", sdk=PY2), versionless=2)
    assert "what a newer SDK enqueues" in text and "2 workflows without a version wait" in text
    assert hazards(v("v1", sdk=PY2)) == []
    assert hazards(v("v1", sdk=PY2), v("v2", sdk=PY3), level=108, target=108) == []


def test_connections_of_all_versions_that_run():
    room = Connections(maximum=100, reserved=3, elsewhere=7, metrics=10)
    assert hazards(v(sdk=GO, replicas=5, pool=10), v("v1", sdk=GO, replicas=2, pool=10), connections=room) == []
    text = said(v(sdk=GO, replicas=6, pool=10), v("v1", sdk=GO, replicas=3, pool=10), connections=room)
    assert "may open 103 connections (v1 (3 pods x 10): 30, v2 (6 pods x 10): 60" in text and "accepts 97" in text
    # Without a limit the metrics login has a session for each version that scales.
    loose = Connections(maximum=100, reserved=3, elsewhere=0)
    assert hazards(v(sdk=GO, replicas=9, pool=10), v("v0", sdk=GO), connections=loose) == []


def test_other_databases_are_a_warning_as_their_sessions_come_and_go():
    room = Connections(maximum=100, reserved=3, elsewhere=40, metrics=10)
    crowded = facts(v(sdk=GO, replicas=5, pool=10), connections=room)
    assert judge(crowded, ()).refused == ()
    assert "have 40 sessions now, of 97" in release_preflight.crowded(crowded)
    assert release_preflight.crowded(facts(v(sdk=GO, replicas=2, pool=10), connections=room)) is None
    assert release_preflight.crowded(facts()) is None


def test_a_queue_that_a_draining_version_holds():
    queue = Queue("mail", 4, {"v0": 3, "v1": 1, None: 7})
    text = said(None, v("v0", sdk=GO), v("v1", sdk=GO), queues=(queue,))
    assert "hold 3 of the 4 workflows that queue mail runs at once (v0: 3)" in text
    half = Queue("mail", 4, {"v0": 2})
    assert hazards(None, v("v0", sdk=GO), v("v1", sdk=GO), queues=(half,)) == []


def test_an_image_that_is_gone():
    gone = v("v1", sdk=GO, image="r/shop@sha256:0")
    assert "image of version v1, r/shop@sha256:0" in said(None, gone, missing=(gone,))


def test_the_error_tells_all_and_how_to_accept_it():
    many = facts(v(sdk=OLD_GO, replicas=2, local=1), astray=("v1", "x"), level=50, target=50)
    text = release_preflight.refusal(judge(many, ()))
    assert text.startswith("3 hazards found") and text.count("\n- ") == 3
    assert "release_preflight_skip: [executor_ids, go_shutdown, registered_version]" in text
    verdict = judge(many, ["go_shutdown", "connections"])
    assert [finding.hazard for finding in verdict.accepted] == ["go_shutdown"]
    assert "1 hazard found" in release_preflight.refusal(judge(facts(astray=("a", "b")), ()))


SDK = st.sampled_from([None, OLD_GO, GO, PY2, PY3])
COUNT = st.integers(0, 30)
VERSION = st.builds(
    Version,
    st.sampled_from(["v1", "v2", "v3"]),
    sdk=SDK, replicas=COUNT, pool=COUNT, unfinished=COUNT, local=COUNT, inline=COUNT,
)  # fmt: skip
LEVEL = st.none() | st.sampled_from([47, 107, 108, 109, 121, 125])
ANY = st.builds(
    Facts,
    VERSION,
    st.lists(VERSION, max_size=3, unique_by=lambda version: version.name).map(tuple),
    st.sampled_from([None, "v1", "v2"]),
    LEVEL,
    LEVEL,
    COUNT,
    st.lists(st.builds(Queue, st.just("q"), COUNT, st.dictionaries(st.sampled_from(["v1", None]), COUNT))).map(tuple),
    st.none() | st.builds(Connections, COUNT, COUNT, COUNT, st.none() | COUNT),
    st.none() | st.just(("v1", "x")),
    st.lists(VERSION, max_size=2).map(tuple),
)


@given(ANY, st.sets(st.sampled_from(sorted(HAZARDS))))
def test_skipping_parts_the_findings_and_loses_none(found, skip):
    everything, verdict = judge(found, ()).refused, judge(found, skip)
    assert judge(found, HAZARDS).refused == ()
    assert {finding.hazard for finding in verdict.accepted} <= skip
    assert not {finding.hazard for finding in verdict.refused} & skip
    assert sorted(map(str, (*verdict.refused, *verdict.accepted))) == sorted(map(str, everything))
    for finding in everything:
        assert re.fullmatch(r"[A-Z0-9].*\.", finding.message) and re.fullmatch(r"[A-Z].*\.", finding.way_out)


@given(
    st.sampled_from(["go", "python", "typescript"]), st.lists(st.tuples(COUNT, COUNT, COUNT), min_size=2, max_size=2)
)
def test_a_newer_sdk_never_needs_an_older_schema(language, pair):
    older, newer = (sdks.Sdk(language, version) for version in sorted(pair))
    assert (older.level or 0) <= (newer.level or 0)
    assert older.splits_payloads <= newer.splits_payloads
    assert sdks.parse(str(newer)) == newer


@pytest.mark.parametrize(
    ("log", "sdk"),
    [
        ('{"level":"INFO","msg":"Initializing DBOS context","app_name":"shop","dbos_version":"v1.8.0"}', GO),
        ('level=INFO msg="Initializing DBOS context" app_name=shop dbos_version=v1.8.0', GO),
        ("12:00:00 [    INFO] (dbos:_dbos.py:732) Initializing DBOS (v2.31.1)", PY2),
        ('noise\n{"level": "INFO", "msg": "Initializing DBOS (v3.4.0)"}\nmore', PY3),
        ('{"msg":"Initializing DBOS context","app_name":"shop","dbos_version":"unknown"}', None),
        ("", None),
    ],
)
def test_what_a_pod_says_of_its_sdk(log, sdk):
    assert sdks.logged(log) == sdk


@pytest.mark.parametrize("text", ["", "go", "1.8.0", "java 1.0.0", "go 1", "go latest"])
def test_what_names_no_sdk_is_refused(text):
    with pytest.raises(DbosError, match="names no SDK"):
        sdks.parse(text)


def test_default_pools():
    assert [sdks.pool(sdk) for sdk in (GO, PY3, sdks.parse("typescript 5.3.0"), None)] == [20, 20, 10, 20]


# What must agree with it


def test_every_hazard_is_documented_and_can_be_skipped():
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/preflight.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(HAZARDS)
    specs = yaml.safe_load((ROOT / "roles/release/meta/argument_specs.yml").read_text())["argument_specs"]
    for entry in ("main", "preflight"):
        assert specs[entry]["options"]["release_preflight_skip"]["choices"] == sorted(HAZARDS)


def test_the_samples_images_tell_the_sdk_that_they_have():
    go = re.search(r"dbos-transact-golang v([\d.]+)", (ROOT / "examples/go-starter/go.mod").read_text())
    python = re.search(
        r"^dbos==([\d.]+)", (ROOT / "examples/python-starter/requirements.txt").read_text(), re.MULTILINE
    )
    for sample, told in (("go-starter", f"go {go[1]}"), ("python-starter", f"python {python[1]}")):
        for name in ("Dockerfile", "Dockerfile.migrate", "Containerfile.local", "Containerfile.migrate.local"):
            text = (ROOT / "examples" / sample / name).read_text()
            assert f'LABEL {sdks.KEY}="{told}"' in text, f"{sample}/{name}"

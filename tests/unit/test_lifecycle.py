"""The decisions about versions: examples for a reader, and histories of thousands of deployments."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils import lifecycle
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import (
    Observed,
    Record,
    Registration,
    Wanted,
    Workload,
)

APP = "shop"


def wanted(version="v1", image="a", **settings_):
    template = settings_.pop("template", f"{image}-template")
    values = {"owner": APP, "identity": {"image": image}, "kind": "StatefulSet", "replicas": 2, "template": template}
    return Wanted(version=version, **{**values, **settings_})


def verbs(plan):
    return [action.verb for action in plan.actions]


def running(*versions, latest=None, selected=None, **settings_):
    """A world in which each version was released; the last one is promoted unless told otherwise."""
    promoted = latest or versions[-1]
    return Observed(
        registrations=tuple(Registration(v, 100 if v == promoted else 1 + i, APP) for i, v in enumerate(versions)),
        workloads=tuple(Workload(v, "StatefulSet", 2) for v in versions),
        records=tuple(Record(v, 1, {"image": "a"}, "a-template") for v in versions),
        selected=selected or promoted,
        **settings_,
    )


def test_a_first_version_registers_itself():
    assert verbs(lifecycle.plan(Observed(), wanted())) == ["record", "apply", "promote"]


def test_a_second_version_is_registered_before_its_first_pod():
    assert verbs(lifecycle.plan(running("v1"), wanted("v2"))) == ["record", "register", "apply", "promote"]


def test_a_version_that_never_came_up_must_not_become_the_latest_later():
    crashed = dataclasses.replace(running("v1"), registrations=())
    actions = lifecycle.plan(crashed, wanted("v2")).actions
    assert ("register", "v1") in [(action.verb, action.version) for action in actions]
    assert ("register", "v2") not in [(action.verb, action.version) for action in actions]


def test_a_staged_version_is_not_promoted():
    assert "promote" not in verbs(lifecycle.plan(running("v1"), wanted("v2", promoted=False)))


def test_what_is_as_asked_stays_untouched():
    assert lifecycle.plan(running("v1"), wanted()).actions == ()


def test_other_resources_roll_in_place():
    plan = lifecycle.plan(running("v1"), wanted(template="more memory"))
    assert verbs(plan) == ["record", "apply"]
    assert "same code" in plan.actions[0].reason


def test_another_image_needs_another_version():
    refusal = lifecycle.plan(running("v1"), wanted(image="b")).refusal
    assert "another image" in refusal and "release_version" in refusal


def test_a_version_that_never_launched_may_be_mended():
    crashed = dataclasses.replace(running("v1"), registrations=())
    assert "apply" in verbs(lifecycle.plan(crashed, wanted(image="b")))
    staged = dataclasses.replace(running("v1"), registrations=(Registration("v1", 1, None),))
    assert lifecycle.plan(staged, wanted(image="b")).refusal is None


def test_patching_rolls_a_new_image_in_place():
    assert verbs(lifecycle.plan(running("v1"), wanted(image="b", strategy="patching"))) == ["record", "apply"]


def test_an_autoscaler_keeps_its_replicas():
    ours = running("v1")
    theirs = dataclasses.replace(ours, workloads=(Workload("v1", "StatefulSet", 7, scaler="ScaledObject shop-v1"),))
    free = dataclasses.replace(ours, workloads=(Workload("v1", "StatefulSet", 7),))
    assert verbs(lifecycle.plan(theirs, wanted())) == []
    assert verbs(lifecycle.plan(free, wanted())) == ["scale"]


def test_a_half_done_promotion_is_finished():
    half = running("v1", "v2", latest="v2", selected="v1", promoting="v2")
    assert verbs(lifecycle.plan(half, wanted("v2"))) == ["promote"]
    staging = lifecycle.plan(half, wanted("v3", promoted=False))
    assert [(action.verb, action.version) for action in staging.actions][-1] == ("promote", "v2")


def test_another_owner_is_left_alone():
    foreign = dataclasses.replace(running("v1"), workloads=(Workload("v1", "Deployment", 1, ours=False),))
    assert "not made by this collection" in lifecycle.plan(foreign, wanted()).refusal
    other = Observed(registrations=(Registration("v1", 5, "other"),))
    assert "'other'" in lifecycle.plan(other, wanted()).refusal


def test_a_version_keeps_its_kind():
    assert "cannot become a Deployment" in lifecycle.plan(running("v1"), wanted(kind="Deployment")).refusal


@pytest.mark.parametrize(
    ("asked", "conductor", "seen", "existing", "kind"),
    [
        ("auto", False, False, None, "StatefulSet"),
        ("auto", True, False, None, "StatefulSet"),
        ("auto", False, True, None, "StatefulSet"),
        ("auto", True, True, None, "Deployment"),
        ("auto", True, True, "StatefulSet", "StatefulSet"),
        ("statefulset", True, True, None, "StatefulSet"),
        ("deployment", False, False, None, "Deployment"),
    ],
)
def test_the_kind(asked, conductor, seen, existing, kind):
    observed = Observed(
        records=(Record("v0", 1, {}, "t", conductor=seen),),
        workloads=(Workload("v1", existing, 1),) if existing else (),
    )
    assert lifecycle.choose_kind(asked, conductor, observed, "v1")[0] == kind


def test_what_registered_is_compared_with_what_was_asked():
    before, asked = Observed(), wanted("v1")

    def after(*rows):
        return lifecycle.registered_as_asked(before, Observed(registrations=rows), asked)

    assert after(Registration("v1", 9, APP)) is None
    assert "version 0.1.0 instead of v1" in after(Registration("0.1.0", 9, APP))
    assert "none of them registered" in after()
    assert "none of them registered" in after(Registration("v1", 1, None))
    assert "application 'other'" in after(Registration("v1", 9, "other"))
    assert "none of them registered" in after(Registration("v1", 1, None), Registration("o1", 9, "other"))


def test_a_version_that_nobody_asked_for_displaces_the_promoted_one():
    own = Registration("0.1.0", 200, APP)
    fine = running("v1", "v2")
    taken = dataclasses.replace(fine, registrations=(*fine.registrations, own))
    assert lifecycle.displaced(fine, APP) is None
    assert lifecycle.displaced(taken, APP) == "v2"
    assert lifecycle.displaced(dataclasses.replace(taken, promoting="v3"), APP) is None
    assert lifecycle.displaced(Observed(registrations=(own,)), APP) is None


# Histories: a world that does what the plan says, and may be stopped after any action.


class World:
    """The smallest world with DBOS' and Kubernetes' rules: a pod registers at launch, or claims its row."""

    def __init__(self):
        self.observed = Observed()
        self.clock = 100

    def tick(self):
        self.clock += 1
        return self.clock

    def change(self, **values):
        self.observed = dataclasses.replace(self.observed, **values)

    def row(self, version, timestamp, owner):
        rows = [row for row in self.observed.registrations if row.version != version]
        self.change(registrations=(*rows, Registration(version, timestamp, owner)))

    def act(self, action, asked):
        version, seen = action.version, self.observed
        if action.verb == "record":
            newest = seen.record(version)
            revision = newest.revision + 1 if newest else 1
            self.change(records=(*seen.records, Record(version, revision, asked.identity, asked.template)))
        elif action.verb == "register":
            self.row(version, 1, None)
        elif action.verb == "apply":
            others = tuple(found for found in seen.workloads if found.version != version)
            self.change(workloads=(*others, Workload(version, asked.kind, asked.replicas)))
            row = seen.registration(version)
            self.row(version, row.timestamp if row else self.tick(), APP)
        elif action.verb == "scale":
            self.change(workloads=tuple(dataclasses.replace(w, replicas=asked.replicas) for w in seen.workloads))
        elif action.verb == "promote":
            self.change(promoting=version)
            self.row(version, self.tick(), APP)
            self.change(selected=version, promoting=None)

    def run(self, asked, stop_after=None):
        plan = lifecycle.plan(self.observed, asked)
        for action in plan.actions[:stop_after]:
            self.act(action, asked)
        return plan


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["v1", "v2", "v3", "v4"]),
        st.sampled_from(["a", "b"]),
        st.booleans(),
        st.one_of(st.none(), st.integers(0, 3)),
    ),
    max_size=12,
)


@settings(max_examples=1000, deadline=None)
@given(STEPS)
def test_every_history(steps):
    world = World()
    for version, image, promoted, stop in steps:
        before = world.observed
        asked = wanted(version, image, promoted=promoted)
        plan = world.run(asked, stop)
        after = world.observed
        if plan.refusal:
            assert after == before
            continue
        # A new pod never takes over before its promotion.
        if "promote" not in verbs(plan)[:stop] and before.latest(APP) is not None:
            assert after.latest(APP) == before.latest(APP)
            assert after.selected == before.selected
        # No version's workload or record ever disappears here.
        assert {w.version for w in before.workloads} <= {w.version for w in after.workloads}
        assert before.records == after.records[: len(before.records)]
        if stop is None:
            # Done once is done.
            assert lifecycle.plan(after, asked).actions == ()
            if promoted:
                assert lifecycle.agree(after, APP, version)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.randoms())
def test_the_order_of_facts_does_not_matter(steps, random):
    world = World()
    for version, image, promoted, stop in steps:
        world.run(wanted(version, image, promoted=promoted), stop)
    shuffled = {}
    for name in ("registrations", "workloads", "records"):
        facts = list(getattr(world.observed, name))
        random.shuffle(facts)
        shuffled[name] = tuple(facts)
    asked = wanted("v2", "a")
    assert lifecycle.plan(dataclasses.replace(world.observed, **shuffled), asked) == lifecycle.plan(
        world.observed, asked
    )

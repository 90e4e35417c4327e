"""The tick over thousands of histories of a small world: work comes and ends, pods die, reads fail, runs are killed."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils import lifecycle, lifecycle_tick
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle import (
    Action,
    Observed,
    Proof,
    Record,
    Registration,
    Work,
    Workload,
)
from ansible_collections.dbos.kubernetes.plugins.module_utils.lifecycle_tick import Policy

APP = "shop"
VERSIONS = ("v1", "v2", "v3", "v4")
POLICY = Policy(reads=3, seconds=5.0, max_age=60.0, deadline=1000.0, abandoned=frozenset({"v4"}))


class Broken(AssertionError):
    """The tick did what nobody may do."""


class World:
    """What is there. Every act checks that it may be done: the properties stand here."""

    def __init__(self):
        self.clock = 1000.0
        self.records, self.workloads, self.work, self.rows = {}, {}, {}, {}
        self.selected = self.promoting = None

    def observed(self, *, readable=True, age=0.0, proofs=None):
        work = {version: Work(enqueued=count, oldest=10.0) for version, count in self.work.items() if count}
        return Observed(
            registrations=tuple(Registration(v, at, APP) for v, at in self.rows.items()),
            workloads=tuple(self.workloads.values()),
            records=tuple(self.records.values()),
            selected=self.selected,
            promoting=self.promoting,
            work=work if readable else None,
            read_at=self.clock - age,
            proofs=proofs or {},
        )

    # What people and programs do

    def release(self, version):
        self.records.setdefault(version, Record(version, 1, {}, "t"))
        self.rows.setdefault(version, lifecycle.AHEAD)
        self.workloads.setdefault(version, Workload(version, "StatefulSet", 2, pods=2))
        self.records[version] = dataclasses.replace(self.records[version], retired=None)

    def promote(self, version, stop_after=4):
        """In the order of promoting.promote, and killed after so many writes."""
        if version not in self.workloads:
            return

        def latest():
            self.rows[version] = max(self.rows.values()) + 1

        def remember():
            record = self.records[version]
            at = f"{self.rows[version]:06}"
            self.records[version] = dataclasses.replace(record, promotions=(*record.promotions, at))
            self.promoting = None

        steps = [
            lambda: setattr(self, "promoting", version), latest, lambda: setattr(self, "selected", version), remember,
        ]  # fmt: skip
        for step in steps[:stop_after]:
            step()

    def drift(self, version):
        """Somebody makes a version the latest in DBOS, past the Service."""
        if version in self.rows:
            self.rows[version] = max(self.rows.values()) + 1

    def arrive(self, version):
        if version in self.records:
            self.work[version] = self.work.get(version, 0) + 1

    def end(self, version):
        """Work ends where a pod runs it."""
        if self.workloads.get(version, Workload(version, "", 0)).pods:
            self.work[version] = 0

    def settle(self):
        """Pods follow the number that is asked for."""
        self.workloads = {v: dataclasses.replace(w, pods=w.replicas) for v, w in self.workloads.items()}

    def die(self, version):
        if version in self.workloads:
            self.workloads[version] = dataclasses.replace(self.workloads[version], pods=0)

    def vanish(self, version):
        self.workloads.pop(version, None)

    # The tick, as retiring.Ticker makes it

    def tick(self, between=None, stop_after=None, **how):
        """C(between) happens after the proof; returns the actions that were done."""
        before = lifecycle_tick.tick(self.observed(**how), APP, POLICY, self.clock)
        proofs = {}
        for action in before.actions:
            if action.verb == "prove":
                gone = action.version not in self.workloads or self.workloads[action.version].pods == 0
                proofs[action.version] = Proof(POLICY.reads, self.clock, self.clock + POLICY.seconds, gone)
        if proofs:
            self.clock += POLICY.seconds
            if between:
                between(self)
        after = lifecycle_tick.tick(self.observed(proofs=proofs, **how), APP, POLICY, self.clock)
        for action in after.actions[:stop_after]:
            self.act(action, **how)
        return after.actions

    def act(self, action: Action, *, readable=True, age=0.0):
        version = action.version
        if action.verb in ("stop", "retire"):
            self.check(version, readable, age)
        if action.verb == "promote":
            self.promote(version)
        elif action.verb == "revive":
            self.release(version)
            self.workloads[version] = dataclasses.replace(self.workloads[version], replicas=2, pods=2)
        elif action.verb == "stop":
            self.workloads[version] = dataclasses.replace(self.workloads[version], replicas=0)
        elif action.verb == "retire":
            if version in self.workloads and self.workloads[version].pods:
                raise Broken("a version with pods was deleted")
            self.vanish(version)
            self.records[version] = dataclasses.replace(self.records[version], retired="now")

    def check(self, version, readable, age):
        if self.work.get(version):
            raise Broken("a version with unfinished work was taken down")
        if not readable or age > POLICY.max_age:
            raise Broken("a version was taken down on missing or old data")
        if version == self.selected:
            raise Broken("the promoted version was taken down")
        if self.promoting or self.observed().latest(APP) != self.selected:
            raise Broken("a version was taken down while Service and DBOS disagree")
        if self.rows[version] == lifecycle.AHEAD and version not in POLICY.abandoned:
            raise Broken("a staged version was taken down")


def world_of(*versions):
    """Each promoted over the one before."""
    world = World()
    for version in versions:
        world.release(version)
        world.promote(version)
    return world


ONE = st.sampled_from(VERSIONS)
EVENTS = st.one_of(
    st.tuples(st.just("release"), ONE),
    st.tuples(st.just("promote"), ONE, st.sampled_from([4, 3, 2, 1])),
    st.tuples(st.sampled_from(["arrive", "end", "die", "vanish", "drift"]), ONE),
    st.tuples(st.just("settle")),
    st.tuples(st.just("tick"), st.sampled_from([(), ("unreadable",), ("old",)]), st.one_of(st.none(), ONE),
              st.one_of(st.none(), st.integers(0, 2))),
    st.tuples(st.just("wait"), st.floats(0, 200)),
)  # fmt: skip
# What was promoted before, one after the other: a history need not begin with it.
HISTORIES = st.tuples(st.sampled_from([(), ("v1", "v2"), ("v1", "v2", "v3")]), st.lists(EVENTS, max_size=15))


def happen(world, event):
    name, *given_ = event
    if name == "tick":
        how, late, stop = given_
        how = {"readable": "unreadable" not in how, "age": 100.0 if "old" in how else 0.0}
        world.tick((lambda one: one.arrive(late)) if late else None, stop, **how)
    elif name == "wait":
        world.clock += given_[0]
    else:
        getattr(world, name)(*given_)


def play(history):
    before, events = history
    world = world_of(*before)
    for event in events:
        happen(world, event)
        promoted = [v for v, said in conditions(world).items() if any(one.type == "Promoted" for one in said)]
        assert len(promoted) <= 1, "two versions are promoted"
    return world


def conditions(world):
    return lifecycle_tick.tick(world.observed(), APP, POLICY, world.clock).conditions


@settings(max_examples=1000, deadline=None)
@given(HISTORIES)
def test_nothing_is_ever_taken_down_that_may_not_be(history):
    play(history)


@settings(max_examples=400, deadline=None)
@given(HISTORIES)
@example((("v1", "v2"), [("vanish", "v1"), ("arrive", "v1")]))
@example((("v1", "v2"), [("tick", (), None, None), ("promote", "v1", 4), ("arrive", "v1")]))
def test_every_history_whose_work_ends_reaches_the_end(history):
    world = play(history)
    for _ in range(12):
        world.tick()
        world.settle()
        for version in VERSIONS:
            world.end(version)
    assert world.tick() == ()
    observed = world.observed()
    if observed.promoting or observed.selected is None or observed.latest(APP) != observed.selected:
        return  # there is no version to promote: a person must deploy one
    busy = {version for version, count in world.work.items() if count}
    gone = {observed.selected} - world.workloads.keys()  # told as Degraded: a person must deploy it
    assert busy <= gone, "work was left with nobody to run it"
    left = {v for v in world.workloads if v != observed.selected and not observed.staged(v)}
    assert left == set(), "drained versions live on"
    assert "v4" not in world.workloads or observed.selected == "v4", "a version that was given up lives on"


@settings(max_examples=400, deadline=None)
@given(HISTORIES)
def test_a_plan_applied_twice_equals_once(history):
    world = play(history)
    actions = world.tick()
    once = world.observed()
    for action in actions:
        if action.verb not in ("promote", "prove"):
            world.act(action)
    assert world.observed() == once


@settings(max_examples=400, deadline=None)
@given(HISTORIES, st.integers())
def test_the_order_of_facts_does_not_matter(history, seed):
    observed = play(history).observed()
    shuffled = {}
    for name in ("registrations", "workloads", "records"):
        facts = list(getattr(observed, name))
        random.Random(seed).shuffle(facts)
        shuffled[name] = tuple(facts)
    work = list(observed.work.items())
    random.Random(seed).shuffle(work)
    other = dataclasses.replace(observed, work=dict(work), **shuffled)
    now = observed.read_at
    assert lifecycle_tick.tick(other, APP, POLICY, now) == lifecycle_tick.tick(observed, APP, POLICY, now)


# Single decisions


def said(world, version, **how):
    observed = world.observed(**how)
    return [one.type for one in lifecycle_tick.tick(observed, APP, POLICY, world.clock).conditions[version]]


def test_the_conditions():
    world = world_of("v1", "v2")
    world.clock = 5000.0
    assert (said(world, "v1"), said(world, "v2")) == (["Drained"], ["Promoted"])
    world.arrive("v1")
    assert said(world, "v1") == ["Draining", "DrainBlocked"]
    assert said(world, "v1", readable=False) == ["Draining", "Degraded"]
    world.vanish("v1")
    assert said(world, "v1") == ["Stranded"]
    world.work["v1"] = 0
    assert said(world, "v1") == ["Retired"]
    world.work["lost"] = 1
    assert said(world, "lost") == ["Stranded"]
    world.work.clear()
    world.release("v3")
    assert said(world, "v3") == ["Staged"]
    world.release("v4")
    assert said(world, "v4") == ["Drained"]  # given up
    world.die("v2")
    assert said(world, "v2") == ["Promoted", "Degraded"]


def test_work_of_dead_executors_is_told():
    observed = dataclasses.replace(
        world_of("v1", "v2").observed(), work={"v1": Work(pending=3, stranded=2, oldest=900.0), "v2": Work(pending=1)}
    )
    found = lifecycle_tick.tick(observed, APP, POLICY, 1000.0)
    assert [one.type for one in found.conditions["v1"]] == ["Draining", "Stranded"]
    assert "2 workflows" in found.conditions["v1"][-1].message and found.actions == ()


def test_a_single_workload_that_is_patched_is_left_alone():
    assert world_of("stable").tick() == ()


def test_of_others_nothing_is_touched():
    world = world_of("v1", "v2")
    world.workloads["v1"] = dataclasses.replace(world.workloads["v1"], ours=False)
    assert world.tick() == () and said(world, "v1") == ["Drained", "Degraded"]


def test_an_autoscaler_brings_pods_back_by_itself():
    world = world_of("v1", "v2")
    world.workloads["v1"] = dataclasses.replace(world.workloads["v1"], replicas=0, pods=0, scaler="ScaledObject v1")
    world.arrive("v1")
    assert world.tick() == ()
    world.workloads["v1"] = dataclasses.replace(world.workloads["v1"], scaler=None)
    assert [action.verb for action in world.tick()] == ["revive"]


def test_pods_that_a_killed_run_did_not_ask_for_are_asked_for():
    """A revival makes the workload first, and then as many pods as its running work needs."""
    world = world_of("v1", "v2")
    observed = dataclasses.replace(world.observed(), work={"v1": Work(pending=1, needed=3, oldest=900.0)})
    assert [action.verb for action in lifecycle_tick.tick(observed, APP, POLICY, 1000.0).actions] == ["revive"]
    world.workloads["v1"] = dataclasses.replace(world.workloads["v1"], scaler="ScaledObject v1")
    observed = dataclasses.replace(observed, workloads=tuple(world.workloads.values()))
    assert lifecycle_tick.tick(observed, APP, POLICY, 1000.0).actions == ()


def test_a_version_that_was_given_up_is_retired_whole():
    """Also when an earlier run was stopped behind its workload."""
    world = world_of("v1")
    world.release("v4")
    world.vanish("v4")
    assert [action.verb for action in world.tick()] == ["retire"]


@pytest.mark.parametrize("work", [{}, {None: Work(enqueued=5)}])
def test_work_without_a_version_is_the_latest_s(work):
    observed = dataclasses.replace(world_of("v1", "v2").observed(), work=work)
    assert [action.verb for action in lifecycle_tick.tick(observed, APP, POLICY, 1000.0).actions] == ["prove"]

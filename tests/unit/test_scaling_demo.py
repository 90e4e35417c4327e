"""The course of the replicas: what is worth a line, and when the demonstration is over."""

from __future__ import annotations

from ansible_collections.dbos.kubernetes.plugins.module_utils.scaling_demo import Course


def course(*samples, started=1):
    one = Course(started)
    for second, (replicas, unfinished) in enumerate(samples):
        one.add(second, replicas, unfinished)
    return one


def test_it_is_over_when_replicas_have_risen_and_fallen_and_all_work_is_done():
    assert course((1, 10), (5, 8), (5, 0), (1, 0)).over
    assert course((1, 10), (5, 8), (5, 0), (1, 0)).peak == 5


def test_it_is_not_over_before():
    assert not course((1, 0)).over  # nothing has risen
    assert not course((1, 10), (5, 8)).over  # still rising
    assert not course((1, 10), (5, 0)).over  # not fallen
    assert not course((1, 10), (5, 8), (1, 8)).over  # fallen before the work was done


def test_only_news_is_kept_and_no_answer_is_no_news():
    one = course((1, 10), (1, 10), (1, None), (2, None))
    assert [(sample["replicas"], sample["unfinished"]) for sample in one.samples] == [(1, 10), (2, 10)]

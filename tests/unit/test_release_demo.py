"""What the demonstration's clients say."""

from __future__ import annotations

from ansible_collections.dbos.kubernetes.plugins.module_utils.release_demo import Count, count


def test_the_last_count_holds():
    assert count("asked 10 failed 0\nasked 20 failed 3\n") == Count(20, 3)
    assert count("wget: bad address\n") == Count(0, 0)

"""What ECR forgets: never an image of a recorded version, whatever else a repository holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import ecr_lifecycle
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.ecr_lifecycle import Image, expired, policy

TAGS = st.sampled_from(
    ["build-1", "build-2", "release-1-abc", "release-2-abc", "latest", "v1", "releases", "prebuild-1"]
)
AGES = st.floats(min_value=0, max_value=36500)


@st.composite
def repositories(draw: st.DrawFn) -> list[Image]:
    """Images and lists of them; the same tag names one image only."""
    size = draw(st.integers(min_value=0, max_value=8))
    free = set(draw(st.lists(TAGS, unique=True)))
    images: list[Image] = []
    for number in range(size):
        mine = draw(st.sets(st.sampled_from(sorted(free)))) if free else set()
        free -= mine
        known = [image.digest for image in images]
        members = draw(st.sets(st.sampled_from(known))) if known else set()
        images.append(Image(f"sha256:{number}", tuple(sorted(mine)), draw(AGES), tuple(sorted(members))))
    return images


def of_releases(images: list[Image]) -> set[str]:
    """The digests of what recorded versions need: images with a release tag, and what these lists consist of."""
    needed = {image.digest for image in images if any(tag.startswith("release-") for tag in image.tags)}
    for image in reversed(images):  # members come before their list
        if image.digest in needed:
            needed |= set(image.members)
    return needed


@given(repositories(), st.integers(min_value=1, max_value=3650))
def test_nothing_that_a_recorded_version_runs_ever_expires(images: list[Image], days: int) -> None:
    assert not expired(policy(days), images) & of_releases(images)


@given(repositories(), st.integers(min_value=1, max_value=3650))
def test_only_old_builds_and_old_untagged_images_expire(images: list[Image], days: int) -> None:
    gone = expired(policy(days), images)
    for image in images:
        if image.digest in gone:
            assert image.age > days
            assert not image.tags or any(tag.startswith("build-") for tag in image.tags)


def test_old_builds_and_untagged_images_expire() -> None:
    images = [
        Image("released", ("build-1", "release-1-abc"), 900),
        Image("build", ("build-2",), 31),
        Image("young", ("build-3",), 29),
        Image("untagged", (), 31),
        Image("list", ("build-4", "release-2-abc"), 900, ("amd64", "arm64")),
        Image("amd64", (), 900),
        Image("arm64", (), 900),
        Image("named", ("v1",), 900),
    ]
    assert expired(policy(30), images) == {"build", "untagged"}


def rule(priority: int, prefixes: list[str], count: int) -> dict[str, Any]:
    selection = {
        "tagStatus": "tagged",
        "tagPrefixList": prefixes,
        "countType": "imageCountMoreThan",
        "countNumber": count,
    }
    return {"rulePriority": priority, "selection": selection, "action": {"type": "expire"}}


@pytest.mark.parametrize(
    ("rules", "gone"),
    [
        # The examples of its user guide, and a rule that wants both prefixes.
        ([rule(1, ["prod"], 1), rule(2, ["beta"], 1)], {"A"}),
        ([rule(1, ["beta"], 1), rule(2, ["prod"], 1)], {"A", "B"}),
        ([rule(1, ["beta", "prod"], 1), rule(2, ["beta"], 1)], {"A"}),
    ],
)
def test_rules_are_evaluated_as_ecr_does(rules: list[dict[str, Any]], gone: set[str]) -> None:
    images = [Image("A", ("beta-1", "prod-1"), 10), Image("B", ("beta-2", "prod-2"), 9), Image("C", ("beta-3",), 8)]
    assert expired({"rules": rules}, images) == gone


def test_a_policy_is_compared_by_its_meaning() -> None:
    text = '{"rules": []}'
    assert ecr_lifecycle.same(text, {"rules": []})
    assert not ecr_lifecycle.same(text, policy(30))
    assert not ecr_lifecycle.same(None, policy(30))

"""References are read as docker reads them; whatever is accepted survives being written and read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import parse

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("postgres", "docker.io/library/postgres:latest"),
        ("postgres:16", "docker.io/library/postgres:16"),
        ("dbosdev/conductor", "docker.io/dbosdev/conductor:latest"),
        ("index.docker.io/library/alpine:3", "docker.io/library/alpine:3"),
        ("10.219.0.1:5443/dbos-app", "10.219.0.1:5443/dbos-app:latest"),
        ("localhost/app:1", "localhost/app:1"),
        ("localhost:5000/a/b_c.d--e:V_1.2-x", "localhost:5000/a/b_c.d--e:V_1.2-x"),
        ("[::1]:5000/app:1", "[::1]:5000/app:1"),
        (f"ghcr.io/acme/app:1.2@{DIGEST}", f"ghcr.io/acme/app@{DIGEST}"),
        (f"ghcr.io/acme/app@{DIGEST}", f"ghcr.io/acme/app@{DIGEST}"),
    ],
)
def test_reads_what_docker_reads(text: str, meant: str) -> None:
    assert str(parse(text)) == meant


@pytest.mark.parametrize(
    "text",
    ["", ":1", "App", "ghcr.io/Acme/app", "app:", "app:-1", "app:" + "x" * 129, "a//b", "/a", "a/", "a b", "app@",
     "app@sha256:12", f"app@md5:{'0' * 64}", "https://ghcr.io/acme/app", "ghcr.io/acme/app:1:2", "_app", "app_"],
)  # fmt: skip
def test_refuses_what_is_no_reference(text: str) -> None:
    with pytest.raises(DbosError, match="is no image reference"):
        parse(text)


HOST = st.from_regex(r"[a-z0-9]{1,8}\.[a-z]{2,5}(:[1-9][0-9]{0,4})?", fullmatch=True)
REPOSITORY = st.lists(
    st.from_regex(r"[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}", fullmatch=True), min_size=1, max_size=4
)
TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)


@given(host=HOST, repository=REPOSITORY, tag=TAG)
def test_a_full_reference_is_taken_apart_and_put_together(host: str, repository: list[str], tag: str) -> None:
    reference = parse(f"{host}/{'/'.join(repository)}:{tag}")
    assert (reference.registry, reference.repository, reference.tag) == (host, "/".join(repository), tag)
    assert parse(str(reference)) == reference
    assert parse(reference.pinned(DIGEST)).digest == DIGEST


@given(text=st.text(max_size=40))
def test_nothing_else_happens_than_a_reference_or_an_error(text: str) -> None:
    try:
        reference = parse(text)
    except DbosError:
        return
    assert parse(str(reference)) == reference

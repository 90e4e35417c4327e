"""URLs in and out, and errors that say what to do without saying a password."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.filter.database_parts import database_parts
from ansible_collections.dbos.kubernetes.plugins.filter.database_url import database_url
from ansible_collections.dbos.kubernetes.plugins.module_utils import connection
from ansible_collections.dbos.kubernetes.plugins.module_utils.connection import DatabaseAbsent, DatabaseError, Server
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
hosts = st.sampled_from(["db.example.com", "10.219.0.1", "fd00::1", "localhost"])
PEM = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"


@given(user=texts, password=texts, name=texts, host=hosts)
def test_libpq_reads_what_the_filter_writes(user: str, password: str, name: str, host: str) -> None:
    url = database_url({"host": host, "port": 6432}, user=user, password=password, database=name, sslrootcert="/ca.crt")
    settings = connection.parse_url(url)
    assert settings == {
        "user": user, "password": password, "host": host, "port": "6432", "dbname": name, "sslmode": "verify-full",
        "sslrootcert": "/ca.crt",
    }  # fmt: skip


@given(user=texts, password=texts, host=hosts)
def test_the_filters_are_each_others_opposite(user: str, password: str, host: str) -> None:
    parts = {"host": host, "port": 5432, "user": user, "password": password, "sslmode": "require"}
    assert database_parts(database_url(parts)) == parts


@given(password=st.text(min_size=4))
def test_all_spellings_of_a_password_are_masked(password: str) -> None:
    url = database_url({"host": "h"}, user="u", password=password)
    assert url.split(":", 2)[2].split("@")[0] in connection.derived_forms(password)


def test_a_short_password_masks_nothing() -> None:
    assert connection.derived_forms("1") == connection.derived_forms("") == connection.derived_forms(None) == set()


def test_a_url_needs_a_host() -> None:
    for nothing in ({}, {"user": "u"}, None):
        with pytest.raises(AnsibleFilterError, match="at least a host"):
            database_url(nothing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:%zzhidden@h/d", "Percent-encode"),
        ("postgresql://u:hidden@/d", "no host"),
        ("postgresql://h/d", "no user"),
        ("postgresql://u:hidden@a,b/d", "several hosts"),
        ("hidden", "Percent-encode"),
    ],
)
def test_urls_that_cannot_be_used(url: str, words: str) -> None:
    with pytest.raises(DbosError, match=words) as caught:
        connection.parse_url(url)
    assert "hidden" not in caught.value.msg


def test_what_a_url_leaves_out() -> None:
    settings = connection.parse_url("host=h user=u")
    assert (settings["port"], settings["dbname"], settings["sslmode"]) == ("5432", "u", "verify-full")


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ('FATAL:  password authentication failed for user "u"', DatabaseError, "refuses user u: wrong password"),
        ('FATAL:  database "d" does not exist', DatabaseAbsent, "has no database d: run role database first"),
        ("SSL error: certificate verify failed", DatabaseError, "not signed by the given CA"),
        ('server certificate for "x" does not match host name "h"', DatabaseError, "is for another host"),
        ('could not translate host name "h" to address: Name or service not known', DatabaseError, "does not resolve"),
        ('root certificate file "/x" does not exist', DatabaseError, "there is no CA"),
        ("Connection refused", DatabaseError, "cannot be used as u on database d: Connection refused"),
    ],
)
def test_errors_in_words(text: str, kind: type[DatabaseError], words: str) -> None:
    settings = connection.parse_url("postgresql://u:hidden@h/d")
    prefix = 'connection to server at "h" (10.0.0.1), port 5432 failed: '
    error = Server(settings, None, None)._explain(connection.sentence(Exception(prefix + text)), settings)
    assert isinstance(error, kind)
    assert words in error.msg
    assert "hidden" not in error.msg


def test_the_ca_is_a_file_for_a_while() -> None:
    with connection.certificate_file(PEM) as path:
        assert path
        assert Path(path).read_text() == PEM
    assert not Path(path).exists()
    with connection.certificate_file("  ") as path:
        assert path is None
    with pytest.raises(DbosError, match="no PEM certificate"), connection.certificate_file("/etc/ca.crt"):
        pass

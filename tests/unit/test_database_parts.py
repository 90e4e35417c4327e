"""A PostgreSQL URL taken apart."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.filter.database_parts import database_parts

text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(user=text, password=text)
def test_any_user_and_password_comes_back(user, password):
    url = f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@db.example.com:6432/postgres?sslmode=require"
    assert database_parts(url) == {
        "host": "db.example.com",
        "port": 6432,
        "user": user,
        "password": password,
        "sslmode": "require",
    }


def test_what_is_left_out():
    assert database_parts("") == {}
    assert database_parts("postgres://admin@db") == {
        "host": "db",
        "port": 5432,
        "user": "admin",
        "password": "",
        "sslmode": "verify-full",
    }


@pytest.mark.parametrize(
    "url", ["mysql://root:hunter2@db", "postgresql://db", "postgresql://a:hunter2@db:port", "hunter2"]
)
def test_errors_never_show_the_password(url):
    with pytest.raises(AnsibleFilterError) as caught:
        database_parts(url)
    assert "hunter2" not in str(caught.value)

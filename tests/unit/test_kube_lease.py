# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who holds a Lease, whether that run is dead, and how old its hold is."""

from __future__ import annotations

import dataclasses
import datetime
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils.kube import lease

NOW = datetime.datetime(2026, 11, 23, 3, 0, 0, tzinfo=datetime.UTC)
WORD = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters=".-"), min_size=1)


@given(WORD, st.integers(1, 4_194_304), st.integers(0, 10**12), WORD)
def test_holder_survives_its_written_form(host: str, pid: int, start: int, boot: str) -> None:
    holder = lease.Holder(host, pid, str(start), boot)
    assert lease.parse(str(holder)) == holder


def test_awx_job_is_never_dead_here() -> None:
    holder = lease.parse("awx-job-17")
    assert holder.describe() == "AWX job 17"
    assert not lease.dead(holder)


def test_foreign_identity_is_never_dead_here() -> None:
    assert not lease.dead(lease.parse("somebody-else"))


def test_this_process_lives_and_an_ended_one_is_dead() -> None:
    here = lease.current()
    assert not lease.dead(here)
    child = subprocess.Popen(["sleep", "60"])
    start = lease._start(child.pid)
    assert start
    other = dataclasses.replace(here, pid=child.pid, start=start)
    assert not lease.dead(other)
    child.kill()
    child.wait()
    assert lease.dead(other)


def test_a_recycled_pid_and_an_earlier_boot_are_dead() -> None:
    here = lease.current()
    assert lease.dead(dataclasses.replace(here, start="1"))
    assert lease.dead(dataclasses.replace(here, boot="another"))
    assert not lease.dead(dataclasses.replace(here, host="elsewhere", boot="another"))


def test_age() -> None:
    assert lease.age({"renewTime": "2026-11-23T02:59:18.000000Z"}, NOW) == 42
    assert lease.age({}, NOW) == float("inf")

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The query that tells KEDA how many replicas a version needs."""

from __future__ import annotations

# Both partial indexes of workflow_status are used only by literal statuses in separate arms.
# Rows without a version belong to the latest one. A DELAYED row counts from the moment it is due.
_WORK = """
SELECT status, executor_id FROM dbos.workflow_status
WHERE status IN ('ENQUEUED', 'PENDING') AND {mine}
UNION ALL
SELECT status, NULL FROM dbos.workflow_status
WHERE status = 'DELAYED' AND delay_until_epoch_ms <= extract(epoch FROM clock_timestamp()) * 1000 AND {mine}
"""
_MINE = """
(application_name = {owner} OR application_name IS NULL) AND (application_version = {version}
 OR (application_version IS NULL AND {version} = (
  SELECT version_name FROM dbos.application_versions WHERE application_name = {owner} OR application_name IS NULL
  ORDER BY version_timestamp DESC LIMIT 1)))
"""
# Only PENDING rows name the executor that runs them; an ENQUEUED one names who enqueued it.
_HIGHEST = (
    "max(CASE WHEN status = 'PENDING' AND executor_id ~ {pattern} THEN substring(executor_id FROM {digits})::int END)"
)


def replicas_wanted(owner: str, version: str, workload: str, concurrency: int) -> str:
    """SQL for the replicas that a version needs, as one number.

    It is the larger of what the unfinished work that is due needs at C(concurrency) workflows per executor, and of
    one more than the highest ordinal that is busy: a StatefulSet scales in from its highest ordinal, so no busy
    executor goes.
    """
    literal = {"owner": _quote(owner), "version": _quote(version)}
    mine = _one_line(_MINE.format(**literal))
    highest = _HIGHEST.format(pattern=_quote(f"^{workload}-[0-9]{{1,6}}$"), digits=_quote("[0-9]+$"))
    return _one_line(
        # KEDA takes a query without parameters, so S608 is right to ask: every literal is quoted above or a number.
        f"SELECT greatest(ceil(count(*) / {concurrency}.0)::int, coalesce(1 + {highest}, 0)) "  # noqa: S608
        f"FROM ({_WORK.format(mine=mine)}) AS work"
    )


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _one_line(text: str) -> str:
    return " ".join(text.split())

"""Migrations with the real CLIs, and what happens when they cannot work, are killed, or meet."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbos.kubernetes.plugins.module_utils import migration_job
from ansible_collections.dbos.kubernetes.plugins.module_utils.system_database.schema import LOCK

from .database_kit import Kit
from .process_kit import until

MIGRATIONS = "app.kubernetes.io/component=migration"
NEWEST = 125
PYTHON_DBOS = "3.4.0"


@pytest.fixture(scope="module")
def images(platform: Any, root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of the sample's migrate image, and of one that has a shell but no dbos."""
    kit = Kit(platform, "test-images")
    registry = {"host": f"{platform.node}:5443", "ca_file": str(platform.directory / "pki/ca.crt")}
    build = {
        "name": "dbos-migrate",
        "context": str(root / "examples/go-starter"),
        "containerfile": "Containerfile.migrate.local",
        "prepare": ["sh", "local-context.sh", "migrate"],
    }
    busybox = f"{registry['host']}/tools/busybox:1"
    made = kit.call("images", ca=None, relay=None, kubeconfig=None, build=[build], resolve=[busybox], registry=registry)
    assert not made.get("failed"), made
    return {"dbos": made["digests"]["dbos-migrate"], "busybox": made["digests"][busybox]}


@pytest.fixture(scope="module")
def kit(platform: Any, namespace: str) -> Iterator[Kit]:
    platform.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    kit = Kit(platform, namespace)
    kit.ok("database", **kit.database_options())
    kit.secret("postgres-admin", database_url=pod_url(kit))
    kit.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dbos-database-ca"}, "data": {"ca.crt": kit.ca}}
    )
    yield kit
    kit.remove()


def pod_url(kit: Kit) -> str:
    user, path = f"{kit.database}_owner", "/etc/dbos/database-ca/ca.crt"
    return kit.url(user, "owner-secret", database=kit.database, sslrootcert=path)


@pytest.fixture
def options(kit: Kit, images: dict[str, str]) -> dict[str, Any]:
    return {
        "application": kit.app,
        "namespace": kit.namespace,
        "image": images["dbos"],
        "app_role": f"{kit.database}_role",
        "metrics_role": f"{kit.database}_metrics",
        "database_url": kit.owner_url(),
    }


@pytest.fixture
def empty(kit: Kit) -> Iterator[None]:
    """No schema, and no Job that was ever run."""
    forget(kit)
    with kit.cursor(database=kit.database) as admin:
        admin.execute("DROP SCHEMA IF EXISTS dbos CASCADE")
    yield
    forget(kit)


def forget(kit: Kit) -> None:
    kit.platform.kubectl("delete", "job", "-n", kit.namespace, "-l", MIGRATIONS, "--cascade=foreground", "--wait=true")


@pytest.fixture
def migrated(kit: Kit, empty: None, options: dict[str, Any]) -> None:
    """At the newest level with all grants, by the CLI's own SQL, which is quicker than a Job."""
    dbos = kit.platform.program("dbos")
    for arguments in (["--print-migrations", "all"], ["--print-user-role", "--app-role", options["app_role"]]):
        run_as_owner(kit, subprocess.check_output([dbos, "migrate", *arguments], text=True))


def run_as_owner(kit: Kit, script: str) -> None:
    with kit.cursor(database=kit.database, user=f"{kit.database}_owner", password="owner-secret") as cursor:
        # CREATE INDEX CONCURRENTLY must be alone in its message.
        for statement in re.split(
            r"(?m);\s*$(?=(?:[^$]|\$(?!\$))*(?:\$\$(?:[^$]|\$(?!\$))*\$\$(?:[^$]|\$(?!\$))*)*\Z)", script
        ):
            if re.sub(r"(?m)^\s*--.*$", "", statement).strip():
                cursor.execute(statement)


def level(kit: Kit) -> int:
    return int(kit.rows("SELECT version FROM dbos.dbos_migrations", database=kit.database)[0][0])


def jobs(kit: Kit) -> list[dict[str, Any]]:
    return kit.objects("jobs", MIGRATIONS)


# What it does


def test_the_job_of_a_killed_run_is_verified_and_not_repeated(kit: Kit, empty: None, options: dict[str, Any]) -> None:
    done = kit.ok("migration", **options)
    kit.platform.kubectl("annotate", "job", done["job"], "-n", kit.namespace, "dbos.kubernetes/schema-level-")
    again = kit.ok("migration", **options)
    assert (again["changed"], again["job"]) == (False, done["job"])
    [job] = jobs(kit)
    assert job["metadata"]["annotations"]["dbos.kubernetes/schema-level"] == str(NEWEST)


def test_from_nothing(kit: Kit, empty: None, options: dict[str, Any]) -> None:
    checked = kit.ok("migration", check=True, **options, cli=kit.platform.program("dbos"))
    assert (checked["changed"], checked["from_version"], checked["to_version"]) == (True, None, NEWEST)
    assert "CREATE TABLE" in checked["diff"]["after"]
    assert not jobs(kit)
    unknown = kit.ok("migration", check=True, **options)
    assert (unknown["changed"], unknown["to_version"]) == (True, None)

    done = kit.ok("migration", **options)
    assert (done["changed"], done["from_version"], done["to_version"]) == (True, None, NEWEST)
    assert done["job"] == checked["job"] == f"{kit.app}-migrate-1"
    assert level(kit) == NEWEST
    [job] = jobs(kit)
    assert "owner-secret" not in json.dumps(job)

    # The application works with all tables, the metrics login sees what scaling reads and nothing else.
    app = {"database": kit.database, "user": f"{kit.database}_a", "password": "app-secret"}
    assert kit.rows("SELECT count(*) FROM dbos.workflow_status", **app) == [(0,)]
    metrics = {"database": kit.database, "user": f"{kit.database}_metrics", "password": "metrics-secret"}
    assert kit.rows("SELECT count(*) FROM dbos.workflow_status WHERE status = 'ENQUEUED'", **metrics) == [(0,)]
    for hidden in (
        "SELECT inputs FROM dbos.workflow_status",
        "SELECT * FROM dbos.workflow_input",
        "DELETE FROM dbos.workflow_status",
    ):
        with pytest.raises(Exception, match="permission denied"):
            kit.rows(hidden, **metrics)

    again = kit.ok("migration", **options)
    assert (again["changed"], again["from_version"], again["to_version"], again["job"]) == (
        False,
        NEWEST,
        NEWEST,
        done["job"],
    )
    assert not kit.ok("migration", check=True, **options)["changed"]
    assert len(jobs(kit)) == 1


def test_upgrade(kit: Kit, empty: None, options: dict[str, Any]) -> None:
    script = subprocess.check_output([kit.platform.program("dbos"), "migrate", "--print-migrations", "all"], text=True)
    run_as_owner(kit, script[: script.index("-- Migration 108\n")])
    assert level(kit) == 107

    checked = kit.ok("migration", check=True, **options, cli=kit.platform.program("dbos"))
    assert (checked["from_version"], checked["to_version"]) == (107, NEWEST)
    assert "-- Migration 108" in checked["diff"]["after"]
    assert "-- Migration 107" not in checked["diff"]["after"]
    done = kit.ok("migration", **options)
    assert (done["changed"], done["from_version"], done["to_version"]) == (True, 107, NEWEST)
    assert done["diff"]["before"].startswith("schema level 107\n")


def test_three_at_once(kit: Kit, empty: None, options: dict[str, Any]) -> None:
    calls = [kit.start("migration", run=kit.new_run(), **options) for _number in range(3)]
    results = [call.end() for call in calls]
    assert not [result["msg"] for result in results if result.get("failed")]
    assert sorted(result["changed"] for result in results) == [False, False, True]
    assert {result["to_version"] for result in results} == {NEWEST}
    assert len(jobs(kit)) == 1


def test_grants_that_were_lost(kit: Kit, migrated: None, options: dict[str, Any]) -> None:
    options["expected_version"] = NEWEST
    kit.ok("migration", **options)  # the metrics grants
    assert not jobs(kit)
    assert not kit.ok("migration", **options)["changed"]
    with kit.cursor(database=kit.database) as admin:
        admin.execute(f"REVOKE INSERT ON dbos.workflow_status FROM {kit.database}_role")
        admin.execute(f"REVOKE SELECT (status) ON dbos.workflow_status FROM {kit.database}_metrics")
    checked = kit.ok("migration", check=True, **options)
    assert "lacks INSERT on table workflow_status" in checked["diff"]["before"]
    assert "lacks workflow_status.status" in checked["diff"]["before"]
    assert kit.ok("migration", **options)["changed"]
    assert not kit.ok("migration", **options)["changed"]


def test_ahead_is_fine_behind_is_not(kit: Kit, migrated: None, options: dict[str, Any], images: dict[str, str]) -> None:
    run_as_owner(kit, "UPDATE dbos.dbos_migrations SET version = 999")
    done = kit.ok("migration", **options, expected_version=NEWEST)
    assert (done["from_version"], done["to_version"]) == (999, 999)
    assert not jobs(kit)
    done = kit.ok("migration", **options)
    assert (done["from_version"], done["to_version"]) == (999, 999)

    run_as_owner(kit, "UPDATE dbos.dbos_migrations SET version = 120")
    nothing = options | {"image": images["busybox"], "command": ["true"]}
    said = kit.refused("migration", **nothing, expected_version=NEWEST)
    assert "is at schema level 120, but its SDK needs 125. Run role migration" in said


@pytest.mark.parametrize("cli", ["go", "python"])
def test_the_cli_itself(kit: Kit, empty: None, options: dict[str, Any], cli: str, tmp_path: Path) -> None:
    """What the Job's container is told to do, done here: three at once by the real program, no URL in its arguments."""
    spec = migration_job.Spec(
        kit.app, kit.namespace, "image", cli, (), options["app_role"], "dbos", "db", "secret", "key", "", 60, 0
    )
    command, arguments = spec.invocation
    environment = os.environ | {
        migration_job.URL: pod_url(kit).replace("/etc/dbos/database-ca/ca.crt", str(tmp_path / "ca.crt"))
    }
    (tmp_path / "ca.crt").write_text(kit.ca)
    if cli == "go":
        command = [kit.platform.program("dbos")]
    else:
        environment["PATH"] = f"{python_dbos()}/bin:{environment['PATH']}"
    assert "owner-secret" not in str(command + arguments)

    def start() -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command + arguments, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True, cwd=tmp_path
        )

    # The Go CLI takes no lock: that is what the module is for.
    running = [start() for _number in range(3 if cli == "python" else 1)]
    for process in running:
        output, _nothing = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert "owner-secret" not in output
    assert level(kit) == NEWEST
    done = kit.ok("migration", **options, expected_version=NEWEST)
    assert done["from_version"] == NEWEST
    assert not jobs(kit)


def python_dbos() -> Path:
    """An environment with Python's dbos, made once per machine."""
    directory = (
        Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / f"dbos-kubernetes/python-dbos-{PYTHON_DBOS}"
    )
    if not (directory / "bin/dbos").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(directory)], check=True)
        subprocess.run([f"{directory}/bin/pip", "install", "--quiet", f"dbos=={PYTHON_DBOS}"], check=True)
    return directory


# When it goes wrong


def test_a_killed_run_is_taken_over(kit: Kit, migrated: None, options: dict[str, Any], images: dict[str, str]) -> None:
    slow = options | {"image": images["busybox"], "command": ["sleep", "8"]}
    call = kit.start("migration", run=kit.new_run(), **slow)
    until("there is a Job", lambda: jobs(kit))
    call.process.kill()
    call.process.wait()

    assert migration_job.active(jobs(kit))
    done = kit.ok("migration", **slow)
    assert done["job"] == f"{kit.app}-migrate-1"
    [job] = jobs(kit)
    assert migration_job.ended(job) == "Complete"


def test_an_active_job_blocks_another(
    kit: Kit, migrated: None, options: dict[str, Any], images: dict[str, str]
) -> None:
    slow = options | {"image": images["busybox"], "command": ["sleep", "8"]}
    call = kit.start("migration", run=kit.new_run(), **slow)
    until("there is a Job", lambda: jobs(kit))
    call.process.kill()
    call.process.wait()

    done = kit.ok("migration", **options)
    first, second = sorted(jobs(kit), key=lambda job: job["metadata"]["name"])
    assert done["job"] == second["metadata"]["name"] == f"{kit.app}-migrate-2"
    assert first["status"]["completionTime"] <= second["metadata"]["creationTimestamp"]


def test_the_lock_is_waited_for(kit: Kit, empty: None, options: dict[str, Any]) -> None:
    owner = {"database": kit.database, "user": f"{kit.database}_owner", "password": "owner-secret"}
    with kit.cursor(**owner) as session:
        session.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        said = kit.refused("migration", **options, timeout=3)
    assert f"Another migration of {kit.platform.node}:5432/{kit.database} still runs after 3 s" in said
    assert f"of {kit.database}_owner from" in said
    assert not jobs(kit)


FAILURES: list[tuple[dict[str, Any], list[str]]] = [
    ({"image": "none"}, ["ull"]),
    ({"command": ["dbos", "migrate"], "image": "busybox"}, ['"dbos"', "not found"]),
    ({"sdk": "go", "image": "busybox"}, ["can't open 'migrate'"]),
    ({"sdk": "python", "image": "busybox"}, ["python3", "not found"]),
    (
        {
            "command": ["sh", "-c", "echo to postgresql://u:topsecret@h/d owner-secret; echo last words; exit 3"],
            "image": "busybox",
        },
        ["BackoffLimitExceeded", "last words", "postgresql://u:***@h/d ***"],
    ),
    ({"command": ["sleep", "60"], "timeout": 4, "image": "busybox"}, ["DeadlineExceeded"]),
    ({"command": ["true"], "image": "busybox"}, ["succeeded, but", "has no schema dbos"]),
]


@pytest.mark.parametrize(
    ("changes", "words"), FAILURES, ids=["pull", "no-dbos", "not-dbos", "no-python", "crash", "deadline", "no-schema"]
)
def test_a_job_that_fails(
    kit: Kit, empty: None, options: dict[str, Any], images: dict[str, str], changes: dict[str, Any], words: list[str]
) -> None:
    digest = "@sha256:" + "0" * 64
    image = images.get(changes["image"], f"{kit.platform.node}:5443/tools/nothing{digest}")
    result = kit.call("migration", **options | changes | {"image": image, "backoff_limit": 0})
    assert result.get("failed"), result
    for word in words:
        assert word in result["msg"]
    assert "secret" not in result["msg"]
    assert result["job"] == f"{kit.app}-migrate-1"
    assert (result["from_version"], result["to_version"]) == (None, None)
    assert result["seconds"] < 300, "half of what the Job may take"
    # nothing is left that would hold up the next run
    assert not migration_job.active(jobs(kit))


def test_half_applied(kit: Kit, empty: None, options: dict[str, Any], images: dict[str, str]) -> None:
    """A Job that dies on its way says how far it came; the next run goes on from there."""
    script = subprocess.check_output([kit.platform.program("dbos"), "migrate", "--print-migrations", "all"], text=True)
    dying = "trap 'exit 1' TERM; while :; do sleep 0.1; done"
    failing = options | {"image": images["busybox"], "command": ["sh", "-c", dying], "backoff_limit": 0}
    call = kit.start("migration", **failing)
    until("the pod runs", lambda: [pod["status"]["phase"] for pod in kit.objects("pods", MIGRATIONS)] == ["Running"])
    run_as_owner(kit, script[: script.index("-- Migration 21\n")])
    killing = ["sh", "-c", "while kill 1; do sleep 0.1; done"]  # which ends with what it kills
    kit.platform.kubectl("exec", "-n", kit.namespace, f"job/{kit.app}-migrate-1", "--", *killing, check=False)
    said = call.end()["msg"]
    assert "The schema level went from none to 20." in said
    done = kit.ok("migration", **options)
    assert (done["from_version"], done["to_version"]) == (20, NEWEST)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"app_role": "nobody_at_all"}, "Role nobody_at_all does not exist in PostgreSQL"),
        ({"metrics_role": "nobody_at_all"}, "Role nobody_at_all does not exist in PostgreSQL"),
        ({"url_secret": "nothing"}, "Secret nothing in namespace"),
        ({"url_key": "nothing"}, "has no key nothing"),
        ({"ca_config_map": "nothing"}, "ConfigMap nothing in namespace"),
        ({"image": "registry/dbos-migrate:latest"}, "is not pinned by a digest"),
    ],
)
def test_refused_before_anything_runs(
    kit: Kit, empty: None, options: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    assert words in kit.refused("migration", **options | changes)
    assert not jobs(kit)


def test_a_check_where_there_is_no_platform_yet(kit: Kit, options: dict[str, Any]) -> None:
    checked = kit.ok("migration", check=True, **options, kubeconfig="/nonexistent/kubeconfig")
    assert (checked["changed"], checked["from_version"], checked["to_version"], checked["job"]) == (
        True,
        None,
        None,
        None,
    )
    assert "/nonexistent/kubeconfig does not exist" in checked["msg"]
    assert "/nonexistent/kubeconfig does not exist" in kit.refused(
        "migration", **options, kubeconfig="/nonexistent/kubeconfig"
    )


def test_old_jobs_go(kit: Kit, migrated: None, options: dict[str, Any], images: dict[str, str]) -> None:
    for number in range(3):
        kit.ok("migration", **options | {"image": images["busybox"], "command": ["true", str(number)], "keep_jobs": 2})
    assert sorted(job["metadata"]["name"] for job in jobs(kit)) == [f"{kit.app}-migrate-2", f"{kit.app}-migrate-3"]


def test_quick_when_there_is_nothing_to_do(kit: Kit, migrated: None, options: dict[str, Any]) -> None:
    """As quick, on whatever machine, as a module that reads the same database."""
    quick = options | {"expected_version": NEWEST}
    kit.ok("migration", **quick)
    calls = [("migration", quick), ("workflow_info", {"database_url": kit.owner_url()})] * 3
    seconds = [kit.ok(module, **given)["seconds"] for module, given in calls]
    assert min(seconds[::2]) < 3 * min(seconds[1::2])
    assert not jobs(kit)


def test_pods_that_are_refused(kit: Kit, empty: None, options: dict[str, Any]) -> None:
    kit.ok("workflow_info", database_url=kit.url())  # the run's relay is the one pod
    with kit.quota("none-more", pods=1):
        said = kit.refused("migration", **options)
    assert "exceeded quota: none-more" in said
    assert not jobs(kit)

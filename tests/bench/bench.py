"""`make bench`: the collection against a script of the guide's own commands, on one platform, in one run.

Arguments pick the parts (a to i); without any, all. Times are medians, a ratio is our time through the script's.
Part e is the drain check, at the numbers of finished workflows in BENCH_ROWS (3 and 10 million when not set).
Part f is the tick, with 1, 10 and 100 versions. Parts g and h are the promotion of a version, as its clients see it and
against a plain `kubectl rollout status`. Part i is AWS, on the tests' account.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import yaml
from aws import measure as measure_aws
from counting_proxy import CountingProxy
from drain import measure as measure_drain
from promotion import measure_promotion
from sealing import Sealing
from tick import measure as measure_tick

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DIRECTORY = Path("/var/lib/dbos-kubernetes")
NODE = "10.219.0.1"
OURS, SCRIPTS = "bench-collection", "bench-script"


def environment(**more: str) -> dict[str, str]:
    """What Ansible and the script are run with: this checkout's collection and the platform's tools."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    path = [str(Path(sys.executable).parent), str(DIRECTORY / "bin"), kept["PATH"]]
    return kept | {"PATH": os.pathsep.join(path), "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")} | more


def run(command: list[str], **variables: str) -> str:
    """A command's output; it must succeed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}")
    return done.stdout


def kubectl(*arguments: str) -> str:
    return run(["kubectl", "--kubeconfig", str(DIRECTORY / "kubeconfig"), *arguments])


def seconds(times: int, *actions: Callable[[], object]) -> list[float]:
    """The median of each action's runs. They take turns, so that what else the machine does meets all alike."""
    taken: list[list[float]] = [[] for _ in actions]
    for _ in range(times):
        for action, spent in zip(actions, taken, strict=True):
            started = time.monotonic()
            action()
            spent.append(time.monotonic() - started)
    return [statistics.median(spent) for spent in taken]


def line(what: str, ours: float, theirs: float, aim: float) -> None:
    verdict = "reached" if ours / theirs <= aim else "MISSED"
    print(f"{what:<58} {ours:7.2f} s {theirs:7.2f} s {ours / theirs:7.2f}   aim ≤ {aim:g} {verdict}", flush=True)


def deploy(*arguments: str, **variables: str) -> str:
    """Our deploy part, whole."""
    inventories = ["-i", "inventories/local", "-i", str(HERE / "inventory.yml"), "--limit", "bench"]
    return run(["ansible-playbook", *inventories, "deploy.yml", *arguments], **variables)


class Script:
    """The guide's commands in a namespace and a database of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # The images that our deploy has pushed.
        images = "{.items[*].spec.containers[*].image} {.items[*].spec.template.spec.containers[*].image}"
        found = kubectl("get", "pods,jobs", "--namespace", OURS, "-o", f"jsonpath={images}").split()
        self._images = {name: next(one for one in found if f"/{name}@" in one) for name in ("dbos-app", "dbos-migrate")}

    def __call__(self) -> None:
        run(
            ["sh", str(HERE / "walkthrough.sh")],
            KUBECONFIG=str(DIRECTORY / "kubeconfig"),
            NAMESPACE=SCRIPTS,
            DATABASE="script_bench",
            DATABASE_HOST=NODE,
            PGPASSWORD=(DIRECTORY / "postgresql/admin-password").read_text().strip(),
            PGSSLROOTCERT=str(DIRECTORY / "pki/ca.crt"),
            APP_ROLE_PASSWORD="choose-another-secure-password",
            APP_IMAGE=self._images["dbos-app"],
            MIGRATE_IMAGE=self._images["dbos-migrate"],
            WORK=str(self._folder),
        )


def sql(statement: str, *values: str) -> list[tuple[Any, ...]]:
    """Rows of our application's database, as its owner."""
    password = (DIRECTORY / "credentials/bench/owner").read_text().strip()
    with closing(admin(dbname="bench", user="bench_owner", password=password)) as session, session.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall()


def admin(**settings: str) -> Any:
    """A session on the platform's PostgreSQL, as its admin unless told otherwise."""
    password = (DIRECTORY / "postgresql/admin-password").read_text().strip()
    given = {"host": NODE, "dbname": "postgres", "user": "dbos_admin", "password": password}
    verified = {"sslmode": "verify-full", "sslrootcert": str(DIRECTORY / "pki/ca.crt")}
    return psycopg2.connect(**{**given, **verified, **settings})


def clean(namespace: str, prefix: str) -> None:
    """Back to an empty namespace: its objects, the database and the roles are gone."""
    run(
        [
            "kubectl",
            "--kubeconfig",
            str(DIRECTORY / "kubeconfig"),
            "delete",
            "namespace",
            namespace,
            "--ignore-not-found",
        ]
    )
    connection = admin()
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname = %s", (prefix,))
        if cursor.fetchone():
            cursor.execute(f'DROP DATABASE "{prefix}" WITH (FORCE)')
        cursor.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", (f"{prefix}_",))
        for (role,) in cursor.fetchall():
            cursor.execute(f'DROP ROLE "{role}"')
    connection.close()


def measure_deploy(parts: str, folder: Path) -> None:
    """(a), (b) and (d)."""
    deploy()
    script = Script(folder)
    if "b" in parts:
        ours, theirs = [], []
        for _ in range(3):
            clean(OURS, "bench")
            ours += seconds(1, deploy)
            clean(SCRIPTS, "script_bench")
            theirs += seconds(1, script)
        line("(b) first deploy, from an empty namespace", statistics.median(ours), statistics.median(theirs), 1.5)
    if "a" in parts:
        script()
        # Every process compiles what it imports, as after an installation without compiled bytecode.
        fresh = {"PYTHONPYCACHEPREFIX": str(folder / "none"), "PYTHONDONTWRITEBYTECODE": "1"}
        compiled, uncompiled, theirs = seconds(5, deploy, lambda: deploy(**fresh), script)
        line("(a) converged deploy, run again", compiled, theirs, 1.0)
        line("(a) the same, bytecode not compiled", uncompiled, theirs, 1.0)
    if "d" in parts:
        with CountingProxy(DIRECTORY / "kubeconfig").running() as proxy:
            counted = folder / "kubeconfig"
            counted.write_text(yaml.safe_dump(proxy.kubeconfig))
            deploy("-e", f'{{"platform_kubernetes": {{"kubeconfig": "{counted}"}}}}')
        print(f"(d) requests to the API server in a converged deploy: {len(proxy.requests)}")
        for request, count in Counter(proxy.requests).most_common():
            print(f"    {count:3} {request[:150]}")
    clean(OURS, "bench")
    clean(SCRIPTS, "script_bench")


def measure_sealing(folder: Path) -> None:
    """(c)."""
    tools = (str(DIRECTORY / "bin/kubectl"), str(DIRECTORY / "bin/kubeseal"))
    sealing = Sealing(folder, *tools, environment(PYTHONPATH=str(ROOT / "collections")))
    line(
        "(c) 1,000 values: one call, one kubeseal", *seconds(5, sealing.module(1, 1000), sealing.one_process(1000)), 1.0
    )
    line("(c) 100 Secrets: one call, 100 pipelines", *seconds(2, sealing.module(100, 1), sealing.pipelines(100)), 0.1)


def main() -> None:
    parts = "".join(sys.argv[1:]) or "abcdefghi"
    run(["ansible-playbook", "-i", "inventories/local", "provision.yml"])
    print(f"{'':<58} {'ours':>9} {'script':>9} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        if "c" in parts:
            measure_sealing(Path(folder))
        if set(parts) & set("abd"):
            measure_deploy(parts, Path(folder))
        if set(parts) & set("gh"):
            measure_promotion(
                deploy, kubectl, sql, [str(DIRECTORY / "bin/kubectl"), "--kubeconfig", str(DIRECTORY / "kubeconfig")]
            )
            clean(OURS, "bench")
        if "e" in parts:
            rows = os.environ.get("BENCH_ROWS", "3000000,10000000")
            measure_drain(DIRECTORY, NODE, [int(number) for number in rows.split(",")])
        if "f" in parts:
            measure_tick(DIRECTORY, NODE)
        if "i" in parts:
            measure_aws()


if __name__ == "__main__":
    main()

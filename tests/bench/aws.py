"""AWS: a platform's making against its critical path, a converged one in calls, tokens, and modules against upstream's.

The account is the tests' server; the ratios are of one run.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / name) for name in ("collections", "tests/integration", "tests/aws")]

from aws_kit import REGION, Aws, serving

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import token
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account

# AWS' usual minutes, as seconds: 60 times faster.
DELAYS = {"cluster.create": 9.0, "nodegroup.create": 3.0, "db_instance.create": 6.0}
CRITICAL = DELAYS["cluster.create"] + DELAYS["nodegroup.create"]
CA = "file:///var/lib/dbos-kubernetes/pki/ca.crt"  # some CA, for what is no endpoint of AWS
# What is measured is AWS: no cluster and no registry is behind the endpoints.
NO_CLUSTER = {"addons_sealed_secrets_managed": False, "addons_keda_managed": False, "images_build": []}
NO_CLUSTER |= {"release_image": "", "migration_image": "", "eks_endpoint_check": False, "rds_ca_url": CA}


def environment(aws: Aws) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "AWS_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    return kept | aws.env | {"PATH": path, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")}


def play(aws: Aws, playbook: str | Path, *arguments: str, **variables: Any) -> float:
    """Seconds that a playbook takes; it must succeed."""
    command = ["ansible-playbook", "-i", "inventories/aws", str(playbook), *arguments]
    started = time.monotonic()
    done = subprocess.run(
        [*command, "-e", json.dumps({"platform_region": REGION, **variables})],
        cwd=ROOT,
        env=environment(aws),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    taken = time.monotonic() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}")
    return taken


def measure_provision(aws: Aws) -> None:
    """The making, with AWS' delays and without any, and a second run."""
    plain = play(aws, "provision.yml", **NO_CLUSTER)
    aws.reset()
    aws.delays(**{"default": 0.0, **DELAYS})
    slow = play(aws, "provision.yml", **NO_CLUSTER)
    print(f"made with AWS' delays, 60 times faster: {slow:.1f} s; without any: {plain:.1f} s", flush=True)
    path = plain + CRITICAL
    print(f"  through the delays on its critical path and our own work, {path:.1f} s: {slow / path:.2f}   aim ≤ 1.15")
    print(f"  through the delays alone, {CRITICAL:.0f} s: {slow / CRITICAL:.2f}")
    aws.delays(default=0.0)
    aws.clear_calls()
    again = play(aws, "provision.yml", **NO_CLUSTER)
    calls = aws.made_calls()
    services = ", ".join(
        f"{count} {name}" for name, count in Counter(call.partition(":")[0] for call in calls).most_common()
    )
    print(f"converged: {again:.1f} s (aim ≤ 25), {len(calls)} calls (aim ≤ 60): {services}", flush=True)


def measure_token(aws: Aws) -> None:
    """One, signed here and by the CLI."""
    account = Account(
        {
            "region": REGION,
            "access_key": aws.env["AWS_ACCESS_KEY_ID"],
            "secret_key": aws.env["AWS_SECRET_ACCESS_KEY"],
        }
    )
    token.create(account, "production")
    ours = []
    for _ in range(20):
        started = time.perf_counter()
        token.create(account, "production")
        ours.append(time.perf_counter() - started)
    mine = statistics.median(ours)
    print(f"a token: {mine * 1000:.1f} ms (aim ≤ 20)", end="", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        uv = subprocess.run(
            [ROOT / "tools/bootstrap", "--uv"], capture_output=True, text=True, check=True
        ).stdout.strip()
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", f"{folder}/bin/python", "awscli"], check=True)
        command = [f"{folder}/bin/aws", "eks", "get-token", "--cluster-name", "production", "--region", REGION]
        theirs = []
        for _ in range(4):
            started = time.perf_counter()
            subprocess.run(command, env=environment(aws), check=True, capture_output=True)
            theirs.append(time.perf_counter() - started)
    cli = statistics.median(theirs[1:])
    print(f", aws eks get-token: {cli * 1000:.0f} ms, ratio {mine / cli:.3f}", flush=True)


def measure_modules(aws: Aws) -> None:
    """One converged task of ours and of upstream's, ten times each in one play; what is left is the module."""
    cluster = aws.client("eks").describe_cluster(name="production")["cluster"]
    network = cluster["resourcesVpcConfig"]
    repository = aws.client("ecr").describe_repositories()["repositories"][0]["repositoryName"]
    vpc = aws.client("ec2").describe_vpcs(VpcIds=[network["vpcId"]])["Vpcs"][0]
    where = {"region": REGION}
    pairs = {
        "cluster": (
            {
                "dbos.kubernetes.eks_cluster": {
                    **where,
                    "platform": "production",
                    "version": cluster["version"],
                    "role_arn": cluster["roleArn"],
                    "subnet_ids": network["subnetIds"],
                    "endpoint_check": False,
                }
            },
            {
                "community.aws.eks_cluster": {
                    **where,
                    "name": "production",
                    "version": cluster["version"],
                    "role_arn": cluster["roleArn"],
                    "subnets": network["subnetIds"],
                    "security_groups": network["securityGroupIds"],
                }
            },
        ),
        "repository": (
            {"dbos.kubernetes.ecr_repositories": {**where, "platform": "production", "repositories": [repository]}},
            {"community.aws.ecs_ecr": {**where, "name": repository}},
        ),
        "network (upstream: the VPC alone)": (
            {"dbos.kubernetes.aws_network": {**where, "platform": "production"}},
            {
                "amazon.aws.ec2_vpc_net": {
                    **where,
                    "name": "production",
                    "cidr_block": vpc["CidrBlock"],
                    "purge_tags": False,
                }
            },
        ),
    }
    for what, tasks in pairs.items():
        ours, theirs = (_per_task(aws, task) for task in tasks)
        print(
            f"{what}: {ours[0]:.2f} s and {ours[1]} calls, upstream {theirs[0]:.2f} s and {theirs[1]} calls,", end=" "
        )
        print(f"ratio {ours[0] / theirs[0]:.2f}", flush=True)


def _per_task(aws: Aws, task: dict[str, Any]) -> tuple[float, int]:
    """Seconds and calls of one task, beside what a play without it takes."""
    times, calls = [], 0
    for repeats in (1, 11):
        play_of = [
            {
                "hosts": "dbos_platforms",
                "gather_facts": False,
                "tasks": [{**task, "loop": list(range(repeats)), "ignore_errors": True}],
            }
        ]
        with tempfile.NamedTemporaryFile("w", suffix=".yml", dir=ROOT) as stream:
            json.dump(play_of, stream)
            stream.flush()
            aws.clear_calls()
            times.append(play(aws, stream.name))
            calls = len(aws.made_calls()) - calls
    return (times[1] - times[0]) / 10, calls // 10


def measure() -> None:
    """All of it."""
    with serving() as aws:
        measure_provision(aws)
        measure_token(aws)
        measure_modules(aws)

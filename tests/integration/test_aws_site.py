"""The whole walkthrough on AWS, from an empty account to nothing left: only endpoints are not Amazon's.

AWS' APIs are the test server's. What is behind them is real: a local platform of the test's own, in a network
namespace, has the Kubernetes behind the cluster's endpoint, which lets in only who has the cluster's tokens, the
PostgreSQL behind the database's, and the registry behind ECR.
"""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from collections import Counter

import pytest
from aws_kit import Aws
from eks_front import EksFront
from leak_kit import Watch, leaks
from namespace_kit import local_platform, network
from server import Server

pytestmark = pytest.mark.slow

NODE = "10.219.0.1"
INVENTORY = "inventories/aws"
NAME, REGION = "production", "eu-central-1"  # the platform's in the inventory


class Site:
    """An account with a platform behind it."""

    def __init__(self, aws, front, directory, inside, ansible_playbook, root):
        self.aws, self.front, self.directory, self.inside = aws, front, directory, inside
        self._playbook, self._root = ansible_playbook, root
        ca = directory / "pki/ca.crt"
        # Passwords as a user gives them, and the trust in the registry's certificate, which Amazon's needs not.
        self.secrets = {f"DATABASE_{role}_PASSWORD": uuid.uuid4().hex for role in ("OWNER", "APP", "METRICS")}
        self.environment = {**aws.env, **self.secrets, "AWS_REGION": None, "SSL_CERT_FILE": str(ca)}
        example = str(root / "examples/go-starter")
        self.variables = {
            "rds_ca_url": f"file://{ca}",
            "rds_master_username": "dbos_admin",  # PostgreSQL's, behind the endpoint
            # What pulls from the Internet otherwise
            "addons_helm": f"{directory}/bin/helm",
            "addons_sealed_secrets_chart": f"{directory}/addons/sealed-secrets",
            "addons_sealed_secrets_chart_repository": "",
            "addons_sealed_secrets_chart_version": "",
            "addons_sealed_secrets_values": {
                "image": {
                    "registry": f"{NODE}:5443",
                    "repository": "addons/sealed-secrets-controller",
                    "tag": "0.40.0",
                },
                "command": ["/usr/local/bin/controller"],
            },
            "addons_keda_manifests": [f"{directory}/addons/keda/keda.yaml"],
            "platform_relay_image": f"{NODE}:5443/tools/relay:1",
            "images_build": [
                {
                    "name": "dbos-app",
                    "context": example,
                    "containerfile": "Containerfile.local",
                    "prepare": ["sh", "local-context.sh", "app"],
                },
                {
                    "name": "dbos-migrate",
                    "context": example,
                    "containerfile": "Containerfile.migrate.local",
                    "prepare": ["sh", "local-context.sh", "migrate"],
                },
            ],
        }

    @property
    def registry_password(self):
        return self.aws.server.application.patches.registry_password

    def kubectl(self, *arguments):
        """What it prints, as the local platform's administrator."""
        command = [self.directory / "bin/kubectl", f"--kubeconfig={self.directory}/kubeconfig", *arguments]
        done = self.inside.run(subprocess.run, command, capture_output=True, text=True, check=True)
        return done.stdout

    def left(self):
        """What the account still has, but keys, which AWS deletes days later."""
        ec2 = self.aws.client("ec2", REGION)
        return [
            *self.aws.client("eks", REGION).list_clusters()["clusters"],
            *self.aws.client("rds", REGION).describe_db_instances()["DBInstances"],
            *self.aws.client("ecr", REGION).describe_repositories()["repositories"],
            *self.aws.client("iam", REGION).list_roles()["Roles"],
            *self.aws.client("logs", REGION).describe_log_groups()["logGroups"],
            *self.aws.client("secretsmanager", REGION).list_secrets()["SecretList"],
            *ec2.describe_vpcs(Filters=[{"Name": "tag-key", "Values": ["dbos.kubernetes/platform"]}])["Vpcs"],
            *ec2.describe_addresses()["Addresses"],
            *ec2.describe_launch_templates()["LaunchTemplates"],
        ]

    def play(self, playbook, *arguments, **variables):
        """A run in a process of its own."""
        self.aws.clear_calls()
        return self.inside.run(
            self._playbook,
            playbook,
            *arguments,
            inventory=self._root / INVENTORY,
            extra_vars=self.variables | variables,
            env=self.environment,
        )


@pytest.fixture(scope="module")
def site(platform, ansible_playbook, root, tmp_path_factory):
    """The shared platform is asked for first, so that everything is built."""
    work = tmp_path_factory.mktemp("site")
    with (
        network(f"dbos-aws-{os.getpid()}") as inside,
        local_platform(inside, ansible_playbook, work) as directory,
    ):
        server = inside.run(Server)
        server.start()
        aws = Aws(server)
        aws.reset()
        front = EksFront(directory, NAME, aws.url, aws.env["AWS_ACCESS_KEY_ID"], aws.env["AWS_SECRET_ACCESS_KEY"])
        password = (directory / "postgresql/admin-password").read_text().strip()
        with front.running(inside.enter):
            aws.set(
                endpoint={"endpoint": front.url, "certificateAuthority": {"data": front.ca_data}},
                database_endpoint={"Address": NODE, "Port": 5432},
                database_password=password,
                registry=f"{NODE}:5443",
                registry_password=uuid.uuid4().hex,
            )
            yield Site(aws, front, directory, inside, ansible_playbook, root)
        server.stop()


def test_an_empty_account_is_previewed(site):
    run = site.play("site.yml", "--check", "--diff")
    assert run.changed > 10
    assert f"EKS cluster {NAME} in {REGION} does not exist" in run.output
    assert not [
        call for call in site.aws.made_calls() if not call.split(":")[1].startswith(("Describe", "Get", "List"))
    ]


def test_from_an_empty_account_to_a_running_application(site):
    run = site.play("site.yml")
    assert "Nothing needs a person." in run.output
    assert len(site.front.tokens) > 5 and not site.front.refused


def test_a_second_run_changes_nothing(site):
    run = site.play("provision.yml")
    assert run.changed == 0, run.output
    calls = site.aws.made_calls()
    assert len(calls) <= 60, calls


def test_an_application_is_deployed_on_another_day_and_no_secret_shows(site, temporary):
    """In a process that knows of the platform what the inventory says, watched by one that looks for secrets."""
    password = (site.directory / "postgresql/admin-password").read_text().strip()
    secrets = {
        **site.secrets,
        "master": password,
        "AWS": site.aws.env["AWS_SECRET_ACCESS_KEY"],
        "registry": site.registry_password,
        "token": "k8s-aws-v1.aHR0c",  # as every token begins
    }
    below = {"TMPDIR": temporary, "ANSIBLE_LOCAL_TEMP": temporary / "l", "ANSIBLE_REMOTE_TEMP": temporary / "r"}
    site.environment |= {name: str(path) for name, path in below.items()}
    with Watch(secrets, temporary) as watch:
        run = site.play("deploy.yml", "--limit", "dbos-app", "--diff", "-vvv", release_version="v2")
    assert run.changed > 0
    assert leaks(run.output.encode(), secrets) == []
    assert watch.samples > 20
    assert watch.found == set()
    # Each secret of AWS is read when a task needs it; all else once.
    calls = Counter(site.aws.made_calls())
    assert calls.pop("ecr:GetAuthorizationToken") < 5 and calls.pop("secretsmanager:GetSecretValue") < 3
    assert calls == {"eks:DescribeCluster": 1, "rds:DescribeDBInstances": 1}


def test_its_status_is_shown(site):
    run = site.play("status.yml", "--limit", "dbos-app")
    assert re.search(r"v2 +Promoted", run.output)


def test_nothing_is_left_at_the_end(site):
    run = site.play(
        "teardown.yml",
        teardown_scope="platform",
        teardown_confirm=NAME,
        teardown_final_snapshot="none",
        teardown_delete_images=True,
    )
    assert "Nothing of the platform is left." in run.output
    assert site.kubectl("get", "namespace", "dbos", "--ignore-not-found") == ""
    assert not site.inside.run(site.left)

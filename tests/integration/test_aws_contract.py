"""What an application must know of a platform on AWS, found by the inventory's lookups with no call too many."""

from __future__ import annotations

import json
from collections import Counter

import pytest
import yaml

REGION = "eu-central-1"  # the inventory's
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PARTS = ("host", "port", "user", "password", "ca", "sslmode")
SECRET = 'm4ster\'s-"pass"-/@:?#&+-${x}'


@pytest.fixture(scope="module")
def environment(aws, tmp_path_factory):
    bundle = tmp_path_factory.mktemp("truststore") / "bundle.pem"
    bundle.write_text(PEM)
    return aws.env | {"AWS_REGION": None, "BUNDLE": f"file://{bundle}"}


@pytest.fixture
def evaluate(aws, ansible_playbook, environment, tmp_path, root):
    """Has an application's host evaluate expressions in tasks of one play: what they give, and what was called."""

    def run(*arguments, check=True, tasks=1, without=(), **expressions):
        texts = {name: text.replace("PLATFORM", "hostvars['production']") for name, text in expressions.items()}
        task = {
            "ansible.builtin.copy": {"dest": str(tmp_path / "said"), "content": "{{ said | to_json }}"},
            "vars": {"said": {name: "{{ " + text + " }}" for name, text in texts.items()}},
            "check_mode": False,
        }
        play = {"hosts": "dbos-app", "gather_facts": False, "tasks": [task] * tasks}
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
        aws.clear_calls()
        done = ansible_playbook(
            tmp_path / "play.yml",
            *arguments,
            inventory=root / "inventories/aws",
            extra_vars={"rds_ca_url": environment["BUNDLE"]},
            env=environment | dict.fromkeys(without),
            check=check,
        )
        said = json.loads((tmp_path / "said").read_text()) if done.returncode == 0 else done.output
        return said, Counter(aws.made_calls())

    return run


@pytest.fixture(scope="module")
def made(aws):
    """A cluster and a database, as the roles name them."""
    aws.reset()
    aws.set(database_password=SECRET)
    ec2, rds = aws.client("ec2", REGION), aws.client("rds", REGION)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{i}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"][
            "SubnetId"
        ]
        for i, zone in enumerate("ab")
    ]
    aws.client("eks", REGION).create_cluster(
        name="production",
        roleArn=aws.role("cluster", "eks.amazonaws.com", "AmazonEKSClusterPolicy"),
        resourcesVpcConfig={"subnetIds": subnets},
    )
    rds.create_db_subnet_group(DBSubnetGroupName="a", DBSubnetGroupDescription="a", SubnetIds=subnets)
    rds.create_db_instance(
        DBInstanceIdentifier="production",
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="dbos_admin",
        ManageMasterUserPassword=True,
        DBSubnetGroupName="a",
    )


def test_every_part_is_found_by_the_platforms_name(evaluate, made):
    said, calls = evaluate(
        tasks=2,
        database="PLATFORM.platform_database",
        kubeconfig="PLATFORM.platform_kubernetes.kubeconfig",
        registry="PLATFORM.platform_registry",
    )
    database, kubeconfig, registry = said["database"], said["kubeconfig"], said["registry"]
    assert database["host"].endswith(f".{REGION}.rds.amazonaws.com")
    assert (database["port"], database["user"], database["sslmode"]) == (5432, "dbos_admin", "verify-full")
    assert (database["password"], database["ca"]) == (SECRET, PEM)
    (cluster,), (user,) = kubeconfig["clusters"], kubeconfig["users"]
    assert cluster["cluster"]["server"].startswith("https://") and user["user"]["token"].startswith("k8s-aws-v1.")
    assert registry["host"] == f"{cluster['name'].split(':')[4]}.dkr.ecr.{REGION}.amazonaws.com"
    assert registry["username"] == "AWS" and registry["password"]
    # Two tasks: what doesn't change is asked for once, and a secret each time.
    assert calls == {
        "eks:DescribeCluster": 1,
        "rds:DescribeDBInstances": 1,
        "secretsmanager:GetSecretValue": 2,
        "ecr:GetAuthorizationToken": 2,
    }


def test_a_part_costs_no_secret(evaluate, made):
    said, calls = evaluate(
        "-e",
        "rds_master_password=given",
        host="PLATFORM.platform_database.host",
        url="PLATFORM.platform_database | dbos.kubernetes.database_url(user='shop', password='own')",
        password="PLATFORM.platform_database.password",
    )
    assert said["url"].startswith(f"postgresql://shop:own@{said['host']}:5432/postgres")
    assert said["password"] == "given"
    assert calls == {"rds:DescribeDBInstances": 1}


def test_what_is_not_there_yet_is_previewed(evaluate, aws):
    aws.reset()
    said, calls = evaluate(
        "--check",
        database="PLATFORM.platform_database",
        url="PLATFORM.platform_database | dbos.kubernetes.database_url",
        kubeconfig="PLATFORM.platform_kubernetes.kubeconfig",
    )
    assert said["database"] == {
        "host": "production.invalid",
        "port": 5432,
        "user": "(to be made)",
        "password": "",
        "ca": "",
        "sslmode": "verify-full",
    }
    assert "EKS cluster production in eu-central-1 does not exist" in json.dumps(said["kubeconfig"])
    assert set(calls) == {"eks:DescribeCluster", "rds:DescribeDBInstances"}


def test_what_is_not_there_is_named(evaluate, aws):
    aws.reset()
    said, _calls = evaluate(host="PLATFORM.platform_database.host", check=False)
    assert "There is no RDS instance production in eu-central-1 that can be connected to: run provision.yml." in said


def test_missing_credentials_are_named(evaluate, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    said, calls = evaluate(
        kubeconfig="PLATFORM.platform_kubernetes", check=False, without=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    )
    assert "There are no AWS credentials: set AWS_PROFILE" in said
    assert not calls

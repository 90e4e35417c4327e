"""A platform on AWS is taken down to nothing, and to nothing more than itself."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore
import pytest
import teardown_kit as kit
from aws_kit import REGION, Aws

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import deletions, execute
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown import resources as kinds
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.teardown.observe import Observer

READS = ("describe_", "list_", "get_")
DECIDED = {"platform": "shop", "final_snapshot": "none", "delete_images": True, "secret_recovery_window": 0}


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow one another faster than on AWS."""
    monkeypatch.setattr("ansible_collections.dbos.kubernetes.plugins.module_utils.aws.waiting.SHORTEST", 0.05)


@pytest.fixture
def account(aws: Aws) -> Iterator[Account]:
    """The account as modules see it."""
    keys = {"access_key": aws.env["AWS_ACCESS_KEY_ID"], "secret_key": aws.env["AWS_SECRET_ACCESS_KEY"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", aws.url)
        yield Account({"region": REGION, **keys})


def teardown(aws: Aws, *, check: bool = False, **options: Any) -> dict[str, Any]:
    """The module's result."""
    confirm = {} if check else {"confirm": "shop"}
    return aws.module("aws_teardown", check=check, **{**DECIDED, **confirm, **options})


def writes(aws: Aws) -> list[str]:
    """What was called that changes something."""
    return [one["operation"] for one in aws.calls() if not one["operation"].startswith(READS)]


def tagged(aws: Aws) -> set[str]:
    """What AWS' own inventory has of the platform, but for what AWS deletes later."""
    client = aws.client("resourcegroupstaggingapi")
    found = client.get_resources(TagFilters=[{"Key": "dbos.kubernetes/platform", "Values": ["shop"]}])
    arns = {one["ResourceARN"] for one in found["ResourceTagMappingList"]}
    return {arn for arn in arns if ":kms:" not in arn and "natgateway" not in arn}


def left_in_vpc(aws: Aws, vpc: str) -> list[Any]:
    """The VPC, if it is there."""
    return aws.client("ec2").describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Vpcs"]  # type: ignore[no-any-return]


def others(aws: Aws, made: kit.Made) -> dict[str, str]:
    """What is in our VPC and under our name, but not ours; by kind."""
    ec2 = aws.client("ec2")
    group = ec2.create_security_group(GroupName="theirs", Description="theirs", VpcId=made.vpc)["GroupId"]
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}
    rule["UserIdGroupPairs"] = [{"GroupId": made.groups["database"]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    instance = ec2.run_instances(
        ImageId="ami-12345678", MinCount=1, MaxCount=1, SubnetId=made.subnets[2], SecurityGroupIds=[group]
    )["Instances"][0]["InstanceId"]
    card = ec2.create_network_interface(SubnetId=made.subnets[3], Groups=[group], Description="a function's")
    kit.repository(aws, "shop/theirs", images=1, tags={})
    aws.client("rds").create_db_instance(
        DBInstanceIdentifier="theirs",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="dbos",
        MasterUserPassword="a-long-password",
    )
    aws.client("rds").create_db_snapshot(DBInstanceIdentifier="theirs", DBSnapshotIdentifier="shop-copied")
    aws.client("iam").create_role(RoleName="shop-theirs", AssumeRolePolicyDocument="{}")
    return {
        kinds.GROUP: group,
        kinds.INSTANCE: instance,
        kinds.INTERFACE: card["NetworkInterface"]["NetworkInterfaceId"],
        kinds.REPOSITORY: "shop/theirs",
        kinds.ROLE: "shop-theirs",
    }


def test_a_whole_platform_goes_and_nothing_is_left(aws: Aws, account: Account) -> None:
    made = kit.whole(aws)
    aws.set(late_logs=True, leak_interfaces=True)
    kit.cluster_of_others(aws)
    inventory = Observer(account, "shop").observe()
    for one in inventory:
        for kind, name in one.needs:
            assert one.kind in kinds.before(kind), f"{one.title} needs {kind} {name}, which goes before it"
    assert {one.kind for one in inventory if not one.ours} == set()

    aws.clear_calls()
    planned = teardown(aws, check=True, final_snapshot="shop-final")
    assert planned["changed"] and writes(aws) == []
    assert {(one.kind, one.id) for one in inventory} == {
        (one["kind"], one["id"]) for one in [*planned["deleted"], *planned["kept"]]
    }
    for one in planned["deleted"]:
        assert one["id"] in planned["table"]

    done = teardown(aws, final_snapshot="shop-final")
    assert done["changed"] and done["left"] == [] and done["foreign"] == [], done.get("msg")
    assert done["unconfirmed"] == []
    assert [one["id"] for one in done["kept"]] == ["shop-final"]
    assert done["monthly_cost"] == 1.9
    assert [one["id"] for one in done["scheduled"]] == [made.key]
    assert tagged(aws) == {f"arn:aws:rds:{REGION}:123456789012:snapshot:shop-final"}
    assert left_in_vpc(aws, made.vpc) == []
    assert aws.client("logs").describe_log_groups()["logGroups"] == []
    assert [one["VolumeId"] for one in aws.client("ec2").describe_volumes()["Volumes"]] == []
    balancers = aws.client("elb").describe_load_balancers()["LoadBalancerDescriptions"]
    assert [one["LoadBalancerName"] for one in balancers] == ["b2"]
    assert aws.client("elbv2").describe_target_groups()["TargetGroups"] == []
    assert aws.client("eks").list_clusters()["clusters"] == ["shop-two"]
    assert [one["AliasName"] for one in aws.client("kms").list_aliases()["Aliases"] if "shop" in one["AliasName"]] == []

    aws.clear_calls()
    again = teardown(aws, final_snapshot="shop-final")
    assert not again["changed"] and writes(aws) == []
    assert "Nothing of the platform is left but for what is kept" in again["table"]


def test_what_is_not_ours_is_named_and_left(aws: Aws) -> None:
    made = kit.whole(aws)
    theirs = others(aws, made)
    planned = teardown(aws, check=True)
    failed = teardown(aws)
    for result in (planned, failed):
        named = {(one["kind"], one["id"]) for one in result["foreign"]}
        assert named == set(theirs.items())
        left = {one["id"]: one["why"] for one in result["left"]}
        assert left.keys() >= {made.vpc, made.subnets[2], made.subnets[3], made.groups["database"]}
        assert theirs[kinds.INSTANCE] in left[made.subnets[2]] and "not ours" in left[made.subnets[2]]
        assert theirs[kinds.GROUP] in left[made.groups["database"]]
        assert made.subnets[0] not in left or "route" in left[made.subnets[0]]
    assert failed["failed"] and theirs[kinds.INSTANCE] in failed["msg"] and made.subnets[2] in failed["msg"]
    assert not planned.get("failed")

    ec2 = aws.client("ec2")
    ec2.terminate_instances(InstanceIds=[theirs[kinds.INSTANCE]])
    ec2.delete_network_interface(NetworkInterfaceId=theirs[kinds.INTERFACE])
    ec2.delete_security_group(GroupId=theirs[kinds.GROUP])
    done = teardown(aws)
    assert done["left"] == [], done.get("msg")
    assert {one["id"] for one in done["foreign"]} == {"shop/theirs", "shop-theirs"}
    assert left_in_vpc(aws, made.vpc) == [] and tagged(aws) == set()
    assert [one["repositoryName"] for one in aws.client("ecr").describe_repositories()["repositories"]] == [
        "shop/theirs"
    ]
    assert [one["DBSnapshotIdentifier"] for one in aws.client("rds").describe_db_snapshots()["DBSnapshots"]][-1:] == [
        "shop-copied"
    ]


def test_a_cluster_and_a_database_of_our_name_but_not_ours_stay_with_all_that_names_them(aws: Aws) -> None:
    made = kit.whole(aws)
    aws.client("eks").untag_resource(
        resourceArn=f"arn:aws:eks:{REGION}:123456789012:cluster/shop", tagKeys=["dbos.kubernetes/platform"]
    )
    aws.client("rds").remove_tags_from_resource(
        ResourceName=f"arn:aws:rds:{REGION}:123456789012:db:shop", TagKeys=["dbos.kubernetes/platform"]
    )
    aws.clear_calls()
    result = teardown(aws)
    named = {(one["kind"], one["id"]) for one in result["foreign"]}
    assert named >= {(kinds.CLUSTER, "shop"), (kinds.DATABASE, "shop"), (kinds.CLASSIC, "a1")}
    assert (kinds.LOG_GROUP, "/aws/eks/shop/cluster") in named
    assert (kinds.LOG_GROUP, "/aws/rds/instance/shop/postgresql") in named
    called = set(writes(aws))
    assert not called & {"delete_cluster", "delete_nodegroup", "delete_addon", "delete_db_instance", "delete_volume"}
    assert not called & {"delete_log_group", "update_cluster_config", "modify_db_instance"}
    assert {one["id"] for one in result["left"]} >= {made.vpc, "shop-eks-cluster"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"confirm": "shop-two"}, "has to be confirmed by its name: teardown_confirm is 'shop-two'"),
        ({"final_snapshot": ""}, "Database shop is to be deleted: give the name of a final snapshot"),
        ({"delete_images": False}, "Repository shop/app holds 1 images"),
        ({"final_snapshot": "-"}, "can't be the name of a database snapshot"),
        ({"key_deletion_window": 3}, "key_deletion_window is 3: AWS takes 7 to 30 days"),
        ({"secret_recovery_window": 5}, "secret_recovery_window is 5: AWS takes 7 to 30 days, or 0"),
    ],
)
def test_what_is_not_decided_is_refused_before_anything_is_touched(
    built: Aws, options: dict[str, Any], words: str
) -> None:
    result = teardown(built, **options)
    assert result["failed"] and words in result["msg"]
    assert writes(built) == []


@pytest.fixture(scope="module")
def built(aws: Aws) -> Aws:
    """A platform that nobody changes."""
    kit.whole(aws)
    aws.clear_calls()
    return aws


def test_check_mode_says_what_is_to_be_decided(built: Aws) -> None:
    result = teardown(built, check=True, final_snapshot="", delete_images=False)
    assert len(result["undecided"]) == 2 and not result.get("failed")
    assert "To be decided: Database shop" in result["table"]


def test_an_empty_account_has_nothing_to_take_down(aws: Aws) -> None:
    aws.reset()
    for check in (True, False):
        result = teardown(aws, check=check)
        assert result["table"] == f"Nothing of platform shop is in {REGION}."
        assert not result["changed"] and result["monthly_cost"] == 0


def test_what_is_kept_stays_with_what_it_needs(aws: Aws) -> None:
    made = kit.whole(aws)
    done = teardown(aws, keep=["database", "repositories", "logs", "keys", "volumes", "secrets"])
    assert done["left"] == [], done.get("msg")
    kept = {(one["kind"], one["id"]) for one in done["kept"]}
    assert kept >= {
        (kinds.DATABASE, "shop"),
        (kinds.SUBNET_GROUP, "shop"),
        (kinds.SUBNET, made.subnets[3]),
        (kinds.VPC, made.vpc),
        (kinds.GROUP, made.groups["database"]),
        (kinds.REPOSITORY, "shop/app"),
        (kinds.KEY, made.key),
        (kinds.ALIAS, "alias/shop-eks"),
        (kinds.SECRET, "shop-conductor"),
    }
    assert (kinds.SUBNET, made.subnets[1]) not in kept and aws.client("eks").list_clusters()["clusters"] == []
    assert aws.client("rds").describe_db_instances()["DBInstances"][0]["DeletionProtection"]
    costs = {one["kind"]: one.get("monthly_cost", 0) for one in done["kept"]}
    assert costs[kinds.DATABASE] == 49.38 and done["monthly_cost"] > 51
    # The database's own group forgets the cluster's, which is gone.
    group = aws.client("ec2").describe_security_groups(GroupIds=[made.groups["database"]])["SecurityGroups"][0]
    assert group["IpPermissions"] == []
    again = teardown(aws, keep=["database", "repositories", "logs", "keys", "volumes", "secrets"])
    assert not again["changed"]


def test_kept_backups_are_named_and_go_when_they_are_not_kept(aws: Aws) -> None:
    made = kit.network(aws_reset(aws))
    kit.database(aws, made)
    done = teardown(aws, keep_automated_backups=True)
    assert [one["kind"] for one in done["kept"]] == [kinds.BACKUP]
    assert teardown(aws, keep_automated_backups=True)["changed"] is False
    assert [one["kind"] for one in teardown(aws)["deleted"]] == [kinds.BACKUP]


def aws_reset(aws: Aws) -> Aws:
    aws.reset()
    return aws


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_run_that_is_killed_again_and_again_ends_where_a_whole_one_does(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    made = kit.whole(aws)
    aws.set(late_logs=True)
    call, each = Account.call, 8
    left = [each]

    def dying(self: Account, service: str, operation: str, **arguments: Any) -> Any:
        if left[0] <= 0:
            raise Killed
        if operation.startswith(READS):
            return call(self, service, operation, **arguments)
        left[0] -= 1
        if left[0] == 0 and not after:
            raise Killed
        answer = call(self, service, operation, **arguments)
        if left[0] == 0:
            raise Killed
        return answer

    monkeypatch.setattr(Account, "call", dying)
    runs = 0
    while True:
        left[0] = each
        runs += 1
        try:
            done = teardown(aws, final_snapshot="shop-final")
        except Killed:
            continue
        break
    assert runs > 4
    assert done["left"] == [] and [one["id"] for one in done["kept"]] == ["shop-final"], done.get("msg")
    assert left_in_vpc(aws, made.vpc) == []
    assert tagged(aws) == {f"arn:aws:rds:{REGION}:123456789012:snapshot:shop-final"}
    assert aws.client("logs").describe_log_groups()["logGroups"] == []


def test_kill_9_leaves_nothing_that_the_next_run_does_not_find(aws: Aws) -> None:
    made = kit.whole(aws)
    aws.delays(default=0.3)
    program = (
        "import module_call, json; print(json.dumps(module_call.call('aws_teardown', platform='shop', confirm='shop', "
        "final_snapshot='none', delete_images=True, secret_recovery_window=0)))"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, **aws.env, "PYTHONPATH": paths}
    for moment in sorted(random.Random(5).uniform(0.2, 3) for _ in range(3)):
        aws.clear_calls()
        run = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not writes(aws) and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            run.wait(moment)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
    done = teardown(aws)
    assert done["left"] == [], done.get("msg")
    assert left_in_vpc(aws, made.vpc) == [] and tagged(aws) == set()


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("db_instance.delete", "failed", "Database shop is failed: the storage is broken"),
        ("nodegroup.delete", "DELETE_FAILED", "Node group default is DELETE_FAILED: the storage is broken"),
    ],
)
def test_what_fails_ends_the_run_with_aws_reason(aws: Aws, kind: str, status: str, words: str) -> None:
    kit.whole(aws)
    aws.delays(**{"default": 0.2, "cluster.delete": 600, "nodegroup.delete": 0.2 if "node" in kind else 600})
    aws.fail_next(kind, "the storage is broken", status=status)
    started = time.monotonic()
    result = teardown(aws)
    assert result["failed"] and words in result["msg"], result["msg"]
    assert time.monotonic() - started < 300
    aws.delays(**{"default": 0, "cluster.delete": 0, "nodegroup.delete": 0})


def test_what_comes_into_the_way_while_it_runs_is_named(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    made = kit.whole(aws)
    card: list[str] = []
    delete = deletions.delete

    def disturbed(account: Account, platform: str, one: Any, options: Any) -> bool:
        if one.kind == kinds.GROUP and not card:
            new = aws.client("ec2").create_network_interface(SubnetId=made.subnets[1], Description="AWS Lambda VPC ENI")
            card.append(new["NetworkInterface"]["NetworkInterfaceId"])
        return delete(account, platform, one, options)

    monkeypatch.setattr(deletions, "delete", disturbed)
    result = teardown(aws)
    why = {one["id"]: one["why"] for one in result["left"]}
    assert result["failed"] and card[0] in why[made.subnets[1]] and card[0] in result["msg"]
    assert "AWS Lambda VPC ENI" in result["msg"]
    assert made.vpc in why and made.subnets[2] not in why
    assert aws.client("rds").describe_db_instances()["DBInstances"] == []


def test_what_aws_refuses_without_a_visible_reason_is_left_with_its_words(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "CATCHING_UP", 0.3)
    made = kit.network(aws_reset(aws))
    fault = {"kind": "error", "service": "ec2", "operation": "delete_vpc", "code": "DependencyViolation"}
    aws.faults({**fault, "message": "The vpc has dependencies and cannot be deleted."})
    result = teardown(aws)
    assert result["failed"] and [one["id"] for one in result["left"]] == [made.vpc]
    assert "The vpc has dependencies" in result["msg"]
    aws.faults()
    assert teardown(aws)["left"] == []


def test_a_busy_aws_ends_where_an_idle_one_does(aws: Aws) -> None:
    made = kit.whole(aws)
    aws.faults(
        {"kind": "throttle", "probability": 0.03, "seed": 1},
        {"kind": "500", "probability": 0.03, "seed": 2},
        {"kind": "drop-after", "operation": "delete_*", "probability": 0.2, "seed": 3},
    )
    done = teardown(aws)
    aws.faults()
    assert done["left"] == [], done.get("msg")
    assert left_in_vpc(aws, made.vpc) == [] and tagged(aws) == set()


def test_the_inventory_of_tags_has_time_to_forget(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.network(aws_reset(aws))
    aws.set(tags_linger=1.0)
    assert teardown(aws)["unconfirmed"] == []
    made = kit.network(aws_reset(aws))
    aws.set(tags_linger=3600.0)
    monkeypatch.setattr(execute, "CATCHING_UP", 0.2)
    done = teardown(aws)
    assert any(made.vpc in arn for arn in done["unconfirmed"]) and made.vpc in done["table"] and not done.get("failed")


def test_a_missing_permission_is_named(aws: Aws) -> None:
    kit.network(aws_reset(aws))
    aws.faults({"kind": "denied", "service": "ec2", "operation": "delete_nat_gateway"})
    result = teardown(aws)
    aws.faults()
    assert result["failed"] and "lack the permission ec2:DeleteNatGateway" in result["msg"]


def test_an_existing_network_is_left(aws: Aws) -> None:
    aws_reset(aws)
    vpc, subnets = aws.vpc()
    made = kit.Made(vpc=vpc, subnets=["", *subnets])
    kit.cluster(aws, made)
    result = teardown(aws)
    assert result["left"] == [] and result["foreign"] == [], result.get("msg")
    assert len(left_in_vpc(aws, vpc)) == 1
    assert len(aws.client("ec2").describe_subnets(SubnetIds=subnets)["Subnets"]) == 3
    assert tagged(aws) == set()


def test_it_shows_how_long_it_waits_and_for_what(aws: Aws, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.network(aws_reset(aws))
    told = tmp_path / "progress"
    monkeypatch.setenv("DBOS_KUBERNETES_PROGRESS", str(told))
    teardown(aws)
    # Between them is what it waits for, where that takes more than ten seconds.
    lines = [line for line in told.read_text().splitlines() if line.startswith("deleting ")]
    assert any(line.startswith("deleting NAT gateway nat-") for line in lines)
    assert lines.index(next(line for line in lines if "VPC vpc-" in line)) == len(lines) - 1


class TestPlaybook:
    """teardown.yml on a platform that is half built: it has no cluster, and no application either."""

    @pytest.fixture
    def play(self, aws: Aws, ansible_playbook: Any, root: Any) -> Any:
        made = kit.network(aws_reset(aws))
        kit.database(aws, made)
        kit.repository(aws, images=1)
        aws.clear_calls()

        def run(*arguments: str, check: bool = True, **variables: Any) -> Any:
            bundle = f"file://{Path(botocore.__file__).parent / 'cacert.pem'}"
            named = {"platform_name": "shop", "platform_region": REGION, "rds_ca_url": bundle}
            named |= {"teardown_scope": "platform", **variables}
            inventory = root / "inventories/aws"
            return ansible_playbook(
                "teardown.yml", *arguments, inventory=inventory, extra_vars=named, env=aws.env, check=check
            )

        return run

    def test_it_plans_refuses_and_takes_down(self, aws: Aws, play: Any) -> None:
        plan = play("--check", teardown_delete_images=True)
        assert "To be decided: Database shop is to be deleted" in plan.output and writes(aws) == []
        confirmed = {"teardown_confirm": "production", "teardown_unreadable": "abandon"}
        refused = play(check=False, **confirmed)
        assert refused.returncode and "Nothing was taken down. Database shop is to be deleted" in refused.output
        assert "set teardown_delete_images: true" in refused.output and writes(aws) == []
        decided = {**confirmed, "teardown_final_snapshot": "shop-final", "teardown_delete_images": True}
        done = play(**decided)
        assert "Nothing of the platform is left but for what is kept." in done.output
        assert tagged(aws) == {f"arn:aws:rds:{REGION}:123456789012:snapshot:shop-final"}
        assert play(**decided).changed == 0

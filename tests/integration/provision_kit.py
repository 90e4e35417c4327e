"""A platform on AWS made and taken down by Ansible, as provision.yml and teardown.yml do, and what there is of it."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aws_kit import REGION, Aws
from fake_aws.faults import Dropped
from fake_aws.wire import Call
from process_kit import kill_in, processes_in, until

PLATFORM = "production"  # the inventory's
READS = ("Describe", "Get", "List", "BatchGet")
# What provision.yml does in AWS; the add-ons in the cluster, which come last, need a cluster that answers.
PROVISION = """
- name: Make the platform
  hosts: dbos_platforms
  gather_facts: false
  vars:
    ansible_pipelining: true
  tasks:
    - name: Start
      ansible.builtin.include_tasks: {root}/playbooks/aws/start.yml
    - name: Finish
      ansible.builtin.include_tasks: {root}/playbooks/aws/finish.yml
"""
TEARDOWN = """
- name: Take the platform down
  hosts: dbos_platforms
  gather_facts: false
  vars:
    ansible_pipelining: true
  tasks:
    - name: Take it down
      dbos.kubernetes.aws_teardown:
        region: "{{{{ platform_region }}}}"
        platform: "{{{{ platform_name }}}}"
        confirm: "{{{{ platform_name }}}}"
        final_snapshot: none
        delete_images: true
        secret_recovery_window: 0
"""
VARIABLES = {
    "platform_region": REGION,
    "platform_tags": {},
    "ecr_repositories": ["shop/app"],
    "eks_endpoint_public_access": False,
    "eks_endpoint_check": False,
}


class Provisioning:
    """Runs of Ansible against the account."""

    def __init__(
        self, aws: Aws, playbook: Callable[..., Any], environment: dict[str, str], root: Path, work: Path
    ) -> None:
        self.aws, self._playbook, self._environment, self._root, self._work = aws, playbook, environment, root, work
        for name, text in (("provision", PROVISION), ("teardown", TEARDOWN)):
            (work / f"{name}.yml").write_text(text.format(root=root))

    def run(self, play: str, *, check: bool = True, **variables: Any) -> Any:
        """A whole run; its output."""
        return self._playbook(
            self._work / f"{play}.yml",
            inventory=self._root / "inventories/aws",
            extra_vars=VARIABLES | variables,
            env=self.aws.env,
            check=check,
        )

    def killed(self, play: str, writes: int) -> bool:
        """A run that is killed (-9), with all that it has started, after so many changes; whether it wanted more."""
        left = itertools.count(writes, -1)
        with tempfile.TemporaryDirectory(prefix="dbos-", dir="/tmp", ignore_cleanup_errors=True) as temporary:

            def counted(call: Call) -> None:
                if not call.operation.name.startswith(READS) and next(left) <= 0:
                    kill_in(Path(temporary))
                    raise Dropped

            self.aws.before_calls(counted)
            process = subprocess.Popen(
                [
                    *("ansible-playbook", "-i", f"{self._root}/inventories/aws", f"{self._work}/{play}.yml"),
                    *("-e", json.dumps(VARIABLES)),
                ],
                cwd=self._root,
                env=self._environment | self.aws.env | {"TMPDIR": temporary},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            killed = process.wait() != 0
            until("dead", lambda: not (kill_in(Path(temporary)) or processes_in(Path(temporary))))
            self.aws.before_calls(None)
        assert process.returncode in (0, -signal.SIGKILL)
        return killed


def inventory(aws: Aws) -> Counter[tuple[str, str]]:
    """All that is in the account: kind and name, and how often."""
    ec2, iam, eks, rds = (aws.client(name) for name in ("ec2", "iam", "eks", "rds"))
    found: Counter[tuple[str, str]] = Counter()

    def count(kind: str, items: Any, name: Callable[[Any], str]) -> None:
        found.update((kind, name(item)) for item in items)

    def named(item: Any) -> str:
        return next((tag["Value"] for tag in item.get("Tags", []) if tag["Key"] == "Name"), "")

    count("vpc", [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]], named)
    count("subnet", [subnet for subnet in ec2.describe_subnets()["Subnets"] if not subnet["DefaultForAz"]], named)
    count("internet gateway", ec2.describe_internet_gateways()["InternetGateways"], named)
    count("address", ec2.describe_addresses()["Addresses"], named)
    gateways = ec2.describe_nat_gateways()["NatGateways"]
    count("NAT gateway", [item for item in gateways if item["State"] != "deleted"], named)
    tables = ec2.describe_route_tables()["RouteTables"]
    main = [item for item in tables if any(one.get("Main") for one in item["Associations"])]
    count("route table", [item for item in tables if item not in main], named)
    groups = ec2.describe_security_groups()["SecurityGroups"]
    count("security group", groups, lambda item: item["GroupName"].rstrip("0123456789"))
    for group in groups:
        count(
            f"rule of {group['GroupName'].rstrip('0123456789')}",
            group["IpPermissions"],
            lambda item: str(item["ToPort"]),
        )
    count(
        "launch template", ec2.describe_launch_templates()["LaunchTemplates"], lambda item: item["LaunchTemplateName"]
    )
    versions = ec2.describe_launch_template_versions(Versions=["$Latest"])["LaunchTemplateVersions"]
    count("launch template version", versions, lambda item: str(item["VersionNumber"]))
    count("role", iam.list_roles()["Roles"], lambda item: item["RoleName"])
    kms = aws.client("kms")
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    own = [key for key in keys if key["Description"] != "Default key" and key["KeyState"] == "Enabled"]
    count("key", own, lambda item: item["Description"])
    aliases = [item["AliasName"] for item in kms.list_aliases()["Aliases"]]
    count("alias", [alias for alias in aliases if not alias.startswith("alias/aws/")], str)
    count("log group", aws.client("logs").describe_log_groups()["logGroups"], lambda item: item["logGroupName"])
    count("repository", aws.client("ecr").describe_repositories()["repositories"], lambda item: item["repositoryName"])
    count("database", rds.describe_db_instances()["DBInstances"], lambda item: item["DBInstanceIdentifier"])
    count("subnet group", rds.describe_db_subnet_groups()["DBSubnetGroups"], lambda item: item["DBSubnetGroupName"])
    parameters = rds.describe_db_parameter_groups()["DBParameterGroups"]
    own_parameters = [
        item["DBParameterGroupName"] for item in parameters if "default." not in item["DBParameterGroupName"]
    ]
    count("parameter group", own_parameters, str)
    count("secret", aws.client("secretsmanager").list_secrets()["SecretList"], lambda item: item["Name"][:6])
    for cluster in eks.list_clusters()["clusters"]:
        count("cluster", [cluster], str)
        count("node group", eks.list_nodegroups(clusterName=cluster)["nodegroups"], str)
        count("add-on", eks.list_addons(clusterName=cluster)["addons"], str)
        count("access entry", eks.list_access_entries(clusterName=cluster)["accessEntries"], str)
        associations = eks.list_pod_identity_associations(clusterName=cluster)["associations"]
        count("pod identity", associations, lambda item: f"{item['namespace']}/{item['serviceAccount']}")
    return found

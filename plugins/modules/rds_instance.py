#!/usr/bin/python
# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rds_instance
short_description: Make, change and delete a platform's PostgreSQL database in Amazon RDS
version_added: 1.0.0
description:
  - Makes a private, encrypted PostgreSQL database on gp3 storage, with its subnet group, its own parameter group (C(<identifier>-postgres17), in
    which C(rds.force_ssl) is on) and its security group (C(<identifier>-database)), as one step. It keeps what differs from the options apart
    from what AWS changes by itself, minor versions and storage autoscaling, which are left.
  - RDS Extended Support is off, so AWS upgrades the database when its major version's standard support ends, and never charges for it.
  - A change that would restart the database (O(instance_class), O(engine_version), some of O(ca_certificate) and O(parameters)) waits for its
    maintenance window unless O(restart=true); a warning says so.
  - The module amazon.aws.rds_instance can't have the password managed in Secrets Manager, reports a minor version that AWS moved as a change at
    each run, and would need four tasks, which fail in check mode where there is nothing yet.
author:
  - dbos.kubernetes contributors (@dbos-kubernetes)
extends_documentation_fragment:
  - dbos.kubernetes.attributes
  - dbos.kubernetes.attributes.action
  - dbos.kubernetes.aws
  - dbos.kubernetes.aws.platform
attributes:
  check_mode:
    support: full
    details: Ids of what is not there yet are C((to be made)).
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: O(master_password_update=always) sets the password at each run.
options:
  state:
    description: Whether the database, and all that belongs to it, is there or not.
    type: str
    choices: [present, absent]
    default: present
  identifier:
    description: The database's name in RDS; O(platform) when not given.
    type: str
  vpc_id:
    description: VPC of the security group and of the database. Required when O(state=present).
    type: str
  subnets:
    description: Ids of the subnets the database may be in, of two zones at least. Required when O(state=present).
    type: list
    elements: str
  allowed_security_groups:
    description:
      - Ids of the security groups that may connect, which is the cluster's. Any other rule in the database's security group is removed.
      - When not given, the rules are left as they are, which is none in a new group.
    type: list
    elements: str
  engine_version:
    description:
      - The major version of PostgreSQL, for AWS' default minor version of the day it is made, or a minor version (C(17.6)).
      - A database is upgraded to a given minor version, but a newer one is left. A newer major version needs O(allow_major_version_upgrade).
    type: str
    default: "17"
  allow_major_version_upgrade:
    description: Confirms an upgrade to another major version, which takes the database away for minutes and has no way back.
    type: bool
    default: false
  auto_minor_version_upgrade:
    description: Whether AWS upgrades to newer minor versions, in the maintenance window.
    type: bool
    default: true
  instance_class:
    description: >-
      The instance's class. The default has two Graviton CPUs and 4 GiB, for about 400 connections: enough for some versions of an application side
      by side, at the least price.
    type: str
    default: db.t4g.medium
  multi_az:
    description: Whether a second instance in another zone takes over when the first fails. It costs twice as much.
    type: bool
    default: false
  allocated_storage:
    description: Storage in GiB, 20 at least. It can be raised, and never lowered; more than this is left.
    type: int
    default: 20
  max_allocated_storage:
    description: GiB up to which AWS raises the storage by itself when it gets full; 0 turns that off.
    type: int
    default: 100
  iops:
    description: IOPS of the storage, from 400 GiB on. AWS' baseline when not given.
    type: int
  storage_throughput:
    description: Throughput of the storage in MiB/s, from 400 GiB on. AWS' baseline when not given.
    type: int
  kms_key_id:
    description: Id or ARN of the KMS key that the storage is encrypted with, C(aws/rds) when not given. It can't be changed.
    type: str
  master_username:
    description: Name of the master user. It can't be changed.
    type: str
    default: postgres
  master_password:
    description: The master user's password. When not given, RDS manages it in Secrets Manager, and changes it every 7 days.
    type: str
  master_password_update:
    description: >-
      When O(master_password) is set: once, when the database is made or was managed in Secrets Manager before (V(on_create)), or at each run
      (V(always)), as RDS does not tell it.
    type: str
    choices: [on_create, always]
    default: on_create
  parameters:
    description:
      - Parameters of PostgreSQL, by name, as RDS takes them. All others have RDS' defaults, but C(rds.force_ssl), which is 1.
      - Static ones take effect when the database restarts; RV(pending_restart) tells.
    type: dict
    default: {}
  ca_certificate:
    description: Identifier of the CA that signs the database's certificate.
    type: str
    default: rds-ca-rsa2048-g1
  backup_retention_period:
    description: Days that automated backups are kept, from 7 to 35. Less is refused.
    type: int
    default: 7
  backup_window:
    description: When backups are made, daily, in UTC, such as C(03:00-03:30). AWS chooses when not given.
    type: str
  maintenance_window:
    description: When AWS may restart the database, weekly, in UTC, such as C(sun:04:00-sun:04:30). AWS chooses when not given.
    type: str
  log_exports:
    description: Logs that go to CloudWatch.
    type: list
    elements: str
    choices: [postgresql, upgrade, iam-db-auth-error]
    default: [postgresql, upgrade]
  performance_insights:
    description: Whether the load is recorded for 7 days, which is free of charge.
    type: bool
    default: true
  deletion_protection:
    description: Whether AWS refuses to delete the database. O(state=absent) fails while this is true and the database is protected.
    type: bool
    default: true
  apply_immediately:
    description: Whether changes are applied now, instead of in the maintenance window. What would restart the database needs O(restart) too.
    type: bool
    default: true
  restart:
    description: Whether the database may be restarted now, for changes that need it and for parameters that wait for it.
    type: bool
    default: false
  snapshot:
    description: >-
      Name or ARN of a snapshot to make the database from, with all its data, when there is none yet. It must be encrypted and of the same major
      version. Its restoration is waited for even with O(wait=false), as AWS takes some of the settings only then.
    type: str
  final_snapshot:
    description:
      - With O(state=absent), what becomes of the data, which must be decided. The name of a last snapshot, or V(none), which deletes all data.
    type: str
  delete_automated_backups:
    description: With O(state=absent), whether automated backups are deleted too, instead of being kept (and paid) for their retention period.
    type: bool
    default: true
  wait:
    description: Whether to wait until the database serves, or is gone.
    type: bool
    default: true
  wait_timeout:
    description: Seconds to wait at most.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Make the database, and go on meanwhile
  dbos.kubernetes.rds_instance:
    platform: shop
    region: eu-central-1
    vpc_id: "{{ network_result.vpc_id }}"
    subnets: "{{ network_result.subnets.database }}"
    multi_az: true
    wait: false
  register: database

- name: Delete it, and keep a snapshot
  dbos.kubernetes.rds_instance:
    platform: shop
    region: eu-central-1
    state: absent
    deletion_protection: false
    final_snapshot: shop-2026-11-25
"""

RETURN = r"""
identifier:
  description: The database's name in RDS.
  returned: success
  type: str
  sample: shop
status:
  description: AWS' status.
  returned: when O(state=present)
  type: str
  sample: available
engine_version:
  description: The version of PostgreSQL that runs.
  returned: when O(state=present)
  type: str
  sample: "17.6"
endpoint:
  description: Host name, which there is none of before the database has been made.
  returned: when O(state=present)
  type: str
  sample: shop.c9akciq32.eu-central-1.rds.amazonaws.com
port:
  description: Port.
  returned: when O(state=present)
  type: int
  sample: 5432
master_username:
  description: Name of the master user.
  returned: when O(state=present)
  type: str
  sample: postgres
master_secret_arn:
  description: The secret in Secrets Manager that holds the master user's password, if that is managed there.
  returned: when O(state=present)
  type: str
  sample: arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-0a1b2c3d-AbCdEf
security_group_id:
  description: The database's security group.
  returned: when O(state=present)
  type: str
  sample: sg-0123456789abcdef0
allowed_security_groups:
  description: The security groups that may connect, as given in O(allowed_security_groups).
  returned: when O(state=present)
  type: list
  elements: str
  sample: [sg-0fedcba9876543210]
pending:
  description: What waits for the maintenance window, or is being applied, by AWS' names.
  returned: when O(state=present)
  type: dict
  sample:
    DBInstanceClass: db.m8g.large
pending_restart:
  description: Whether parameters wait for a restart.
  returned: when O(state=present)
  type: bool
  sample: false
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, argument_spec
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.rds import Database
from ansible_collections.dbos.kubernetes.plugins.module_utils.module import check_library, run


def rds_instance(module: AnsibleModule) -> dict[str, Any]:
    """Bring the database into the state that is asked for."""
    database = Database(Account(module.params), module.params, check=module.check_mode)
    result = database.present() if module.params["state"] == "present" else database.absent()
    for warning in database.warnings:
        module.warn(warning)
    return result


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            **argument_spec(),
            "platform": {"type": "str", "required": True},
            "tags": {"type": "dict", "default": {}},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "identifier": {"type": "str"},
            "vpc_id": {"type": "str"},
            "subnets": {"type": "list", "elements": "str"},
            "allowed_security_groups": {"type": "list", "elements": "str"},
            "engine_version": {"type": "str", "default": "17"},
            "allow_major_version_upgrade": {"type": "bool", "default": False},
            "auto_minor_version_upgrade": {"type": "bool", "default": True},
            "instance_class": {"type": "str", "default": "db.t4g.medium"},
            "multi_az": {"type": "bool", "default": False},
            "allocated_storage": {"type": "int", "default": 20},
            "max_allocated_storage": {"type": "int", "default": 100},
            "iops": {"type": "int"},
            "storage_throughput": {"type": "int"},
            "kms_key_id": {"type": "str", "no_log": False},  # a name
            "master_username": {"type": "str", "default": "postgres"},
            "master_password": {"type": "str", "no_log": True},
            "master_password_update": {
                "type": "str",
                "choices": ["on_create", "always"],
                "default": "on_create",
                "no_log": False,
            },
            "parameters": {"type": "dict", "default": {}},
            "ca_certificate": {"type": "str", "default": "rds-ca-rsa2048-g1"},
            "backup_retention_period": {"type": "int", "default": 7},
            "backup_window": {"type": "str"},
            "maintenance_window": {"type": "str"},
            "log_exports": {
                "type": "list",
                "elements": "str",
                "choices": ["postgresql", "upgrade", "iam-db-auth-error"],
                "default": ["postgresql", "upgrade"],
            },
            "performance_insights": {"type": "bool", "default": True},
            "deletion_protection": {"type": "bool", "default": True},
            "apply_immediately": {"type": "bool", "default": True},
            "restart": {"type": "bool", "default": False},
            "snapshot": {"type": "str"},
            "final_snapshot": {"type": "str"},
            "delete_automated_backups": {"type": "bool", "default": True},
            "wait": {"type": "bool", "default": True},
            "wait_timeout": {"type": "int", "default": 3600},
        },
        required_if=[("state", "present", ("vpc_id", "subnets"))],
        supports_check_mode=True,
    )
    check_library(module, "boto3")
    run(module, rds_instance)


if __name__ == "__main__":
    main()

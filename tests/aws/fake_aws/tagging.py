"""The Resource Groups Tagging API lists everything that carries tags, in all services that do in AWS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from moto.core.resource_tagging import TaggedResource, make_tag_matcher, match_resource_type
from moto.ec2.models import ec2_backends
from moto.ecr.models import ecr_backends
from moto.elb.models import elb_backends
from moto.elbv2.models import elbv2_backends
from moto.kms.models import kms_backends
from moto.logs.models import logs_backends
from moto.rds.models import rds_backends
from moto.resourcegroupstaggingapi.models import ResourceGroupsTaggingAPIBackend
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends

from fake_aws.wire import ACCOUNT

if TYPE_CHECKING:
    from fake_aws.patches import Patches


def install(patches: Patches) -> None:
    """Take over from moto."""

    def generator(
        self: ResourceGroupsTaggingAPIBackend,
        tag_filters: Any = None,
        resource_type_filters: Any = None,
        resource_arn_list: Any = None,
    ) -> Iterator[TaggedResource]:
        matches = make_tag_matcher(tag_filters)
        gone = [TaggedResource(arn, tags, kind) for _until, kind, arn, tags in patches.lingering(self.region_name)]
        known = list(_all(patches, self.region_name))
        arns = {item.arn for item in known}
        for resource in [*known, *(item for item in gone if item.arn not in arns)]:
            if (
                resource.tags
                and matches(resource.tags)
                and match_resource_type(resource.resource_type, resource_type_filters)
                and (not resource_arn_list or resource.arn in resource_arn_list)
            ):
                yield resource

    ResourceGroupsTaggingAPIBackend._get_resources_generator = generator


def _all(patches: Patches, region: str) -> Iterator[TaggedResource]:
    """All that has tags in a region. IAM roles are not listed: AWS does not list them either."""
    for backends in (
        ec2_backends,
        rds_backends,
        kms_backends,
        logs_backends,
        secretsmanager_backends,
        elb_backends,
        elbv2_backends,
        ssm_backends,
    ):
        for item in backends[ACCOUNT][region].iter_tagged_resources():
            if item.resource_type != "ec2:image":
                yield item
    ec2 = ec2_backends[ACCOUNT][region]
    prefix = f"arn:aws:ec2:{region}:{ACCOUNT}"
    for kind, things in (
        ("vpc-endpoint", ec2.vpc_end_points.values()),
        ("launch-template", ec2.launch_templates.values()),
    ):
        for thing in things:
            yield TaggedResource(f"{prefix}:{kind}/{thing.id}", dict(ec2.tags.get(thing.id, {})), f"ec2:{kind}")
    for address in ec2.addresses:
        tags = dict(ec2.tags.get(address.allocation_id, {}))
        yield TaggedResource(f"{prefix}:elastic-ip/{address.allocation_id}", tags, "ec2:elastic-ip")
    for group in [group for groups in ec2.groups.values() for group in groups.values()]:
        for rule in [*group.ingress_rules, *group.egress_rules]:
            tags = dict(ec2.tags.get(rule.id, {}))
            yield TaggedResource(f"{prefix}:security-group-rule/{rule.id}", tags, "ec2:security-group-rule")
    rds = rds_backends[ACCOUNT][region]
    for kind, things in (("subgrp", rds.subnet_groups.values()), ("pg", rds.db_parameter_groups.values())):
        for thing in things:
            yield TaggedResource(thing.arn, {tag["Key"]: tag["Value"] for tag in thing.tags}, f"rds:{kind}")
    ecr = ecr_backends[ACCOUNT][region]
    for repository in ecr.repositories.values():
        tags = ecr.tagger.get_tag_dict_for_resource(repository.arn)
        yield TaggedResource(repository.arn, tags, "ecr:repository")
    for kind, arn, tags in patches.application.eks.tagged(region):
        yield TaggedResource(arn, dict(tags), kind)

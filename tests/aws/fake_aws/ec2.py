"""Amazon EC2 over moto's, beside networks: launch templates, and interfaces that belong to services."""

from __future__ import annotations

from typing import Any

from moto.ec2 import utils
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.elbv2.models import ELBv2Backend

from fake_aws.wire import ACCOUNT, Call, Refusal

_moto: dict[str, Any] = {
    "describe_launch_template_versions": EC2Backend.describe_launch_template_versions,
    "is_filter_matching": utils.is_filter_matching,
    "create_load_balancer": ELBv2Backend.create_load_balancer,
    "delete_load_balancer": ELBv2Backend.delete_load_balancer,
    "create_launch_template": EC2Backend.create_launch_template,
}


def install() -> None:
    """Take over from moto."""

    def create_launch_template(self: EC2Backend, *args: Any, **given: Any) -> Any:
        template = _moto["create_launch_template"](self, *args, **given)
        for version in template.versions:  # moto mixes the template's own tags into what instances get
            given_tags = version.data.pop("TagSpecifications", [])
            if kept := [item for item in given_tags if item["ResourceType"] != "launch-template"]:
                version.data["TagSpecifications"] = kept
        return template

    def describe_launch_template_versions(self: EC2Backend, *args: Any, **given: Any) -> list[Any]:
        found = _moto["describe_launch_template_versions"](self, *args, **given)
        return [item for item in found if item[1].number not in getattr(item[0], "deleted", ())]

    def create_load_balancer(self: ELBv2Backend, *args: Any, **given: Any) -> Any:
        balancer = _moto["create_load_balancer"](self, *args, **given)
        ec2 = ec2_backends[ACCOUNT][self.region_name]
        for subnet in balancer.subnets:
            interface = ec2.create_network_interface(ec2.get_subnet(subnet.id), None)
            interface.interface_type, interface.status = "network_load_balancer", "in-use"
            interface.description = f"ELB net/{balancer.name}/{balancer.arn.rsplit('/')[-1]}"
            interface.requester_managed, interface._group_set = True, []
        return balancer

    def delete_load_balancer(self: ELBv2Backend, arn: str) -> None:
        balancer = self.load_balancers.get(arn)
        _moto["delete_load_balancer"](self, arn)
        ec2 = ec2_backends[ACCOUNT][self.region_name]
        for identifier, interface in list(ec2.enis.items()):
            if balancer and interface.description.startswith(f"ELB net/{balancer.name}/"):
                del ec2.enis[identifier]

    def is_filter_matching(thing: Any, name: str, values: Any) -> bool:
        if name == "tag-key":  # moto wants all of the keys, AWS any of them
            return bool(utils.tag_filter_matches(thing, name, values))
        return bool(_moto["is_filter_matching"](thing, name, values))

    utils.is_filter_matching = is_filter_matching
    # moto shows the tags of its creation
    LaunchTemplate.tags = property(LaunchTemplate.get_tags, lambda _self, _tags: None)
    ELBv2Backend.create_load_balancer = create_load_balancer
    ELBv2Backend.delete_load_balancer = delete_load_balancer
    EC2Backend.describe_launch_template_versions = describe_launch_template_versions
    EC2Backend.create_launch_template = create_launch_template


def before(call: Call) -> None:
    """Refuse what EC2 refuses."""
    if call.name == "delete_network_interface":
        _delete_network_interface(ec2_backends[ACCOUNT][call.region], call.params)


def _delete_network_interface(ec2: EC2Backend, params: Any) -> None:
    interface = ec2.enis.get(params.get("NetworkInterfaceId"))
    if interface is None:
        return
    if interface.requester_managed:
        raise Refusal("OperationNotPermitted", f"You do not have permission to delete {interface.id}: AWS manages it.")
    if interface.attachment_id:
        raise Refusal("InvalidParameterValue", f"Network interface '{interface.id}' is currently in use.")


# What a deletion names what it deletes
_IDENTIFIERS = {
    "delete_vpc": "VpcId",
    "delete_subnet": "SubnetId",
    "delete_internet_gateway": "InternetGatewayId",
    "delete_route_table": "RouteTableId",
    "delete_security_group": "GroupId",
    "delete_launch_template": "LaunchTemplateId",
    "delete_network_interface": "NetworkInterfaceId",
    "delete_volume": "VolumeId",
    "release_address": "AllocationId",
}


def after(call: Call) -> None:
    """The tags of what is deleted go too, and the interfaces of terminated instances."""
    ec2 = ec2_backends[ACCOUNT][call.region]
    if call.name in _IDENTIFIERS:
        ec2.tags.pop(call.params.get(_IDENTIFIERS[call.name]), None)
    if call.name == "terminate_instances":
        gone = set(call.params["InstanceIds"])
        for identifier in [key for key, one in ec2.enis.items() if one.instance and one.instance.id in gone]:
            del ec2.enis[identifier]


def delete_launch_template_versions(call: Call) -> dict[str, Any]:
    """What moto lacks: versions go, the default one stays."""
    ec2 = ec2_backends[ACCOUNT][call.region]
    wanted = call.params.get("LaunchTemplateId")
    template = (
        ec2.get_launch_template(wanted)
        if wanted
        else ec2.get_launch_template_by_name(call.params["LaunchTemplateName"])
    )
    done, refused = [], []
    for number in call.params["Versions"]:
        shown = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "VersionNumber": int(number)}
        if int(number) == template.default_version_number:
            reason = {"code": "unexpectedError", "message": "Could not delete default version"}
            refused.append({**shown, "ResponseError": reason})
        else:
            template.deleted = {*getattr(template, "deleted", ()), int(number)}
            done.append(shown)
    return {
        "SuccessfullyDeletedLaunchTemplateVersions": done,
        "UnsuccessfullyDeletedLaunchTemplateVersions": refused,
    }

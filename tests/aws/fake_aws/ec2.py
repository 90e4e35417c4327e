"""Amazon EC2 over moto's: what depends on what, network interfaces of services, states, and what moto lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.nat_gateways import NatGateway
from moto.ec2.utils import generic_filter

from fake_aws.wire import ACCOUNT, Call, Refusal

if TYPE_CHECKING:
    from fake_aws.patches import Patches

_moto = {
    "describe_nat_gateways": EC2Backend.describe_nat_gateways,
    "describe_launch_template_versions": EC2Backend.describe_launch_template_versions,
    "create_nat_gateway": EC2Backend.create_nat_gateway,
    "create_vpc_endpoint": EC2Backend.create_vpc_endpoint,
    "delete_vpc_endpoints": EC2Backend.delete_vpc_endpoints,
    "create_launch_template": EC2Backend.create_launch_template,
}


def install(patches: Patches) -> None:
    """Take over from moto."""
    timeline = patches.application.timeline

    def create_nat_gateway(self: EC2Backend, *args: Any, **given: Any) -> NatGateway:
        gateway = _moto["create_nat_gateway"](self, *args, **given)
        _of_service(gateway._eni, "nat_gateway", f"Interface for NAT Gateway {gateway.id}", [])
        failure = timeline.failure("nat_gateway.create")
        gateway.state = "pending"

        def created() -> None:
            gateway.state = "failed" if failure else "available"
            if failure:
                gateway.failure_code, gateway.failure_message = failure.code or "InternalError", failure.message
                _let_go(self, gateway)

        timeline.after("nat_gateway.create", created)
        return gateway

    def delete_nat_gateway(self: EC2Backend, nat_gateway_id: str) -> NatGateway:
        gateway = self.nat_gateways.get(nat_gateway_id)
        if gateway is None:
            raise Refusal("NatGatewayNotFound", f"NatGateway {nat_gateway_id} was not found")
        if gateway.state in ("deleting", "deleted"):
            return gateway
        gateway.state = "deleting"

        def deleted() -> None:
            gateway.state = "deleted"
            _let_go(self, gateway)

        timeline.after("nat_gateway.delete", deleted)
        return gateway

    def create_vpc_endpoint(self: EC2Backend, *args: Any, **given: Any) -> Any:
        endpoint = _moto["create_vpc_endpoint"](self, *args, **given)
        for identifier in endpoint.network_interface_ids or []:
            groups = [self.get_security_group_from_id(group) for group in given.get("security_group_ids") or []]
            _of_service(self.enis[identifier], "vpc_endpoint", f"VPC Endpoint Interface {endpoint.id}", groups)
        if (given.get("endpoint_type") or "Gateway").lower() == "interface":
            endpoint.state = "pending"

            def created() -> None:
                endpoint.state = "available"

            timeline.after("vpc_endpoint.create", created)
        return endpoint

    def delete_vpc_endpoints(self: EC2Backend, vpce_ids: list[str] | None = None) -> None:
        for identifier in vpce_ids or []:
            endpoint = self.vpc_end_points.get(identifier)
            if endpoint is None or endpoint.state == "deleting":
                continue
            endpoint.state = "deleting"

            def deleted(identifier: str = identifier) -> None:
                _moto["delete_vpc_endpoints"](self, [identifier])
                self.vpc_end_points.pop(identifier, None)
                self.tags.pop(identifier, None)

            timeline.after("vpc_endpoint.delete", deleted)

    def create_launch_template(self: EC2Backend, *args: Any, **given: Any) -> Any:
        template = _moto["create_launch_template"](self, *args, **given)
        for version in template.versions:  # moto mixes the template's own tags into what instances get
            given_tags = version.data.pop("TagSpecifications", [])
            if kept := [item for item in given_tags if item["ResourceType"] != "launch-template"]:
                version.data["TagSpecifications"] = kept
        return template

    def describe_nat_gateways(self: EC2Backend, filters: Any, nat_gateway_ids: list[str] | None) -> list[NatGateway]:
        found = _moto["describe_nat_gateways"](self, filters, nat_gateway_ids)
        return generic_filter({key: values for key, values in (filters or {}).items() if key.startswith("tag")}, found)

    def describe_launch_template_versions(self: EC2Backend, *args: Any, **given: Any) -> list[Any]:
        found = _moto["describe_launch_template_versions"](self, *args, **given)
        return [item for item in found if item[1].number not in getattr(item[0], "deleted", ())]

    EC2Backend.describe_nat_gateways = describe_nat_gateways
    EC2Backend.describe_launch_template_versions = describe_launch_template_versions
    EC2Backend.create_nat_gateway = create_nat_gateway
    EC2Backend.delete_nat_gateway = delete_nat_gateway
    EC2Backend.create_vpc_endpoint = create_vpc_endpoint
    EC2Backend.delete_vpc_endpoints = delete_vpc_endpoints
    EC2Backend.create_launch_template = create_launch_template


def _let_go(ec2: EC2Backend, gateway: NatGateway) -> None:
    """A gateway that has failed or is gone has neither an interface nor an address."""
    for address in ec2.addresses:
        if address.eni is gateway._eni:
            address.eni = None
            address.association_id = None
    ec2.enis.pop(gateway._eni.id, None)


def _of_service(interface: Any, kind: str, description: str, groups: list[Any]) -> None:
    """An interface that belongs to a service, not to who made what it is for."""
    interface.interface_type = kind
    interface.description = description
    interface.requester_managed = True
    interface.status = "in-use"
    interface._group_set = groups


def before(call: Call) -> None:
    """Refuse what EC2 refuses."""
    refusal = _REFUSALS.get(call.name)
    if refusal:
        refusal(ec2_backends[ACCOUNT][call.region], call.params)


def _dependency(message: str) -> Refusal:
    return Refusal("DependencyViolation", message)


def _delete_security_group(ec2: EC2Backend, params: Any) -> None:
    identifier = params.get("GroupId")
    group = ec2.get_security_group_from_id(identifier)
    if group is None:
        return
    if group.name == "default":
        raise Refusal(
            "CannotDelete", f'the specified group: "{identifier}" name: "default" cannot be deleted by a user'
        )
    used = any(identifier in [item.id for item in interface.group_set] for interface in ec2.enis.values())
    named = any(
        identifier == (rule.source_group or {}).get("GroupId")
        for groups in ec2.groups.values()
        for other in groups.values()
        if other.id != identifier
        for rule in [*other.ingress_rules, *other.egress_rules]
    )
    if used or named:
        raise _dependency(f"resource {identifier} has a dependent object")


def _delete_subnet(ec2: EC2Backend, params: Any) -> None:
    identifier = params.get("SubnetId")
    if any(interface.subnet.id == identifier for interface in ec2.enis.values()):
        raise _dependency(f"The subnet '{identifier}' has dependencies and cannot be deleted.")


def _delete_vpc(ec2: EC2Backend, params: Any) -> None:
    identifier = params.get("VpcId")
    if identifier not in ec2.vpcs:
        return
    attached = [gateway for gateway in ec2.internet_gateways.values() if gateway.vpc and gateway.vpc.id == identifier]
    groups = [group for group in ec2.groups.get(identifier, {}).values() if group.name != "default"]
    endpoints = [endpoint for endpoint in ec2.vpc_end_points.values() if endpoint.vpc_id == identifier]
    interfaces = [item for item in ec2.enis.values() if item.subnet.vpc_id == identifier]
    if attached or groups or endpoints or interfaces:
        raise _dependency(f"The vpc '{identifier}' has dependencies and cannot be deleted.")


def _detach_internet_gateway(ec2: EC2Backend, params: Any) -> None:
    vpc = params.get("VpcId")
    for address in ec2.addresses:
        if address.eni is not None and address.eni.subnet.vpc_id == vpc:
            raise _dependency(
                f"Network {vpc} has some mapped public address(es). Please unmap those public address(es) before "
                "detaching the gateway."
            )


def _release_address(ec2: EC2Backend, params: Any) -> None:
    for address in ec2.addresses:
        if address.allocation_id == params.get("AllocationId") and address.eni is not None:
            raise Refusal("InvalidIPAddress.InUse", f"The address {address.public_ip} is in use.")


def _delete_network_interface(ec2: EC2Backend, params: Any) -> None:
    interface = ec2.enis.get(params.get("NetworkInterfaceId"))
    if interface is None:
        return
    if interface.requester_managed:
        raise Refusal("OperationNotPermitted", f"You do not have permission to delete {interface.id}: AWS manages it.")
    if interface.attachment_id:
        raise Refusal("InvalidParameterValue", f"Network interface '{interface.id}' is currently in use.")


def _describe_nat_gateways(ec2: EC2Backend, params: Any) -> None:
    for identifier in params.get("NatGatewayIds") or []:
        if identifier not in ec2.nat_gateways:
            raise Refusal("NatGatewayNotFound", f"NatGateway {identifier} was not found")


_REFUSALS = {
    "delete_security_group": _delete_security_group,
    "delete_subnet": _delete_subnet,
    "delete_vpc": _delete_vpc,
    "detach_internet_gateway": _detach_internet_gateway,
    "release_address": _release_address,
    "delete_network_interface": _delete_network_interface,
    "describe_nat_gateways": _describe_nat_gateways,
}


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
    """The tags of what is deleted go too."""
    if call.name in _IDENTIFIERS:
        ec2_backends[ACCOUNT][call.region].tags.pop(call.params.get(_IDENTIFIERS[call.name]), None)


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

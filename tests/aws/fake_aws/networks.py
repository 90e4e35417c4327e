"""Networks of EC2 as AWS has them: what takes time, what is made once for one token, and what is in use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import InvalidRouteError
from moto.ec2.models import EC2Backend
from moto.ec2.models.nat_gateways import NatGateway
from moto.ec2.responses.nat_gateways import NatGateways
from moto.ec2.utils import generic_filter

from fake_aws.timeline import Timeline
from fake_aws.wire import Refusal

_MOTO = {
    name: getattr(EC2Backend, name)
    for name in (
        "create_nat_gateway",
        "create_vpc_endpoint",
        "delete_security_group",
        "delete_subnet",
        "delete_vpc",
        "delete_vpc_endpoints",
        "delete_nat_gateway",
        "describe_nat_gateways",
        "detach_internet_gateway",
        "modify_vpc_endpoint",
        "release_address",
    )
}
_GATEWAYS: dict[str, Any] = {"create": NatGateways.create_nat_gateway}


def _violation(message: str) -> Refusal:
    return Refusal("DependencyViolation", message)


def _interfaces(backend: Any, vpc: str) -> list[Any]:
    return [eni for eni in backend.enis.values() if eni.subnet.vpc_id == vpc]


def _attached(backend: Any, vpc: str) -> bool:
    return any(gateway.vpc and gateway.vpc.id == vpc for gateway in backend.internet_gateways.values())


class Networks:
    """Replaces those methods of moto that are otherwise than AWS."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._tokens: dict[tuple[Any, str], NatGateway] = {}
        networks = self

        def create_nat_by_token(response: Any) -> ActionResult:
            key = (response.ec2_backend, response._get_param("ClientToken") or "")
            if key[1] and key in networks._tokens:
                return ActionResult({"NatGateway": networks._tokens[key]})
            result = _GATEWAYS["create"](response)
            networks._tokens[key] = result.result["NatGateway"]
            return result  # type: ignore[no-any-return] # moto's own method is kept as Any

        # Mypy lets no method be assigned to, which is all that is done here.
        NatGateways.create_nat_gateway = create_nat_by_token  # type: ignore[method-assign]
        NatGateway.get_filter_value = lambda gateway, name, method=None: (  # type: ignore[method-assign]
            {
                "nat-gateway-id": gateway.id,
                "vpc-id": gateway.vpc_id,
                "subnet-id": gateway.subnet_id,
                "state": gateway.state,
            }.get(name)
            or super(NatGateway, gateway).get_filter_value(name, method)
        )
        for name in _MOTO:
            method = getattr(self, name)
            setattr(EC2Backend, name, lambda backend, *args, _method=method, **more: _method(backend, *args, **more))

    def reset(self) -> None:
        self._tokens.clear()

    def create_nat_gateway(self, backend: Any, *args: Any, **more: Any) -> Any:
        """It works, or fails, after a while."""
        made = _MOTO["create_nat_gateway"](backend, *args, **more)
        made.state = "pending"
        made._eni.interface_type, made._eni.status = "nat_gateway", "in-use"
        made._eni.description = f"Interface for NAT Gateway {made.id}"
        made._eni.requester_managed = True
        failure = self._timeline.failure("nat_gateway.create")
        reason = (failure.code, failure.message) if failure else ("", "")
        if not _attached(backend, made.vpc_id):
            reason = ("Gateway.NotAttached", f"Network {made.vpc_id} has no Internet gateway attached")

        def end() -> None:
            if made.state == "pending":
                made.state = "failed" if reason[0] else "available"
                made.failure_code, made.failure_message = reason
                if reason[0]:
                    self._drop(backend, made)

        self._timeline.after("nat_gateway.create", end)
        return made

    def delete_nat_gateway(self, backend: Any, nat_gateway_id: str) -> Any:
        """It holds its address until it is gone."""
        gateway = backend.nat_gateways.get(nat_gateway_id)
        if gateway is None:
            raise Refusal("NatGatewayNotFound", f"The Nat Gateway {nat_gateway_id} was not found")
        if gateway.state in ("pending", "available"):
            gateway.state = "deleting"

            def end() -> None:
                gateway.state = "deleted"
                self._drop(backend, gateway)

            self._timeline.after("nat_gateway.delete", end)
        return gateway

    def _drop(self, backend: Any, gateway: Any) -> None:
        for address in backend.addresses:
            if address.eni is gateway._eni:
                address.eni = address.association_id = None
        backend.enis.pop(gateway._eni.id, None)

    def describe_nat_gateways(self, backend: Any, filters: Any, nat_gateway_ids: list[str] | None) -> list[Any]:
        """With filters by tag, and refusing unknown ids."""
        for one in nat_gateway_ids or []:
            if one not in backend.nat_gateways:
                raise Refusal("NatGatewayNotFound", f"The Nat Gateway {one} was not found")
        found: Iterable[Any] = backend.nat_gateways.values()
        return generic_filter(filters, [one for one in found if not nat_gateway_ids or one.id in nat_gateway_ids])

    def create_vpc_endpoint(self, backend: Any, *args: Any, **more: Any) -> Any:
        """One per service with private names, which answers after a while."""
        vpc, service = more["vpc_id"], more["service_name"]
        if more.get("private_dns_enabled") and any(
            one.vpc_id == vpc and one.service_name == service for one in backend.vpc_end_points.values()
        ):
            raise Refusal(
                "InvalidParameter",
                f"private-dns-enabled cannot be set because there is already a conflicting DNS domain for {service} in "
                f"the VPC {vpc}",
            )
        made = _MOTO["create_vpc_endpoint"](backend, *args, **more)
        made.state = "pending"
        failure = self._timeline.failure("vpc_endpoint.create")
        self._describe(backend, made)

        def end() -> None:
            if made.state == "pending":
                made.state = "failed" if failure else "available"
                made.failure_reason = failure.message if failure else None

        self._timeline.after("vpc_endpoint.create", end)
        return made

    def _describe(self, backend: Any, endpoint: Any) -> None:
        for identity in endpoint.network_interface_ids:
            eni = backend.enis[identity]
            eni.interface_type, eni.status, eni.requester_managed = "vpc_endpoint", "in-use", True
            eni.description = f"VPC Endpoint Interface {endpoint.id}"
            eni._group_set = [backend.get_security_group_from_id(one) for one in endpoint.security_group_ids]

    def modify_vpc_endpoint(self, backend: Any, vpc_id: str, **more: Any) -> None:
        """Its interfaces follow its subnets."""
        _MOTO["modify_vpc_endpoint"](backend, vpc_id, **more)
        endpoint = backend.vpc_end_points[vpc_id]
        if endpoint.vpc_endpoint_type == "Interface":
            have = {backend.enis[one].subnet.id: one for one in endpoint.network_interface_ids}
            for subnet, eni in have.items():
                if subnet not in endpoint.subnet_ids:
                    endpoint.network_interface_ids.remove(eni)
                    backend.enis.pop(eni)
            for subnet in endpoint.subnet_ids:
                if subnet not in have:
                    endpoint.network_interface_ids.append(backend.create_network_interface(subnet, "").id)
            self._describe(backend, endpoint)

    def delete_vpc_endpoints(self, backend: Any, vpce_ids: list[str] | None = None) -> None:
        """Their interfaces stay until they are gone."""
        for identity in vpce_ids or []:
            endpoint = backend.vpc_end_points.get(identity)
            if endpoint is not None and endpoint.state != "deleting":
                endpoint.state = "deleting"

                def end(identity: str = identity) -> None:
                    gone = backend.vpc_end_points.pop(identity)
                    for eni in gone.network_interface_ids:
                        backend.enis.pop(eni, None)
                    for table in gone.route_table_ids:
                        with contextlib.suppress(InvalidRouteError):  # moto makes no route when a table is added later
                            backend.delete_route(table, gone.destination_prefix_list_id)

                self._timeline.after("vpc_endpoint.delete", end)

    def release_address(self, backend: Any, address: str | None = None, allocation_id: str | None = None) -> None:
        """Not while it is in use."""
        found = backend.address_by_allocation([allocation_id]) if allocation_id else backend.address_by_ip([address])
        if found[0].eni is not None:
            raise Refusal("InvalidIPAddress.InUse", f"Address {found[0].public_ip} is in use.")
        _MOTO["release_address"](backend, address, allocation_id)

    def delete_subnet(self, backend: Any, subnet_id: str) -> Any:
        """Not while an interface is in it."""
        if any(eni.subnet.id == subnet_id for eni in backend.enis.values()):
            raise _violation(f"The subnet '{subnet_id}' has dependencies and cannot be deleted.")
        return _MOTO["delete_subnet"](backend, subnet_id)

    def delete_security_group(self, backend: Any, name: str | None = None, group_id: str | None = None) -> None:
        """Not while an interface has it, or a rule of another group names it."""
        used = any(group and group.id == group_id for eni in backend.enis.values() for group in eni._group_set)
        for groups in backend.groups.values():
            for other in groups.values():
                rules = [*other.ingress_rules, *other.egress_rules]
                named = {(rule.source_group or {}).get("GroupId") for rule in rules}
                used = used or (other.id != group_id and group_id in named)
        if group_id and used:
            raise _violation(f"resource {group_id} has a dependent object")
        _MOTO["delete_security_group"](backend, name, group_id)

    def detach_internet_gateway(self, backend: Any, internet_gateway_id: str, vpc_id: str) -> None:
        """Not while there are public addresses."""
        if any(address.eni is not None and address.eni.subnet.vpc_id == vpc_id for address in backend.addresses):
            raise _violation(f"Network {vpc_id} has some mapped public address(es).")
        _MOTO["detach_internet_gateway"](backend, internet_gateway_id, vpc_id)

    def delete_vpc(self, backend: Any, vpc_id: str) -> Any:
        """Not while anything is in it."""
        groups = [one for one in backend.groups.get(vpc_id, {}).values() if one.name != "default"]
        if groups or _attached(backend, vpc_id) or _interfaces(backend, vpc_id):
            raise _violation(f"The vpc '{vpc_id}' has dependencies and cannot be deleted.")
        return _MOTO["delete_vpc"](backend, vpc_id)

"""Amazon EKS: how it refuses, and what it makes of a request's values without looking at anything else."""

from __future__ import annotations

import json
from typing import Any

from fake_aws import catalog
from fake_aws.wire import Refusal

Json = dict[str, Any]
LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")


def invalid(message: str, **members: Any) -> Refusal:
    return Refusal("InvalidParameterException", message, 400, **members)


def bad_request(message: str, **members: Any) -> Refusal:
    return Refusal("InvalidRequestException", message, 400, **members)


def in_use(message: str, **members: Any) -> Refusal:
    return Refusal("ResourceInUseException", message, 409, **members)


def not_found(message: str, **members: Any) -> Refusal:
    return Refusal("ResourceNotFoundException", message, 404, **members)


def page(key: str, items: list[Any], maxResults: int = 100, nextToken: str = "0") -> Json:
    start = int(nextToken or 0)
    page: Json = {key: items[start : start + maxResults]}
    if start + maxResults < len(items):
        page["nextToken"] = str(start + maxResults)
    return page


def public(data: Json) -> Json:
    return {key: value for key, value in data.items() if not key.startswith("_")}


def iso(value: Any) -> str:
    return str(value.isoformat())


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def issue(code: str, message: str) -> Json:
    return {"code": code, "message": message, "resourceIds": []}


def release(version: str) -> str:
    """The newest image of nodes of a Kubernetes version."""
    return f"{version}.2-20261110"


def logging(wanted: Json, before: Json | None = None) -> Json:
    """What is logged, as EKS shows it: enabled types first."""
    enabled = set(before["clusterLogging"][0]["types"] if before and before["clusterLogging"][0]["enabled"] else [])
    for item in wanted.get("clusterLogging", []):
        types = set(item.get("types", []))
        enabled = enabled | types if item.get("enabled") else enabled - types
    on = [kind for kind in LOG_TYPES if kind in enabled]
    off = [kind for kind in LOG_TYPES if kind not in enabled]
    return {
        "clusterLogging": [{"types": types, "enabled": state} for types, state in ((on, True), (off, False)) if types]
    }


def public_cidrs(vpc: Json) -> None:
    if vpc["endpointPublicAccess"]:
        vpc["publicAccessCidrs"] = vpc.get("publicAccessCidrs") or ["0.0.0.0/0"]
    else:
        vpc.pop("publicAccessCidrs", None)
        vpc["publicAccessCidrs"] = []


def scaling(scaling: Json, names: Json) -> Json:
    if not scaling["minSize"] <= scaling["desiredSize"] <= scaling["maxSize"]:
        raise invalid(
            f"desired capacity {scaling['desiredSize']} must be between minSize {scaling['minSize']} and maxSize "
            f"{scaling['maxSize']}",
            **names,
        )
    return scaling


def update_config(config: Json, names: Json) -> Json:
    if "maxUnavailable" in config and "maxUnavailablePercentage" in config:
        raise invalid("Only one of maxUnavailable and maxUnavailablePercentage may be given", **names)
    return config


def groups(groups: list[str], cluster: str) -> None:
    for group in groups:
        if group.startswith(("system:", "eks:", "aws:", "amazon:", "iam:")):
            raise invalid(
                f"The kubernetes group name {group} is invalid, it cannot start with {group.split(':')[0]}:",
                clusterName=cluster,
            )


def username(principal: str) -> str:
    if ":role/" in principal:
        role = principal.rsplit("/", 1)[1]
        return f"arn:aws:sts::{principal.split(':')[4]}:assumed-role/{role}/{{{{SessionName}}}}"
    return principal


def access_policies() -> list[Json]:
    return [{"name": name, "arn": f"arn:aws:eks::aws:cluster-access-policy/{name}"} for name in catalog.ACCESS_POLICIES]


def has_subnet(ec2: Any, subnet: str) -> bool:
    return any(subnet in subnets for subnets in ec2.subnets.values())

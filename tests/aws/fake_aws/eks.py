"""Amazon EKS: clusters and all that belongs to one, with the states, refusals and messages of the service."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.logs.models import logs_backends

from fake_aws import catalog, checking
from fake_aws.timeline import Timeline
from fake_aws.wire import ACCOUNT, Call, Refusal

Json = dict[str, Any]
LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
IDLE = ("ACTIVE", "DEGRADED", "CREATE_FAILED", "UPDATE_FAILED")
CALLER = f"arn:aws:iam::{ACCOUNT}:user/deployer"
ADMIN_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"


def invalid(message: str, **members: Any) -> Refusal:
    return Refusal("InvalidParameterException", message, 400, **members)


def bad_request(message: str, **members: Any) -> Refusal:
    return Refusal("InvalidRequestException", message, 400, **members)


def in_use(message: str, **members: Any) -> Refusal:
    return Refusal("ResourceInUseException", message, 409, **members)


def not_found(message: str, **members: Any) -> Refusal:
    return Refusal("ResourceNotFoundException", message, 404, **members)


@dataclass
class Cluster:
    """A cluster and what is in it; everything is kept as it is shown."""

    data: Json
    token: str
    region: str
    nodegroups: dict[str, Json] = field(default_factory=dict)
    addons: dict[str, Json] = field(default_factory=dict)
    entries: dict[str, Json] = field(default_factory=dict)
    policies: dict[str, dict[str, Json]] = field(default_factory=dict)
    associations: dict[str, Json] = field(default_factory=dict)
    updates: dict[str, Json] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    interfaces: dict[str, list[str]] = field(default_factory=dict)  # of the control plane ("") and of node groups

    @property
    def name(self) -> str:
        return str(self.data["name"])

    def things(self) -> Iterator[tuple[str, str, Json]]:
        """All that has tags: kind, ARN and data."""
        yield "cluster", self.data["arn"], self.data
        for kind, key, things in (
            ("nodegroup", "nodegroupArn", self.nodegroups),
            ("addon", "addonArn", self.addons),
            ("access-entry", "accessEntryArn", self.entries),
            ("podidentityassociation", "associationArn", self.associations),
        ):
            for thing in things.values():
                yield kind, thing[key], thing


class Eks:
    """The service in all regions."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.clusters: dict[tuple[str, str], Cluster] = {}  # by region and name
        self.node_interfaces = False  # whether nodes have network interfaces
        self.leak_interfaces = False  # whether those stay when the nodes go
        self.late_logs = False  # whether a deleted cluster writes its log group once more
        self.role_delay = 0.0  # seconds until a new role can be assumed
        self.endpoint: Json = {}  # what clusters show instead of their own endpoint and certificateAuthority

    def reset(self) -> None:
        self.__init__(self.timeline)  # type: ignore[misc]

    def handle(self, call: Call) -> Json:
        """The answer to a call."""
        checking.check_input(call)
        handler: Callable[..., Json] | None = getattr(self, f"_{call.name}", None)
        if handler is None:
            raise Refusal("UnknownOperationException", f"{call.name} is not part of this test server", 404)
        output = handler(call.region, **{name: value for name, value in call.params.items() if value is not None})
        checking.check_output(call, output)
        return output

    # Clusters

    def _create_cluster(self, region: str, name: str, roleArn: str, resourcesVpcConfig: Json, **given: Any) -> Json:
        token = given.pop("clientRequestToken", "")
        known = self.clusters.get((region, name))
        if known:
            if token and known.token == token:
                return {"cluster": self._shown(known)}
            raise in_use(f"Cluster already exists with name: {name}", clusterName=name)
        version = given.get("version", catalog.DEFAULT_VERSION)
        offered = {item["clusterVersion"]: item["versionStatus"] for item in catalog.versions()}
        if offered.get(version, "UNSUPPORTED") == "UNSUPPORTED":
            raise invalid(f"unsupported Kubernetes version {version}", clusterName=name)
        self._role(region, roleArn, "eks.amazonaws.com")
        network = self._network(region, resourcesVpcConfig)
        for encryption in given.get("encryptionConfig", []):
            self._key(region, encryption)
        access = given.get("accessConfig", {})
        mode = access.get("authenticationMode", "CONFIG_MAP")
        kubernetes = given.get("kubernetesNetworkConfig", {})
        data: Json = {
            "name": name,
            "arn": f"arn:aws:eks:{region}:{ACCOUNT}:cluster/{name}",
            "createdAt": self._time(),
            "version": version,
            "roleArn": roleArn,
            "resourcesVpcConfig": {
                "endpointPublicAccess": True,
                "endpointPrivateAccess": False,
                "securityGroupIds": [],
                **resourcesVpcConfig,
                "vpcId": network,
            },
            "kubernetesNetworkConfig": {
                "serviceIpv4Cidr": kubernetes.get("serviceIpv4Cidr", "172.20.0.0/16"),
                "ipFamily": kubernetes.get("ipFamily", "ipv4"),
                "elasticLoadBalancing": {"enabled": False},
            },
            "logging": _logging(given.get("logging", {})),
            "status": "CREATING",
            "certificateAuthority": {},
            "platformVersion": "eks.9",
            "tags": dict(given.get("tags", {})),
            "health": {"issues": []},
            "accessConfig": {"authenticationMode": mode},
            "upgradePolicy": given.get("upgradePolicy", {"supportType": "EXTENDED"}),
            "zonalShiftConfig": given.get("zonalShiftConfig", {"enabled": False}),
            "computeConfig": given.get("computeConfig", {"enabled": False}),
            "storageConfig": given.get("storageConfig", {"blockStorage": {"enabled": False}}),
            "deletionProtection": given.get("deletionProtection", False),
            "controlPlaneScalingConfig": given.get("controlPlaneScalingConfig", {"tier": "standard"}),
        }
        _public_cidrs(data["resourcesVpcConfig"])
        if given.get("encryptionConfig"):
            data["encryptionConfig"] = given["encryptionConfig"]
        if token:
            data["clientRequestToken"] = token
        cluster = self.clusters[(region, name)] = Cluster(data, token, region)
        failure = self.timeline.failure("cluster.create")

        def done() -> None:
            if failure:
                data["status"] = failure.status or "FAILED"
                data["health"] = {"issues": [_issue(failure.code or "Other", failure.message)]}
                return
            self._activate(cluster, bootstrap=access.get("bootstrapClusterCreatorAdminPermissions", True))

        self.timeline.after("cluster.create", done)
        return {"cluster": self._shown(cluster)}

    def _activate(self, cluster: Cluster, *, bootstrap: bool) -> None:
        """A cluster's creation ends: it has an endpoint, a security group, interfaces and a log group."""
        data, region, name = cluster.data, cluster.region, cluster.name
        identity = secrets.token_hex(16).upper()
        data["endpoint"] = f"https://{identity}.gr7.{region}.eks.amazonaws.com"
        authority = b"-----BEGIN CERTIFICATE-----\n" + identity.encode() + b"\n-----END CERTIFICATE-----\n"
        data["certificateAuthority"] = {"data": base64.b64encode(authority).decode()}
        data["identity"] = {"oidc": {"issuer": f"https://oidc.eks.{region}.amazonaws.com/id/{identity}"}}
        ec2 = ec2_backends[ACCOUNT][region]
        vpc = data["resourcesVpcConfig"]
        group = ec2.create_security_group(
            f"eks-cluster-sg-{name}-{secrets.randbelow(10**9)}",
            "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes, as well as "
            "any managed workloads.",
            vpc["vpcId"],
            tags={
                "Name": f"eks-cluster-sg-{name}",
                "aws:eks:cluster-name": name,
                f"kubernetes.io/cluster/{name}": "owned",
            },
        )
        vpc["clusterSecurityGroupId"] = group.id
        cluster.interfaces[""] = [
            ec2.create_network_interface(
                ec2.get_subnet(subnet), None, group_ids=[group.id], description=f"Amazon EKS {name}"
            ).id
            for subnet in vpc["subnetIds"][:2]
        ]
        self._write_logs(cluster)
        if bootstrap and data["accessConfig"]["authenticationMode"] != "CONFIG_MAP":
            self._enter(cluster, CALLER, "STANDARD", CALLER, [])
            cluster.policies[CALLER][ADMIN_POLICY] = self._associated(ADMIN_POLICY, {"type": "cluster"})
        data["status"] = "ACTIVE"

    def _describe_cluster(self, region: str, name: str) -> Json:
        return {"cluster": self._shown(self._cluster(region, name))}

    def _list_clusters(self, region: str, include: list[str] | None = None, **page: Any) -> Json:
        names = sorted(name for where, name in self.clusters if where == region)
        return _page("clusters", names, **page)

    def _delete_cluster(self, region: str, name: str) -> Json:
        cluster = self._cluster(region, name)
        data = cluster.data
        if data["deletionProtection"] and data["status"] == "ACTIVE":
            raise bad_request(
                f"Cluster {name} has deletion protection enabled. Disable deletion protection and try again.",
                clusterName=name,
            )
        if data["status"] == "DELETING":
            return {"cluster": self._shown(cluster)}
        if cluster.nodegroups:
            raise in_use("Cluster has nodegroups attached", clusterName=name)
        if data["status"] in ("CREATING", "UPDATING"):
            raise in_use(f"Cannot delete because cluster {name} currently has an update in progress", clusterName=name)
        data["status"] = "DELETING"
        failure = self.timeline.failure("cluster.delete")

        def done() -> None:
            if failure:
                data["status"] = failure.status or "FAILED"
                data["health"] = {"issues": [_issue(failure.code or "Other", failure.message)]}
                return
            ec2 = ec2_backends[ACCOUNT][region]
            for interface in cluster.interfaces.pop("", []):
                if interface in ec2.enis:
                    ec2.delete_network_interface(interface)
            group = data["resourcesVpcConfig"].get("clusterSecurityGroupId")
            if group:
                with contextlib.suppress(Refusal):  # when something uses it, it stays behind, as in AWS
                    ec2.delete_security_group(group_id=group)
            if self.late_logs:
                self._write_logs(cluster)
            del self.clusters[(region, name)]

        self.timeline.after("cluster.delete", done)
        return {"cluster": self._shown(cluster)}

    def _update_cluster_config(self, region: str, name: str, clientRequestToken: str = "", **wanted: Any) -> Json:
        cluster = self._cluster(region, name)
        if known := cluster.tokens.get(clientRequestToken):
            return {"update": _public(cluster.updates[known])}
        if {"computeConfig", "storageConfig", "kubernetesNetworkConfig"} & wanted.keys():
            raise invalid("Auto Mode is not part of this test server", clusterName=name)
        vpc = wanted.pop("resourcesVpcConfig", None)
        kinds: dict[str, Json] = {name_: {name_: value} for name_, value in wanted.items()}
        if vpc is not None:
            if moved := {key: vpc[key] for key in ("subnetIds", "securityGroupIds") if key in vpc}:
                kinds["network"] = moved
            if reached := {key: value for key, value in vpc.items() if key not in moved}:
                kinds["endpoint"] = reached
        if len(kinds) != 1:
            reason = "Only one type of update can be allowed." if kinds else "No update was requested."
            raise invalid(reason, clusterName=name)
        self._idle(cluster, "update config of")
        ((kind, change),) = kinds.items()
        kubernetes = self._config_change(cluster, kind, change)
        update = self._update(cluster, kubernetes[0], kubernetes[1], token=clientRequestToken)
        return {"update": self._cluster_update(cluster, update, kubernetes[2], "cluster.update")}

    def _config_change(self, cluster: Cluster, kind: str, change: Json) -> tuple[str, Json, Callable[[], None]]:
        """Type of the update, its parameters, and what it does; refused when there is nothing to be changed."""
        data, name = cluster.data, cluster.name
        same = f"Cluster is already at the desired configuration with {json.dumps(change)}"
        vpc = data["resourcesVpcConfig"]
        if kind == "endpoint":
            after = {**vpc, **change}
            if not after["endpointPublicAccess"] and not after["endpointPrivateAccess"]:
                raise invalid("Private and public endpoint access cannot both be disabled", clusterName=name)
            _public_cidrs(after)
            if after == vpc:
                raise invalid(same, clusterName=name)
            params = {
                "EndpointPublicAccess": after["endpointPublicAccess"],
                "EndpointPrivateAccess": after["endpointPrivateAccess"],
                "PublicAccessCidrs": after.get("publicAccessCidrs", []),
            }
            return "EndpointAccessUpdate", params, lambda: vpc.update(after)
        if kind == "network":
            if all(sorted(vpc.get(key, [])) == sorted(value) for key, value in change.items()):
                raise invalid(same, clusterName=name)
            self._network(cluster.region, {**vpc, **change})
            params = {key[0].upper() + key[1:].removesuffix("Ids") + "s": value for key, value in change.items()}
            return "VpcConfigUpdate", params, lambda: vpc.update(change)
        if kind == "logging":
            after_logs = _logging(change["logging"], data["logging"])
            if after_logs == data["logging"]:
                raise invalid("No changes needed for the logging config provided", clusterName=name)

            def log() -> None:
                data["logging"] = after_logs
                self._write_logs(cluster)

            return "LoggingUpdate", {"ClusterLogging": change["logging"]}, log
        if kind == "accessConfig":
            order = ["CONFIG_MAP", "API_AND_CONFIG_MAP", "API"]
            before, after_mode = data["accessConfig"]["authenticationMode"], change[kind]["authenticationMode"]
            if order.index(after_mode) <= order.index(before):
                raise invalid(f"Unsupported authentication mode update from {before} to {after_mode}", clusterName=name)
            return (
                "AccessConfigUpdate",
                {"AuthenticationMode": after_mode},
                lambda: data.update(accessConfig=change[kind]),
            )
        types = {
            "upgradePolicy": "UpgradePolicyUpdate",
            "zonalShiftConfig": "ZonalShiftConfigUpdate",
            "deletionProtection": "DeletionProtectionUpdate",
            "remoteNetworkConfig": "RemoteNetworkConfigUpdate",
            "controlPlaneScalingConfig": "ControlPlaneScalingConfigUpdate",
            "kubeApiServerConfig": "ControlPlaneComponentConfigUpdate",
            "kubeSchedulerConfig": "ControlPlaneComponentConfigUpdate",
            "kubeControllerManagerConfig": "ControlPlaneComponentConfigUpdate",
        }
        if data.get(kind) == change[kind]:
            raise invalid(same, clusterName=name)
        support = {item["clusterVersion"]: item["versionStatus"] for item in catalog.versions()}[data["version"]]
        if change[kind] == {"supportType": "STANDARD"} and support == "EXTENDED_SUPPORT":
            raise invalid(
                "The upgrade policy can't be STANDARD while the cluster's version is in extended support",
                clusterName=name,
            )
        return types[kind], {}, lambda: data.update(change)

    def _update_cluster_version(
        self, region: str, name: str, version: str, clientRequestToken: str = "", **rest: Any
    ) -> Json:
        cluster = self._cluster(region, name)
        if known := cluster.tokens.get(clientRequestToken):
            return {"update": _public(cluster.updates[known])}
        before = cluster.data["version"]
        if version not in {item["clusterVersion"] for item in catalog.versions()}:
            raise invalid(f"unsupported Kubernetes version {version}", clusterName=name)
        if version == before:
            raise invalid(f"Cluster is already at the desired version: {version}", clusterName=name)
        if catalog.newer(version, before) != 1:
            raise invalid(f"Unsupported Kubernetes minor version update from {before} to {version}", clusterName=name)
        self._idle(cluster, "VersionUpdate")
        old = [group for group, data in cluster.nodegroups.items() if catalog.newer(version, data["version"]) > 3]
        if old:
            raise bad_request(
                f"Nodegroups {old} must be updated to match cluster version {before} before updating cluster version",
                clusterName=name,
            )
        params = {"Version": version, "PlatformVersion": "eks.9"}
        update = self._update(cluster, "VersionUpdate", params, token=clientRequestToken)
        done: Callable[[], None] = lambda: cluster.data.update(version=version)  # noqa: E731 - one assignment
        return {"update": self._cluster_update(cluster, update, done, "cluster.version")}

    def _associate_encryption_config(
        self, region: str, clusterName: str, encryptionConfig: list[Json], clientRequestToken: str = ""
    ) -> Json:
        cluster = self._cluster(region, clusterName)
        if known := cluster.tokens.get(clientRequestToken):
            return {"update": _public(cluster.updates[known])}
        for encryption in encryptionConfig:
            self._key(region, encryption)
        if cluster.data.get("encryptionConfig"):
            raise invalid(
                f"Cluster {clusterName} is already associated with an encryption config", clusterName=clusterName
            )
        self._idle(cluster, "AssociateEncryptionConfig")
        params = {"EncryptionConfig": encryptionConfig}
        update = self._update(cluster, "AssociateEncryptionConfig", params, token=clientRequestToken)
        done: Callable[[], None] = lambda: cluster.data.update(encryptionConfig=encryptionConfig)  # noqa: E731 - as above
        return {"update": self._cluster_update(cluster, update, done, "cluster.encryption")}

    def _describe_cluster_versions(
        self,
        region: str,
        clusterVersions: list[str] | None = None,
        defaultOnly: bool = False,
        includeAll: bool = False,
        status: str = "",
        versionStatus: str = "",
        clusterType: str = "eks",
        **page: Any,
    ) -> Json:
        found = [
            item
            for item in catalog.versions()
            if (not clusterVersions or item["clusterVersion"] in clusterVersions)
            and (not defaultOnly or item["defaultVersion"])
            and (includeAll or clusterVersions or item["versionStatus"] != "UNSUPPORTED")
            and status in ("", item["status"])
            and versionStatus in ("", item["versionStatus"])
        ]
        return _page("clusterVersions", found, **page)

    def _describe_update(
        self, region: str, name: str, updateId: str, nodegroupName: str = "", addonName: str = "", **_rest: Any
    ) -> Json:
        update = self._cluster(region, name).updates.get(updateId)
        if not update or update["_of"] != (nodegroupName, addonName):
            raise not_found(f"No update found for ID: {updateId}", clusterName=name)
        return {"update": _public(update)}

    def _list_updates(
        self,
        region: str,
        name: str,
        nodegroupName: str = "",
        addonName: str = "",
        capabilityName: str = "",
        **page: Any,
    ) -> Json:
        updates = self._cluster(region, name).updates
        ids = [key for key, update in reversed(updates.items()) if update["_of"] == (nodegroupName, addonName)]
        return _page("updateIds", ids, **page)

    # Node groups

    def _create_nodegroup(
        self, region: str, clusterName: str, nodegroupName: str, subnets: list[str], nodeRole: str, **given: Any
    ) -> Json:
        cluster = self._cluster(region, clusterName)
        names = {"clusterName": clusterName, "nodegroupName": nodegroupName}
        token = given.pop("clientRequestToken", "")
        if known := cluster.nodegroups.get(nodegroupName):
            if token and cluster.tokens.get(token) == nodegroupName:
                return {"nodegroup": _public(known)}
            raise in_use(f"NodeGroup already exists with name {nodegroupName} and cluster name {clusterName}", **names)
        self._active(cluster)
        self._role(region, nodeRole, "ec2.amazonaws.com")
        ec2 = ec2_backends[ACCOUNT][region]
        for subnet in subnets:
            if not _has_subnet(ec2, subnet):
                raise invalid(f"The subnet ID '{subnet}' does not exist", **names)
        version = given.get("version", cluster.data["version"])
        if catalog.newer(version, cluster.data["version"]) > 0:
            raise invalid(
                f"Requested Nodegroup version {version} is newer than the cluster version {cluster.data['version']}",
                **names,
            )
        scaling = _scaling({"minSize": 1, "maxSize": 2, "desiredSize": 2} | given.get("scalingConfig", {}), names)
        data: Json = {
            **names,
            "nodegroupArn": f"arn:aws:eks:{region}:{ACCOUNT}:nodegroup/{clusterName}/{nodegroupName}/{uuid.uuid4()}",
            "version": version,
            "releaseVersion": given.get("releaseVersion", release(version)),
            "createdAt": self._time(),
            "modifiedAt": self._time(),
            "status": "CREATING",
            "capacityType": given.get("capacityType", "ON_DEMAND"),
            "scalingConfig": scaling,
            "subnets": subnets,
            "amiType": given.get("amiType", "AL2023_x86_64_STANDARD"),
            "nodeRole": nodeRole,
            "labels": dict(given.get("labels", {})),
            "taints": list(given.get("taints", [])),
            "health": {"issues": []},
            "updateConfig": _update_config(given.get("updateConfig", {"maxUnavailable": 1}), names),
            "tags": dict(given.get("tags", {})),
            "resources": {},
        }
        if "nodeRepairConfig" in given:
            data["nodeRepairConfig"] = given["nodeRepairConfig"]
        if template := given.get("launchTemplate"):
            data["launchTemplate"], launched = self._template(region, template, names)
            if "diskSize" in given:
                raise invalid("Disk size must be specified within the launch template.", **names)
            if "remoteAccess" in given:
                raise invalid("Remote access configuration cannot be specified with a launch template.", **names)
            if launched.get("InstanceType") and "instanceTypes" in given:
                raise invalid(
                    "You must specify instance types either in the launch template or in the API call, not both.",
                    **names,
                )
            if "instanceTypes" in given or not launched.get("InstanceType"):
                data["instanceTypes"] = given.get("instanceTypes", ["t3.medium"])
            if launched.get("ImageId"):
                data["amiType"] = "CUSTOM"
        else:
            data["instanceTypes"] = given.get("instanceTypes", ["t3.medium"])
            data["diskSize"] = given.get("diskSize", 20)
            if "remoteAccess" in given:
                data["remoteAccess"] = given["remoteAccess"]
        cluster.nodegroups[nodegroupName] = data
        if token:
            cluster.tokens[token] = nodegroupName
        failure = self.timeline.failure("nodegroup.create")

        def done() -> None:
            group = f"eks-{nodegroupName}-{data['nodegroupArn'].rsplit('/', 1)[1]}"
            data["resources"] = {"autoScalingGroups": [{"name": group}]}
            if failure:
                data["status"] = failure.status or "CREATE_FAILED"
                data["health"] = {"issues": [_issue(failure.code or "NodeCreationFailure", failure.message)]}
                return
            data["status"] = "ACTIVE"
            self._scale(cluster, data)
            mode = cluster.data["accessConfig"]["authenticationMode"]
            if mode != "CONFIG_MAP" and nodeRole not in cluster.entries:
                self._enter(cluster, nodeRole, "EC2_LINUX", "system:node:{{EC2PrivateDNSName}}", ["system:nodes"])

        self.timeline.after("nodegroup.create", done)
        return {"nodegroup": _public(data)}

    def _describe_nodegroup(self, region: str, clusterName: str, nodegroupName: str) -> Json:
        return {"nodegroup": _public(self._nodegroup(region, clusterName, nodegroupName)[1])}

    def _list_nodegroups(self, region: str, clusterName: str, **page: Any) -> Json:
        return _page("nodegroups", sorted(self._cluster(region, clusterName).nodegroups), **page)

    def _delete_nodegroup(self, region: str, clusterName: str, nodegroupName: str) -> Json:
        cluster, data = self._nodegroup(region, clusterName, nodegroupName)
        if data["status"] == "UPDATING":
            raise in_use(
                f"Nodegroup {nodegroupName} cannot be deleted while it is being updated",
                clusterName=clusterName,
                nodegroupName=nodegroupName,
            )
        if data["status"] != "DELETING":
            data["status"] = "DELETING"
            failure = self.timeline.failure("nodegroup.delete")

            def done() -> None:
                if failure:
                    data["status"] = failure.status or "DELETE_FAILED"
                    code = failure.code or "Ec2SecurityGroupDeletionFailure"
                    data["health"] = {"issues": [_issue(code, failure.message)]}
                    return
                interfaces = cluster.interfaces.pop(nodegroupName, [])
                if not self.leak_interfaces:
                    ec2 = ec2_backends[ACCOUNT][region]
                    for interface in interfaces:
                        if interface in ec2.enis:
                            ec2.delete_network_interface(interface)
                cluster.nodegroups.pop(nodegroupName, None)

            self.timeline.after("nodegroup.delete", done)
        return {"nodegroup": _public(data)}

    def _update_nodegroup_config(
        self, region: str, clusterName: str, nodegroupName: str, clientRequestToken: str = "", **wanted: Any
    ) -> Json:
        cluster, data = self._nodegroup(region, clusterName, nodegroupName)
        names = {"clusterName": clusterName, "nodegroupName": nodegroupName}
        if known := cluster.tokens.get(clientRequestToken):
            return {"update": _public(cluster.updates[known])}
        if not wanted:
            raise invalid("No update was requested.", **names)
        self._idle_nodegroup(data)
        after: Json = {}
        params: Json = {}
        if scaling := wanted.get("scalingConfig"):
            after["scalingConfig"] = _scaling(data["scalingConfig"] | scaling, names)
            params |= {key[0].upper() + key[1:]: value for key, value in scaling.items()}
        if labels := wanted.get("labels"):
            kept = {key: value for key, value in data["labels"].items() if key not in labels.get("removeLabels", [])}
            after["labels"] = kept | labels.get("addOrUpdateLabels", {})
            params["LabelsToAdd"] = labels.get("addOrUpdateLabels", {})
            params["LabelsToRemove"] = labels.get("removeLabels", [])
        if taints := wanted.get("taints"):
            added = taints.get("addOrUpdateTaints", [])
            gone = [(item["key"], item["effect"]) for item in [*added, *taints.get("removeTaints", [])]]
            after["taints"] = [item for item in data["taints"] if (item["key"], item["effect"]) not in gone] + added
            params["TaintsToAdd"], params["TaintsToRemove"] = added, taints.get("removeTaints", [])
        if "updateConfig" in wanted:
            after["updateConfig"] = _update_config(wanted["updateConfig"], names)
            params |= {key[0].upper() + key[1:]: value for key, value in wanted["updateConfig"].items()}
        if "nodeRepairConfig" in wanted:
            after["nodeRepairConfig"] = wanted["nodeRepairConfig"]
            params["NodeRepairEnabled"] = wanted["nodeRepairConfig"].get("enabled", False)
        update = self._update(cluster, "ConfigUpdate", params, token=clientRequestToken, of=(nodegroupName, ""))
        return {"update": self._nodegroup_update(cluster, data, update, after, "nodegroup.update")}

    def _update_nodegroup_version(
        self, region: str, clusterName: str, nodegroupName: str, clientRequestToken: str = "", **wanted: Any
    ) -> Json:
        cluster, data = self._nodegroup(region, clusterName, nodegroupName)
        names = {"clusterName": clusterName, "nodegroupName": nodegroupName}
        if known := cluster.tokens.get(clientRequestToken):
            return {"update": _public(cluster.updates[known])}
        self._idle_nodegroup(data)
        version = wanted.get("version", data["version"])
        if catalog.newer(version, cluster.data["version"]) > 0:
            raise invalid(
                f"Requested Nodegroup version {version} is newer than the cluster version {cluster.data['version']}",
                **names,
            )
        if catalog.newer(version, data["version"]) < 0:
            raise invalid(f"Nodegroup version cannot be lowered from {data['version']} to {version}", **names)
        after: Json = {"version": version, "releaseVersion": wanted.get("releaseVersion", release(version))}
        params: Json = {"Version": version, "ReleaseVersion": after["releaseVersion"]}
        if template := wanted.get("launchTemplate"):
            if "launchTemplate" not in data:
                raise invalid("Cannot specify launch template when nodegroup was not created with one", **names)
            found, _launched = self._template(region, template, names)
            if found["id"] != data["launchTemplate"]["id"]:
                raise invalid("You cannot specify a different launch template than the one of the nodegroup", **names)
            after["launchTemplate"] = found
            params |= {"LaunchTemplateName": found["name"], "LaunchTemplateVersion": found["version"]}
        update = self._update(cluster, "VersionUpdate", params, token=clientRequestToken, of=(nodegroupName, ""))
        return {"update": self._nodegroup_update(cluster, data, update, after, "nodegroup.version")}

    # Add-ons

    def _create_addon(self, region: str, clusterName: str, addonName: str, **given: Any) -> Json:
        cluster = self._cluster(region, clusterName)
        names = {"clusterName": clusterName, "addonName": addonName}
        version = self._addon_version(cluster, addonName, given.get("addonVersion"))
        token = given.pop("clientRequestToken", "")
        if known := cluster.addons.get(addonName):
            if token and cluster.tokens.get(token) == addonName:
                return {"addon": self._shown_addon(cluster, known)}
            raise in_use("Addon already exists.", **names)
        self._active(cluster)
        data: Json = {
            **names,
            "status": "CREATING",
            "addonVersion": version,
            "health": {"issues": []},
            "addonArn": f"arn:aws:eks:{region}:{ACCOUNT}:addon/{clusterName}/{addonName}/{uuid.uuid4()}",
            "createdAt": self._time(),
            "modifiedAt": self._time(),
            "tags": dict(given.get("tags", {})),
            "publisher": "eks",
            "owner": "aws",
            "namespaceConfig": {"namespace": catalog.addon_namespace(addonName)},
        }
        self._configure_addon(cluster, data, given)
        cluster.addons[addonName] = data
        if token:
            cluster.tokens[token] = addonName
        failure = self.timeline.failure("addon.create")

        def done() -> None:
            data["status"] = (failure.status or "CREATE_FAILED") if failure else "ACTIVE"
            if failure:
                data["health"] = {"issues": [_issue(failure.code or "ConfigurationConflict", failure.message)]}

        self.timeline.after("addon.create", done)
        return {"addon": self._shown_addon(cluster, data)}

    def _describe_addon(self, region: str, clusterName: str, addonName: str) -> Json:
        cluster, data = self._addon(region, clusterName, addonName)
        return {"addon": self._shown_addon(cluster, data)}

    def _list_addons(self, region: str, clusterName: str, **page: Any) -> Json:
        return _page("addons", sorted(self._cluster(region, clusterName).addons), **page)

    def _update_addon(
        self, region: str, clusterName: str, addonName: str, clientRequestToken: str = "", **wanted: Any
    ) -> Json:
        cluster, data = self._addon(region, clusterName, addonName)
        names = {"clusterName": clusterName, "addonName": addonName}
        if known := cluster.tokens.get(clientRequestToken):
            return {"update": _public(cluster.updates[known])}
        version = self._addon_version(cluster, addonName, wanted.get("addonVersion", data["addonVersion"]))
        if data["status"] in ("CREATING", "UPDATING", "DELETING"):
            raise in_use(f"Addon {addonName} cannot be updated as it is currently in {data['status']} state", **names)
        params: Json = {"AddonVersion": version}
        for key in ("serviceAccountRoleArn", "resolveConflicts", "configurationValues", "podIdentityAssociations"):
            if key in wanted:
                params[key[0].upper() + key[1:]] = wanted[key]
        update = self._update(cluster, "AddonUpdate", params, token=clientRequestToken, of=("", addonName))
        data["status"] = "UPDATING"
        failure = self.timeline.failure("addon.update")
        prepared = dict(data)
        self._configure_addon(cluster, prepared, wanted)  # refuses now what it would refuse

        def done() -> None:
            if failure:
                data["status"] = failure.status or "UPDATE_FAILED"
                issue = _issue(failure.code or "ConfigurationConflict", failure.message)
                data["health"] = {"issues": [issue]}
                update["status"] = "Failed"
                update["errors"] = [{"errorCode": issue["code"], "errorMessage": issue["message"]}]
                return
            data.update(prepared, status="ACTIVE", addonVersion=version, modifiedAt=self._time(), health={"issues": []})
            update["status"] = "Successful"

        self.timeline.after("addon.update", done)
        return {"update": _public(update)}

    def _delete_addon(self, region: str, clusterName: str, addonName: str, preserve: bool = False) -> Json:
        cluster, data = self._addon(region, clusterName, addonName)
        if data["status"] != "DELETING":
            data["status"] = "DELETING"

            def done() -> None:
                if cluster.addons.get(addonName) is data:
                    del cluster.addons[addonName]
                for key in [
                    key for key, item in cluster.associations.items() if item.get("ownerArn") == data["addonArn"]
                ]:
                    del cluster.associations[key]

            self.timeline.after("addon.delete", done)
        return {"addon": self._shown_addon(cluster, data)}

    def _describe_addon_versions(
        self, region: str, addonName: str | None = None, kubernetesVersion: str | None = None, **page: Any
    ) -> Json:
        for unused in ("types", "publishers", "owners"):
            page.pop(unused, None)
        if kubernetesVersion and kubernetesVersion not in {item["clusterVersion"] for item in catalog.versions()}:
            raise invalid(f"unsupported Kubernetes version {kubernetesVersion}")
        return _page("addons", catalog.addons(addonName, kubernetesVersion), **page)

    def _describe_addon_configuration(self, region: str, addonName: str, addonVersion: str) -> Json:
        if not catalog.known_addon(addonName):
            raise not_found(f"Addon {addonName} is not known", addonName=addonName)
        schema = json.dumps({"$schema": "http://json-schema.org/draft-06/schema#", "type": "object"})
        return {"addonName": addonName, "addonVersion": addonVersion, "configurationSchema": schema}

    # Access entries

    def _create_access_entry(self, region: str, clusterName: str, principalArn: str, **given: Any) -> Json:
        cluster = self._cluster(region, clusterName)
        self._access_by_api(cluster)
        token = given.pop("clientRequestToken", "")
        if known := cluster.entries.get(principalArn):
            if token and cluster.tokens.get(token) == principalArn:
                return {"accessEntry": _public(known)}
            raise in_use(
                "The specified access entry resource is already in use on this cluster.", clusterName=clusterName
            )
        self._active(cluster)
        self._principal(region, principalArn)
        kind = given.get("type", "STANDARD")
        groups = given.get("kubernetesGroups", [])
        if kind not in (
            "STANDARD",
            "EC2_LINUX",
            "EC2_WINDOWS",
            "FARGATE_LINUX",
            "EC2",
            "HYBRID_LINUX",
            "HYPERPOD_LINUX",
        ):
            raise invalid(f"The specified type is invalid: {kind}", clusterName=clusterName)
        if kind != "STANDARD" and groups:
            raise invalid("kubernetesGroups can only be given for the type STANDARD", clusterName=clusterName)
        _groups(groups, clusterName)
        username = given.get("username") or _username(principalArn)
        entry = self._enter(cluster, principalArn, kind, username, groups, given.get("tags", {}))
        if token:
            cluster.tokens[token] = principalArn
        return {"accessEntry": _public(entry)}

    def _describe_access_entry(self, region: str, clusterName: str, principalArn: str) -> Json:
        return {"accessEntry": _public(self._entry(region, clusterName, principalArn)[1])}

    def _list_access_entries(self, region: str, clusterName: str, associatedPolicyArn: str = "", **page: Any) -> Json:
        cluster = self._cluster(region, clusterName)
        found = sorted(
            principal
            for principal in cluster.entries
            if not associatedPolicyArn or associatedPolicyArn in cluster.policies[principal]
        )
        return _page("accessEntries", found, **page)

    def _update_access_entry(
        self, region: str, clusterName: str, principalArn: str, clientRequestToken: str = "", **wanted: Any
    ) -> Json:
        _cluster, entry = self._entry(region, clusterName, principalArn)
        if entry["type"] != "STANDARD":
            raise bad_request(f"Access entries of the type {entry['type']} can't be updated", clusterName=clusterName)
        _groups(wanted.get("kubernetesGroups", []), clusterName)
        entry.update(wanted, modifiedAt=self._time())
        return {"accessEntry": _public(entry)}

    def _delete_access_entry(self, region: str, clusterName: str, principalArn: str) -> Json:
        cluster, _entry = self._entry(region, clusterName, principalArn)
        del cluster.entries[principalArn], cluster.policies[principalArn]
        return {}

    def _associate_access_policy(
        self, region: str, clusterName: str, principalArn: str, policyArn: str, accessScope: Json
    ) -> Json:
        cluster, entry = self._entry(region, clusterName, principalArn)
        if entry["type"] != "STANDARD":
            raise bad_request(
                f"Access policies can't be associated with entries of the type {entry['type']}", clusterName=clusterName
            )
        if policyArn not in {item["arn"] for item in _access_policies()}:
            raise invalid(f"The policyArn {policyArn} is invalid", clusterName=clusterName)
        if (accessScope.get("type") == "namespace") != bool(accessScope.get("namespaces")):
            raise invalid("namespaces are required for the scope namespace, and only for it", clusterName=clusterName)
        known = cluster.policies[principalArn].get(policyArn)
        item = self._associated(policyArn, accessScope)
        if known:
            item["associatedAt"] = known["associatedAt"]
        cluster.policies[principalArn][policyArn] = item
        return {"clusterName": clusterName, "principalArn": principalArn, "associatedAccessPolicy": item}

    def _disassociate_access_policy(self, region: str, clusterName: str, principalArn: str, policyArn: str) -> Json:
        cluster, _entry = self._entry(region, clusterName, principalArn)
        if policyArn not in cluster.policies[principalArn]:
            raise not_found(f"The policy {policyArn} is not associated with {principalArn}", clusterName=clusterName)
        del cluster.policies[principalArn][policyArn]
        return {}

    def _list_associated_access_policies(self, region: str, clusterName: str, principalArn: str, **page: Any) -> Json:
        cluster, _entry = self._entry(region, clusterName, principalArn)
        found = _page("associatedAccessPolicies", list(cluster.policies[principalArn].values()), **page)
        return {"clusterName": clusterName, "principalArn": principalArn, **found}

    def _list_access_policies(self, region: str, **page: Any) -> Json:
        return _page("accessPolicies", _access_policies(), **page)

    # Pod identities

    def _create_pod_identity_association(
        self, region: str, clusterName: str, namespace: str, serviceAccount: str, roleArn: str, **given: Any
    ) -> Json:
        cluster = self._cluster(region, clusterName)
        token = given.pop("clientRequestToken", "")
        for known in cluster.associations.values():
            if (known["namespace"], known["serviceAccount"]) == (namespace, serviceAccount):
                if token and cluster.tokens.get(token) == known["associationId"]:
                    return {"association": _public(known)}
                raise in_use(f"Association already exists: {known['associationId']}", clusterName=clusterName)
        self._active(cluster)
        association = self._associate(cluster, namespace, serviceAccount, roleArn, **given)
        if token:
            cluster.tokens[token] = association["associationId"]
        return {"association": _public(association)}

    def _describe_pod_identity_association(self, region: str, clusterName: str, associationId: str) -> Json:
        return {"association": _public(self._association(region, clusterName, associationId)[1])}

    def _list_pod_identity_associations(
        self, region: str, clusterName: str, namespace: str = "", serviceAccount: str = "", **page: Any
    ) -> Json:
        shown = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId", "ownerArn")
        found = [
            {key: item[key] for key in shown if key in item}
            for item in self._cluster(region, clusterName).associations.values()
            if namespace in ("", item["namespace"]) and serviceAccount in ("", item["serviceAccount"])
        ]
        return _page("associations", found, **page)

    def _update_pod_identity_association(
        self, region: str, clusterName: str, associationId: str, clientRequestToken: str = "", **wanted: Any
    ) -> Json:
        _cluster, association = self._association(region, clusterName, associationId)
        if "roleArn" in wanted:
            self._role(region, wanted["roleArn"], "pods.eks.amazonaws.com")
        association.update(wanted, modifiedAt=self._time())
        return {"association": _public(association)}

    def _delete_pod_identity_association(self, region: str, clusterName: str, associationId: str) -> Json:
        cluster, association = self._association(region, clusterName, associationId)
        if association.get("ownerArn"):
            raise bad_request(
                f"Association {associationId} is owned by {association['ownerArn']}", clusterName=clusterName
            )
        del cluster.associations[associationId]
        return {"association": _public(association)}

    # Tags

    def _tag_resource(self, region: str, resourceArn: str, tags: Json) -> Json:
        self._tagged(region, resourceArn)["tags"].update(tags)
        return {}

    def _untag_resource(self, region: str, resourceArn: str, tagKeys: list[str]) -> Json:
        found = self._tagged(region, resourceArn)["tags"]
        for key in tagKeys:
            found.pop(key, None)
        return {}

    def _list_tags_for_resource(self, region: str, resourceArn: str) -> Json:
        return {"tags": self._tagged(region, resourceArn)["tags"]}

    def tagged(self, region: str) -> Iterator[tuple[str, str, dict[str, str]]]:
        """All that has tags: kind, ARN and tags."""
        for (where, _name), cluster in self.clusters.items():
            if where == region:
                for kind, arn, data in cluster.things():
                    yield f"eks:{kind}", arn, data["tags"]

    def _tagged(self, region: str, arn: str) -> Json:
        for (where, _name), cluster in self.clusters.items():
            for _kind, known, data in cluster.things() if where == region else ():
                if known == arn:
                    return data
        raise Refusal("NotFoundException", f"Resource with ARN {arn} was not found", 404)

    # What handlers share

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self.timeline.now(), UTC)

    def _shown(self, cluster: Cluster) -> Json:
        shown = json.loads(json.dumps(cluster.data, default=_iso))
        shown["createdAt"] = cluster.data["createdAt"]
        if cluster.data.get("endpoint"):
            shown.update(self.endpoint)
        return dict(shown)

    def _cluster(self, region: str, name: str) -> Cluster:
        cluster = self.clusters.get((region, name))
        if cluster is None:
            raise not_found(f"No cluster found for name: {name}.", clusterName=name)
        return cluster

    def _nodegroup(self, region: str, cluster_name: str, name: str) -> tuple[Cluster, Json]:
        cluster = self._cluster(region, cluster_name)
        if name not in cluster.nodegroups:
            raise not_found(f"No node group found for name: {name}.", clusterName=cluster_name, nodegroupName=name)
        return cluster, cluster.nodegroups[name]

    def _addon(self, region: str, cluster_name: str, name: str) -> tuple[Cluster, Json]:
        cluster = self._cluster(region, cluster_name)
        if name not in cluster.addons:
            raise not_found(
                f"No addon: {name} found in cluster: {cluster_name}", clusterName=cluster_name, addonName=name
            )
        return cluster, cluster.addons[name]

    def _entry(self, region: str, cluster_name: str, principal: str) -> tuple[Cluster, Json]:
        cluster = self._cluster(region, cluster_name)
        self._access_by_api(cluster)
        if principal not in cluster.entries:
            raise not_found(
                f"The specified principalArn could not be found. You can view your available access entries with "
                f"'list-access-entries'. ({principal})"
            )
        return cluster, cluster.entries[principal]

    def _association(self, region: str, cluster_name: str, identifier: str) -> tuple[Cluster, Json]:
        cluster = self._cluster(region, cluster_name)
        if identifier not in cluster.associations:
            raise not_found(f"No association found for id: {identifier}", clusterName=cluster_name)
        return cluster, cluster.associations[identifier]

    def _active(self, cluster: Cluster) -> None:
        if cluster.data["status"] not in ("ACTIVE", "UPDATING"):
            raise bad_request(f"Cluster '{cluster.name}' is not in ACTIVE status", clusterName=cluster.name)

    def _access_by_api(self, cluster: Cluster) -> None:
        if cluster.data["accessConfig"]["authenticationMode"] == "CONFIG_MAP":
            raise bad_request(
                "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this "
                "operation.",
                clusterName=cluster.name,
            )

    def _idle(self, cluster: Cluster, action: str) -> None:
        running = [key for key, update in cluster.updates.items() if update["status"] == "InProgress"]
        running = [key for key in running if cluster.updates[key]["_of"] == ("", "")]
        if running:
            raise in_use(
                f"Cannot {action} because cluster {cluster.name} currently has update {running[0]} in progress",
                clusterName=cluster.name,
            )
        if cluster.data["status"] != "ACTIVE":
            raise in_use(
                f"Cannot {action} because cluster {cluster.name} is in {cluster.data['status']} status",
                clusterName=cluster.name,
            )

    def _idle_nodegroup(self, data: Json) -> None:
        if data["status"] not in ("ACTIVE", "DEGRADED"):
            raise in_use(
                f"Nodegroup cannot be updated as it is currently not in Active State. Current state: {data['status']}",
                clusterName=data["clusterName"],
                nodegroupName=data["nodegroupName"],
            )

    def _update(
        self, cluster: Cluster, kind: str, params: Json, *, token: str = "", of: tuple[str, str] = ("", "")
    ) -> Json:
        update: Json = {
            "id": str(uuid.uuid4()),
            "status": "InProgress",
            "type": kind,
            "params": [{"type": key, "value": _text(value)} for key, value in params.items()],
            "createdAt": self._time(),
            "errors": [],
            "_of": of,
        }
        cluster.updates[update["id"]] = update
        if token:
            cluster.tokens[token] = update["id"]
        return update

    def _cluster_update(self, cluster: Cluster, update: Json, then: Callable[[], None], kind: str) -> Json:
        cluster.data["status"] = "UPDATING"
        failure = self.timeline.failure(kind) or self.timeline.failure("cluster.update")

        def done() -> None:
            cluster.data["status"] = "ACTIVE"
            if failure:
                update["status"] = "Failed"
                update["errors"] = [{"errorCode": failure.code or "Unknown", "errorMessage": failure.message}]
                return
            then()
            update["status"] = "Successful"

        self.timeline.after(kind, done)
        return _public(update)

    def _nodegroup_update(self, cluster: Cluster, data: Json, update: Json, after: Json, kind: str) -> Json:
        data["status"] = "UPDATING"
        failure = self.timeline.failure(kind) or self.timeline.failure("nodegroup.update")

        def done() -> None:
            if failure:
                data["status"] = failure.status or "ACTIVE"
                update["status"] = "Failed"
                update["errors"] = [
                    {"errorCode": failure.code or "PodEvictionFailure", "errorMessage": failure.message}
                ]
                return
            data.update(after, status="ACTIVE", modifiedAt=self._time())
            update["status"] = "Successful"
            self._scale(cluster, data)

        self.timeline.after(kind, done)
        return _public(update)

    def _scale(self, cluster: Cluster, data: Json) -> None:
        """Give a node group's nodes their network interfaces."""
        if not self.node_interfaces:
            return
        ec2 = ec2_backends[ACCOUNT][cluster.region]
        kept = cluster.interfaces.setdefault(data["nodegroupName"], [])
        group = cluster.data["resourcesVpcConfig"]["clusterSecurityGroupId"]
        while len(kept) < data["scalingConfig"]["desiredSize"]:
            subnet = ec2.get_subnet(data["subnets"][len(kept) % len(data["subnets"])])
            interface = ec2.create_network_interface(
                subnet,
                None,
                group_ids=[group],
                description=f"aws-K8S-i-{secrets.token_hex(8)}",
                tags={"cluster.k8s.amazonaws.com/name": cluster.name, "eks:nodegroup-name": data["nodegroupName"]},
            )
            kept.append(interface.id)

    def _shown_addon(self, cluster: Cluster, data: Json) -> Json:
        """Add-ons that run as Deployments are degraded as long as there are no nodes for them."""
        shown = _public(data)
        shown["podIdentityAssociations"] = [
            item["associationArn"] for item in cluster.associations.values() if item.get("ownerArn") == data["addonArn"]
        ]
        nodes = any(group["status"] in ("ACTIVE", "UPDATING", "DEGRADED") for group in cluster.nodegroups.values())
        if (
            data["status"] == "ACTIVE"
            and not nodes
            and data["addonName"]
            in (
                "coredns",
                "metrics-server",
                "aws-ebs-csi-driver",
            )
        ):
            message = "The add-on is unhealthy because it doesn't have the desired number of replicas."
            shown |= {"status": "DEGRADED", "health": {"issues": [_issue("InsufficientNumberOfReplicas", message)]}}
        return shown

    def _addon_version(self, cluster: Cluster, name: str, version: str | None) -> str:
        kubernetes = cluster.data["version"]
        if not catalog.known_addon(name):
            raise invalid(
                f"Addon {name} specified is not supported in {kubernetes} kubernetes version",
                clusterName=cluster.name,
                addonName=name,
            )
        if version is None:
            return catalog.addon_default(name, kubernetes)
        if version not in catalog.addon_releases(name, kubernetes):
            raise invalid("Addon version specified is not supported", clusterName=cluster.name, addonName=name)
        return version

    def _configure_addon(self, cluster: Cluster, data: Json, given: Json) -> None:
        """Take over an add-on's configuration, service account role and pod identities."""
        if "configurationValues" in given:
            if given["configurationValues"]:
                try:
                    json.loads(given["configurationValues"])
                except ValueError as error:
                    raise invalid(
                        f"ConfigurationValue is not in valid JSON/YAML format: {error}", addonName=data["addonName"]
                    ) from None
            data["configurationValues"] = given["configurationValues"]
        if "serviceAccountRoleArn" in given:
            data["serviceAccountRoleArn"] = given["serviceAccountRoleArn"]
        if "podIdentityAssociations" in given:
            for key in [key for key, item in cluster.associations.items() if item.get("ownerArn") == data["addonArn"]]:
                del cluster.associations[key]
            for wanted in given["podIdentityAssociations"]:
                self._associate(
                    cluster,
                    catalog.addon_namespace(data["addonName"]),
                    wanted["serviceAccount"],
                    wanted["roleArn"],
                    ownerArn=data["addonArn"],
                )

    def _associate(self, cluster: Cluster, namespace: str, service_account: str, role: str, **given: Any) -> Json:
        self._role(cluster.region, role, "pods.eks.amazonaws.com")
        identifier = f"a-{secrets.token_hex(9)[:17]}"
        association: Json = {
            "clusterName": cluster.name,
            "namespace": namespace,
            "serviceAccount": service_account,
            "roleArn": role,
            "associationArn": (
                f"arn:aws:eks:{cluster.region}:{ACCOUNT}:podidentityassociation/{cluster.name}/{identifier}"
            ),
            "associationId": identifier,
            "createdAt": self._time(),
            "modifiedAt": self._time(),
            "disableSessionTags": False,
            **given,
            "tags": dict(given.get("tags", {})),
        }
        cluster.associations[identifier] = association
        return association

    def _enter(
        self, cluster: Cluster, principal: str, kind: str, username: str, groups: list[str], tags: Json | None = None
    ) -> Json:
        what, name = principal.split(":")[5].split("/", 1)
        entry: Json = {
            "clusterName": cluster.name,
            "principalArn": principal,
            "kubernetesGroups": groups,
            "accessEntryArn": (
                f"arn:aws:eks:{cluster.region}:{ACCOUNT}:access-entry/{cluster.name}/{what}/{ACCOUNT}/{name}/{uuid.uuid4()}"
            ),
            "createdAt": self._time(),
            "modifiedAt": self._time(),
            "tags": dict(tags or {}),
            "username": username,
            "type": kind,
        }
        cluster.entries[principal] = entry
        cluster.policies[principal] = {}
        return entry

    def _associated(self, policy: str, scope: Json) -> Json:
        at = self._time()
        scope = {"type": scope["type"], "namespaces": scope.get("namespaces", [])}
        return {"policyArn": policy, "accessScope": scope, "associatedAt": at, "modifiedAt": at}

    def _write_logs(self, cluster: Cluster) -> None:
        """The control plane's log group exists when something is logged."""
        if cluster.data["logging"]["clusterLogging"][0]["enabled"]:
            logs = logs_backends[ACCOUNT][cluster.region]
            group = f"/aws/eks/{cluster.name}/cluster"
            if group not in logs.groups:
                logs.create_log_group(group, {})

    # What must exist in other services

    def _role(self, region: str, arn: str, service: str) -> None:
        refusal = invalid(
            f"Role with arn: {arn}, could not be assumed because it does not exist or the trusted entity is not correct"
        )
        for role in iam_backends[ACCOUNT]["aws"].roles.values():
            if role.arn == arn:
                age = datetime.now(UTC).timestamp() - role.create_date.replace(tzinfo=UTC).timestamp()
                if service not in json.dumps(role.assume_role_policy_document) or age < self.role_delay:
                    raise refusal
                return
        raise refusal

    def _principal(self, region: str, arn: str) -> None:
        iam = iam_backends[ACCOUNT]["aws"]
        known = {role.arn for role in iam.roles.values()} | {user.arn for user in iam.users.values()} | {CALLER}
        foreign = f"::{ACCOUNT}:" not in arn  # which EKS does not look up
        if not arn.startswith("arn:aws:iam::") or (not foreign and arn not in known):
            raise invalid("The specified principalArn is invalid: invalid principal.")

    def _network(self, region: str, config: Json) -> str:
        """The VPC of a cluster's subnets."""
        ec2 = ec2_backends[ACCOUNT][region]
        wanted = config.get("subnetIds", [])
        if len(wanted) < 2:
            raise invalid("subnets can not be fewer than two")
        for subnet in wanted:
            if not _has_subnet(ec2, subnet):
                raise invalid(f"The subnet ID '{subnet}' does not exist (Service: Ec2, Status Code: 400)")
        subnets = [ec2.get_subnet(subnet) for subnet in wanted]
        if len({subnet.availability_zone for subnet in subnets}) < 2:
            raise invalid("Subnets specified must be in at least two different AZs")
        vpcs = {subnet.vpc_id for subnet in subnets}
        if len(vpcs) != 1:
            raise invalid(f"Subnets specified must be in one VPC, not in {sorted(vpcs)}")
        for subnet in subnets:
            if subnet.available_ip_address_count < 6:
                raise invalid(f"Subnet {subnet.id} has not enough free addresses: at least 6 are needed")
        groups = {group for groups in ec2.groups.values() for group in groups}
        for group in config.get("securityGroupIds", []):
            if group not in groups:
                raise invalid(f"The security group '{group}' does not exist (Service: Ec2, Status Code: 400)")
        return str(vpcs.pop())

    def _key(self, region: str, encryption: Json) -> None:
        if encryption.get("resources") != ["secrets"]:
            raise invalid("Only the resource secrets can be encrypted")
        key = encryption.get("provider", {}).get("keyArn", "")
        known = {item.arn: item for item in kms_backends[ACCOUNT][region].keys.values()}
        if key not in known:
            raise invalid(f"The keyArn in encryptionConfig provider {key} is invalid")
        if known[key].key_state != "Enabled":
            raise invalid(f"The key {key} is not enabled: {known[key].key_state}")

    def _template(self, region: str, wanted: Json, names: Json) -> tuple[Json, Json]:
        """A launch template as node groups show it, and what it says."""
        ec2 = ec2_backends[ACCOUNT][region]
        if bool(wanted.get("id")) == bool(wanted.get("name")):
            raise invalid("Either the name or the id of a launch template must be given, not both", **names)
        for template in ec2.launch_templates.values():
            if wanted.get("id", wanted.get("name")) not in (template.id, template.name):
                continue
            version = str(wanted.get("version", template.default_version_number))
            version = {
                "$Latest": str(template.latest_version_number),
                "$Default": str(template.default_version_number),
            }.get(version, version)
            for known in template.versions:
                if str(known.number) == version:
                    data = dict(known.data)
                    for refused in ("IamInstanceProfile", "HibernationOptions", "InstanceMarketOptions"):
                        if refused in data:
                            raise invalid(f"Launch template should not specify {refused}", **names)
                    return {"id": template.id, "name": template.name, "version": version}, data
            raise invalid(f"Launch template version {version} of {template.id} doesn't exist", **names)
        raise invalid(f"Launch template {wanted} doesn't exist", **names)


def _page(key: str, items: list[Any], maxResults: int = 100, nextToken: str = "0") -> Json:
    start = int(nextToken or 0)
    page: Json = {key: items[start : start + maxResults]}
    if start + maxResults < len(items):
        page["nextToken"] = str(start + maxResults)
    return page


def _public(data: Json) -> Json:
    return {key: value for key, value in data.items() if not key.startswith("_")}


def _iso(value: Any) -> str:
    return str(value.isoformat())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _issue(code: str, message: str) -> Json:
    return {"code": code, "message": message, "resourceIds": []}


def release(version: str) -> str:
    """The newest image of nodes of a Kubernetes version."""
    return f"{version}.2-20261110"


def _logging(wanted: Json, before: Json | None = None) -> Json:
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


def _public_cidrs(vpc: Json) -> None:
    if vpc["endpointPublicAccess"]:
        vpc["publicAccessCidrs"] = vpc.get("publicAccessCidrs") or ["0.0.0.0/0"]
    else:
        vpc.pop("publicAccessCidrs", None)
        vpc["publicAccessCidrs"] = []


def _scaling(scaling: Json, names: Json) -> Json:
    if not scaling["minSize"] <= scaling["desiredSize"] <= scaling["maxSize"]:
        raise invalid(
            f"desired capacity {scaling['desiredSize']} must be between minSize {scaling['minSize']} and maxSize "
            f"{scaling['maxSize']}",
            **names,
        )
    return scaling


def _update_config(config: Json, names: Json) -> Json:
    if "maxUnavailable" in config and "maxUnavailablePercentage" in config:
        raise invalid("Only one of maxUnavailable and maxUnavailablePercentage may be given", **names)
    return config


def _groups(groups: list[str], cluster: str) -> None:
    for group in groups:
        if group.startswith(("system:", "eks:", "aws:", "amazon:", "iam:")):
            raise invalid(
                f"The kubernetes group name {group} is invalid, it cannot start with {group.split(':')[0]}:",
                clusterName=cluster,
            )


def _username(principal: str) -> str:
    if ":role/" in principal:
        role = principal.rsplit("/", 1)[1]
        return f"arn:aws:sts::{principal.split(':')[4]}:assumed-role/{role}/{{{{SessionName}}}}"
    return principal


def _access_policies() -> list[Json]:
    return [{"name": name, "arn": f"arn:aws:eks::aws:cluster-access-policy/{name}"} for name in catalog.ACCESS_POLICIES]


def _has_subnet(ec2: Any, subnet: str) -> bool:
    return any(subnet in subnets for subnets in ec2.subnets.values())

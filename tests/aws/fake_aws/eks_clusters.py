"""Amazon EKS: clusters from creation to deletion, their updates, and the versions of Kubernetes there are."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from collections.abc import Callable
from typing import Any

from moto.ec2.models import ec2_backends
from moto.kms.models import kms_backends
from moto.logs.models import logs_backends

from fake_aws import catalog, eks_checks
from fake_aws.eks_access import Access
from fake_aws.eks_checks import Json, bad_request, in_use, invalid, not_found
from fake_aws.eks_state import Cluster
from fake_aws.wire import ACCOUNT, CALLER, Refusal

ADMIN_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"


class Clusters(Access):
    """Operations on clusters; a new one lets in who made it."""

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
            "logging": eks_checks.logging(given.get("logging", {})),
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
        eks_checks.public_cidrs(data["resourcesVpcConfig"])
        if given.get("encryptionConfig"):
            data["encryptionConfig"] = given["encryptionConfig"]
        if token:
            data["clientRequestToken"] = token
        cluster = self.clusters[(region, name)] = Cluster(data, token, region)
        failure = self.timeline.failure("cluster.create")

        def done() -> None:
            if failure:
                data["status"] = failure.status or "FAILED"
                data["health"] = {"issues": [eks_checks.issue(failure.code or "Other", failure.message)]}
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
        return eks_checks.page("clusters", names, **page)

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
                data["health"] = {"issues": [eks_checks.issue(failure.code or "Other", failure.message)]}
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

    def _shown(self, cluster: Cluster) -> Json:
        shown = json.loads(json.dumps(cluster.data, default=eks_checks.iso))
        shown["createdAt"] = cluster.data["createdAt"]
        if cluster.data.get("endpoint"):
            shown.update(self.endpoint)
        return dict(shown)

    def _write_logs(self, cluster: Cluster) -> None:
        """The control plane's log group exists when something is logged."""
        if cluster.data["logging"]["clusterLogging"][0]["enabled"]:
            logs = logs_backends[ACCOUNT][cluster.region]
            group = f"/aws/eks/{cluster.name}/cluster"
            if group not in logs.groups:
                logs.create_log_group(group, {})

    def _network(self, region: str, config: Json) -> str:
        """The VPC of a cluster's subnets."""
        ec2 = ec2_backends[ACCOUNT][region]
        wanted = config.get("subnetIds", [])
        if len(wanted) < 2:
            raise invalid("subnets can not be fewer than two")
        for subnet in wanted:
            if not eks_checks.has_subnet(ec2, subnet):
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

    # Updates

    def _update_cluster_config(self, region: str, name: str, clientRequestToken: str = "", **wanted: Any) -> Json:
        cluster = self._cluster(region, name)
        if known := cluster.tokens.get(clientRequestToken):
            return {"update": eks_checks.public(cluster.updates[known])}
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
            eks_checks.public_cidrs(after)
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
            after_logs = eks_checks.logging(change["logging"], data["logging"])
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
            return {"update": eks_checks.public(cluster.updates[known])}
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
            return {"update": eks_checks.public(cluster.updates[known])}
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
        return eks_checks.public(update)

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
        return eks_checks.page("clusterVersions", found, **page)

    def _describe_update(
        self, region: str, name: str, updateId: str, nodegroupName: str = "", addonName: str = "", **_rest: Any
    ) -> Json:
        update = self._cluster(region, name).updates.get(updateId)
        if not update or update["_of"] != (nodegroupName, addonName):
            raise not_found(f"No update found for ID: {updateId}", clusterName=name)
        return {"update": eks_checks.public(update)}

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
        return eks_checks.page("updateIds", ids, **page)

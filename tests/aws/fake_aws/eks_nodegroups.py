"""Amazon EKS: node groups, the launch templates they are made from, and the network interfaces of their nodes."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from moto.ec2.models import ec2_backends

from fake_aws import catalog, eks_checks
from fake_aws.eks_access import Access
from fake_aws.eks_checks import Json, in_use, invalid, not_found, release
from fake_aws.eks_state import Cluster
from fake_aws.wire import ACCOUNT


class Nodegroups(Access):
    """Operations on node groups; a new one lets in its nodes."""

    def _create_nodegroup(
        self, region: str, clusterName: str, nodegroupName: str, subnets: list[str], nodeRole: str, **given: Any
    ) -> Json:
        cluster = self._cluster(region, clusterName)
        names = {"clusterName": clusterName, "nodegroupName": nodegroupName}
        token = given.pop("clientRequestToken", "")
        if known := cluster.nodegroups.get(nodegroupName):
            if token and cluster.tokens.get(token) == nodegroupName:
                return {"nodegroup": eks_checks.public(known)}
            raise in_use(f"NodeGroup already exists with name {nodegroupName} and cluster name {clusterName}", **names)
        self._active(cluster)
        self._role(region, nodeRole, "ec2.amazonaws.com")
        ec2 = ec2_backends[ACCOUNT][region]
        for subnet in subnets:
            if not eks_checks.has_subnet(ec2, subnet):
                raise invalid(f"The subnet ID '{subnet}' does not exist", **names)
        version = given.get("version", cluster.data["version"])
        if catalog.newer(version, cluster.data["version"]) > 0:
            raise invalid(
                f"Requested Nodegroup version {version} is newer than the cluster version {cluster.data['version']}",
                **names,
            )
        scaling = eks_checks.scaling(
            {"minSize": 1, "maxSize": 2, "desiredSize": 2} | given.get("scalingConfig", {}), names
        )
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
            "updateConfig": eks_checks.update_config(given.get("updateConfig", {"maxUnavailable": 1}), names),
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
                data["health"] = {"issues": [eks_checks.issue(failure.code or "NodeCreationFailure", failure.message)]}
                return
            data["status"] = "ACTIVE"
            self._scale(cluster, data)
            mode = cluster.data["accessConfig"]["authenticationMode"]
            if mode != "CONFIG_MAP" and nodeRole not in cluster.entries:
                self._enter(cluster, nodeRole, "EC2_LINUX", "system:node:{{EC2PrivateDNSName}}", ["system:nodes"])

        self.timeline.after("nodegroup.create", done)
        return {"nodegroup": eks_checks.public(data)}

    def _describe_nodegroup(self, region: str, clusterName: str, nodegroupName: str) -> Json:
        return {"nodegroup": eks_checks.public(self._nodegroup(region, clusterName, nodegroupName)[1])}

    def _list_nodegroups(self, region: str, clusterName: str, **page: Any) -> Json:
        return eks_checks.page("nodegroups", sorted(self._cluster(region, clusterName).nodegroups), **page)

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
                    data["health"] = {"issues": [eks_checks.issue(code, failure.message)]}
                    return
                interfaces = cluster.interfaces.pop(nodegroupName, [])
                if not self.leak_interfaces:
                    ec2 = ec2_backends[ACCOUNT][region]
                    for interface in interfaces:
                        if interface in ec2.enis:
                            ec2.delete_network_interface(interface)
                cluster.nodegroups.pop(nodegroupName, None)

            self.timeline.after("nodegroup.delete", done)
        return {"nodegroup": eks_checks.public(data)}

    def _update_nodegroup_config(
        self, region: str, clusterName: str, nodegroupName: str, clientRequestToken: str = "", **wanted: Any
    ) -> Json:
        cluster, data = self._nodegroup(region, clusterName, nodegroupName)
        names = {"clusterName": clusterName, "nodegroupName": nodegroupName}
        if known := cluster.tokens.get(clientRequestToken):
            return {"update": eks_checks.public(cluster.updates[known])}
        if not wanted:
            raise invalid("No update was requested.", **names)
        self._idle_nodegroup(data)
        after: Json = {}
        params: Json = {}
        if scaling := wanted.get("scalingConfig"):
            after["scalingConfig"] = eks_checks.scaling(data["scalingConfig"] | scaling, names)
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
            after["updateConfig"] = eks_checks.update_config(wanted["updateConfig"], names)
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
            return {"update": eks_checks.public(cluster.updates[known])}
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

    def _nodegroup(self, region: str, cluster_name: str, name: str) -> tuple[Cluster, Json]:
        cluster = self._cluster(region, cluster_name)
        if name not in cluster.nodegroups:
            raise not_found(f"No node group found for name: {name}.", clusterName=cluster_name, nodegroupName=name)
        return cluster, cluster.nodegroups[name]

    def _idle_nodegroup(self, data: Json) -> None:
        if data["status"] not in ("ACTIVE", "DEGRADED"):
            raise in_use(
                f"Nodegroup cannot be updated as it is currently not in Active State. Current state: {data['status']}",
                clusterName=data["clusterName"],
                nodegroupName=data["nodegroupName"],
            )

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
        return eks_checks.public(update)

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

"""Amazon EKS: add-ons of clusters, their versions and their configuration."""

from __future__ import annotations

import json
import uuid
from typing import Any

from fake_aws import catalog, eks_checks
from fake_aws.eks_access import Access
from fake_aws.eks_checks import Json, in_use, invalid, not_found
from fake_aws.eks_state import Cluster
from fake_aws.wire import ACCOUNT


class Addons(Access):
    """Operations on add-ons; one owns the pod identities that are given with it."""

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
                data["health"] = {
                    "issues": [eks_checks.issue(failure.code or "ConfigurationConflict", failure.message)]
                }

        self.timeline.after("addon.create", done)
        return {"addon": self._shown_addon(cluster, data)}

    def _describe_addon(self, region: str, clusterName: str, addonName: str) -> Json:
        cluster, data = self._addon(region, clusterName, addonName)
        return {"addon": self._shown_addon(cluster, data)}

    def _list_addons(self, region: str, clusterName: str, **page: Any) -> Json:
        return eks_checks.page("addons", sorted(self._cluster(region, clusterName).addons), **page)

    def _update_addon(
        self, region: str, clusterName: str, addonName: str, clientRequestToken: str = "", **wanted: Any
    ) -> Json:
        cluster, data = self._addon(region, clusterName, addonName)
        names = {"clusterName": clusterName, "addonName": addonName}
        if known := cluster.tokens.get(clientRequestToken):
            return {"update": eks_checks.public(cluster.updates[known])}
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
                issue = eks_checks.issue(failure.code or "ConfigurationConflict", failure.message)
                data["health"] = {"issues": [issue]}
                update["status"] = "Failed"
                update["errors"] = [{"errorCode": issue["code"], "errorMessage": issue["message"]}]
                return
            data.update(prepared, status="ACTIVE", addonVersion=version, modifiedAt=self._time(), health={"issues": []})
            update["status"] = "Successful"

        self.timeline.after("addon.update", done)
        return {"update": eks_checks.public(update)}

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
        return eks_checks.page("addons", catalog.addons(addonName, kubernetesVersion), **page)

    def _describe_addon_configuration(self, region: str, addonName: str, addonVersion: str) -> Json:
        if not catalog.known_addon(addonName):
            raise not_found(f"Addon {addonName} is not known", addonName=addonName)
        schema = json.dumps({"$schema": "http://json-schema.org/draft-06/schema#", "type": "object"})
        return {"addonName": addonName, "addonVersion": addonVersion, "configurationSchema": schema}

    def _addon(self, region: str, cluster_name: str, name: str) -> tuple[Cluster, Json]:
        cluster = self._cluster(region, cluster_name)
        if name not in cluster.addons:
            raise not_found(
                f"No addon: {name} found in cluster: {cluster_name}", clusterName=cluster_name, addonName=name
            )
        return cluster, cluster.addons[name]

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

    def _shown_addon(self, cluster: Cluster, data: Json) -> Json:
        """Add-ons that run as Deployments are degraded as long as there are no nodes for them."""
        shown = eks_checks.public(data)
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
            shown |= {
                "status": "DEGRADED",
                "health": {"issues": [eks_checks.issue("InsufficientNumberOfReplicas", message)]},
            }
        return shown

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

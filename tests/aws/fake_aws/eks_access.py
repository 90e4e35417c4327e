"""Amazon EKS: who gets into a cluster, by access entries and policies, and what its pods may, by their identities."""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from moto.iam.models import iam_backends

from fake_aws import eks_checks
from fake_aws.eks_checks import Json, bad_request, in_use, invalid, not_found
from fake_aws.eks_state import Cluster, State
from fake_aws.wire import ACCOUNT, CALLER


class Access(State):
    """Operations on access entries and pod identities; clusters, node groups and add-ons make some by themselves."""

    # Access entries

    def _create_access_entry(self, region: str, clusterName: str, principalArn: str, **given: Any) -> Json:
        cluster = self._cluster(region, clusterName)
        self._access_by_api(cluster)
        token = given.pop("clientRequestToken", "")
        if known := cluster.entries.get(principalArn):
            if token and cluster.tokens.get(token) == principalArn:
                return {"accessEntry": eks_checks.public(known)}
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
        eks_checks.groups(groups, clusterName)
        username = given.get("username") or eks_checks.username(principalArn)
        entry = self._enter(cluster, principalArn, kind, username, groups, given.get("tags", {}))
        if token:
            cluster.tokens[token] = principalArn
        return {"accessEntry": eks_checks.public(entry)}

    def _describe_access_entry(self, region: str, clusterName: str, principalArn: str) -> Json:
        return {"accessEntry": eks_checks.public(self._entry(region, clusterName, principalArn)[1])}

    def _list_access_entries(self, region: str, clusterName: str, associatedPolicyArn: str = "", **page: Any) -> Json:
        cluster = self._cluster(region, clusterName)
        found = sorted(
            principal
            for principal in cluster.entries
            if not associatedPolicyArn or associatedPolicyArn in cluster.policies[principal]
        )
        return eks_checks.page("accessEntries", found, **page)

    def _update_access_entry(
        self, region: str, clusterName: str, principalArn: str, clientRequestToken: str = "", **wanted: Any
    ) -> Json:
        _cluster, entry = self._entry(region, clusterName, principalArn)
        if entry["type"] != "STANDARD":
            raise bad_request(f"Access entries of the type {entry['type']} can't be updated", clusterName=clusterName)
        eks_checks.groups(wanted.get("kubernetesGroups", []), clusterName)
        entry.update(wanted, modifiedAt=self._time())
        return {"accessEntry": eks_checks.public(entry)}

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
        if policyArn not in {item["arn"] for item in eks_checks.access_policies()}:
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
        found = eks_checks.page("associatedAccessPolicies", list(cluster.policies[principalArn].values()), **page)
        return {"clusterName": clusterName, "principalArn": principalArn, **found}

    def _list_access_policies(self, region: str, **page: Any) -> Json:
        return eks_checks.page("accessPolicies", eks_checks.access_policies(), **page)

    def _entry(self, region: str, cluster_name: str, principal: str) -> tuple[Cluster, Json]:
        cluster = self._cluster(region, cluster_name)
        self._access_by_api(cluster)
        if principal not in cluster.entries:
            raise not_found(
                f"The specified principalArn could not be found. You can view your available access entries with "
                f"'list-access-entries'. ({principal})"
            )
        return cluster, cluster.entries[principal]

    def _access_by_api(self, cluster: Cluster) -> None:
        if cluster.data["accessConfig"]["authenticationMode"] == "CONFIG_MAP":
            raise bad_request(
                "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this "
                "operation.",
                clusterName=cluster.name,
            )

    def _principal(self, region: str, arn: str) -> None:
        iam = iam_backends[ACCOUNT]["aws"]
        known = {role.arn for role in iam.roles.values()} | {user.arn for user in iam.users.values()} | {CALLER}
        foreign = f"::{ACCOUNT}:" not in arn  # which EKS does not look up
        if not arn.startswith("arn:aws:iam::") or (not foreign and arn not in known):
            raise invalid("The specified principalArn is invalid: invalid principal.")

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

    # Pod identities

    def _create_pod_identity_association(
        self, region: str, clusterName: str, namespace: str, serviceAccount: str, roleArn: str, **given: Any
    ) -> Json:
        cluster = self._cluster(region, clusterName)
        token = given.pop("clientRequestToken", "")
        for known in cluster.associations.values():
            if (known["namespace"], known["serviceAccount"]) == (namespace, serviceAccount):
                if token and cluster.tokens.get(token) == known["associationId"]:
                    return {"association": eks_checks.public(known)}
                raise in_use(f"Association already exists: {known['associationId']}", clusterName=clusterName)
        self._active(cluster)
        association = self._associate(cluster, namespace, serviceAccount, roleArn, **given)
        if token:
            cluster.tokens[token] = association["associationId"]
        return {"association": eks_checks.public(association)}

    def _describe_pod_identity_association(self, region: str, clusterName: str, associationId: str) -> Json:
        return {"association": eks_checks.public(self._association(region, clusterName, associationId)[1])}

    def _list_pod_identity_associations(
        self, region: str, clusterName: str, namespace: str = "", serviceAccount: str = "", **page: Any
    ) -> Json:
        shown = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId", "ownerArn")
        found = [
            {key: item[key] for key in shown if key in item}
            for item in self._cluster(region, clusterName).associations.values()
            if namespace in ("", item["namespace"]) and serviceAccount in ("", item["serviceAccount"])
        ]
        return eks_checks.page("associations", found, **page)

    def _update_pod_identity_association(
        self, region: str, clusterName: str, associationId: str, clientRequestToken: str = "", **wanted: Any
    ) -> Json:
        _cluster, association = self._association(region, clusterName, associationId)
        if "roleArn" in wanted:
            self._role(region, wanted["roleArn"], "pods.eks.amazonaws.com")
        association.update(wanted, modifiedAt=self._time())
        return {"association": eks_checks.public(association)}

    def _delete_pod_identity_association(self, region: str, clusterName: str, associationId: str) -> Json:
        cluster, association = self._association(region, clusterName, associationId)
        if association.get("ownerArn"):
            raise bad_request(
                f"Association {associationId} is owned by {association['ownerArn']}", clusterName=clusterName
            )
        del cluster.associations[associationId]
        return {"association": eks_checks.public(association)}

    def _association(self, region: str, cluster_name: str, identifier: str) -> tuple[Cluster, Json]:
        cluster = self._cluster(region, cluster_name)
        if identifier not in cluster.associations:
            raise not_found(f"No association found for id: {identifier}", clusterName=cluster_name)
        return cluster, cluster.associations[identifier]

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

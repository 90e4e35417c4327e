# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plurals and scopes of the kinds the collection uses, so that no request is spent on discovery."""

from __future__ import annotations

from typing import NamedTuple


class Resource(NamedTuple):
    """How a kind appears in URL paths."""

    plural: str
    namespaced: bool


_KINDS: dict[str, dict[str, Resource]] = {
    "v1": {
        "Namespace": Resource("namespaces", False),
        "Node": Resource("nodes", False),
        "PersistentVolume": Resource("persistentvolumes", False),
        **{
            kind: Resource(plural, True)
            for kind, plural in {
                "ConfigMap": "configmaps",
                "Endpoints": "endpoints",
                "Event": "events",
                "LimitRange": "limitranges",
                "PersistentVolumeClaim": "persistentvolumeclaims",
                "Pod": "pods",
                "ResourceQuota": "resourcequotas",
                "Secret": "secrets",
                "Service": "services",
                "ServiceAccount": "serviceaccounts",
            }.items()
        },
    },
    "apps/v1": {
        kind: Resource(plural, True)
        for kind, plural in {
            "ControllerRevision": "controllerrevisions",
            "DaemonSet": "daemonsets",
            "Deployment": "deployments",
            "ReplicaSet": "replicasets",
            "StatefulSet": "statefulsets",
        }.items()
    },
    "batch/v1": {"Job": Resource("jobs", True), "CronJob": Resource("cronjobs", True)},
    "autoscaling/v2": {"HorizontalPodAutoscaler": Resource("horizontalpodautoscalers", True)},
    "policy/v1": {"PodDisruptionBudget": Resource("poddisruptionbudgets", True)},
    "coordination.k8s.io/v1": {"Lease": Resource("leases", True)},
    "discovery.k8s.io/v1": {"EndpointSlice": Resource("endpointslices", True)},
    "networking.k8s.io/v1": {
        "NetworkPolicy": Resource("networkpolicies", True),
        "Ingress": Resource("ingresses", True),
    },
    "rbac.authorization.k8s.io/v1": {
        "ClusterRole": Resource("clusterroles", False),
        "ClusterRoleBinding": Resource("clusterrolebindings", False),
        "Role": Resource("roles", True),
        "RoleBinding": Resource("rolebindings", True),
    },
    "apiextensions.k8s.io/v1": {"CustomResourceDefinition": Resource("customresourcedefinitions", False)},
    "apiregistration.k8s.io/v1": {"APIService": Resource("apiservices", False)},
    "admissionregistration.k8s.io/v1": {
        "ValidatingWebhookConfiguration": Resource("validatingwebhookconfigurations", False),
        "MutatingWebhookConfiguration": Resource("mutatingwebhookconfigurations", False),
    },
    "bitnami.com/v1alpha1": {"SealedSecret": Resource("sealedsecrets", True)},
    "keda.sh/v1alpha1": {
        "ScaledObject": Resource("scaledobjects", True),
        "TriggerAuthentication": Resource("triggerauthentications", True),
        "ClusterTriggerAuthentication": Resource("clustertriggerauthentications", False),
    },
}


def known(api_version: str, kind: str) -> Resource | None:
    """The resource of a kind in the table, or None."""
    return _KINDS.get(api_version, {}).get(kind)

"""Amazon EKS: clusters and all that belongs to one, with the states, refusals and messages of the service."""

from __future__ import annotations

from collections.abc import Callable

from fake_aws import checking
from fake_aws.eks_addons import Addons
from fake_aws.eks_checks import Json
from fake_aws.eks_clusters import Clusters
from fake_aws.eks_nodegroups import Nodegroups
from fake_aws.wire import Call, Refusal


class Eks(Clusters, Nodegroups, Addons):
    """The service in all regions: the method _describe_cluster is the operation DescribeCluster."""

    def handle(self, call: Call) -> Json:
        """The answer to a call."""
        checking.check_input(call)
        handler: Callable[..., Json] | None = getattr(self, f"_{call.name}", None)
        if handler is None:
            raise Refusal("UnknownOperationException", f"{call.name} is not part of this test server", 404)
        output = handler(call.region, **{name: value for name, value in call.params.items() if value is not None})
        checking.check_output(call, output)
        return output

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

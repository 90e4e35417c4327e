# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node group's launch template: an encrypted gp3 disk, IMDSv2 that pods can't reach, and the tags of instances."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.dbos.kubernetes.plugins.module_utils.aws import ec2, eks, tags
from ansible_collections.dbos.kubernetes.plugins.module_utils.aws.account import Account, Json

LATEST = "$Latest"
TAGGED = ("instance", "volume")


def data(name: str, disk_size: int, wanted: Mapping[str, str]) -> Json:
    """What instances are made of. Image, instance type and user data are left to EKS. C(disk_size) is in GiB."""
    listed = tags.pairs({**wanted, "Name": name})
    return {
        "BlockDeviceMappings": [
            {
                "DeviceName": "/dev/xvda",  # Amazon Linux 2023's root
                "Ebs": {"VolumeType": "gp3", "VolumeSize": disk_size, "Encrypted": True, "DeleteOnTermination": True},
            }
        ],
        # With one hop the answer does not reach a pod, which so can't be the node.
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
        "TagSpecifications": [{"ResourceType": kind, "Tags": listed} for kind in TAGGED],
    }


def differences(have: Json, want: Json) -> tuple[Json, Json]:
    """What differs between the data of two templates, before and after."""
    before, after = normal(have), normal(want)
    parts = [part for part in after if before.get(part) != after[part]]
    return {part: before.get(part) for part in parts}, {part: after[part] for part in parts}


def normal(data: Json) -> Json:
    """Readable and comparable: AWS gives tags in any order, and more of a volume than was asked for."""
    volume: Json = next((one.get("Ebs", {}) for one in data.get("BlockDeviceMappings", [])), {})
    metadata = data.get("MetadataOptions", {})
    return {
        "disk": {key: volume.get(key) for key in ("VolumeType", "VolumeSize", "Encrypted", "DeleteOnTermination")},
        "metadata_options": {
            key: metadata.get(key) for key in ("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint")
        },
        "instance_tags": {
            one["ResourceType"]: tags.mapping(one["Tags"])
            for one in data.get("TagSpecifications", [])
            if one["ResourceType"] in TAGGED
        },
    }


def latest(account: Account, name: str) -> Json | None:
    """The newest version, with C(LaunchTemplateId), C(VersionNumber) and C(LaunchTemplateData)."""
    found = account.find("ec2", "describe_launch_template_versions", LaunchTemplateName=name, Versions=[LATEST])
    return found["LaunchTemplateVersions"][0] if found and found["LaunchTemplateVersions"] else None


def save(account: Account, name: str, have: Json | None, want: Json, wanted: Mapping[str, str], platform: str) -> Json:
    """Make the template, or its next version; gives its C(id) and C(version)."""
    if have is None:
        made = account.call(
            "ec2",
            "create_launch_template",
            LaunchTemplateName=name,
            LaunchTemplateData=want,
            TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags.pairs({**wanted, "Name": name})}],
        )["LaunchTemplate"]
        return {"id": made["LaunchTemplateId"], "version": str(made["LatestVersionNumber"])}
    identity = have["LaunchTemplateId"]
    own = owned(account, identity, name, platform)
    made = account.call("ec2", "create_launch_template_version", LaunchTemplateId=identity, LaunchTemplateData=want)[
        "LaunchTemplateVersion"
    ]
    ec2.retag(account, identity, own, {**wanted, "Name": name})
    return {"id": identity, "version": str(made["VersionNumber"])}


def owned(account: Account, identity: str, name: str, platform: str) -> dict[str, str]:
    """The template's tags, which have to be the platform's."""
    found = account.call("ec2", "describe_launch_templates", LaunchTemplateIds=[identity])["LaunchTemplates"][0]
    have = tags.mapping(found.get("Tags"))
    eks.check_owned(f"launch template {name}", have, platform)
    return have


def delete(account: Account, name: str, platform: str) -> None:
    """Delete the template, with all its versions."""
    have = latest(account, name)
    if have is not None:
        owned(account, have["LaunchTemplateId"], name, platform)
        account.find("ec2", "delete_launch_template", LaunchTemplateId=have["LaunchTemplateId"])

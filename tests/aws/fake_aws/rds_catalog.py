"""Amazon RDS: what there is of PostgreSQL, by version and instance class, and which authorities certify it."""

from __future__ import annotations

from datetime import UTC, datetime

from moto.core.responses import ActionResult
from moto.rds.exceptions import RDSClientError
from moto.rds.responses import RDSResponse

# Major version: minor versions that can be created, the newest first, and the default one
ENGINES = {
    "18": (("18.2", "18.1"), "18.1"),
    "17": (("17.9", "17.8", "17.7"), "17.8"),
    "16": (("16.13", "16.12", "16.11"), "16.12"),
    "15": (("15.17", "15.16", "15.15"), "15.16"),
}
DEFAULT_MAJOR = "17"
AUTHORITIES = ("rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1")


def install() -> None:
    """Take over from moto."""
    RDSResponse.describe_db_engine_versions = _describe_engine_versions
    RDSResponse.describe_orderable_db_instance_options = _describe_orderable
    RDSResponse.describe_certificates = _describe_certificates


def minor_version(version: str) -> str | None:
    """The version that a major or minor version stands for."""
    for major, (minors, default) in ENGINES.items():
        if version == major:
            return default
        if version in minors:
            return version
    return None


def family(version: str) -> str:
    return f"postgres{version.split('.', maxsplit=1)[0]}"


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _describe_engine_versions(self: RDSResponse) -> ActionResult:
    given = self.params
    found = []
    for major, (minors, default) in reversed(ENGINES.items()):
        for minor in reversed(minors):
            newer = [item for item in minors if _number(item) > _number(minor)]
            later = [item for other, (items, _default) in ENGINES.items() if int(other) > int(major) for item in items]
            found.append(
                {
                    "Engine": "postgres",
                    "MajorEngineVersion": major,
                    "EngineVersion": minor,
                    "DBParameterGroupFamily": f"postgres{major}",
                    "DBEngineDescription": "PostgreSQL",
                    "DBEngineVersionDescription": f"PostgreSQL {minor}-R1",
                    "ValidUpgradeTarget": [
                        {
                            "Engine": "postgres",
                            "EngineVersion": item,
                            "Description": f"PostgreSQL {item}-R1",
                            "AutoUpgrade": item == default,
                            "IsMajorVersionUpgrade": item in later,
                        }
                        for item in [*reversed(newer), *reversed(later)]
                    ],
                    "ExportableLogTypes": ["postgresql", "upgrade", "iam-db-auth-error"],
                    "SupportsLogExportsToCloudwatchLogs": True,
                    "SupportsReadReplica": True,
                    "SupportedFeatureNames": ["Lambda", "s3Import", "s3Export"],
                    "Status": "available",
                    "SupportsCertificateRotationWithoutRestart": True,
                    "SupportedCACertificateIdentifiers": list(AUTHORITIES),
                }
            )
    version = given.get("EngineVersion", "")
    found = [
        item
        for item in found
        if given.get("Engine", "postgres") == "postgres"
        and version in ("", item["EngineVersion"], item["MajorEngineVersion"])
        and given.get("DBParameterGroupFamily", "") in ("", item["DBParameterGroupFamily"])
    ]
    if given.get("DefaultOnly"):
        wanted = version or (given.get("DBParameterGroupFamily") or f"postgres{DEFAULT_MAJOR}").removeprefix("postgres")
        found = [item for item in found if item["EngineVersion"] == minor_version(wanted)]
    return ActionResult({"DBEngineVersions": found})


def _describe_orderable(self: RDSResponse) -> ActionResult:
    wanted = self.params.get("DBInstanceClass")
    classes = [
        f"db.{family}.{size}"
        for family in ("t4g", "t3", "m7g", "m6i", "r7g")
        for size in ("micro", "small", "medium", "large", "xlarge", "2xlarge")
        if family.startswith("t") or size.endswith("large")
    ]
    version = minor_version(self.params.get("EngineVersion", DEFAULT_MAJOR))
    options = [
        {
            "Engine": "postgres",
            "EngineVersion": version,
            "DBInstanceClass": item,
            "LicenseModel": "postgresql-license",
            "AvailabilityZones": [{"Name": f"{self.region}{zone}"} for zone in "abc"],
            "MultiAZCapable": True,
            "Vpc": True,
            "SupportsStorageEncryption": True,
            "StorageType": "gp3",
            "MinStorageSize": 20,
            "MaxStorageSize": 65536,
        }
        for item in classes
        if wanted in (None, item) and version
    ]
    return ActionResult({"OrderableDBInstanceOptions": options})


def _describe_certificates(self: RDSResponse) -> ActionResult:
    wanted = self.params.get("CertificateIdentifier")
    if wanted and wanted not in AUTHORITIES:
        raise RDSClientError("CertificateNotFound", f"Certificate {wanted} not found.")
    return ActionResult(
        {
            "DefaultCertificateForNewLaunches": AUTHORITIES[0],
            "Certificates": [
                {
                    "CertificateIdentifier": name,
                    "CertificateType": "CA",
                    "ValidFrom": datetime(2021, 5, 21, tzinfo=UTC),
                    "ValidTill": datetime(2061, 5, 21, tzinfo=UTC),
                    "CertificateArn": f"arn:aws:rds:{self.region}::cert:{name}",
                    "CustomerOverride": False,
                }
                for name in AUTHORITIES
                if wanted in (None, name)
            ],
        }
    )

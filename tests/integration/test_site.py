"""The whole walkthrough on the local platform: repeated, previewed, limited, and on a platform of others."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def deployed(ansible_playbook, application):
    return ansible_playbook("site.yml", extra_vars=application.variables)


def test_a_second_run_changes_nothing(ansible_playbook, application, deployed):
    assert deployed.changed > 0
    assert "Nothing needs a person." in deployed.output
    again = ansible_playbook("site.yml", extra_vars=application.variables)
    assert again.changed == 0, again.output


def test_check_mode_on_what_is_deployed_changes_nothing(ansible_playbook, application, deployed):
    run = ansible_playbook("site.yml", "--check", "--diff", extra_vars=application.variables)
    assert run.changed == 0, run.output


def test_check_mode_without_any_platform_says_so_and_creates_nothing(ansible_playbook, application, platform):
    elsewhere = Path(f"/tmp/none-{os.getpid()}")  # sockets want a short path
    variables = application.variables | {
        "local_platform_directory": str(elsewhere),
        "local_platform_node_address": "10.219.0.99",
    }
    before = (_others(platform), _addresses())
    run = ansible_playbook("site.yml", "--check", extra_vars=variables)
    assert run.changed > 5
    assert f"{elsewhere}/kubeconfig does not exist" in run.output
    assert not elsewhere.exists()
    assert (_others(platform), _addresses()) == before


def _others(platform):
    """What is beside the platform, but for those that other tests make and remove meanwhile."""
    return {name for name in os.listdir(platform.directory.parent) if not re.fullmatch(r"dbos-[a-z]+-\d+", name)}


def _addresses():
    return subprocess.run(["ip", "-brief", "address", "show", "lo"], capture_output=True, text=True, check=True).stdout


def test_check_mode_of_a_new_application_creates_nothing(ansible_playbook, platform):
    variables = {"dbos_app": "not-there-yet", "dbos_namespace": "test-not-there-yet"}
    run = ansible_playbook("deploy.yml", "--check", extra_vars=variables)
    assert run.changed > 5
    assert platform.kubectl("get", "namespace", "test-not-there-yet", "--ignore-not-found") == ""
    assert not (platform.directory / "credentials/not-there-yet").exists()


def test_limited_to_the_application(ansible_playbook, application, deployed):
    run = ansible_playbook("site.yml", "--limit", "dbos-app", extra_vars=application.variables)
    assert run.changed == 0
    assert "local " not in run.output.split("PLAY RECAP")[1]


def test_a_platform_of_others(ansible_playbook, application, platform, deployed, root):
    """The same application through the inventory `existing`: nothing but a kubeconfig, a database URL and images."""
    password = (platform.directory / "postgresql/admin-password").read_text().strip()
    environment = {
        "KUBECONFIG": str(platform.kubeconfig),
        "DATABASE_ADMIN_URL": f"postgresql://dbos_admin:{password}@{platform.node}:5432/postgres?sslmode=verify-full",
        "DATABASE_CA_FILE": str(platform.directory / "pki/ca.crt"),
    }
    secrets = platform.directory / "credentials" / application.name
    for variable in ("owner", "app", "metrics"):
        environment[f"DATABASE_{variable.upper()}_PASSWORD"] = (secrets / variable).read_text().strip()
    image, migration = (
        platform.kubectl("get", kind, "-n", application.namespace, "-o", f"jsonpath={path}")
        for kind, path in (
            ("statefulset", "{.items[0].spec.template.spec.containers[0].image}"),
            (
                "job",
                "{.items[?(@.metadata.labels.app\\.kubernetes\\.io/component=='migration')].spec.template.spec.containers[0].image}",
            ),
        )
    )
    variables = application.variables | {
        "release_image": image,
        "migration_image": migration.split()[0],
        **_settings(root, "release"),
        **_settings(root, "autoscaling"),
        # They are there already, and this KEDA knows the database's CA.
        "addons_sealed_secrets_managed": "false",
        "addons_keda_managed": "false",
        "autoscaling_sslmode": "verify-full",
    }
    run = ansible_playbook("site.yml", inventory=root / "inventories/existing", env=environment, extra_vars=variables)
    assert run.changed == 0, run.output


def _settings(root, role):
    return yaml.safe_load((root / f"inventories/local/group_vars/dbos_apps/{role}.yml").read_text())


def test_status_tells_when_a_person_is_needed(ansible_playbook, application, platform, deployed, tmp_path):
    report, page = tmp_path / "status.json", tmp_path / "status.html"
    variables = application.variables | {"status_json": str(report), "status_html": str(page)}
    good = ansible_playbook("status.yml", extra_vars=variables)
    assert good.changed == 0
    seen = json.loads(report.read_text())
    assert seen["attention"] == []
    assert seen["schema"]["level"] >= 100
    assert {one["name"] for one in seen["certificates"]} == {"sealing", "database CA", "database server"}
    assert seen["versions"][0]["state"] == "Promoted"
    assert "Nothing needs a person" in page.read_text() and "Versions over time" in page.read_text()
    platform.kubectl("delete", "scaledobject", "-n", application.namespace, "--all")
    platform.kubectl("patch", "service", application.name, "-n", application.namespace, "--type=merge",
                     "-p", '{"spec":{"selector":{"app.kubernetes.io/version":"v0"}}}')  # fmt: skip
    bad = ansible_playbook("status.yml", extra_vars=variables, check=False)
    assert bad.returncode != 0
    assert "No promoted version" in json.loads(report.read_text())["attention"][0]
    mended = ansible_playbook("site.yml", extra_vars=application.variables)
    assert mended.changed > 0
    ansible_playbook("status.yml", extra_vars=variables)

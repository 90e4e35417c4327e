"""What a version is made of: names, documents, ledger records."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.dbos.kubernetes.plugins.module_utils import ledger, naming, workload
from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError

IMAGE = "registry.test/shop@sha256:" + "0" * 64
SPEC = workload.Spec(
    app="shop", namespace="dbos", version="v1", image=IMAGE, kind="StatefulSet", owner="shop", env={"COLOUR": "blue"}
)
LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


def pod(spec):
    return workload.workload(spec)["spec"]["template"]["spec"]


def env(spec):
    return {entry["name"]: entry for entry in pod(spec)["containers"][0]["env"]}


@given(LABEL, LABEL)
def test_good_names_pass_and_join(app, version):
    naming.check_application(app)
    naming.check_version(app, version, "versions")
    assert len(naming.workload_name(app, version, "versions")) <= naming.LONGEST_WORKLOAD


@pytest.mark.parametrize("app", ["", "1shop", "Shop", "shop_1", "shop.io", "-shop", "shop-", "s" * 64])
def test_bad_applications_are_refused(app):
    with pytest.raises(DbosError, match="no DNS label"):
        naming.check_application(app)


@pytest.mark.parametrize(("version", "proposal"), [("1.2.3", "1-2-3"), ("V2", "v2"), ("v_2", "v-2"), ("v2-", "v2")])
def test_a_bad_version_gets_a_proposal(version, proposal):
    with pytest.raises(DbosError, match=f"such as '{proposal}'"):
        naming.check_version("shop", version, "versions")


def test_a_long_name_is_refused_before_it_makes_a_workload_without_pods():
    naming.check_version("a" * 26, "b" * 25, "versions")
    with pytest.raises(DbosError, match="53 characters, 52 are the most"):
        naming.check_version("a" * 26, "b" * 26, "versions")
    naming.check_version("a" * 26, "b" * 26, "patching")


@pytest.mark.parametrize("image", ["shop", "shop:v1", "shop@sha256:abc", IMAGE + "x"])
def test_only_digests_are_releases(image):
    with pytest.raises(DbosError, match="not pinned"):
        naming.check_digest(image)


def test_ledger_records_match_no_selector():
    record = ledger.record(SPEC, 1)
    selectors = [document["spec"]["selector"] for document in workload.documents(SPEC) if document["kind"] == "Service"]
    selectors += [workload.workload(SPEC)["spec"]["selector"]["matchLabels"]]
    assert len(selectors) == 2
    for selector in selectors:
        assert not selector.items() <= record["metadata"]["labels"].items()
        assert selector.items() <= workload.workload(SPEC)["spec"]["template"]["metadata"]["labels"].items()
    assert "ownerReferences" not in record["metadata"]
    assert ledger.parse(record).identity == workload.identity(SPEC)


def test_the_identity_is_code_and_own_configuration_only():
    same = dataclasses.replace(
        SPEC,
        resources={"requests": {"cpu": "1"}},
        secret_env={"KEY": {"secret": "s", "key": "k"}},
        conductor=workload.Conductor(),
        drain_seconds=99,
    )
    assert workload.identity(same) == workload.identity(SPEC)
    assert workload.fingerprint(same) != workload.fingerprint(SPEC)
    for changed in ({"image": IMAGE[:-1] + "1"}, {"env": {"COLOUR": "red"}}, {"files": {"a": "b"}}, {"args": ("x",)}):
        assert workload.identity(dataclasses.replace(SPEC, **changed)) != workload.identity(SPEC)


@given(
    st.dictionaries(st.text(min_size=1), st.text(), max_size=3),
    st.dictionaries(st.text(min_size=1), st.text(), max_size=3),
)
def test_file_names_follow_their_content(one, two):
    names = [workload.files_name(dataclasses.replace(SPEC, files=files)) for files in (one, two)]
    assert (names[0] == names[1]) == (one == two)


def test_no_replicas_in_the_documents():
    for kind in ("StatefulSet", "Deployment"):
        assert "replicas" not in workload.workload(dataclasses.replace(SPEC, kind=kind))["spec"]


def test_pods_are_restricted():
    spec = dataclasses.replace(SPEC, conductor=workload.Conductor("wss://c.test", "dbos-tls", "alpine"))
    assert pod(spec)["securityContext"]["runAsNonRoot"] is True
    assert pod(spec)["automountServiceAccountToken"] is False
    for container in [*pod(spec)["containers"], *pod(spec)["initContainers"]]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_no_secret_value_in_the_documents():
    spec = dataclasses.replace(SPEC, conductor=workload.Conductor(), secret_env={"KEY": {"secret": "s", "key": "k"}})
    for name in ("DBOS_SYSTEM_DATABASE_URL", "DBOS_CONDUCTOR_KEY", "KEY"):
        assert "value" not in env(spec)[name]
        assert "secretKeyRef" in env(spec)[name]["valueFrom"]


def test_every_pod_knows_its_version_and_its_name():
    assert env(SPEC)["DBOS__APPVERSION"]["value"] == "v1"
    assert env(SPEC)["DBOS__VMID"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert workload.workload(SPEC)["spec"]["podManagementPolicy"] == "Parallel"


def test_the_grace_outlasts_the_drain():
    assert pod(dataclasses.replace(SPEC, drain_seconds=100))["terminationGracePeriodSeconds"] > 100


def test_conductor_with_a_private_ca():
    spec = dataclasses.replace(SPEC, conductor=workload.Conductor("wss://c.test", "dbos-tls", "alpine"))
    assert env(spec)["DBOS_CONDUCTOR_URL"]["value"] == "wss://c.test"
    assert env(spec)["SSL_CERT_FILE"]["value"] == "/etc/dbos/conductor-ca/ca-certificates.crt"
    (init,) = pod(spec)["initContainers"]
    volumes = {volume["name"] for volume in pod(spec)["volumes"]}
    for container in [init, *pod(spec)["containers"]]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    assert "DBOS_CONDUCTOR_URL" not in env(dataclasses.replace(SPEC, conductor=workload.Conductor()))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"env": {"DBOS__APPVERSION": "x"}}, "must not set DBOS__APPVERSION"),
        ({"secret_env": {"COLOUR": {"secret": "s", "key": "k"}}}, "COLOUR is in release_env and in release_secret_env"),
        ({"secret_env": {"KEY": {"secret": "s"}}}, "needs exactly 'secret' and 'key'"),
        ({"conductor": workload.Conductor("wss://c", "tls", "")}, "needs release_conductor_ca_image"),
    ],
)
def test_contradictions_are_refused(changes, text):
    workload.check(SPEC)
    with pytest.raises(DbosError, match=text):
        workload.check(dataclasses.replace(SPEC, **changes))


def test_patching_has_one_workload_beside_the_service():
    spec = dataclasses.replace(SPEC, strategy="patching", version="PATCHING_ENABLED")
    names = [(document["kind"], document["metadata"]["name"]) for document in workload.documents(spec)]
    names.append(("Service", workload.service("shop", "dbos", 8080, spec.version)["metadata"]["name"]))
    assert len(names) == len(set(names))
    assert ("StatefulSet", "shop") in names

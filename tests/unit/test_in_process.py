"""A module gives the same result in its task's own process as in a process of its own, and keeps secrets as well."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PLAY = """
- hosts: localhost
  gather_facts: false
  vars:
    ansible_connection: local
    ansible_pipelining: true
    ansible_python_interpreter: "{{ interpreter }}"
  tasks:
    - name: Succeed
      dbos.kubernetes.images:
        registry: {host: registry.invalid, password: "{{ secret }}"}
      register: succeeded
    - name: Fail with a sentence
      dbos.kubernetes.images:
        resolve: ["{{ secret }}:"]
        registry: {password: "{{ secret }}"}
      environment: {PROBE: "1"}
      ignore_errors: true
      register: failed
    - name: Refuse what is no option
      dbos.kubernetes.images:
        resolv: []
      ignore_errors: true
      register: refused
    - name: Be absent in check mode
      dbos.kubernetes.manifests:
        kubeconfig: /nowhere
        resources: []
      check_mode: true
      register: absent
    - name: Warn
      dbos.kubernetes.sealed_secret_pipe:
        certificate: "{{ certificate }}"
        previous: "{{ previous }}"
        namespace: shop
        secrets:
          - name: one
            string_data: {key: "{{ secret }}"}
      check_mode: true
      register: warned
    - name: Keep the results
      ansible.builtin.copy:
        content: "{{ [succeeded, failed, refused, absent, warned] | to_json }}"
        dest: "{{ output }}"
        mode: "0600"
"""

PREVIOUS = """
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: one, namespace: shop}
spec: {encryptedData: {key: AAAA}}
"""


@pytest.fixture
def results(ansible_playbook: Callable[..., Any], tmp_path: Path) -> Callable[[str], tuple[list[dict[str, Any]], str]]:
    def run(interpreter: str) -> tuple[list[dict[str, Any]], str]:
        playbook, output = tmp_path / "play.yml", tmp_path / "results.json"
        playbook.write_text(PLAY)
        certificate = tmp_path / "certificate.pem"
        options = "-x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=test -keyout /dev/null -out"
        subprocess.run(["openssl", "req", *options.split(), certificate], check=True, capture_output=True)
        variables = {
            "interpreter": interpreter,
            "secret": "hidden-value",
            "output": str(output),
            "certificate": str(certificate),
            "previous": PREVIOUS,
        }
        run = ansible_playbook(playbook, "-vvv", inventory="localhost,", extra_vars=variables)
        return json.loads(output.read_text()), run.output

    return run


def test_the_process_makes_no_difference(results: Callable[..., Any]) -> None:
    # Another name of the same Python: for Ansible another interpreter.
    here = Path(sys.executable)
    other = here.with_name("python3" if here.name == "python" else "python")
    (apart, apart_output), (inside, inside_output) = results(str(other)), results(sys.executable)
    assert "<localhost> EXEC /bin/sh -c" in apart_output.split("TASK [Keep")[0]
    assert "<localhost> EXEC /bin/sh -c" not in inside_output.split("TASK [Keep")[0]
    for one in (*apart, *inside):
        one.pop("exception", None)
        one.pop("certificate", None)
    assert inside == apart
    assert [bool(one.get("failed")) for one in inside] == [False, True, True, False, False]
    assert inside[1]["msg"] == "'********:' is no image reference: the tag is not valid."
    assert inside[4]["warnings"][0].startswith("Without fingerprint_key")
    assert not any("warnings" in one for one in inside[:4])
    assert "hidden-value" not in inside_output

# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The node's address, the way of pods' packets through the host, and the removal of both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.command import PATH, run
from ansible_collections.dbos.kubernetes.plugins.module_utils.local_platform.settings import Settings

SYSCTL = Path("/proc/sys")

# What the kubelet, kube-proxy and we set for the whole machine; "absent" puts back what was there.
MACHINE_SETTINGS = (
    "net/ipv4/ip_forward",
    "net/bridge/bridge-nf-call-iptables",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
TABLES = ("mangle", "nat", "filter")


def machine_settings() -> dict[str, str]:
    """What the machine is set to now."""
    paths = ((name, SYSCTL / name) for name in MACHINE_SETTINGS)
    return {name: path.read_text().strip() for name, path in paths if path.exists()}


def restore(before: dict[str, str]) -> None:
    """Put back what differs."""
    now = machine_settings()
    for name, value in before.items():
        if name in now and now[name] != value:
            (SYSCTL / name).write_text(value)


def has_address(address: str) -> bool:
    """Whether the machine has this address."""
    if shutil.which("ip", path=PATH) is None:
        return False  # nothing was ever set up here
    found = json.loads(run(["ip", "-j", "-4", "addr"], what="list the machine's addresses").stdout)
    return any(info.get("local") == address for link in found for info in link.get("addr_info", []))


def ensure(settings: Settings) -> bool:
    """The node's address, forwarding, and our rules; whether anything was missing."""
    changed = False
    if not has_address(settings.node_address):
        # On lo: there is no other device that every machine has, and nobody outside can reach it.
        run(["ip", "link", "set", "lo", "up"], what="bring up the loopback device")
        run(["ip", "addr", "add", f"{settings.node_address}/32", "dev", "lo"], what="give the node its address")
        changed = True
    forward = SYSCTL / "net/ipv4/ip_forward"
    if forward.read_text().strip() != "1":
        forward.write_text("1")
        changed = True
    for table, chain, rule in rules(settings):
        base = ["iptables", "-w", "-t", table]
        if run([*base, "-C", chain, *rule], what="look for a rule", check=False).returncode:
            run([*base, "-I", chain, *rule], what="let pods' packets pass")
            changed = True
    return changed


def rules(settings: Settings) -> list[tuple[str, str, list[str]]]:
    """Pods' packets pass whatever the machine's default is, and leave it with its own address."""
    ours = ["-m", "comment", "--comment", settings.instance]
    pods = settings.pod_range
    outside = ["!", "-d", pods]
    return [
        ("filter", "FORWARD", ["-s", pods, *ours, "-j", "ACCEPT"]),
        ("filter", "FORWARD", ["-d", pods, *ours, "-j", "ACCEPT"]),
        ("nat", "POSTROUTING", ["-s", pods, *outside, *ours, "-j", "MASQUERADE"]),
    ]


def missing(settings: Settings) -> bool:
    """Whether C(ensure) would change anything."""
    if not has_address(settings.node_address) or (SYSCTL / "net/ipv4/ip_forward").read_text().strip() != "1":
        return True
    return any(
        run(["iptables", "-w", "-t", table, "-C", chain, *rule], what="look for a rule", check=False).returncode
        for table, chain, rule in rules(settings)
    )


def tables() -> list[str]:
    """The packet filter's tables that are there: one only exists once somebody has used it."""
    return run(["nft", "list", "tables"], what="list the packet filter's tables").stdout.splitlines()


def remove(settings: Settings, tables_before: list[str] | None) -> None:
    """Take away the node's address, kube-proxy's rules and ours, and tables that came with them."""
    for program in ("iptables", "ip6tables"):
        if shutil.which(program, path=PATH) is None:
            continue
        listed = run([f"{program}-save"], what="list the packet filter's rules", check=False).stdout
        script = removal(listed, settings.instance)
        if script:
            run([f"{program}-restore", "-w", "--noflush"], what="remove the platform's rules", text=script)
    if tables_before is not None:
        for table in set(tables()) - set(tables_before):
            _remove_table(table)
    if has_address(settings.node_address):
        run(
            ["ip", "addr", "del", f"{settings.node_address}/32", "dev", "lo"],
            what="take away the node's address",
            check=False,
        )


def _remove_table(title: str) -> None:
    """Remove an empty table of iptables' ("table ip nat"); with rules in it, it has become somebody else's too."""
    _word, family, name = title.split()
    program = {"ip": "iptables", "ip6": "ip6tables"}.get(family)
    if program is None or name not in TABLES:
        return
    # Without a chain's name it deletes all that are empty, the built-in ones too.
    run([program, "-w", "-t", name, "-X"], what="remove empty chains", check=False)
    if "chain" not in run(["nft", "list", "table", family, name], what="list a table", check=False).stdout:
        run(["nft", "delete", "table", family, name], what="remove an empty table", check=False)


def removal(listed: str, instance: str) -> str:
    """From what iptables-save lists, the input for iptables-restore that removes what is the platform's. Pure."""
    script: list[str] = []
    table: list[str] = []
    chains: list[str] = []
    name = ""
    for line in listed.splitlines():
        if line.startswith("*"):
            name, table, chains = line[1:], [], []
        elif line.startswith(":KUBE-"):
            chains.append(line[1:].split()[0])
        elif line.startswith("-A "):
            chain = line.split()[1]
            if not chain.startswith("KUBE-") and ("-j KUBE-" in line or f"--comment {instance} " in line):
                table.append("-D" + line[2:])
        elif line == "COMMIT" and (table or chains):
            # All chains are emptied before the first is deleted: they jump into one another.
            script += [f"*{name}", *table, *(f"-F {c}" for c in chains), *(f"-X {c}" for c in chains), "COMMIT"]
    return "\n".join(script) + "\n" if script else ""

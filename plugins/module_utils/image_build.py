# Copyright (c) 2026 dbos.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds images with the tool that is there, and pushes them through the registry's API.

Only building is left to docker, podman or buildah; each writes the same kind of archive. The push is ours: one place
for the CA and the credentials, which so never stand in a process list or in a tool's configuration.
"""

# Below the modules, there is no run_command: pylint: disable=ansible-bad-function

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ansible_collections.dbos.kubernetes.plugins.module_utils.errors import DbosError
from ansible_collections.dbos.kubernetes.plugins.module_utils.image_reference import Reference
from ansible_collections.dbos.kubernetes.plugins.module_utils.progress import Progress
from ansible_collections.dbos.kubernetes.plugins.module_utils.registry import LIST, MANIFEST, Registry

# How each tool says that it works here, builds, writes an archive, and forgets an image again.
_TOOLS: dict[str, dict[str, list[str]]] = {
    "docker": {
        "probe": ["version", "--format", "{{.Server.Version}}"],
        "build": ["build"],
        "save": ["save", "--output", "{archive}", "{tag}"],
        "remove": ["rmi", "{tag}"],
    },
    "podman": {
        "probe": ["info"],
        "build": ["build"],
        "save": ["save", "--format", "docker-archive", "--output", "{archive}", "{tag}"],
        "remove": ["rmi", "{tag}"],
    },
    "buildah": {
        "probe": ["info"],
        "build": ["build"],
        "save": ["push", "{tag}", "docker-archive:{archive}:{tag}"],
        "remove": ["rmi", "{tag}"],
    },
}
# A storage of its own for podman and buildah, without mounts: gone with its directory, even after kill -9.
_STORAGE = ["--root", "{folder}/storage", "--runroot", "{folder}/run", "--storage-driver", "vfs"]
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)", re.MULTILINE | re.IGNORECASE)
_GZIP = b"\x1f\x8b"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIG = "application/vnd.docker.container.image.v1+json"


def find_builder() -> str:
    """The first of docker, podman and buildah that works here (a docker client without an engine does not)."""
    failures = []
    for tool, commands in _TOOLS.items():
        if not shutil.which(tool):
            failures.append(f"{tool} is not installed")
            continue
        with tempfile.TemporaryDirectory(prefix="dbos-image-") as folder:
            probe = subprocess.run(
                [tool, *_storage(tool, folder), *commands["probe"]], capture_output=True, text=True, check=False
            )
        if probe.returncode == 0:
            return tool
        failures.append(f"{tool}: {(probe.stderr.strip() or 'does not work').splitlines()[-1]}")
    raise DbosError(
        f"No tool here can build images ({'; '.join(failures)}). Install or start one of them, "
        "or build elsewhere and give the image by its tag or digest instead of images_build."
    )


def build_and_push(tool: str, build: dict[str, Any], target: Reference, registry: Registry, progress: Progress) -> str:
    """Build an image for each of its platforms and push them; returns its digest, or that of the list of several."""
    archives = {}
    with tempfile.TemporaryDirectory(prefix="dbos-image-") as folder:
        with progress.step(f"building image {build['name']} with {tool}") as step:
            for number, platform in enumerate(build["platforms"]):
                step.update(platform)
                place = Path(folder) / str(number)
                place.mkdir()
                archives[platform] = _build(tool, build, platform, f"{build['name']}:{target.tag}", place, folder)
            built = step.seconds
        with progress.step(f"pushing image {target}") as step:
            digest = push(archives, target, registry)
            progress.say(f"image {build['name']}: built in {built:.0f} s, pushed in {step.seconds:.0f} s as {target}")
    return digest


def _build(tool: str, build: dict[str, Any], platform: str, tag: str, place: Path, storage: str) -> Path:
    """Build for one platform; the archive, in C(place)."""
    archive = place / "image.tar"
    context = _prepare(build, platform, place / "context")
    arguments = ["--file", str(Path(build["context"]) / build["containerfile"]), "--tag", tag, "--platform", platform]
    for name, value in sorted((build.get("build_args") or {}).items()):
        arguments += ["--build-arg", f"{name}={value}"]
    commands = _TOOLS[tool]
    # Base images are worth keeping in the tool's own storage; without any, nothing is.
    program = [tool, *(_storage(tool, storage) if from_scratch(build) else [])]
    _run([*program, *commands["build"], *arguments, str(context)], build)
    _run([*program, *(part.format(archive=archive, tag=tag) for part in commands["save"])], build)
    _run([*program, *(part.format(tag=tag) for part in commands["remove"])], build)
    return archive


def from_scratch(build: dict[str, Any]) -> bool:
    """Whether the Containerfile uses no base image."""
    text = (Path(build["context"]) / build["containerfile"]).read_text(encoding="utf-8")
    return {base.lower() for base in _FROM.findall(text)} == {"scratch"}


def _storage(tool: str, folder: str) -> list[str]:
    return [] if tool == "docker" else [part.format(folder=folder) for part in _STORAGE]


def _prepare(build: dict[str, Any], platform: str, folder: Path) -> Path:
    """The directory to build in: the context, or what its own command makes of it, for a platform."""
    if not build.get("prepare"):
        return Path(build["context"])
    folder.mkdir()
    # The environment that runs this module brings its own tools, such as the Go compiler.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # As build tools name them in Containerfiles.
    system, architecture, *_variant = platform.split("/")
    target = {"TARGETPLATFORM": platform, "TARGETOS": system, "TARGETARCH": architecture}
    _run(build["prepare"], build, {"BUILD_CONTEXT": str(folder), "PATH": path, **target})
    return folder


def _run(command: list[str], build: dict[str, Any], environment: dict[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=build["context"],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise DbosError(f"Building the image {build['name']} failed: {error}.") from error
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-20:])
        what = " ".join(command[:2])
        raise DbosError(f"Building the image {build['name']} failed: '{what}' ended with {done.returncode}:\n{tail}")


def push(archives: Mapping[str, Path], target: Reference, registry: Registry) -> str:
    """Push the images of archives as docker, podman and buildah write them, by platform; returns the tag's digest."""
    uploaded = [_upload(archive, platform, target, registry) for platform, archive in archives.items()]
    if len(uploaded) == 1:
        return registry.put_manifest(target, uploaded[0][0])
    members = [
        {
            "mediaType": MANIFEST,
            "size": len(manifest),
            "digest": registry.put_manifest(replace(target, tag=None), manifest),
            "platform": platform,
        }
        for manifest, platform in uploaded
    ]
    listing = {"schemaVersion": 2, "mediaType": LIST, "manifests": members}
    return registry.put_manifest(target, json.dumps(listing, sort_keys=True).encode(), LIST)


def _upload(archive: Path, wanted: str, target: Reference, registry: Registry) -> tuple[bytes, dict[str, str]]:
    """Upload what an image consists of; its manifest, and the platform it is for."""
    with tarfile.open(archive) as tar:
        (image,) = json.loads(_member(tar, "manifest.json").read())
        told = json.load(_member(tar, image["Config"]))
        platform = {key: told[key] for key in ("architecture", "os", "variant") if told.get(key)}
        made = f"{platform.get('os')}/{platform.get('architecture')}"
        if made != "/".join(wanted.split("/")[:2]):
            raise DbosError(
                f"The image {target} was built for {made} and not for {wanted}: its base image is not for that, or the "
                "tool can't build for it (docker needs buildx)."
            )
        config = _put(registry, target, _member(tar, image["Config"]), _CONFIG)
        layers = [_put(registry, target, _member(tar, name), _LAYER) for name in image["Layers"]]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
    return json.dumps(manifest, sort_keys=True).encode(), platform


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    member = tar.extractfile(name)
    if member is None:
        raise DbosError(f"The image archive holds no file {name}.")
    return member


def _put(registry: Registry, target: Reference, content: IO[bytes], kind: str) -> dict[str, Any]:
    """Upload a blob unless it is there; layers travel compressed."""
    with tempfile.TemporaryFile() as blob:
        if kind == _LAYER and content.read(2) != _GZIP:
            content.seek(0)
            # No time in the header: the same layer has the same digest.
            with gzip.GzipFile(fileobj=blob, mode="wb", compresslevel=6, mtime=0, filename="") as packed:
                shutil.copyfileobj(content, packed, 1 << 20)
        else:
            content.seek(0)
            shutil.copyfileobj(content, blob, 1 << 20)
        size = blob.tell()
        blob.seek(0)
        digest = f"sha256:{hashlib.file_digest(blob, 'sha256').hexdigest()}"
        if not registry.has_blob(target.repository, digest):
            registry.put_blob(target.repository, digest, blob, size)
    return {"mediaType": kind, "size": size, "digest": digest}

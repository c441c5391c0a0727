"""From a pod's container and its image to the sandbox it runs in: command, environment, user, mounts.

Raises `ConfigError` for what can't be configured yet (the kubelet's CreateContainerConfigError).
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import _proc
from labkit.gpus import handout
from labkit.images.rootfs import RunnableImage
from labkit.node.network.ports import ADDRESS
from labkit.node.pod import volumes
from labkit.node.pod.context import PodContext
from labkit.node.process import environment, unboxed
from labkit.node.process.container import ID_VARIABLE
from labkit.node.process.sandbox import DEFAULT_PATH, Mount, Sandbox

Json = dict[str, Any]

TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True)
class Blueprint:
    """A container that can be started."""

    container_id: str
    image: RunnableImage
    box: Sandbox


async def draw(pod: PodContext, container: Json, image: RunnableImage, folder: Path) -> Blueprint:
    """Put everything together for the run in `folder`."""
    container_id = uuid.uuid4().hex + uuid.uuid4().hex
    wanted = environment.references(container)
    objects = await pod.machine.reader.texts(pod.record.namespace, wanted) if wanted else {}
    given = _given(pod, container["name"], container_id)
    own = environment.variables(container, pod.with_addresses, objects, given)
    uid, gid = environment.user(container, pod.object, image.config, image.rootfs)
    context = container.get("securityContext") or {}
    host = tuple(image.host_mounts())
    box = Sandbox(
        rootfs=image.rootfs,
        scratch=folder,
        argv=environment.command_line(container, image.config, own),
        env=_defaults(pod, uid) | dict(image.config.env) | own,
        cwd=container.get("workingDir") or image.config.workdir,
        host=host,
        mounts=_mounts(pod, container, folder),
        uid=uid,
        gid=gid,
        hostname=pod.spec.get("hostname") or pod.record.name,
        read_only_root=bool(context.get("readOnlyRootFilesystem")),
    )
    return Blueprint(container_id, image, box if pod.machine.isolated else unboxed.translate(box))


def _defaults(pod: PodContext, uid: int) -> dict[str, str]:
    home = "/root" if uid == 0 else "/"
    return {"PATH": DEFAULT_PATH, "HOME": home, "HOSTNAME": pod.spec.get("hostname") or pod.record.name}


def _given(pod: PodContext, container: str, container_id: str) -> dict[str, str]:
    """What the agent itself sets, and nothing in a manifest can change."""
    config = pod.machine.config
    env = {
        _proc.MARKER: config.lab_dir,
        ID_VARIABLE: container_id,
        "LABKIT_POD_UID": pod.record.uid,
        "LABKIT_CLOCK": f"{config.clock:g}",
    }
    server = pod.machine.api.server.removeprefix("https://")
    host, _, port = server.rpartition(":")
    env |= {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    for declared, address in pod.record.ports.get(container, {}).items():
        number = address.rpartition(":")[2]
        env.setdefault("PORT", number)
        env[f"PORT_{declared}"] = number
    if gpus := pod.record.gpus.get(container):
        env |= handout.environment(gpus)
    return env


def _mounts(pod: PodContext, container: Json, folder: Path) -> tuple[Mount, ...]:
    found = list(volumes.mounts(container, pod.object, pod.volumes.folder))
    gpus = pod.record.gpus.get(container["name"], ())
    handed_out = handout.mounts(map(pod.machine.inventory.path, gpus))
    found += [Mount(each.source, each.target, read_only=each.read_only) for each in handed_out]
    last_words = folder / "termination-log"
    last_words.parent.mkdir(parents=True, exist_ok=True)
    last_words.touch()
    found.append(Mount(last_words, container.get("terminationMessagePath") or TERMINATION_LOG))
    return tuple(found)


def address_annotations(ports: dict[str, dict[str, str]]) -> dict[str, str]:
    """The pod annotations that say where its ports really are."""
    merged = {port: address for taken in ports.values() for port, address in taken.items()}
    if not merged:
        return {}
    return {ADDRESS: next(iter(merged.values())), "labkit.dev/ports": json.dumps(merged)}

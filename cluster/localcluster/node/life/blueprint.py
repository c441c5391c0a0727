"""From a pod's container and its image to the sandbox it runs in: command, environment, user, mounts.

Raises `ConfigError` for what can't be configured yet (the kubelet's CreateContainerConfigError).
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from localcluster import spawn
from localcluster.api import Json
from localcluster.gpus import handout
from localcluster.images import writers
from localcluster.images.rootfs import RunnableImage
from localcluster.netns import plan
from localcluster.node.network.networks import LOOPBACK
from localcluster.node.network.ports import ADDRESS
from localcluster.node.pod import volumes
from localcluster.node.pod.context import PodContext
from localcluster.node.process import environment, mounting, names, unboxed
from localcluster.node.process.container import ID_VARIABLE
from localcluster.node.process.environment import NodeEnvironment
from localcluster.node.process.sandbox import DEFAULT_PATH, Mount, Sandbox, Streams

TERMINATION_LOG = "/dev/termination-log"
POD_VARIABLE = "LABKIT_POD_UID"
"""Set in every container: to which pod a process belongs."""


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
    fixed, port = _fixed(pod, container_id), _port(pod, container["name"])
    if gpus := pod.record.gpus.get(container["name"]):
        fixed |= handout.environment(gpus)
    links = await _links(pod)
    if pod.machine.network.own:  # a hint, no more: the image or the manifest may say otherwise
        links |= {name: value for name, value in port.items() if name not in image.config.env}
    else:
        fixed |= port | {"HOST": LOOPBACK}
    given = NodeEnvironment(fixed, links, pod.machine.allocatable, _files(pod, container))
    own = environment.variables(container, pod.with_addresses, objects, given)
    uid, gid = environment.user(container, pod.object, image.config, image.rootfs)
    context = container.get("securityContext") or {}
    called = names.names(pod.object)
    resolver = names.resolver(pod.object, plan.DNS if pod.machine.network.own else "")
    if warning := names.left_out(resolver, pod.object):
        pod.tell("DNSConfigForming", warning, warning=True)
    host = tuple(image.host_mounts())
    box = Sandbox(
        rootfs=image.rootfs,
        scratch=folder,
        argv=environment.command_line(container, image.config, own),
        env={"PATH": DEFAULT_PATH, "HOME": environment.home(uid, image.rootfs), "HOSTNAME": called.kernel}
        | _terminal(container)
        | dict(image.config.env)
        | own,
        cwd=container.get("workingDir") or image.config.workdir,
        host=host,
        mounts=_mounts(pod, container, folder, own),
        uid=uid,
        gid=gid,
        hostname=called.kernel,
        hosts=names.hosts(pod.object, called, ip=pod.record.pod_ip, node=_of_the_node()),
        resolver=resolver,
        holder=pod.volumes.holder,
        closed=() if context.get("readOnlyRootFilesystem") else writers.closed(image.rootfs, uid, gid),
        read_only_root=bool(context.get("readOnlyRootFilesystem")),
        streams=_streams(container),
        filtered=_is_filtered(pod, container),
        pods_ipc=pod.machine.network.own,
    )
    if not pod.machine.isolated:
        return Blueprint(container_id, image, unboxed.translate(box))
    if pod.spec.get("shareProcessNamespace"):
        first = await pod.processes.first(uid, gid, pod.volumes.holder)
        box = beside(pod, container, box, first)
    return Blueprint(container_id, image, box)


def beside(pod: PodContext, container: Json, box: Sandbox, pid: int) -> Sandbox:
    """The container among the processes of another, as the one user that these have; an event says which."""
    uid, gid = (_known(pid, which) for which in ("uid", "gid"))
    if (box.uid, box.gid) != (uid, gid):
        said = f"Runs as user {uid}, group {gid}, as all containers whose processes it shares"
        pod.tell("SharedUser", said, container=container["name"], warning=True)
    return replace(box, uid=uid, gid=gid, target=pid)


def _known(pid: int, which: str) -> int:
    """The one user (or group) of a process' user namespace."""
    return int(Path(f"/proc/{pid}/{which}_map").read_text().split()[0])


def _is_filtered(pod: PodContext, container: Json) -> bool:
    """Whether the seccomp profile is RuntimeDefault; there is no other on these nodes."""
    whole, own = pod.spec.get("securityContext") or {}, container.get("securityContext") or {}
    profile = own.get("seccompProfile") or whole.get("seccompProfile") or {}
    if profile.get("type") == "Localhost":
        named = profile.get("localhostProfile")
        raise OSError(f'cannot load seccomp profile "{named}": this node has none but RuntimeDefault')
    return bool(profile.get("type") == "RuntimeDefault")


def _terminal(container: Json) -> dict[str, str]:
    return {"TERM": "xterm"} if container.get("tty") else {}


def _streams(container: Json) -> Streams | None:
    if not (container.get("stdin") or container.get("tty")):
        return None
    return Streams(bool(container.get("tty")), bool(container.get("stdinOnce")))


async def _links(pod: PodContext) -> dict[str, str]:
    """The current Services; where pods share a network, the API server's own with its real address."""
    links = await pod.machine.services.links(pod.object)
    if pod.machine.network.own:
        return links
    server = pod.machine.api.server.removeprefix("https://")
    host, _, port = server.rpartition(":")
    ports = dict.fromkeys(("KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS"), port)
    return links | {"KUBERNETES_SERVICE_HOST": host} | ports


def _files(pod: PodContext, container: Json) -> dict[tuple[str, str], str]:
    """The files of the pod's volumes that variables come from; links lead to no other place."""
    places = {v["name"]: pod.volumes.place(v) for v in pod.spec.get("volumes", ())}
    found = {}
    for volume, path in environment.files(container):
        with contextlib.suppress(OSError, mounting.Astray, KeyError):
            found[volume, path] = mounting.read(places[volume], path)
    return found


def _fixed(pod: PodContext, container_id: str) -> dict[str, str]:
    """Variables that the agent sets and no manifest can change."""
    config = pod.machine.config
    return {
        spawn.MARKER: config.lab_dir,
        ID_VARIABLE: container_id,
        POD_VARIABLE: pod.record.uid,
        "LABKIT_CLOCK": f"{config.clock:g}",
    }


def _port(pod: PodContext, container: str) -> dict[str, str]:
    """PORT: where a container's first declared port really is; PORT_8000 and so on for each."""
    found: dict[str, str] = {}
    for declared, address in pod.record.ports.get(container, {}).items():
        number = address.rpartition(":")[2]
        found.setdefault("PORT", number)
        if not pod.machine.network.own:
            found[f"PORT_{declared}"] = number
    return found


def _of_the_node() -> str:
    """The hosts that the machine itself knows, also for pods on its network."""
    return Path("/etc/hosts").read_text()


def _mounts(pod: PodContext, container: Json, folder: Path, env: Mapping[str, str]) -> tuple[Mount, ...]:
    found = list(volumes.mounts(container, pod.object, pod.volumes, env))
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

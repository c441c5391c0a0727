"""A pod's volumes as folders: emptyDir, hostPath, image, configMap, secret, downwardAPI and projected.

Files appear through a `..data` link that is swapped, so a reader sees either the old content or the new,
never a mix. Refuses (FailedMount) every other kind, by name: a lab node has no disks to attach.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from localcluster.api import Json
from localcluster.errors import ClusterError
from localcluster.node.pod import memory, node_disk
from localcluster.node.pod.objects import ObjectReader
from localcluster.node.process import downward, environment, held, holder, mounting
from localcluster.node.process.container import Run, StartFailure
from localcluster.node.process.mounting import Astray
from localcluster.node.process.sandbox import Mount

Files = dict[str, tuple[bytes, int]]  # relative path -> (content, mode)

_TOKEN_SECONDS = 3607  # what the service-account admission asks for
_FILES = ("configMap", "secret", "downwardAPI", "projected")
_DEFAULT_MODE = 0o644
_SHARED = 0o777
_GROUP_READS = 0o440
_LINKS = 40  # as many symbolic links as Linux follows in one path


class MountFailure(Exception):
    """A volume can't be set up (yet); the message is that of the kubelet's event."""

    reason = "FailedMount"


@dataclass
class Volumes:
    """The volumes of one pod."""

    folder: Path
    reader: ObjectReader
    allocatable: Mapping[str, str] = field(default_factory=dict)  # of the node
    lab_dir: Path | None = None  # of a lab that can have volumes in memory; None: they are on disk
    disk: Path | None = None  # the node's own; None: it has none
    images: dict[str, Path] = field(default_factory=dict)  # unpacked, of volumes that are images
    _holding: Run | None = None  # the process that holds those in memory
    _sizes: dict[str, int] = field(default_factory=dict)  # of those in memory, bytes
    _tokens: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)  # -> (text, renew at)

    async def set_up(self, pod: Json) -> None:
        """Make or refresh every volume."""
        await self._hold(pod)
        for volume in pod["spec"].get("volumes", ()):
            await self._set_up(volume, pod)

    async def _hold(self, pod: Json) -> None:
        """Mount the volumes in memory, all at once; they stay as long as the pod."""
        wanted = self._sizes = memory.sizes(pod, self.allocatable)
        if self.holder or self.lab_dir is None or not wanted:
            return
        for name in wanted:
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        mounts = {self.folder / name: size for name, size in wanted.items()}
        try:
            self._holding = await holder.hold(self._held, mounts, self.lab_dir)
        except StartFailure as error:
            named = ", ".join(wanted)
            raise MountFailure(f'MountVolume.SetUp failed for volume "{named}" : {error}') from error

    @property
    def _held(self) -> Path:
        return self.folder.parent / holder.FOLDER

    @property
    def holder(self) -> int:
        """The pid of the process that holds the volumes in memory; 0 if there are none."""
        return self._holding.pid if self._holding else 0

    async def tear_down(self) -> None:
        """Release the volumes in memory: no container of the pod runs any more."""
        holding = self._holding or await asyncio.to_thread(holder.find, self._held)
        self._holding = None
        if holding:
            holding.kill()
            await holding.wait()

    def place(self, volume: Json) -> Path:
        """The path of a volume, for the agent."""
        if "hostPath" in volume and self.disk:
            return self.disk
        path = self.images.get(volume["name"], self.folder / str(volume["name"]))
        in_memory = self.holder and memory.is_in_memory(volume)
        return held.inside(self.holder, path) if in_memory else path

    def in_memory(self, container: Json) -> int:
        """Bytes in those volumes in memory that a container mounts."""
        if not self.holder:
            return 0
        names = {mount["name"] for mount in container.get("volumeMounts", ())} & self._sizes.keys()
        with contextlib.suppress(OSError):  # the holder has ended
            return sum(held.used(held.inside(self.holder, self.folder / name)) for name in names)
        return 0

    async def _set_up(self, volume: Json, pod: Json) -> None:
        name = volume["name"]
        path = self.folder / name
        grouped = (pod["spec"].get("securityContext") or {}).get("fsGroup") is not None
        try:
            if "image" in volume:
                return  # a container that mounts it brings it
            if "hostPath" in volume and self.disk:
                node_disk.make(self.disk, volume["hostPath"])
                return
            if "emptyDir" in volume:
                _make_empty(self.place(volume), volume["emptyDir"] or {}, grouped=grouped)
                return
            kind = _kind(volume)
            sources = volume[kind].get("sources") or [] if kind == "projected" else [{kind: volume[kind]}]
            mode = volume[kind].get("defaultMode", _DEFAULT_MODE)
            files: Files = {}
            for source in sources:
                files |= await self._files(source, pod, mode)
            if grouped:  # https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
                files = {where: (data, bits | _GROUP_READS) for where, (data, bits) in files.items()}
            publish(path, files)
        except (
            MountFailure,
            ClusterError,
            Astray,
            OSError,
        ) as error:  # OSError: a full disk, paths that collide
            said = error.what if isinstance(error, ClusterError) else str(error)
            raise MountFailure(f'MountVolume.SetUp failed for volume "{name}" : {said}') from error

    async def _files(self, source: Json, pod: Json, mode: int) -> Files:
        if "serviceAccountToken" in source:
            token = source["serviceAccountToken"]
            return {token["path"]: ((await self._token(token, pod)).encode(), 0o600)}
        if "downwardAPI" in source:
            return _downward(source["downwardAPI"], pod, mode, self.allocatable)
        if "configMap" in source:
            spec, kind = source["configMap"], "configmaps"
            return await self._content((kind, spec["name"]), spec, pod, mode)
        if "secret" in source:
            spec = source["secret"]
            name = spec.get("secretName") or spec["name"]
            return await self._content(("secrets", name), spec, pod, mode)
        raise MountFailure(f"projected source {next(iter(source))} is not supported by the embedded node")

    async def _content(self, reference: tuple[str, str], spec: Json, pod: Json, mode: int) -> Files:
        data = await self.reader.data(pod["metadata"]["namespace"], reference)
        if data is None:
            if spec.get("optional"):
                return {}
            raise MountFailure(f'{reference[0].removesuffix("s")} "{reference[1]}" not found')
        if not spec.get("items"):
            return {key: (value, mode) for key, value in data.items()}
        files: Files = {}
        for item in spec["items"]:
            if item["key"] in data:
                files[item["path"]] = (data[item["key"]], item.get("mode", mode))
            elif not spec.get("optional"):
                raise MountFailure(
                    f"references non-existent {reference[0].removesuffix('s')} key: {item['key']}"
                )
        return files

    async def _token(self, spec: Json, pod: Json) -> str:
        key = (spec.get("audience") or "", spec["path"])
        text, renew_at = self._tokens.get(key, ("", 0.0))
        if time.time() < renew_at:
            return text
        seconds = int(spec.get("expirationSeconds", _TOKEN_SECONDS))
        token = await self.reader.token(pod, audience=spec.get("audience"), seconds=seconds)
        expires = datetime.fromisoformat(token.expires).timestamp()
        self._tokens[key] = (token.text, time.time() + 0.8 * (expires - time.time()))
        return token.text


def _make_empty(path: Path, spec: Json, *, grouped: bool) -> None:
    if str(spec.get("medium", "")).startswith("HugePages"):
        raise MountFailure(f"this node has no pages for medium {spec['medium']}")
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(_SHARED | stat.S_ISGID if grouped else _SHARED)


def _kind(volume: Json) -> str:
    kind = next(k for k in volume if k != "name")
    if kind not in _FILES:
        raise MountFailure(
            f"the embedded node does not support {kind} volumes: "
            f"use emptyDir, hostPath, image, {', '.join(_FILES)}"
        )
    return kind


def _downward(spec: Json, pod: Json, mode: int, allocatable: Mapping[str, str]) -> Files:
    files: Files = {}
    for item in spec.get("items", ()):
        if "fieldRef" in item:
            text = downward.field(item["fieldRef"]["fieldPath"], pod)
        else:
            first = pod["spec"]["containers"][0]
            text = downward.resource(item["resourceFieldRef"], first, pod, allocatable)
        files[item["path"]] = (text.encode(), item.get("mode", mode))
    return files


def publish(path: Path, files: Files) -> None:
    """Make `path` show exactly these files, all at once; does nothing if it already does."""
    path.mkdir(parents=True, exist_ok=True)
    data = path / "..data"
    if data.is_symlink() and _shown(data) == {name: content for name, (content, _) in files.items()}:
        return
    fresh = Path(tempfile.mkdtemp(dir=path, prefix=".."))
    fresh.chmod(0o755)
    for name, (content, mode) in files.items():
        if ".." in Path(name).parts or name.startswith("/"):
            raise MountFailure(f"the path {name!r} leads out of its volume")
        target = fresh / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)
    old = data.resolve() if data.is_symlink() else None
    swap = path / "..data_tmp"
    swap.unlink(missing_ok=True)  # of an agent that was killed here
    swap.symlink_to(fresh.name)
    swap.replace(data)
    _link(path, {Path(name).parts[0] for name in files})
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _shown(folder: Path) -> dict[str, bytes]:
    root = folder.resolve()
    return {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}


def _link(path: Path, names: set[str]) -> None:
    for name in names:
        if not (path / name).is_symlink():
            (path / name).symlink_to(f"..data/{name}")
    for entry in path.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()


def changes(pod: Json) -> bool:
    """Whether a volume of the pod shows a ConfigMap or Secret that may change under it."""
    for volume in pod["spec"].get("volumes", ()):
        sources = volume.get("projected", {}).get("sources", ()) or [volume]
        names = [s["configMap"].get("name") for s in sources if "configMap" in s]
        if any(n != "kube-root-ca.crt" for n in names) or any("secret" in s for s in sources):
            return True
    return False


def mounts(container: Json, pod: Json, volumes: Volumes, env: Mapping[str, str]) -> tuple[Mount, ...]:
    """Where a container sees which volume; `subPath` is resolved now, as the kubelet does.

    `env` is the container's own: a `subPathExpr` refers to it.
    """
    known = {v["name"]: v for v in pod["spec"].get("volumes", ())}
    found = []
    for mount in container.get("volumeMounts", ()):
        volume = known[mount["name"]]
        sub = _wanted(mount, env)
        within = volumes.place(volume)
        if "hostPath" in volume:
            sub = str(Path(node_disk.inner(volume["hostPath"]), sub))
        if not held.outside(volumes.holder, within):
            within = Path(os.path.realpath(within))
        try:
            source = _sub_path(within, sub, make="image" not in volume) if sub else within
        except (OSError, Astray) as error:
            said = f"failed to prepare subPath for volumeMount {mount['name']!r}: {error}"
            raise environment.ConfigError(said) from error
        closed = mount.get("readOnly", False) or not volume.keys() & {"emptyDir", "hostPath"}
        found.append(Mount(source, mount["mountPath"], closed, within))
    return tuple(found)


def _wanted(mount: Json, env: Mapping[str, str]) -> str:
    """The `subPath` of a mount, or what its `subPathExpr` makes; empty for the whole volume."""
    text = mount.get("subPathExpr")
    if not text:
        return str(mount.get("subPath") or "")
    if missing := [name for name in environment.names(text) if not env.get(name)]:
        raise environment.ConfigError(f"missing value for {', '.join(sorted(set(missing)))}")
    sub = environment.expand(text, env)
    if sub.startswith("/"):
        raise environment.ConfigError(f"error SubPath `{sub}` must not be an absolute path")
    if ".." in Path(sub).parts:
        raise environment.ConfigError(f"unable to provision SubPath `{sub}`: must not contain '..'")
    return sub


def _sub_path(volume: Path, sub: str, *, make: bool = True) -> Path:
    """The path of a `subPath`; `make` it of the volume's mode, if it is missing; links must stay inside."""
    if ".." in Path(sub).parts or Path(sub).is_absolute():
        raise Astray(f"{sub} leads out of the volume")
    inner = _followed(volume, sub)
    mode = stat.S_IMODE(volume.stat().st_mode)
    os.close(mounting.opened(volume, inner, make=make and not (volume / inner).exists(), mode=mode))
    return volume / inner


def _followed(volume: Path, sub: str) -> str:
    """The path in the volume that `sub` means, links followed as the agent's own system would."""
    here = Path(sub)
    for _ in range(_LINKS):
        link = next((p for p in (*reversed(here.parents), here) if (volume / p).is_symlink()), None)
        if link is None:
            return str(here)
        target = os.path.normpath(link.parent / (volume / link).readlink())
        if Path(target).is_absolute() or Path(target).parts[:1] == ("..",):
            break
        here = Path(target) / here.relative_to(link)
    raise Astray(f"{sub} leads out of the volume")

"""A pod's volumes as folders: emptyDir, configMap, secret, downwardAPI and projected (with its token).

Files appear through a `..data` link that is swapped, so a reader meets the old content or the new one, never
half of each. Refuses (FailedMount) every other kind, by name: a lab node has no disks to attach, and
`hostPath` would show the learner's own files to a container.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from labkit.errors import ClusterError
from labkit.node.pod.objects import ObjectReader
from labkit.node.process import environment, mounting
from labkit.node.process.mounting import Astray
from labkit.node.process.sandbox import Mount

Json = dict[str, Any]
Files = dict[str, tuple[bytes, int]]  # relative path -> (content, mode)

_TOKEN_SECONDS = 3607  # what the service-account admission asks for
_FILES = ("configMap", "secret", "downwardAPI", "projected")
_DEFAULT_MODE = 0o644


class MountFailure(Exception):
    """A volume can't be set up (yet); the message is that of the kubelet's FailedMount event."""


@dataclass
class Volumes:
    """The volumes of one pod."""

    folder: Path
    reader: ObjectReader
    _tokens: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)  # -> (text, renew at)

    async def set_up(self, pod: Json) -> None:
        """Make or refresh every volume."""
        for volume in pod["spec"].get("volumes", ()):
            await self._set_up(volume, pod)

    async def _set_up(self, volume: Json, pod: Json) -> None:
        name = volume["name"]
        path = self.folder / name
        try:
            if "emptyDir" in volume:
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(0o777)
                return
            kind = _kind(volume)
            sources = volume[kind].get("sources") or [] if kind == "projected" else [{kind: volume[kind]}]
            mode = volume[kind].get("defaultMode", _DEFAULT_MODE)
            files: Files = {}
            for source in sources:
                files |= await self._files(source, pod, mode)
            publish(path, files)
        except (MountFailure, ClusterError) as error:
            said = error.what if isinstance(error, ClusterError) else str(error)
            raise MountFailure(f'MountVolume.SetUp failed for volume "{name}" : {said}') from error

    async def _files(self, source: Json, pod: Json, mode: int) -> Files:
        if "serviceAccountToken" in source:
            token = source["serviceAccountToken"]
            return {token["path"]: ((await self._token(token, pod)).encode(), 0o600)}
        if "downwardAPI" in source:
            return _downward(source["downwardAPI"], pod, mode)
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


def _kind(volume: Json) -> str:
    kind = next(k for k in volume if k != "name")
    if kind not in _FILES:
        raise MountFailure(
            f"{kind} volumes are refused by the embedded node: use emptyDir, {', '.join(_FILES)}"
        )
    return kind


def _downward(spec: Json, pod: Json, mode: int) -> Files:
    files: Files = {}
    for item in spec.get("items", ()):
        if "fieldRef" in item:
            text = environment.field(item["fieldRef"]["fieldPath"], pod)
        else:
            text = environment.resource(item["resourceFieldRef"], pod["spec"]["containers"][0], pod)
        files[item["path"]] = (text.encode(), item.get("mode", mode))
    return files


def publish(path: Path, files: Files) -> None:
    """Make `path` show exactly these files, all at once; does nothing where it shows them already."""
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


def mounts(container: Json, pod: Json, folder: Path) -> tuple[Mount, ...]:
    """Where a container sees which volume; `subPath` is resolved now, as the kubelet does."""
    read_only = {v["name"] for v in pod["spec"].get("volumes", ()) if "emptyDir" not in v}
    found = []
    for mount in container.get("volumeMounts", ()):
        source = folder / mount["name"]
        sub = mount.get("subPath")
        within = Path(os.path.realpath(source))
        try:
            source = _sub_path(within, sub) if sub else within
        except (OSError, Astray) as error:
            said = f"failed to prepare subPath for volumeMount {mount['name']!r}: {error}"
            raise environment.ConfigError(said) from error
        closed = mount.get("readOnly", False) or mount["name"] in read_only
        found.append(Mount(source, mount["mountPath"], closed, within))
    return tuple(found)


def _sub_path(volume: Path, sub: str) -> Path:
    """Where a `subPath` lies, made where it is missing; a link may lead only to somewhere in the volume."""
    real = Path(os.path.realpath(volume / sub))
    if ".." in Path(sub).parts or not real.is_relative_to(volume):
        raise Astray(f"{sub} leads out of the volume")
    os.close(mounting.opened(volume, str(real.relative_to(volume)), make=not real.exists()))
    return real

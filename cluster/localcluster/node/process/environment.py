"""A container's environment, command line and user, as the kubelet derives them from pod and image.

Pure: ConfigMaps and Secrets are passed in. Refuses (CreateContainerConfigError) what is missing and not
optional, with the kubelet's own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.api import Json
from localcluster.images.manifest import ImageConfig
from localcluster.node.process import downward, env_files, mounting

Reference = tuple[str, str]  # ("configmaps" | "secrets", name)
Objects = Mapping[Reference, "Mapping[str, str] | None"]  # decoded data; None: there is no such object
Files = Mapping[tuple[str, str], str]  # (volume, path) -> text

_VARIABLE = re.compile(r"\$(\$|\(([^)]*)\))")
_KINDS = {"configMapKeyRef": "configmaps", "secretKeyRef": "secrets"}
_SOURCES = {"configMapRef": "configmaps", "secretRef": "secrets"}
_TITLES = {"configmaps": "configmap", "secrets": "secret"}
_KEY_TITLES = {"configmaps": "ConfigMap", "secrets": "Secret"}


@dataclass(frozen=True)
class NodeEnvironment:
    """What a container gets from its node. `fixed` always applies; `links` can be overridden.

    `allocatable` is the node's: what a resourceFieldRef falls back to. `files` are those of the pod's volumes
    that a fileKeyRef names.
    """

    fixed: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)
    files: Files = field(default_factory=dict)


class ConfigError(Exception):
    """The container can't be configured; the kubelet tries again until it can."""


def references(container: Json) -> set[Reference]:
    """The ConfigMaps and Secrets that a container's environment needs."""
    found = {
        (_SOURCES[key], source[key]["name"])
        for source in container.get("envFrom", ())
        for key in _SOURCES
        if key in source
    }
    for variable in container.get("env", ()):
        for key, reference in variable.get("valueFrom", {}).items():
            if key in _KINDS:
                found.add((_KINDS[key], reference["name"]))
    return found


def files(container: Json) -> set[tuple[str, str]]:
    """The files of volumes, (volume, path), that a container's environment needs."""
    found = [(v.get("valueFrom") or {}).get("fileKeyRef") for v in container.get("env", ())]
    return {(f["volumeName"], f["path"]) for f in found if f}


def variables(container: Json, pod: Json, objects: Objects, given: NodeEnvironment) -> dict[str, str]:
    """The environment: service links, then `envFrom`, then `env` in order; a later one wins.

    Fixed variables come first, so that `$(PORT)` expands, and again last, so that they win.
    """
    env = dict(given.links) | dict(given.fixed)
    for source in container.get("envFrom", ()):
        env |= _from(source, objects)
    for variable in container.get("env", ()):
        if "resourceFieldRef" in (variable.get("valueFrom") or {}):
            reference = variable["valueFrom"]["resourceFieldRef"]
            env[variable["name"]] = downward.resource(reference, container, pod, given.allocatable)
        elif "fileKeyRef" in (variable.get("valueFrom") or {}):
            if found := _of_a_file(variable["valueFrom"]["fileKeyRef"], given.files):
                env[variable["name"]] = found
        elif (value := _value(variable, pod, objects, env)) is not None:
            env[variable["name"]] = value
    return env | dict(given.fixed)


def expand(text: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value, where there is one; `$$` is a dollar sign.

    >>> expand("$(A)-$$(A)-$(B)", {"A": "1"})
    '1-$(A)-$(B)'
    """

    def replaced(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return env.get(match[2], match[0])

    return _VARIABLE.sub(replaced, text)


def names(text: str) -> list[str]:
    """The variables that a text refers to.

    >>> names("$(A)/$$(B)/$(C D)")
    ['A', 'C D']
    """
    return [match[2] for match in _VARIABLE.finditer(text) if match[1] != "$"]


def command_line(container: Json, image: ImageConfig, env: Mapping[str, str]) -> tuple[str, ...]:
    """ENTRYPOINT and CMD, unless `command` or `args` replace them."""
    command = [expand(word, env) for word in container.get("command") or ()]
    arguments = [expand(word, env) for word in container.get("args") or ()]
    inherited = [*image.entrypoint, *(arguments or image.cmd)]
    words = command + arguments if command else inherited
    if not words:
        raise ConfigError("no command specified")
    return tuple(words)


def user(container: Json, pod: Json, image: ImageConfig, rootfs: Path) -> tuple[int, int]:
    """(uid, gid) from the securityContext, else the image's USER, else root.

    The group of a uid is that of its line in the image's /etc/passwd; without a line it is root's. A group
    that the pod asks for beside it (`groups`) takes its place: a process has one group here.
    """
    context = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
    chosen = context.get("runAsUser")
    uid, gid = _image_user(image.user if chosen is None else str(chosen), rootfs)
    if context.get("runAsNonRoot"):
        _refuse_root(container, pod, image, uid)
    return uid, (groups(container, pod["spec"]) or [gid])[0]


def groups(container: Json, spec: Json) -> list[int]:
    """The groups that a pod asks for by number, the most important first: `runAsGroup`, `fsGroup`, others."""
    whole, own = spec.get("securityContext") or {}, container.get("securityContext") or {}
    wanted = [own.get("runAsGroup", whole.get("runAsGroup")), whole.get("fsGroup")]
    wanted += whole.get("supplementalGroups") or ()
    return [*dict.fromkeys(int(group) for group in wanted if group is not None)]


def _refuse_root(container: Json, pod: Json, image: ImageConfig, uid: int) -> None:
    context = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
    name = image.user.partition(":")[0]
    if context.get("runAsUser") is not None:
        reason = "" if uid else "container's runAsUser breaks non-root policy"
    elif name and not name.isdigit():
        said = f"image has non-numeric user ({name}), cannot verify user is non-root"
        reason = f"container has runAsNonRoot and {said}"
    else:
        reason = "" if uid else "container has runAsNonRoot and image will run as root"
    if reason:
        meta = pod["metadata"]
        where = f"{meta['name']}_{meta['namespace']}({meta.get('uid', '')})"
        raise ConfigError(f'{reason} (pod: "{where}", container: {container["name"]})')


def home(uid: int, rootfs: Path) -> str:
    """A user's home in the image's /etc/passwd, as runc finds it; else the root folder."""
    rows = (line.split(":") for line in mounting.text(rootfs, "/etc/passwd").splitlines())
    return next((row[5] for row in rows if len(row) > 5 and row[2] == str(uid) and row[5]), "/")


def _image_user(text: str, rootfs: Path) -> tuple[int, int]:
    name, _, group = text.partition(":")
    accounts = _accounts(rootfs, "/etc/passwd")
    if not name:
        return 0, 0
    if name.isdigit():
        known = [fields for fields in accounts.values() if fields[0] == name]
        uid, gid = int(name), int(known[0][1]) if known else 0
    elif name in accounts:
        uid, gid = int(accounts[name][0]), int(accounts[name][1])
    else:
        raise ConfigError(f"unable to find user {name}: no matching entries in passwd file")
    if group.isdigit():
        gid = int(group)
    elif group:
        groups = _accounts(rootfs, "/etc/group")
        if group not in groups:
            raise ConfigError(f"unable to find group {group}: no matching entries in group file")
        gid = int(groups[group][0])
    return uid, gid


def _accounts(rootfs: Path, file: str) -> dict[str, list[str]]:
    told = mounting.text(rootfs, file)
    if not told:
        return {"root": ["0", "0"]}
    rows = (line.split(":") for line in told.splitlines())
    return {row[0]: row[2:4] for row in rows if len(row) >= 3}


def _from(source: Json, objects: Objects) -> dict[str, str]:
    prefix = source.get("prefix", "")
    for key, kind in _SOURCES.items():
        if key in source:
            reference = source[key]
            data = _object(kind, reference, objects)
            return {prefix + name: value for name, value in (data or {}).items()}
    return {}


def _object(kind: str, reference: Json, objects: Objects) -> Mapping[str, str] | None:
    data = objects.get((kind, reference["name"]))
    if data is None and not reference.get("optional"):
        raise ConfigError(f'{_TITLES[kind]} "{reference["name"]}" not found')
    return data


def _value(variable: Json, pod: Json, objects: Objects, env: Mapping[str, str]) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", env)
    if "fieldRef" in source:
        return downward.field(source["fieldRef"]["fieldPath"], pod)
    for key, kind in _KINDS.items():
        if key in source:
            return _key(kind, source[key], objects, pod)
    raise ConfigError(f"environment variable {variable['name']}: no supported source in valueFrom")


def _of_a_file(reference: Json, files: Files) -> str:
    """Empty if it is optional and not there; the file itself has to be."""
    volume, path, key = (str(reference[name]) for name in ("volumeName", "path", "key"))
    try:
        found = env_files.value(files[volume, path], key)
    except KeyError as error:
        raise ConfigError(f"couldn't parse env file: there is no {path} in volume {volume}") from error
    except ValueError as error:
        raise ConfigError(f"couldn't parse env file {path} of volume {volume}: {error}") from error
    if not found and not reference.get("optional"):
        raise ConfigError(f'environment variable key "{key}" not found in file "{path}"')
    return found


def _key(kind: str, reference: Json, objects: Objects, pod: Json) -> str | None:
    data = _object(kind, reference, objects)
    if data is not None and reference["key"] in data:
        return data[reference["key"]]
    if reference.get("optional"):
        return None
    where = f"{_KEY_TITLES[kind]} {pod['metadata']['namespace']}/{reference['name']}"
    raise ConfigError(f"couldn't find key {reference['key']} in {where}")

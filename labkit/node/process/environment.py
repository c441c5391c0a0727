"""A container's environment, command line and user, as the kubelet derives them from pod and image.

Pure: ConfigMaps and Secrets are handed in. Refuses (CreateContainerConfigError) what is missing and not
optional, with the kubelet's own words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from labkit.images.manifest import ImageConfig
from labkit.node.process import mounting
from labkit.node.quantities import amount

Json = dict[str, Any]
Reference = tuple[str, str]  # ("configmaps" | "secrets", name)
Objects = Mapping[Reference, "Mapping[str, str] | None"]  # decoded data; None: there is no such object

_VARIABLE = re.compile(r"\$(\$|\(([^()$\s]*)\))")
_KINDS = {"configMapKeyRef": "configmaps", "secretKeyRef": "secrets"}
_SOURCES = {"configMapRef": "configmaps", "secretRef": "secrets"}
_TITLES = {"configmaps": "configmap", "secrets": "secret"}
_KEY_TITLES = {"configmaps": "ConfigMap", "secrets": "Secret"}


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


def variables(container: Json, pod: Json, objects: Objects, given: Mapping[str, str]) -> dict[str, str]:
    """The environment: what the agent gives, then `envFrom`, then `env` in order.

    What the agent gives comes first, so that `$(PORT)` expands, and last, so that it holds.
    """
    env = dict(given)
    for source in container.get("envFrom", ()):
        env |= _from(source, objects)
    for variable in container.get("env", ()):
        value = _value(variable, container, pod, objects, env)
        if value is not None:
            env[variable["name"]] = value
    env.update(given)
    return env


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
    """(uid, gid) from the securityContext, else the image's USER, else root."""
    context = {**(pod["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
    uid, gid = _image_user(image.user, rootfs)
    uid = int(context.get("runAsUser", uid))
    gid = int(context.get("runAsGroup", gid))
    if context.get("runAsNonRoot") and uid == 0:
        said = "runAsUser" in context
        reason = "container's runAsUser breaks non-root policy" if said else "image will run as root"
        where = f"{pod['metadata']['name']}_{pod['metadata']['namespace']}"
        raise ConfigError(
            f'container has runAsNonRoot and {reason} (pod: "{where}", container: {container["name"]})'
        )
    return uid, gid


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


def _value(
    variable: Json, container: Json, pod: Json, objects: Objects, env: Mapping[str, str]
) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", env)
    if "fieldRef" in source:
        return field(source["fieldRef"]["fieldPath"], pod)
    if "resourceFieldRef" in source:
        return resource(source["resourceFieldRef"], container, pod)
    for key, kind in _KINDS.items():
        if key in source:
            return _key(kind, source[key], objects, pod)
    raise ConfigError(f"environment variable {variable['name']}: no supported source in valueFrom")


def _key(kind: str, reference: Json, objects: Objects, pod: Json) -> str | None:
    data = _object(kind, reference, objects)
    if data is not None and reference["key"] in data:
        return data[reference["key"]]
    if reference.get("optional"):
        return None
    where = f"{_KEY_TITLES[kind]} {pod['metadata']['namespace']}/{reference['name']}"
    raise ConfigError(f"couldn't find key {reference['key']} in {where}")


def field(path: str, pod: Json) -> str:
    """The downward API's fieldRef."""
    if match := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    if path in {"metadata.labels", "metadata.annotations"}:
        values: Json = pod["metadata"].get(path.partition(".")[2]) or {}
        return "\n".join(f'{name}="{_escaped(value)}"' for name, value in sorted(values.items()))
    if path in {"status.podIPs", "status.hostIPs"}:
        return ",".join(entry["ip"] for entry in pod.get("status", {}).get(path.partition(".")[2], ()))
    found: Any = pod
    for part in path.split("."):
        found = found.get(part, "") if isinstance(found, dict) else ""
    return str(found)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource(reference: Json, container: Json, pod: Json) -> str:
    """The downward API's resourceFieldRef, rounded up to its divisor."""
    containers: Sequence[Json] = (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))
    name = reference.get("containerName")
    owner = next((c for c in containers if c["name"] == name), container)
    which, _, what = reference["resource"].partition(".")
    quantity = (owner.get("resources", {}).get(which) or {}).get(what, "0")
    divisor = amount(reference.get("divisor") or "1") or amount("1")
    return str(math.ceil(amount(quantity) / divisor))

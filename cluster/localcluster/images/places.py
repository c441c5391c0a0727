"""Which images a login is for: the keys of Docker's `config.json`, matched as a kubelet matches them.

A key is a host, with port and path if need be: `registry.lab:5000`, `*.example.com`, `ghcr.io/team`.
Source: https://pkg.go.dev/k8s.io/kubernetes/pkg/credentialprovider
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from localcluster.images.reference import DOCKER_HUB, Reference

HUB_KEY = "index.docker.io"
"""Where Docker keeps its login for docker.io; tried if no other key fits."""

_KEY = re.compile(
    r"(?:https?://)?(?:[^/?#@]*@)?"  # scheme and user don't count
    r"(?P<host>(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=<>\"-]*)(?::[0-9]*)?)"
    r"(?P<path>(?:/(?:%[0-9A-Fa-f]{2}|[^%?#\x00-\x1f\x7f])*)?)"
    r"(?:\?[^#\x00-\x1f\x7f]*)?(?:#(?:%[0-9A-Fa-f]{2}|[^%\x00-\x1f\x7f])*)?"
)
_VERSION = re.compile(r"/v[12](?=/)")


def place(key: str) -> str:
    """Host and path of a key: without its scheme and API version; empty if it is no URL, and fits nothing."""
    found = _KEY.fullmatch(key)
    if not found:
        return ""
    path = unquote(found["path"])
    if version := _VERSION.match(path):
        path = path[version.end() :]
    return found["host"] + ("" if path == "/" else path)


def fits(place: str, ref: Reference) -> bool:
    """Whether a login of this place is for an image: same port, each part of the host, the path's beginning.

    `*` stands for anything within one part of a host's name. The path is compared as text: `ghcr.io/team`
    is for `ghcr.io/teams/app`, too.
    """
    host, slash, path = place.partition("/")
    name, port = _split(host)
    wanted, wanted_port = _split(ref.host)
    parts, wanted_parts = name.split("."), wanted.split(".")
    same = port == wanted_port and len(parts) == len(wanted_parts)
    return same and f"/{ref.path}".startswith(slash + path) and all(map(_same, parts, wanted_parts))


def is_hub(ref: Reference) -> bool:
    """Whether the login of `HUB_KEY` is for an image: one of docker.io, or of a host that looks like none."""
    return ref.host == DOCKER_HUB or not set(".:") & set(ref.host)


def _same(pattern: str, part: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), part) is not None


def _split(host: str) -> tuple[str, str]:
    """Name and port."""
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and not port.endswith("]") else (host, "")

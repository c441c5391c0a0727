"""Logins for registries, kept and read in the format of Docker's `config.json`, 0600.

The same format is what an `imagePullSecret` of type `kubernetes.io/dockerconfigjson` holds. Which login fits
an image is decided as a kubelet decides it: host patterns and path prefixes, the most specific first. Does
not support credential helpers, which are programs of the user's desktop.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from localcluster.errors import ImageError
from localcluster.images.reference import DOCKER_HUB, Reference
from localcluster.provider import RegistryAccess
from localcluster.stored import write_atomically

_HUB_KEYS = ("index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True)
class Login:
    """A name and its password, which is never printed."""

    username: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


@dataclass(frozen=True)
class Credentials:
    """Logins by host or path: `registry.lab:5000`, `*.example.com`, `ghcr.io/team`."""

    logins: Mapping[str, Login] = field(default_factory=dict)

    @classmethod
    def of(cls, access: RegistryAccess) -> Credentials:
        """A cluster's own login at its registry."""
        return cls({access.host: Login(access.username, access.password)})

    @classmethod
    def from_json(cls, text: str) -> Credentials:
        """Read the text of a `config.json` or of a pull secret's `.dockerconfigjson`."""
        try:
            auths = json.loads(text).get("auths") or {}
            found = {_place(key): _login(entry) for key, entry in auths.items()}
        except (ValueError, AttributeError, KeyError, TypeError, binascii.Error) as error:
            raise ImageError(
                "The registry credentials are not valid.",
                cause=f'They are not {{"auths": {{"host": {{"auth": "…"}}}}}} ({type(error).__name__}).',
                fix="Create them again: `localcluster image login`, or `kubectl create secret "
                "docker-registry`.",
            ) from error
        return cls({place: login for place, login in found.items() if login})

    @classmethod
    def load(cls, file: Path) -> Credentials:
        """Read a file; none if there is no file."""
        return cls.from_json(file.read_text()) if file.exists() else cls()

    def matching(self, ref: Reference) -> list[Login]:
        """The logins that fit an image, the most specific first."""
        fitting = [place for place in self.logins if _fits(place, ref)]
        return [self.logins[place] for place in sorted(fitting, key=len, reverse=True)]

    def plus(self, other: Credentials) -> Credentials:
        """Both; if both have a place, the other's login wins."""
        return Credentials({**self.logins, **other.logins})


def save(file: Path, host: str, login: Login | None) -> None:
    """Store a login for a host (None: remove it); the rest of the file stays unchanged."""
    data: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    auths = data.setdefault("auths", {})
    auths.pop(host, None)
    if login:
        auths[host] = {"auth": login.basic.removeprefix("Basic ")}
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(file, json.dumps(data, indent=1))


def _login(entry: Mapping[str, str]) -> Login | None:
    if "username" in entry:
        return Login(entry["username"], entry.get("password", ""))
    if not entry.get("auth"):
        return None
    name, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    return Login(name, password)


def _place(key: str) -> str:
    """A key of `auths` without scheme and API version: `https://index.docker.io/v1/` means docker.io."""
    parts = urlsplit(key if "://" in key else f"//{key}")
    path = parts.path.rstrip("/")
    host = DOCKER_HUB if parts.netloc in _HUB_KEYS else parts.netloc
    return host if path in {"/v1", "/v2"} else host + path


def _fits(place: str, ref: Reference) -> bool:
    host, _, prefix = place.partition("/")
    labels, wanted = host.split("."), ref.host.split(".")
    same = len(labels) == len(wanted) and all(map(fnmatch.fnmatchcase, wanted, labels))
    return same and (not prefix or f"{ref.path}/".startswith(f"{prefix}/"))

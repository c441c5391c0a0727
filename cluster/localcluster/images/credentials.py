"""Logins for registries, kept and read in the format of Docker's `config.json`, 0600.

The same format is what an `imagePullSecret` of type `kubernetes.io/dockerconfigjson` holds; that of the older
type `kubernetes.io/dockercfg` is read, too. Both are read, and the logins for an image found, as a kubelet
does it. Does not support credential helpers, which are programs of the user's desktop.
Source: https://pkg.go.dev/k8s.io/kubernetes/pkg/credentialprovider
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcluster.api import JsonLike
from localcluster.errors import ImageError
from localcluster.images import places
from localcluster.images.reference import Reference
from localcluster.provider import RegistryAccess
from localcluster.stored import write_atomically

CONFIG_JSON, DOCKERCFG = "kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"
"""The types of pull secrets; each has one key, `.dockerconfigjson` or `.dockercfg`."""


@dataclass(frozen=True)
class Login:
    """A name and its password, which is never printed."""

    username: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        pair = f"{self.username}:{self.password}".encode(errors="surrogateescape")
        return f"Basic {base64.b64encode(pair).decode()}"


@dataclass(frozen=True)
class Credentials:
    """Logins with their places: `registry.lab:5000`, `ghcr.io/team`. A place may have several."""

    logins: tuple[tuple[str, Login], ...] = ()

    @classmethod
    def of(cls, access: RegistryAccess) -> Credentials:
        """A cluster's own login at its registry."""
        return cls(((access.host, Login(access.username, access.password)),))

    @classmethod
    def from_json(cls, text: str | bytes) -> Credentials:
        """Read the text of a `config.json` or of a pull secret's `.dockerconfigjson`."""
        with _reading():
            return cls(_logins(_member(_object(json.loads(text)), "auths")))

    @classmethod
    def from_dockercfg(cls, text: str | bytes) -> Credentials:
        """Read the older format, in which everything is an entry."""
        with _reading():
            return cls(_logins(json.loads(text)))

    @classmethod
    def of_secret(cls, secret: JsonLike) -> Credentials | None:
        """Those of a pull secret; None for a Secret that a kubelet does not read, because of its type."""
        data = secret.get("data") or {}
        if secret.get("type") == CONFIG_JSON and data.get(".dockerconfigjson"):
            return cls.from_json(base64.b64decode(data[".dockerconfigjson"]))
        if secret.get("type") == DOCKERCFG and data.get(".dockercfg"):
            return cls.from_dockercfg(base64.b64decode(data[".dockercfg"]))
        return None

    @classmethod
    def load(cls, file: Path) -> Credentials:
        """Read a file; none if there is no file."""
        return cls.from_json(file.read_text()) if file.exists() else cls()

    def matching(self, ref: Reference) -> list[Login]:
        """The logins that fit an image, in the order in which they are tried.

        Places are tried in reverse order of their names, so `ghcr.io/team` is tried before `ghcr.io`.
        """
        fitting = [(place, login) for place, login in self.logins if places.fits(place, ref)]
        if not fitting and places.is_hub(ref):
            fitting = [(place, login) for place, login in self.logins if place == places.HUB_KEY]
        return [login for _, login in sorted(fitting, key=lambda one: one[0], reverse=True)]

    def plus(self, other: Credentials) -> Credentials:
        """Both; of two logins for one place, the other's is tried later."""
        return Credentials(self.logins + other.logins)


def save(file: Path, host: str, login: Login | None) -> None:
    """Store a login for a host (None: remove it); the rest of the file stays unchanged."""
    data: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    auths = data.setdefault("auths", {})
    auths.pop(host, None)
    if login:
        auths[host] = {"auth": login.basic.removeprefix("Basic ")}
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(file, json.dumps(data, indent=1))


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, RecursionError) as error:
        raise ImageError(
            "The registry credentials are not valid.",
            cause=f'They are not {{"auths": {{"host": {{"auth": "…"}}}}}}: {error}.',
            fix="Create them again: `localcluster image login`, or `kubectl create secret docker-registry`.",
        ) from error


def _logins(entries: object) -> tuple[tuple[str, Login], ...]:
    return tuple((places.place(key), _login(entry)) for key, entry in _object(entries).items())


def _login(entry: object) -> Login:
    """`auth` counts if it is there, else `username` and `password`."""
    data = _object(entry)
    username, password, _, auth = (_text(data, key) for key in ("username", "password", "email", "auth"))
    if not auth:
        return Login(username, password)
    username, colon, password = _decoded(auth).partition(":")
    if not colon:
        raise ValueError("`auth` is not user:password in base64")
    return Login(username, password)


def _decoded(auth: str) -> str:
    """Base64 in one line or several, with its padding or without any."""
    text = auth.replace("\r", "").replace("\n", "")
    if not auth.strip().endswith("="):
        text += "=" * (-len(text) % 4)
    if len(text) % 4:
        raise ValueError("`auth` is not base64: its padding is wrong")
    return base64.b64decode(text, validate=True).decode(errors="surrogateescape")


def _member(data: JsonLike, name: str) -> Any:
    """A member, whose name can be written in any case, as Go reads JSON; None if it is not there."""
    found = [value for key, value in data.items() if key.lower() == name]
    return found[-1] if found else None


def _object(value: object) -> JsonLike:
    if not isinstance(value, dict | None):
        raise TypeError(f"{json.dumps(value)[:40]} is not an object")
    return value or {}


def _text(data: JsonLike, name: str) -> str:
    value = _member(data, name)
    if not isinstance(value, str | None):
        raise TypeError(f"`{name}` is not a string")
    return value or ""

"""Image references, read exactly as Docker reads them: `registry.lab:5000/llm-inference:v1@sha256:…`.

Refuses to guess: a first part without a dot, a port or `localhost` is a path on docker.io and never a
host, so `my-registry/llm-inference` means `docker.io/my-registry/llm-inference`. Grammar:
https://pkg.go.dev/github.com/distribution/reference
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from localcluster.errors import ImageError

DOCKER_HUB = "docker.io"
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")


@dataclass(frozen=True)
class Reference:
    """The location of an image (`host/path`) and its version: a tag (can move) or a digest (can't)."""

    host: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Host and path, without tag and digest."""
        return f"{self.host}/{self.path}"

    @property
    def version(self) -> str:
        """What is requested from a registry: the digest if there is one, else the tag."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Reference:
        """The same image by digest: what `imageID` in a pod's status says."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse(text: str) -> Reference:
    """Read a reference; without tag and digest it gets the tag `latest`, as in Docker.

    >>> parse("my-registry/llm-inference").name
    'docker.io/my-registry/llm-inference'
    """
    rest, _, digest = text.partition("@")
    if digest and not _DIGEST.fullmatch(digest):
        raise _invalid(text, f"`{digest}` is not a digest", "Write it as sha256: and 64 hexadecimal digits.")
    rest, tag = _split_tag(rest)
    if tag is not None and not _TAG.fullmatch(tag):
        raise _invalid(text, f"`{tag}` is not a tag", "Use letters, digits, `_`, `.` and `-`, 128 at most.")
    host, path = _split_host(rest)
    _check_path(text, path)
    if tag is None and not digest:
        tag = "latest"
    return Reference(host, path, tag, digest or None)


def _split_tag(rest: str) -> tuple[str, str | None]:
    head, colon, tail = rest.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (rest, None)


def _split_host(rest: str) -> tuple[str, str]:
    first, slash, path = rest.partition("/")
    is_host = "." in first or ":" in first or first == "localhost" or first.lower() != first
    if not slash or not is_host:
        return DOCKER_HUB, rest if slash else f"library/{rest}"
    if not _HOST.fullmatch(first):
        raise _invalid(rest, f"`{first}` is not a host name", "Write it as host:port/path.")
    host = DOCKER_HUB if first == "index.docker.io" else first
    return host, f"library/{path}" if host == DOCKER_HUB and "/" not in path else path


def _check_path(text: str, path: str) -> None:
    if path != path.lower():
        raise _invalid(text, "repository names must be lower case", f"Write it as {text.lower()}.")
    if not all(_PART.fullmatch(part) for part in path.split("/")):
        fix = "Use lower-case letters and digits, separated by `.`, `_`, `-` or `/`."
        raise _invalid(text, f"`{path}` is not a repository path", fix)


def _invalid(text: str, cause: str, fix: str) -> ImageError:
    return ImageError(f"Invalid image reference `{text}`.", cause=f"{cause}.", fix=fix)

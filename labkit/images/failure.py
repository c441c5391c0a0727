"""What can go wrong between a registry, a disk and an image, told apart.

    ImageError
    ├── RegistryError       a registry was asked and the answer can't be used
    │   ├── Unauthorized    401 or 403: no login, a wrong one, or one without the right
    │   ├── NotFound        404: no such repository, tag or digest
    │   └── HostUnreachable no such host, connection refused, certificate not trusted
    ├── Corrupt             bytes that don't have the digest they should have
    ├── DiskFull            no room left
    ├── Busy                another process adds images just now
    └── Unsafe              an archive that tries to leave its folder

`detail` is worded as containerd words it, so that the node agent's events read like a real kubelet's.
"""

from __future__ import annotations

import errno

from labkit.errors import ImageError, LabError
from labkit.images.reference import Reference


class RegistryError(ImageError):
    """A registry was asked and the answer can't be used."""

    grpc_code = "Unknown"
    status = 0
    """The HTTP status, where there was an answer."""

    def __init__(self, what: str, *, detail: str, cause: str = "", fix: str = "") -> None:
        super().__init__(what, cause=cause, fix=fix)
        self.detail = detail


class Unauthorized(RegistryError):
    """The registry wants a login, or another one."""


class NotFound(RegistryError):
    """The registry has no such repository, tag or digest."""

    grpc_code = "NotFound"


class HostUnreachable(RegistryError):
    """Nobody, or nobody to be trusted, answers under the registry's name."""


class Corrupt(ImageError):
    """Bytes that don't have the digest they should have; they are thrown away."""


class DiskFull(LabError):
    """No room left where images are kept."""


class Busy(LabError):
    """Another process is at work on the images; nothing was deleted."""


class Unsafe(ImageError):
    """An archive that tries to write outside of its folder."""


def pull_message(ref: Reference, error: LabError) -> str:
    """The failure as containerd says it; a kubelet puts `Failed to pull image "…": ` before it."""
    opening = f'failed to pull and unpack image "{ref}": '
    if isinstance(error, RegistryError):
        return f'{opening}failed to resolve reference "{ref}": {error.detail}'
    return opening + error.what


def on_disk(error: OSError, place: object) -> LabError:
    """Wrap an `OSError` of writing to `place`: a full disk is told apart from the rest."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(
            f"No space left on the disk that holds {place}.",
            cause="Images and unpacked layers have filled it.",
            fix="Remove images (`labkit image rm`), or set LABKIT_CACHE to a folder on another disk.",
        )
    return LabError(f"Could not write {place}: {error.strerror or error}.")

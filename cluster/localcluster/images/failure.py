"""What can go wrong between a registry, a disk and an image, told apart.

    ImageError
    ├── RegistryError       a registry was asked and the answer can't be used
    │   ├── Unauthorized    401 or 403: no login, a wrong one, or one without the right
    │   ├── NotFound        404: no such repository, tag or digest
    │   └── HostUnreachable no such host, connection refused, certificate not trusted
    ├── Corrupt             bytes that don't have the digest they should have
    ├── DiskFull            no space left
    ├── Busy                another process is adding images
    └── Unsafe              an archive that tries to leave its folder

`detail` is worded as containerd words it, so that the node agent's events read like a real kubelet's.
"""

from __future__ import annotations

import errno

from localcluster.errors import ImageError, LabError
from localcluster.images.reference import Reference


class RegistryError(ImageError):
    """A registry was asked and the answer can't be used."""

    grpc_code = "Unknown"
    status = 0
    """The HTTP status, where there was an answer."""

    before: tuple[RegistryError, ...] = ()
    """What was said to the logins that were tried before."""

    def __init__(self, what: str, *, detail: str, cause: str = "", fix: str = "") -> None:
        super().__init__(what, cause=cause, fix=fix)
        self.detail = detail


class Unauthorized(RegistryError):
    """The registry requires a login, or another one."""


class NotFound(RegistryError):
    """The registry has no such repository, tag or digest."""

    grpc_code = "NotFound"


class HostUnreachable(RegistryError):
    """The registry's name has no answer, or not a trusted one."""

    instead = ""
    """The registry that can be reached from here, and how to get an image into it: for events."""


class Corrupt(ImageError):
    """Bytes that don't have the digest they should have; they are deleted."""


class DiskFull(LabError):
    """No space left where images are kept."""


class Busy(LabError):
    """Another process is using the images; nothing was deleted."""


class Unsafe(ImageError):
    """An archive that tries to write outside its folder."""


def pull_message(ref: Reference, error: LabError) -> str:
    """The failure as containerd says it; a kubelet puts `Failed to pull image "…": ` before it.

    If several logins were refused, it is the list of what was said, each once.
    """
    if isinstance(error, RegistryError) and error.before:
        said = dict.fromkeys(_pull_message(ref, one) for one in (*error.before, error))
        return next(iter(said)) if len(said) == 1 else f"[{', '.join(said)}]"
    return _pull_message(ref, error)


def _pull_message(ref: Reference, error: LabError) -> str:
    opening = f'failed to pull and unpack image "{ref}": '
    if isinstance(error, RegistryError):
        more = f" ({error.instead})" if isinstance(error, HostUnreachable) and error.instead else ""
        return f'{opening}failed to resolve reference "{ref}": {error.detail}{more}'
    return opening + error.what


def on_disk(error: OSError, place: object) -> LabError:
    """Wrap an `OSError` of writing to `place`: a full disk gets its own error."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(
            f"No space is left on the disk with {place}.",
            cause="Images and unpacked layers filled it.",
            fix="Remove images (`localcluster image rm`), or set LABKIT_CACHE to a folder on another disk.",
        )
    return LabError(f"Could not write {place}: {error.strerror or error}.")

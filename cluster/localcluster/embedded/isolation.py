"""Whether containers can be isolated on this host: tried once, before anything of a lab is created.

Tries what every container will do, with the same options. Refuses to fall back by itself: a lab without
isolation is only for one's own code, so a person must choose it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from localcluster import spawn
from localcluster.errors import ProviderError
from localcluster.images import hostbase
from localcluster.node.process import sandbox
from localcluster.provider import Spec
from localcluster.toolchain import namespaces
from localcluster.toolchain.locate import bwrap
from localcluster.toolchain.versions import cache_root

_LAYERS = (
    "User namespaces work here, but overlayfs does not work on this disk.",
    f"Set LABKIT_HOME and LABKIT_CACHE to a local disk, and use Linux 5.11 or later. {namespaces.OPEN}",
)


def require(spec: Spec, folder: Path) -> None:
    """Raise, with the cause and the fix, where no container could start from a lab in `folder`."""
    if spec.isolation == "none":
        return
    said = _tried(folder)
    if said:
        closed = namespaces.refused()
        cause, fix = namespaces.explained(closed) if closed else _LAYERS
        raise ProviderError(f"Containers can't be isolated on this host: {said}.", cause=cause, fix=fix)


def _tried(folder: Path) -> str:
    base = hostbase.host()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".try-") as scratch:
        box = sandbox.Sandbox(
            rootfs=base.skeleton(cache_root()),
            scratch=Path(scratch),
            argv=("/bin/true",),
            host=tuple(base.mounts()),
        )
        sandbox.prepare(box)
        return _said(*sandbox.arguments(box))


def _said(*options: str) -> str:
    """The error of bubblewrap with these options; empty if it starts."""
    done = spawn.run([bwrap(), *options, "--", "/bin/true"], seconds=60)
    words = (done.stderr or done.stdout).strip().splitlines()
    return (words[-1].removeprefix("bwrap: ").rstrip(".") if words else "no word") if done.returncode else ""

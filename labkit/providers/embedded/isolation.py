"""Whether this host lets containers be walled in: tried once, before anything of a lab is made.

Tries what every container will do, with the very same options. Refuses to fall back by itself: a lab without
walls is for one's own code only, so a person must ask for it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from labkit import _proc
from labkit.errors import ProviderError
from labkit.images import hostbase
from labkit.node.process import sandbox
from labkit.providers.base import Spec
from labkit.toolchain import cache_root

_OPEN = "To run your own code only, without walls: labkit up --isolation none"
_NAMESPACES = (
    "It refuses user namespaces to ordinary users (a hardened kernel), or to programs inside a container.",
    (
        "Allow them (on Ubuntu: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0), or leave the "
        f"container. {_OPEN}"
    ),
)
_LAYERS = (
    "User namespaces work here, but not layers of folders (overlayfs) on this disk.",
    f"Set LABKIT_HOME and LABKIT_CACHE to a local disk, and use Linux 5.11 or later. {_OPEN}",
)


def require(spec: Spec, folder: Path) -> None:
    """Raise, with the cause and the fix, where no container could start from a lab in `folder`."""
    if spec.isolation == "none":
        return
    said = _tried(folder)
    if said:
        cause, fix = _LAYERS if not _refused("--unshare-user", "--unshare-pid") else _NAMESPACES
        raise ProviderError(f"This host lets no container be walled in: {said}.", cause=cause, fix=fix)


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


def _refused(*namespaces: str) -> bool:
    return bool(_said(*namespaces, "--ro-bind", "/", "/", "--proc", "/proc"))


def _said(*options: str) -> str:
    """What bubblewrap complains of with these options; empty where it starts."""
    done = _proc.run([sandbox.bwrap(), *options, "--", "/bin/true"], seconds=60)
    words = (done.stderr or done.stdout).strip().splitlines()
    return (words[-1].removeprefix("bwrap: ") if words else "no word") if done.returncode else ""

"""`python -m localcluster.netns.holder LAB_DIR SERVICES NFT BWRAP`: starts what holds the lab's network.

If the holder was killed, the next one joins the namespace in which the lab's other processes still are. A lab
whose processes are all gone gets a new one. That is made by bubblewrap: machines that deny user namespaces to
other programs (AppArmor) allow them to it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from localcluster import setns
from localcluster.netns import furnish
from localcluster.spawn import Proc

COMPONENT = "network"


def pid_of(lab_dir: Path) -> int:
    """A process in the lab's namespace, by which others join it; raises `ProcessLookupError`."""
    try:
        pid, born = (lab_dir / furnish.READY).read_text().split()
        if furnish.born(int(pid)) == born:
            return int(pid)
    except (OSError, ValueError):
        pass
    raise ProcessLookupError(f"the network of {lab_dir} is not held by any process")


def new(bwrap: str, module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours as root of new namespaces, which end with it."""
    names = ("--unshare-user", "--unshare-net", "--uid", "0", "--gid", "0", "--cap-add", "ALL")
    files = ("--die-with-parent", "--dev-bind", "/", "/")
    return [bwrap, *names, *files, "--", sys.executable, "-P", "-m", module, *arguments]


def _others(lab_dir: Path) -> Iterator[int]:
    """Processes of this lab that are in another user namespace than we: in its network."""
    here = Path("/proc/self/ns/user").stat().st_ino
    for path in sorted((lab_dir / "run").glob("*.json")):
        proc = Proc.load(path)
        if proc is None or not proc.alive():
            continue
        with contextlib.suppress(OSError, psutil.Error):
            for pid in (proc.pid, *(child.pid for child in psutil.Process(proc.pid).children())):
                if Path(f"/proc/{pid}/ns/user").stat().st_ino != here:
                    yield pid


def main(arguments: list[str]) -> None:
    """Join the namespace, or become bubblewrap, which makes one."""
    lab_dir, services, nft, bwrap = arguments
    for pid in _others(Path(lab_dir)):
        with contextlib.suppress(OSError), setns.namespaces_of(pid) as (user, net):
            setns.join(user, net)
            furnish.hold(Path(lab_dir))
    command = new(bwrap, "localcluster.netns.furnish", lab_dir, services, nft)
    os.execv(command[0], command)  # noqa: S606 - there is no shell


if __name__ == "__main__":
    main(sys.argv[1:])

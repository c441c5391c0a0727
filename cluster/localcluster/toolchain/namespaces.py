"""Whether ordinary users can create user namespaces here, as containers need; and how to allow it.

Changes nothing: the machine's administrator decides.
Sources: https://documentation.ubuntu.com/security/security-features/privilege-restriction/apparmor/ (user
namespaces of ordinary users), user_namespaces(7), namespaces(7) for user.max_user_namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from localcluster import spawn
from localcluster.toolchain.locate import bwrap

PROFILE = "/etc/apparmor.d/labkit-bwrap"
UBUNTU = "kernel.apparmor_restrict_unprivileged_userns"
OPEN = "To run your own code only, without isolation: localcluster up --isolation none"
_SWITCHES = (
    (UBUNTU, "1", "0"),  # Ubuntu 23.10 and later
    ("kernel.unprivileged_userns_clone", "0", "1"),  # Debian's kernels, and hardened ones
    ("user.max_user_namespaces", "0", "15000"),
)
"""A kernel setting, the value that denies user namespaces to ordinary users, and one that allows them."""

_LIMITS = tuple(f"user.max_{kind}_namespaces" for kind in ("user", "net", "ipc", "mnt", "pid", "uts"))
_ENOUGH = 1000
"""A lab has one of each kind for itself, and each container some more; kernels begin with thousands."""

_MASKED = (
    (
        "Parts of /proc are hidden or read-only, as in containers by default: "
        "so the kernel lets nobody mount it."
    ),
    """Start this container so that its /proc is whole. Choose one.
  Docker: --security-opt systempaths=unconfined (docs/doors.md has a whole command)
  Podman: --security-opt unmask=ALL
  Kubernetes: securityContext.procMount: Unmasked, and hostUsers: false
  """
    + OPEN,
)
"""Sources: mount_namespaces(7), podman-run(1), and "User Namespaces" in the documentation of Kubernetes."""


def refused() -> str:
    """The error of bubblewrap if it can't create a user namespace; empty if it can."""
    words = ["--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "--", "/bin/true"]
    done = spawn.run([bwrap(), *words], seconds=20)
    said = (done.stderr or done.stdout).strip().splitlines()
    return (said[-1].removeprefix("bwrap: ") if said else "no word") if done.returncode else ""


def explained(said: str) -> tuple[str, str]:
    """The cause and the fix of what bubblewrap `said` where user namespaces are refused."""
    return _MASKED if "mount proc" in said else (cause(), cures())


def low_limits(proc: Path = Path("/proc/sys")) -> dict[str, int]:
    """The kernel's limits on namespaces that are too low for labs."""
    found = {name: _read(proc, name) for name in _LIMITS}
    return {name: int(value) for name, value in found.items() if value.isdigit() and int(value) < _ENOUGH}


def raised(limits: Iterable[str]) -> str:
    """The command that raises them."""
    return "sudo sysctl -w " + " ".join(f"{name}=15000" for name in limits)


def cause(proc: Path = Path("/proc/sys")) -> str:
    """The kernel setting that denies them, as far as we can see."""
    closed = [name for name, value, _ in _SWITCHES if _read(proc, name) == value]
    if closed:
        return f"This machine denies user namespaces to ordinary users: {', '.join(closed)}."
    return "This machine denies user namespaces to ordinary users, or to programs inside a container."


def cures(proc: Path = Path("/proc/sys")) -> str:
    """The three ways to allow them, the most restrictive first."""
    sets = [f"{name}={value}" for name, shut, value in _SWITCHES if _read(proc, name) == shut]
    switch = " ".join(sets or [f"{UBUNTU}=0"])
    ubuntu = "" if UBUNTU in switch else f" (on Ubuntu: {UBUNTU}=0)"
    return (
        "Choose one of three; the first allows the least.\n"
        f"  1. For bubblewrap only, with an AppArmor profile:\n"
        f"       localcluster doctor --apparmor | sudo tee {PROFILE}\n"
        f"       sudo apparmor_parser -r {PROFILE}\n"
        f"  2. For all programs, until the next boot: sudo sysctl -w {switch}{ubuntu}\n"
        "  3. Not on this machine: in a virtual machine, or in a container that allows user namespaces.\n"
        f"  {OPEN}"
    )


def profile(program: Path) -> str:
    """An AppArmor profile that allows this bubblewrap to create user namespaces, and restricts nothing."""
    return (
        "# Allows the bubblewrap of the course (labkit) to create user namespaces.\n"
        "abi <abi/4.0>,\n"
        "include <tunables/global>\n\n"
        f'profile labkit-bwrap "{program}" flags=(unconfined) {{\n'
        "  userns,\n"
        "}\n"
    )


def _read(proc: Path, name: str) -> str:
    try:
        return (proc / name.replace(".", "/")).read_text().strip()
    except OSError:
        return ""

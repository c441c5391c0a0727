"""Docker or Podman: what runs a kind cluster's nodes and its registry.

One command for each call, as a person would type it. Refuses to ignore a failure: it raises with the engine's
last message, and guesses the cause from it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster import spawn
from localcluster.errors import ProviderError

INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INSTANCES = (40, 16)
"""Inotify instances of a control plane's node and of each worker; 30 and 14 on an idle cluster."""

MEMORY_GIB = 4
"""A control plane of 0.6 GiB, four workers, Prometheus, and ten model servers of 60 MB."""

GUESSES = (
    (
        "permission denied",
        "You have no permission for its socket.",
        "Add yourself to its group (`docker`) and log in again, or use Podman.",
    ),
    (
        "cannot connect",
        "Its daemon is not running.",
        "Start it (`systemctl start docker`, or Docker Desktop; Podman needs none).",
    ),
    ("is the docker daemon running", "Its daemon is not running.", "Start it (`systemctl start docker`)."),
    ("no space left", "The disk is full.", "Free some space: `{engine} system df`, `{engine} image prune`."),
    (
        "already allocated",
        "Another program now listens on a port that was free a moment ago.",
        "Run it again.",
    ),
    (
        "address already in use",
        "Another program now listens on a port that was free a moment ago.",
        "Run it again.",
    ),
    ("exec format error", "The image is for another CPU architecture.", "Use a --node-image for this one."),
    ("does not match the detected host", "The image is for another CPU architecture.", "Use another image."),
    (
        "dial tcp",
        "No registry can be reached from here.",
        "Build the image here, or load it: `{engine} load`.",
    ),
    (
        "could not find a log line that matches",
        "A node did not boot within the 30 s that kind gives it: this machine is busy, or short of memory.",
        "End what else runs here, or ask for fewer nodes (--gpu-nodes 1 --cpu-nodes 0); then run it again.",
    ),
    ("pull access denied", "There is no such image, here or in its registry.", "Correct the image's name."),
)
"""Text of the engine, in lower case; its meaning; and the fix, in which `{engine}` is its name."""

ROOTLESS = ("cpu", "memory", "pids")
"""What kind asks of an engine without root (https://kind.sigs.k8s.io/docs/user/rootless)."""
DELEGATE = (
    "Let systemd give them to your user: write /etc/systemd/system/user@.service.d/delegate.conf with\n"
    "  [Service]\n  Delegate=yes\nthen `sudo systemctl daemon-reload`, and log in again."
)


@dataclass(frozen=True)
class Engine:
    """`docker` or `podman`, as kind finds them."""

    name: str = "docker"

    @classmethod
    def chosen(cls) -> Engine:
        """The one that kind would use: `KIND_EXPERIMENTAL_PROVIDER`, else Docker where it is installed."""
        named = os.environ.get("KIND_EXPERIMENTAL_PROVIDER")
        if named in {"docker", "podman"}:
            return cls(named)
        return cls("podman" if not shutil.which("docker") and shutil.which("podman") else "docker")

    def missing(self, *, workers: int) -> str | None:
        """Why a cluster with that many workers can't be made with it, and the fix; None if it can."""
        if not shutil.which(self.name):
            return f"The provider kind needs Docker or Podman; there is no program `{self.name}` on the PATH."
        try:
            info = self.info()
        except ProviderError as error:
            return str(error)
        gib = int(info.get("MemTotal") or info.get("host", {}).get("memTotal") or 0) / 2**30
        if gib and gib < MEMORY_GIB:
            return (
                f"{self.name} has {gib:.1f} GiB of memory; the cluster needs {MEMORY_GIB} GiB. Give it more "
                "(Docker Desktop: Settings, Resources), or use the embedded cluster: localcluster up."
            )
        return rootless_lacks(self.name, info) or watchers_missing(workers)

    def guess(self, said: str) -> tuple[str, str] | None:
        """What its text, or kind's, means, and the fix; None if we don't know."""
        for phrase, cause, fix in GUESSES:
            if phrase in said.lower():
                return cause, fix.format(engine=self.name)
        return None

    def info(self) -> dict[str, Any]:
        """`docker info`, as JSON."""
        found: dict[str, Any] = json.loads(self.run("info", "--format", "{{json .}}", seconds=30))
        for complaint in found.get("ServerErrors") or []:  # a client without its daemon answers, too
            raise self._failure(("info",), complaint)
        return found

    def cpus(self) -> int:
        """The CPUs of the machine on which its containers run."""
        info = self.info()
        return int(info.get("NCPU") or info.get("host", {}).get("cpus") or 0)

    def run(self, *words: str, stdin: str | None = None, seconds: float = 300) -> str:
        """Run one command and return what it printed; raises `ProviderError`."""
        try:
            done = spawn.run([self.name, *words], stdin=stdin, seconds=seconds, env=self.environment)
        except (spawn.TimedOut, FileNotFoundError) as error:
            raise self._failure(words, f"no answer within {seconds:.0f} s") from error
        if done.returncode:
            raise self._failure(words, done.stderr.strip() or done.stdout.strip())
        return done.stdout.strip()

    def says(self, *words: str) -> str:
        """Like `run`, but empty if the command fails: for things that may not exist."""
        try:
            return self.run(*words)
        except ProviderError:
            return ""

    def images(self, name: str) -> str:
        """The id of a local image; empty if there is none of this name."""
        return self.says("image", "inspect", "--format", "{{.Id}}", name)

    def running(self, container: str) -> bool:
        """Whether a container of this name runs."""
        return self.says("container", "inspect", "--format", "{{.State.Running}}", container) == "true"

    def remove(self, *containers: str) -> None:
        """Stop containers and delete them with their volumes; missing ones are ignored."""
        there = [
            name for name in containers if self.says("container", "inspect", "--format", "{{.Id}}", name)
        ]
        if there:
            self.run("rm", "--force", "--volumes", *there)

    @property
    def environment(self) -> Mapping[str, str]:
        """Tell kind to use this engine: otherwise it takes Docker if both are installed."""
        return {**os.environ, "KIND_EXPERIMENTAL_PROVIDER": self.name, "DOCKER_BUILDKIT": _buildkit()}

    def _failure(self, words: tuple[str, ...], said: str) -> ProviderError:
        last = said.splitlines()[-1] if said else "no message"
        if guessed := self.guess(said):
            return ProviderError(f"{self.name} {words[0]}: {last}", cause=guessed[0], fix=guessed[1])
        return ProviderError(f"`{self.name} {' '.join(words[:3])}` failed: {last}")


def rootless_lacks(engine: str, info: Mapping[str, Any]) -> str | None:
    """Why a cluster can't be made by an engine that runs without root, and the fix; None if it can."""
    host = info.get("host", {})  # Podman's; Docker's words stand on their own
    security = [str(option) for option in info.get("SecurityOptions") or ()]
    if not host.get("security", {}).get("rootless") and not any("rootless" in one for one in security):
        return None
    version = str(host.get("cgroupVersion") or info.get("CgroupVersion") or "")
    if version.removeprefix("v") == "1":
        return (
            f"{engine} runs without root, for which kind needs cgroup v2; this machine has v1.\n"
            "Fix: boot with systemd.unified_cgroup_hierarchy=1, use the engine as root, or use the embedded "
            "cluster: localcluster up."
        )
    bounds = {"cpu": "CPUShares", "memory": "MemoryLimit", "pids": "PidsLimit"}
    given = host.get("cgroupControllers") or [name for name, key in bounds.items() if info.get(key)]
    if lacks := [name for name in ROOTLESS if name not in given]:
        denied = ", ".join(lacks)
        return f"{engine} runs without root and may not limit {denied}, which kind needs.\nFix: {DELEGATE}"
    return None


def watchers_missing(workers: int) -> str | None:
    """Whether the kernel allows enough inotify instances; without, kubelets end with `too many open files`.

    https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files
    """
    if not INOTIFY.exists():  # Docker Desktop: the nodes run in a virtual machine
        return None
    allowed, used = int(INOTIFY.read_text()), _inotify_instances()
    needed = INSTANCES[0] + INSTANCES[1] * workers
    if used + needed <= allowed:
        return None
    more = f"sudo sysctl fs.inotify.max_user_instances={max(512, 2 * allowed)}"
    return (
        f"{workers + 1} nodes need about {needed} inotify instances; {used} of the {allowed} "
        "allowed are in use. "
        f"Allow more ({more}), or ask for fewer nodes."
    )


def _inotify_instances() -> int:
    """How many are in use, by processes that we can inspect."""
    found = 0
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):  # it ended, or belongs to another user
            found += os.readlink(link) == "anon_inode:inotify"  # noqa: PTH115 - a path that is none
    return found


def _buildkit() -> str:
    """Docker's client without its builder plugin refuses to build, unless told to use the old builder."""
    folders = (Path("/usr/libexec/docker"), Path("/usr/lib/docker"), Path("/usr/local/lib/docker"))
    own = Path.home() / ".docker"
    return "1" if any((f / "cli-plugins" / "docker-buildx").exists() for f in (*folders, own)) else "0"

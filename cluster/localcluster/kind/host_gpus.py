"""The NVIDIA GPUs of this machine, and whether kind's nodes can use them.

`look` inspects the host, `judge` decides: a pure function, so that recorded hosts can be tested. Refuses to
guess: if a fact is missing, the answer is no, with the command that fixes it.
"""

from __future__ import annotations

import json
import platform
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcluster import spawn

QUERY = "index,uuid,name,memory.total,driver_version"
CONFIG = Path("/etc/nvidia-container-runtime/config.toml")
DRIVER = Path("/proc/driver/nvidia/gpus")
MOUNTS = "accept-nvidia-visible-devices-as-volume-mounts"
"""The toolkit's setting that lets a container ask for GPUs by mounts: kind has no other way to ask."""

INSTALL = (
    "Install it: https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
)
CONFIGURE = (
    "sudo nvidia-ctk runtime configure --runtime=docker --set-as-default --cdi.enabled",
    f"sudo nvidia-ctk config --set {MOUNTS}=true --in-place",
    "sudo systemctl restart docker",
)
"""NVIDIA's own preparation of a host for kind: https://github.com/NVIDIA/nvkind#setup"""

CUDA_13_DRIVER = 580
MODEL_MIB = 20_000
"""Llama-3.1-8B in bfloat16 takes 15,317 MiB; with activations and a useful KV cache it needs this much."""


@dataclass(frozen=True)
class Facts:
    """The exact output of the host's tools; empty if a tool or a file is missing."""

    nvidia_smi: str = ""
    driver_files: Mapping[str, str] = field(default_factory=dict)
    """Text of /proc/driver/nvidia/gpus/*/information, by PCI address; there is none under WSL 2."""
    docker_info: Mapping[str, Any] = field(default_factory=dict)
    toolkit_version: str = ""
    toolkit_config: str = ""
    kernel: str = ""

    @property
    def wsl(self) -> bool:
        """Whether this is Windows' Linux, where all GPUs hide behind one device, /dev/dxg."""
        return "microsoft" in self.kernel.lower()


@dataclass(frozen=True)
class Gpu:
    """One GPU; `minor` is the N of /dev/nvidiaN, None if the driver does not report it.

    `memory_mib` is 0 where nvidia-smi has no number for it (GPUs that share the host's memory).
    """

    uuid: str
    name: str
    memory_mib: int
    driver: str
    minor: int | None = None

    @property
    def product(self) -> str:
        """The value of GPU feature discovery's label `nvidia.com/gpu.product`."""
        return self.name.replace(" ", "-")


@dataclass(frozen=True)
class Judgement:
    """Whether kind's nodes can have these GPUs; if not, `why` and the `fix`."""

    gpus: tuple[Gpu, ...]
    why: str = ""
    fix: str = ""
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """True if nothing is missing."""
        return bool(self.gpus) and not self.why


def look() -> Facts:
    """Ask this machine; a tool that is missing leaves an empty fact."""
    return Facts(
        nvidia_smi=_said("nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"),
        driver_files={f.parent.name: f.read_text() for f in sorted(DRIVER.glob("*/information"))},
        docker_info=json.loads(_said("docker", "info", "--format", "{{json .}}") or "{}"),
        toolkit_version=_said("nvidia-ctk", "--version"),
        toolkit_config=CONFIG.read_text() if CONFIG.is_file() else "",
        kernel=platform.release(),
    )


def judge(facts: Facts) -> Judgement:
    """The first thing that is missing, if any."""
    gpus = read_gpus(facts)
    why, fix = _missing(facts, gpus)
    return Judgement(gpus, why, fix, notes=tuple(_notes(facts, gpus)) if gpus and not why else ())


def read_gpus(facts: Facts) -> tuple[Gpu, ...]:
    """The GPUs that nvidia-smi lists, in its order, with the device numbers from the driver."""
    minors = dict(_minor(text) for text in facts.driver_files.values())
    rows = [[cell.strip() for cell in line.split(",")] for line in facts.nvidia_smi.splitlines()]
    return tuple(
        Gpu(uuid, name, int(memory) if memory.isdigit() else 0, driver, minors.get(uuid))
        for _, uuid, name, memory, driver in (row for row in rows if len(row) == len(QUERY.split(",")))
    )


def _missing(facts: Facts, gpus: Sequence[Gpu]) -> tuple[str, str]:
    if not gpus:
        return "nvidia-smi lists no GPU on this machine.", "Simulated GPUs need none: omit the option."
    if not facts.docker_info.get("ServerVersion"):
        return "Docker does not answer; only Docker can give kind's nodes a GPU.", "Start Docker."
    if not facts.toolkit_version:
        return "NVIDIA's container toolkit (nvidia-ctk) is not installed.", _steps(INSTALL, *CONFIGURE)
    if facts.docker_info.get("DefaultRuntime") != "nvidia":
        found = facts.docker_info.get("DefaultRuntime", "none")
        return f"Docker's default runtime is {found}, not nvidia.", _steps(*CONFIGURE)
    if tomllib.loads(facts.toolkit_config or "").get(MOUNTS) is not True:
        return f"The toolkit does not accept GPUs through mounts ({MOUNTS}).", _steps(*CONFIGURE[1:])
    return "", ""


def _notes(facts: Facts, gpus: Sequence[Gpu]) -> list[str]:
    notes = []
    if int(gpus[0].driver.split(".")[0]) < CUDA_13_DRIVER:
        notes.append(
            f"Driver {gpus[0].driver} does not support CUDA 13: set newTag to v0.30.0-cu129 in "
            "manifests/overlays/gpu/lab/kustomization.yaml."
        )
    small = [gpu for gpu in gpus if 0 < gpu.memory_mib < MODEL_MIB]
    if small:
        notes.append(
            f"{small[0].name} has {small[0].memory_mib:,} MiB, Llama-3.1-8B needs {MODEL_MIB:,}: use "
            "meta-llama/Llama-3.2-1B-Instruct in manifests/overlays/gpu/lab/vllm.yaml."
        )
    if len(gpus) == 1:
        notes.append(
            "One GPU serves one replica: the second of minReplicas: 2 stays Pending, and its event says why."
        )
    if facts.wsl and len(gpus) > 1:
        notes.append("Under WSL 2, GPUs can't be divided among nodes: one node gets all of them.")
    return notes


def _minor(text: str) -> tuple[str, int]:
    pairs = (line.partition(":") for line in text.splitlines())
    told = {key.strip(): value.strip() for key, _, value in pairs}
    return told["GPU UUID"], int(told["Device Minor"])


def _steps(*commands: str) -> str:
    return "\n  ".join(("", *commands, "Then try again.")).lstrip("\n ")


def _said(*argv: str) -> str:
    try:
        done = spawn.run(argv, seconds=20)
    except (OSError, spawn.TimedOut):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

"""Real GPUs in kind's workers: the plan, as data. The provider carries it out; this module changes nothing.

What it takes follows https://github.com/NVIDIA/nvkind (kind itself knows no GPUs, its issue 3164): mounts
that ask Docker's nvidia runtime for the GPUs, the toolkit and containerd's runtime inside each GPU worker,
the RuntimeClass, and NVIDIA's device plugin in place of labkit's. Refuses a host that lacks any of that.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.data import DATA
from localcluster.errors import BadInput, ProviderError
from localcluster.gpus import feature_discovery
from localcluster.kind.host_gpus import Facts, Gpu, judge, look
from localcluster.provider import Report, Spec

MANIFESTS = (
    DATA / "gpu" / "nvidia" / "runtime-class.yaml",
    DATA / "gpu" / "nvidia" / "device-plugin.yaml",
)
"""Applied once the workers are ready; labkit's own device plugin is not."""

TOOLKIT = "1.20.1-1"
"""NVIDIA's container toolkit inside the workers, a version of its Debian repository."""

ASKS = "/var/run/nvidia-container-devices"
"""A mount below it asks Docker's nvidia runtime for the GPU of that name; its source does not matter."""

COMMAND = "localcluster up --provider kind --gpus real --clock 1"
KIND_OF_GPUS = "labkit.dev/gpus"
"""Label of kind's workers: `simulated`, `real` or `none`."""

LEFT_OUT = ("gpu-plugin.yaml", "laptop.yaml")
"""Of data/kind: labkit's own plugin, and the policy that makes pods small and fast."""

TRY = f"On this machine `docker run --rm -v /dev/null:{ASKS}/all ubuntu nvidia-smi -L` must list the GPUs."
ONLINE = (
    "The node installs from nvidia.github.io and a Debian mirror: Docker needs a network that reaches them."
)
TELL = "localcluster logs --provider kind --into FOLDER; `--keep` leaves the nodes for a look."

_INSTALL = f"""\
command -v nvidia-ctk >/dev/null && exit 0
home=https://nvidia.github.io/libnvidia-container
key=/usr/share/keyrings/nvidia-container-toolkit.gpg
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq && apt-get install -y -qq gpg
curl -fsSL $home/gpgkey | gpg --dearmor --yes -o $key
echo "deb [signed-by=$key] $home/stable/deb/$(dpkg --print-architecture) /" \\
    >/etc/apt/sources.list.d/nvidia-container-toolkit.list
apt-get update -qq && apt-get install -y -qq \\
    nvidia-container-toolkit={TOOLKIT} nvidia-container-toolkit-base={TOOLKIT} \\
    libnvidia-container-tools={TOOLKIT} libnvidia-container1={TOOLKIT}
"""
_RUNTIME = """\
nvidia-ctk runtime configure --runtime=containerd --config-source=command --set-as-default
systemctl restart containerd
"""
# Toolkits from 1.19 on do this themselves; older ones hide all of /proc/driver/nvidia; WSL 2 has none of it.
_PARAMS = """\
params=/proc/driver/nvidia/params
grep -qx 'ModifyDeviceFiles: 1' $params 2>/dev/null || exit 0
if mountpoint -q /proc/driver/nvidia; then umount -R /proc/driver/nvidia; fi
sed 's/^ModifyDeviceFiles: 1$/ModifyDeviceFiles: 0/' $params >/run/nvidia-params
mount --bind /run/nvidia-params $params
"""


@dataclass(frozen=True)
class Step:
    """One step inside a worker: `bash -euc SCRIPT`. Safe to repeat."""

    name: str
    why: str
    script: str
    fix: str
    """The fix if it fails."""


@dataclass(frozen=True)
class Worker:
    """One GPU worker: its GPUs, its part of kind's configuration, and the steps inside it."""

    gpus: tuple[Gpu, ...]
    labels: Mapping[str, str]
    mounts: tuple[Mapping[str, Any], ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Plan:
    """The whole plan: the workers in order, then the manifests, and what the user should know first."""

    workers: tuple[Worker, ...]
    manifests: tuple[Path, ...] = MANIFESTS
    notes: tuple[str, ...] = ()


def real_gpus(spec: Spec, report: Report) -> Plan | None:
    """The plan if real GPUs are requested; otherwise only a note that they are available."""
    if spec.gpus == "real":
        made = plan(look(), nodes=spec.gpu_nodes, clock=spec.clock)
        for note in made.notes:
            report(note)
        return made
    line = offer(look()) if shutil.which("nvidia-smi") else None
    if line:
        report(line)
    return None


def offer(facts: Facts) -> str | None:
    """A note if the host has usable GPUs that were not requested."""
    found = judge(facts)
    if not found.usable:
        return None
    return f"This machine has {_listed(found.gpus)}: `{COMMAND}` would use them."


def plan(facts: Facts, *, nodes: int = 1, clock: float = 1.0) -> Plan:
    """The host's GPUs on at most `nodes` workers, evenly divided; raises `ProviderError` with the fix."""
    if clock != 1:
        raise BadInput(
            f"Real GPUs don't work with CLOCK={clock:g}.",
            cause="Their time per token can't be sped up.",
            fix=COMMAND,
        )
    found = judge(facts)
    if not found.usable:
        raise ProviderError(f"Real GPUs can't be used here. {found.why}", fix=found.fix)
    apart = 1 if facts.wsl else max(1, min(nodes, len(found.gpus)))
    shares = [found.gpus[i::apart] for i in range(apart)]
    return Plan(tuple(_worker(share, found.gpus) for share in shares), notes=found.notes)


def patch(config: Mapping[str, Any], made: Plan) -> dict[str, Any]:
    """The configuration of kind with the plan's workers instead of those with simulated GPUs."""
    changed = copy.deepcopy(dict(config))
    gpu_nodes = [node for node in changed["nodes"] if node.get("labels", {}).get(KIND_OF_GPUS) == "simulated"]
    if not gpu_nodes:
        raise ProviderError(
            "kind's configuration has no GPU worker.",
            cause=f"None of its nodes has the label {KIND_OF_GPUS}: simulated.",
            fix="Put that label on one worker; its other settings are used for each GPU worker.",
        )
    others = [node for node in changed["nodes"] if node not in gpu_nodes]
    changed["nodes"] = others + [_node(gpu_nodes[0], worker) for worker in made.workers]
    return changed


def by_node(cluster: str, made: Plan, *, before: int) -> list[tuple[str, Worker]]:
    """The workers by the names that kind gives them, after `before` others: as in `lab-worker2`."""
    numbers = range(before + 1, before + 1 + len(made.workers))
    names = [f"{cluster}-worker{number if number > 1 else ''}" for number in numbers]
    return list(zip(names, made.workers, strict=True))


def _node(template: Mapping[str, Any], worker: Worker) -> dict[str, Any]:
    node = copy.deepcopy(dict(template))
    node["labels"] = {**node["labels"], **worker.labels, KIND_OF_GPUS: "real"}
    node["extraMounts"] = [*node.get("extraMounts", []), *(dict(mount) for mount in worker.mounts)]
    return node


def _worker(share: Sequence[Gpu], all_gpus: Sequence[Gpu]) -> Worker:
    names = ["all"] if len(share) == len(all_gpus) else [gpu.uuid for gpu in share]
    mounts = ({"hostPath": "/dev/null", "containerPath": f"{ASKS}/{name}"} for name in names)
    labels = feature_discovery.labels(
        product=share[0].product, memory_mib=share[0].memory_mib, count=len(share)
    )
    return Worker(tuple(share), labels, tuple(mounts), tuple(_steps(share, all_gpus)))


def _steps(share: Sequence[Gpu], all_gpus: Sequence[Gpu]) -> list[Step]:
    steps = [
        Step("see", "without the mounts' effect nothing below can work", _see(share), TRY),
        Step("toolkit", "containerd needs NVIDIA's runtime, as Docker does on the host", _INSTALL, ONLINE),
        Step("runtime", "pods get their GPU without saying more than the lesson does", _RUNTIME, TELL),
        Step("params", "or the driver would make the device files of all GPUs again", _PARAMS, TELL),
    ]
    others = [gpu for gpu in all_gpus if gpu not in share]
    if others:
        why = "a privileged container sees every device of its host"
        steps.append(Step("hide", why, _hide(others), TELL))
    return steps


def _see(share: Sequence[Gpu]) -> str:
    return "nvidia-smi -L\n" + "".join(f"nvidia-smi -L | grep -q {gpu.uuid}\n" for gpu in share)


def _hide(others: Sequence[Gpu]) -> str:
    unknown = [gpu.uuid for gpu in others if gpu.minor is None]
    if unknown:
        raise ProviderError(
            f"GPUs can't be divided among nodes: the driver does not report the device of {unknown[0]}.",
            fix="Give all of them to one node: --gpu-nodes 1",
        )
    files = " ".join(f"/dev/nvidia{gpu.minor}" for gpu in others)
    return f"for file in {files}; do\n    umount $file 2>/dev/null || true\n    rm -f $file\ndone\n"


def _listed(gpus: Sequence[Gpu]) -> str:
    return f"{len(gpus)} × {gpus[0].name}" if len({gpu.name for gpu in gpus}) == 1 else f"{len(gpus)} GPUs"

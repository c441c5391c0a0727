"""The plugin's settings: the devices of its node, and the kubelet's sockets."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.gpus.handout import GPU_DIR


@dataclass(frozen=True)
class Settings:
    """One node's GPUs; identity follows from lab, node and index."""

    node: str
    lab: str
    count: int
    product: str
    memory_mib: int
    clock: float
    cpu_scale: float
    port: int
    kubelet: Path
    gpus: Path
    kubeconfig: Path | None

    @property
    def plugins(self) -> Path:
        """The folder of the sockets between kubelet and device plugins."""
        return self.kubelet / "device-plugins"

    @property
    def pod_resources(self) -> Path:
        """The socket at which the kubelet lists the holders of devices."""
        return self.kubelet / "pod-resources" / "kubelet.sock"


def parse(arguments: Sequence[str], env: Mapping[str, str]) -> Settings:
    """Read the command line; `NODE_NAME` and `LABKIT_CLOCK` can come from the environment."""
    parser = argparse.ArgumentParser(
        prog="python -m localcluster.gpus.plugin",
        description="Announce simulated GPUs to the kubelet of this node.",
    )
    add = parser.add_argument
    add("--node", default=env.get("NODE_NAME"), required="NODE_NAME" not in env, help="this node's name")
    add("--lab", default="lab", help="name of the lab: devices of two labs differ")
    add("--count", type=int, default=4, help="GPUs of the node")
    add("--product", default="NVIDIA-L4", help="as GPU feature discovery spells it")
    add("--memory-mib", type=int, default=23034, help="memory of each GPU")
    add("--clock", type=float, default=env.get("LABKIT_CLOCK", "1"), help="lab seconds in one real second")
    add("--cpu-scale", type=float, default=1.0, help="what the cluster's CPU requests are scaled by")
    add("--port", type=int, default=9400, help="of /metrics and /readyz")
    add("--kubelet", type=Path, default=Path("/var/lib/kubelet"), help="the kubelet's folder")
    add("--gpus", type=Path, default=Path(GPU_DIR), help="devices' folders; the same path on the node")
    add("--kubeconfig", type=Path, help="for use outside a pod, which has its ServiceAccount")
    return Settings(**vars(parser.parse_args(arguments)))

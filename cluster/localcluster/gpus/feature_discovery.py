"""The labels that NVIDIA's GPU feature discovery puts on a node, for simulated GPUs.

Source: https://github.com/NVIDIA/k8s-device-plugin/tree/main/docs/gpu-feature-discovery. Omits what only
a real driver knows (CUDA and driver versions), and the architecture of unlisted products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from localcluster.gpus.handout import MIG
from localcluster.gpus.sharing import MIG_STATE, MIG_STRATEGY, WHOLE, Sharing, mig_state

_DIVIDED = (MIG, MIG_STRATEGY, MIG_STATE)  # labels that only divided GPUs bring


@dataclass(frozen=True)
class Architecture:
    """Family and compute capability, as https://developer.nvidia.com/cuda-gpus lists them."""

    family: str
    major: int
    minor: int
    mig_capable: bool = False


_TURING = Architecture("turing", 7, 5)
_AMPERE = Architecture("ampere", 8, 6)
_AMPERE_DATA_CENTER = Architecture("ampere", 8, 0, mig_capable=True)
_ADA = Architecture("ada-lovelace", 8, 9)
_HOPPER = Architecture("hopper", 9, 0, mig_capable=True)
_BLACKWELL = Architecture("blackwell", 10, 0, mig_capable=True)

_ARCHITECTURES = {
    "NVIDIA-A100": _AMPERE_DATA_CENTER,
    "NVIDIA-A10": _AMPERE,
    "NVIDIA-A30": _AMPERE_DATA_CENTER,
    "NVIDIA-B200": _BLACKWELL,
    "NVIDIA-H100": _HOPPER,
    "NVIDIA-H200": _HOPPER,
    "NVIDIA-L40": _ADA,
    "NVIDIA-L4": _ADA,
    "Tesla-T4": _TURING,
}


def architecture(product: str) -> Architecture | None:
    """The architecture of a product label ("NVIDIA-A100-SXM4-40GB"); the longest listed prefix wins."""
    known = [name for name in _ARCHITECTURES if product.startswith(name)]
    return _ARCHITECTURES[max(known, key=len)] if known else None


def labels(*, product: str, memory_mib: int, count: int, sharing: Sharing = WHOLE) -> dict[str, str]:
    """The labels of a node with `count` GPUs of one product, as they are divided; none without GPUs."""
    if count == 0:
        return {}
    found = {
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.product": product if sharing.replicas == 1 else f"{product}-SHARED",
        "nvidia.com/gpu.memory": str(memory_mib),
        "nvidia.com/gpu.count": str(count),
        "nvidia.com/gpu.replicas": str(sharing.replicas),
        "nvidia.com/gpu.sharing-strategy": "none" if sharing.replicas == 1 else "time-slicing",
    }
    if cut := sharing.mig:
        found[MIG_STRATEGY] = "mixed"
        about = {"count": cut.count * count, "product": cut.product, "memory": cut.memory_mib, "replicas": 1}
        found |= {f"{sharing.resource}.{name}": str(value) for name, value in about.items()}
    if known := architecture(product):
        found |= {
            "nvidia.com/gpu.family": known.family,
            "nvidia.com/gpu.compute.major": str(known.major),
            "nvidia.com/gpu.compute.minor": str(known.minor),
            "nvidia.com/mig.capable": str(known.mig_capable).lower(),
        }
    return found


def corrections(
    seen: Mapping[str, str], wanted: Mapping[str, str], now: Sharing, *, product: str
) -> dict[str, str | None]:
    """What a Node's labels lack of those `wanted` and of the MIG manager's; None: to be removed."""
    full = dict(wanted)
    if state := mig_state(seen, now, product=product):
        full[MIG_STATE] = state
    gone = (name for name in seen if name.startswith(_DIVIDED) and name not in full)
    return {name: value for name, value in full.items() if seen.get(name) != value} | dict.fromkeys(gone)

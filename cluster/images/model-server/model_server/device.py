"""The simulated GPU: a folder with a device.json, and a usage file for each process on it.

The node names a container's devices in NVIDIA_VISIBLE_DEVICES and mounts their folders below LABKIT_GPU_DIR.
Memory is accounted against what all processes on the device report, so two tenants of one device can run out
of it as they would on a real one. Each holds a lock beside its file, which the kernel drops when it dies:
what a killed server held is free at once, as a driver frees it. Where the node marks the device unhealthy,
the server dies as CUDA makes it. Refuses to run where no device was handed in, as CUDA does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from model_server.profile import StartError

GIB_IN_MIB = 1024.0
ALIVE = ".alive"
UNHEALTHY = "unhealthy"  # a file of the node in the device's folder; its text is the reason
OWNER_VARIABLES = ("LABKIT_CONTAINER_ID", "LABKIT_POD_UID", "POD_UID", "HOSTNAME")


class DeviceLost(StartError):
    """The GPU failed under the running server."""


@dataclass
class Usage:
    """What this process reports. Counters grow in real seconds, so rate() gives cores and utilisation."""

    pod_uid: str
    memory_used_mib: int = 0
    gpu_utilization: float = 0.0
    sm_seconds_total: float = 0.0
    host_cpu_seconds_total: float = 0.0
    power_watts: float = 0.0
    updated: float = 0.0


class Device:
    """One GPU as this process sees it. Without a folder it lives in this process only."""

    def __init__(self, *, uuid: str, product: str, memory_mib: int, folder: Path | None, owner: str) -> None:
        self.uuid = uuid
        self.product = product
        self.memory_mib = memory_mib
        self.usage = Usage(pod_uid=owner)
        self._folder = folder
        self._file = folder / "usage" / f"{owner}.json" if folder else None
        self._alive = self._file.with_suffix(ALIVE).open("w") if self._file else None
        if self._alive:
            fcntl.flock(self._alive, fcntl.LOCK_SH)

    def used_by_others(self) -> int:
        """MiB that other living processes hold on this device."""
        if self._folder is None:
            return 0
        files = (self._folder / "usage").glob("*.json")
        return sum(_memory_of(path) for path in files if path != self._file)

    @property
    def free_mib(self) -> int:
        """MiB that nobody holds."""
        return self.memory_mib - self.used_by_others() - self.usage.memory_used_mib

    def allocate(self, mib: int) -> None:
        """Take memory, or fail as CUDA does; of two processes that ask at once, one waits for the other."""
        with self._locked():
            if mib > self.free_mib:
                raise StartError(self._out_of_memory(mib))
            self.usage.memory_used_mib += mib
            self.publish()

    def _out_of_memory(self, mib: int) -> str:
        total, free, own, others = (
            f"{size / GIB_IN_MIB:.2f} GiB"
            for size in (self.memory_mib, self.free_mib, self.usage.memory_used_mib, self.used_by_others())
        )
        return (
            f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {mib / GIB_IN_MIB:.2f} GiB. "
            f"GPU 0 has a total capacity of {total} of which {free} is free. "
            f"This process has {own} in use, others on this GPU {others}.\n"
            "Likely cause: the model is too large for this GPU, or something else uses it.\n"
            "Fix: a smaller model, a larger GPU, or a GPU of its own."
        )

    def check(self) -> None:
        """Fail as the next CUDA call would, where the device has become unhealthy."""
        if self._folder and (reason := illness(self._folder)):
            raise DeviceLost(
                "torch.AcceleratorError: CUDA error: unspecified launch failure\n"
                f"Likely cause: {self.uuid} failed: {reason}.\n"
                "Fix: none in this process. Its container keeps this GPU; a new pod gets another."
            )

    def publish(self) -> None:
        """Write the usage file so that a reader never sees half of it."""
        self.usage.updated = time.time()
        if self._file is None:
            return
        half = self._file.with_suffix(".tmp")
        half.write_text(json.dumps(asdict(self.usage)), encoding="utf-8")
        half.replace(self._file)

    def close(self) -> None:
        """Give everything back."""
        if self._file is not None and self._alive is not None:
            self._file.unlink(missing_ok=True)
            self._file.with_suffix(ALIVE).unlink(missing_ok=True)
            self._alive.close()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self._folder is None:
            yield
            return
        with (self._folder / "usage" / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def visible(env: Mapping[str, str], *, product: str = "", memory_mib: int = 0) -> Device:
    """Open the first GPU that was handed to this container; `product` makes one up (outside the lab)."""
    owner = next((env[key] for key in OWNER_VARIABLES if env.get(key)), "local")
    if product:
        uuid = f"GPU-in-memory-{product.lower()}"
        return Device(uuid=uuid, product=product, memory_mib=memory_mib, folder=None, owner=owner)
    uuids = [u for u in env.get("NVIDIA_VISIBLE_DEVICES", "").split(",") if u not in {"", "void", "none"}]
    if not uuids:
        raise StartError(
            "RuntimeError: No CUDA GPUs are available\n"
            "Likely cause: the container asks for no nvidia.com/gpu, so the node handed it none.\n"
            "Fix: set resources.limits nvidia.com/gpu: 1 (outside the lab: --simulated-gpu NVIDIA-L4)."
        )
    return _open(uuids[0], env.get("LABKIT_GPU_DIR", ""), owner)


def _open(uuid: str, root: str, owner: str) -> Device:
    folder = Path(root or "/run/labkit/gpus") / uuid
    if reason := illness(folder):
        raise StartError(
            "RuntimeError: No CUDA GPUs are available\n"
            f"Likely cause: {uuid} is unhealthy: {reason}.\n"
            "Fix: a pod keeps its GPU for life. Delete it: its ReplicaSet makes one that gets another GPU."
        )
    try:
        data = json.loads((folder / "device.json").read_text(encoding="utf-8"))
        (folder / "usage").mkdir(exist_ok=True)
        return Device(
            uuid=uuid,
            product=str(data["product"]),
            memory_mib=int(data["memory_mib"]),
            folder=folder,
            owner=owner,
        )
    except (OSError, ValueError, KeyError) as error:
        raise StartError(
            f"RuntimeError: CUDA driver initialization failed: no simulated device at {folder} ({error}).\n"
            "Likely cause: NVIDIA_VISIBLE_DEVICES names a GPU that is not one of the lab's.\n"
            "Fix: on a node with real GPUs run the vllm/vllm-openai image instead of this one."
        ) from error


def illness(folder: Path) -> str | None:
    """Why the node calls the device unhealthy; None for a healthy one."""
    try:
        return (folder / UNHEALTHY).read_text(encoding="utf-8").strip() or "unknown"
    except OSError:
        return None


def _memory_of(path: Path) -> int:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return int(data["memory_used_mib"]) if _holds_lock(path.with_suffix(ALIVE)) else 0
    except (FileNotFoundError, ValueError, KeyError):
        return 0  # its process ended between the listing and now


def _holds_lock(path: Path) -> bool:
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

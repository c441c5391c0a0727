"""How fast weights come from a disk into the GPU's memory, and from the page cache.

Writes a file of its own and deletes it. It does not guess the kind of disk: the user knows.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

CHUNK = 64 * 2**20


@dataclass(frozen=True)
class Loading:
    """Bytes per second: `disk` without the file in the page cache, `page_cache` right after that."""

    disk: float
    page_cache: float
    size: int


def measure(device: str, *, folder: Path, size: int) -> Loading:
    """Write `size` bytes into `folder`, and read them into the device twice."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix="labkit-weights-") as file:
        noise = os.urandom(CHUNK)  # a disk that compresses would be too fast
        for _ in range(max(1, size // CHUNK)):
            file.write(noise)
        file.flush()
        os.fsync(file.fileno())
        written = file.tell()
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        times = [_read(Path(file.name), device, written) for _ in range(2)]
    if device == "cuda":
        torch.cuda.empty_cache()  # what comes next measures how much is free
    return Loading(written / times[0], written / times[1], written)


def _read(path: Path, device: str, size: int) -> float:
    """Through one page-locked buffer, as safetensors' readers do it."""
    buffer = torch.empty(CHUNK, dtype=torch.uint8, pin_memory=device == "cuda")
    weights = torch.empty(size, dtype=torch.uint8, device=device)
    view, at = memoryview(buffer.numpy()), 0
    began = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(view):
            weights[at : at + count].copy_(buffer[:count])
            at += count
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began

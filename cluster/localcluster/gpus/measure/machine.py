"""The machine of a measurement: the card as nvidia-smi reports it, the host, and the software versions."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

from localcluster import polling, spawn
from localcluster.errors import BadInput
from localcluster.gpus.profile import GpuPart

QUERY = ("name", "memory.total", "power.default_limit", "power.draw", "memory.used", "driver_version")
REST = 5.0
"""Seconds without work until the power draw is that of an idle card."""


@dataclass(frozen=True)
class Card:
    """One line of nvidia-smi; powers in watts (0 if the card does not report them), memory in MiB."""

    name: str
    memory_mib: int
    limit_watts: float
    draw_watts: float
    used_mib: int
    driver: str

    @property
    def product(self) -> str:
        """The value of GPU feature discovery's label."""
        return self.name.replace(" ", "-")

    def part(self, *, idle_watts: float) -> GpuPart:
        """The card in a profile."""
        return GpuPart(self.product, self.memory_mib, self.limit_watts, idle_watts)


def card() -> Card:
    """The only GPU of this machine, or the one selected by CUDA_VISIBLE_DEVICES."""
    index = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    try:
        query = [f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits"]
        said = spawn.run(["nvidia-smi", f"--id={index}", *query], seconds=30)
    except FileNotFoundError:
        raise _no_card("nvidia-smi is not installed") from None
    if said.returncode or len(said.stdout.strip().splitlines()) != 1:
        raise _no_card(f"nvidia-smi --id={index} says: {(said.stdout or said.stderr).strip()!r}")
    return read_card(said.stdout)


def read_card(line: str) -> Card:
    """The card of a line that nvidia-smi printed."""
    name, memory, limit, draw, used, driver = (cell.strip() for cell in line.split(","))
    return Card(name, int(memory), _watts(limit), _watts(draw), int(used), driver)


def idle_watts() -> float:
    """What the card draws with a CUDA context open and nothing to do."""
    polling.pause(REST)
    return card().draw_watts


def host(card_name: str) -> str:
    """The machine in a few words."""
    return f"{card_name}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"


def _watts(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # [N/A] on cards that do not report it
        return 0.0


def _no_card(cause: str) -> BadInput:
    return BadInput(
        "There is not exactly one NVIDIA GPU to measure.",
        cause=cause,
        fix="Choose one with CUDA_VISIBLE_DEVICES=0; or try the program itself: --device cpu --model tiny.",
    )

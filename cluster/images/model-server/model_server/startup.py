"""From process start to the first request: the phases of vLLM's start, each as long as the profile says.

Weights arrive shard by shard and take their memory as they come; then compilation, memory profiling, the KV
cache out of what is left, and CUDA graphs. Log lines say the same things as vLLM's do. Lengths are lab
seconds, divided by the clock. Refuses to start where weights or the smallest useful cache don't fit.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from model_server.device import GIB_IN_MIB, Device
from model_server.profile import MIB, Profile, StartError
from model_server.settings import Settings

SHARDS = 4
log = logging.getLogger("model_server")


@dataclass
class Startup:
    """What has been done so far; `phases` maps each finished phase to its lab seconds."""

    settings: Settings
    profile: Profile
    device: Device
    phase: str = "import"
    phases: dict[str, float] = field(default_factory=dict)

    async def run(self) -> int:
        """Go through all phases; return the number of KV-cache blocks."""
        times = self.profile.startup
        self._check_free_memory()
        await self._phase("import", times.import_s)
        log.info("Starting to load model %s...", self.settings.model)
        self.device.allocate(self.profile.memory["context_mib"])
        await self._weights()
        eager = self.settings.enforce_eager
        await self._phase("compile", 0.0 if eager else times.compile_s)
        log.info("torch.compile takes %.2f s in total", self.phases["compile"])
        await self._phase("profile", times.profile_s)
        blocks = self._cache()
        await self._phase("capture", 0.0 if eager else times.capture_s)
        log.info("Graph capturing finished in %.0f secs", self.phases["capture"])
        warm = sum(self.phases[p] for p in ("compile", "profile", "capture"))
        log.info("init engine (profile, create kv cache, warmup model) took %.2f seconds", warm)
        self.phase = "ready"
        return blocks

    async def _phase(self, name: str, seconds: float) -> None:
        self.phase = name
        await asyncio.sleep(seconds / self.settings.clock)
        self.phases[name] = self.phases.get(name, 0.0) + seconds

    async def _weights(self) -> None:
        speeds = self.profile.startup.weights_bytes_per_second
        if self.settings.weights_from not in speeds:
            raise StartError(f"--weights-from must be one of {', '.join(speeds)}.")
        seconds = self.profile.model["weights_bytes"] / speeds[self.settings.weights_from]
        total = self.profile.weights_mib
        for shard in range(SHARDS):
            self.device.allocate(total * (shard + 1) // SHARDS - total * shard // SHARDS)
            await self._phase("weights", seconds / SHARDS)
            done = shard + 1
            log.info(
                "Loading safetensors checkpoint shards: %3d%% Completed | %d/%d",
                100 * done // SHARDS,
                done,
                SHARDS,
            )
        log.info("Loading weights took %.2f seconds", seconds)
        log.info("Model loading took %.4f GiB and %.6f seconds", total / GIB_IN_MIB, seconds)

    def _check_free_memory(self) -> None:
        wanted = self.device.memory_mib * self.settings.gpu_memory_utilization
        free = self.device.free_mib
        if free < wanted:
            raise StartError(
                f"ValueError: Free memory on device cuda:0 ({free / GIB_IN_MIB:.2f}/"
                f"{self.device.memory_mib / GIB_IN_MIB:.2f} GiB) on startup is less than desired GPU memory "
                f"utilization ({self.settings.gpu_memory_utilization}, {wanted / GIB_IN_MIB:.2f} GiB).\n"
                "Likely cause: another process holds memory of the same GPU (time slicing has no wall).\n"
                "Fix: lower --gpu-memory-utilization of both, or give each a GPU of its own."
            )

    def _cache(self) -> int:
        """Take what the utilisation leaves for the KV cache; it must hold one request of full length."""
        settings, profile = self.settings, self.profile
        allowed = int(self.device.memory_mib * settings.gpu_memory_utilization)
        left = allowed - profile.weights_mib - profile.overhead_mib
        blocks = max(0, left * MIB // profile.block_bytes(settings.block_size))
        longest = model_length(settings, profile)
        if blocks * settings.block_size < longest:
            raise StartError(
                f"ValueError: To serve at least one request of --max-model-len {longest}, "
                f"{longest * profile.model['kv_bytes_per_token'] / 2**30:.2f} GiB of KV cache is needed; "
                f"{max(0, left) / GIB_IN_MIB:.2f} GiB is available "
                f"(room for {blocks * settings.block_size} tokens).\n"
                "Likely cause: weights and activations leave too little of --gpu-memory-utilization.\n"
                "Fix: lower --max-model-len, raise --gpu-memory-utilization, or take a larger GPU."
            )
        self.device.allocate(left + profile.memory["activation_mib"])
        tokens = blocks * settings.block_size
        log.info("GPU KV cache size: %s tokens", f"{tokens:,}")
        log.info("Maximum concurrency for %s tokens per request: %.2fx", f"{longest:,}", tokens / longest)
        return blocks


def model_length(settings: Settings, profile: Profile) -> int:
    """Longest sequence: the flag, or what the model allows; more than that is refused."""
    allowed = int(profile.model["max_model_len"])
    if settings.max_model_len > allowed:
        raise StartError(f"--max-model-len {settings.max_model_len} is above the model's own {allowed}.")
    return settings.max_model_len or allowed

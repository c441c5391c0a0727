"""Flags and environment, named as vLLM names them; what is this server's own is marked so.

Each flag can be given as an environment variable (`--max-num-seqs` is `MAX_NUM_SEQS`); a flag wins over its
variable. Only in a lab without isolation does `PORT` win over `--port`: there all pods share this machine's
ports, and the node decides.
Refuses flags that it does not know and values that vLLM would refuse.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from model_server.profile import StartError

DEFAULT_MODEL = "meta-llama/Llama-3.1-8B-Instruct"
_TRUE = {"1", "true", "yes", "on"}


@dataclass(frozen=True)
class Settings:
    """How this server runs. `max_model_len` 0 means: as long as the model allows."""

    model: str
    served_model_name: str
    host: str
    port: int
    max_num_seqs: int
    max_num_batched_tokens: int
    max_model_len: int
    gpu_memory_utilization: float
    block_size: int
    seed: int
    enforce_eager: bool
    model_version: str
    profile: str
    simulated_gpu: str
    weights_from: str
    clock: float
    sse_interval: float


def parse(argv: Sequence[str], env: Mapping[str, str]) -> Settings:
    """Read flags and environment; a bad flag ends the process with status 2, as argparse does."""
    given = vars(_parser(env).parse_args(list(argv)))
    positional, flag = given.pop("model_tag"), given.pop("model")
    model = positional or flag
    settings = Settings(
        **{
            **given,
            "model": model,
            "served_model_name": given["served_model_name"] or model,
            "port": int(env["PORT"]) if _shares_ports(env) else given["port"],
        }
    )
    _check(settings)
    return settings


def _shares_ports(env: Mapping[str, str]) -> bool:
    """Whether the node says where to listen: it sets all three in a lab without isolation."""
    return env.get("HOST") == "127.0.0.1" and bool(env.get("LABKIT_POD_UID") and env.get("PORT"))


def _check(settings: Settings) -> None:
    if not 0 < settings.gpu_memory_utilization <= 1:
        raise StartError("--gpu-memory-utilization must be above 0 and at most 1.")
    if settings.max_num_seqs < 1 or settings.block_size < 1:
        raise StartError("--max-num-seqs and --block-size must be at least 1.")
    if settings.max_num_batched_tokens < settings.max_num_seqs:
        raise StartError("--max-num-batched-tokens must not be below --max-num-seqs.")
    if settings.clock <= 0:
        raise StartError("LABKIT_CLOCK must be above 0: lab seconds that pass in one real second.")


def _parser(env: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="model-server", description="OpenAI-compatible, simulated GPU.")
    parser.add_argument("model_tag", nargs="?", help="the model, as in `vllm serve MODEL`")

    def option(name: str, default: str, kind: type, text: str) -> None:
        value = env.get(name.upper().replace("-", "_")) or default
        parser.add_argument(f"--{name}", type=kind, default=value, help=f"{text} (default: {value or '-'})")

    option("model", DEFAULT_MODEL, str, "the model; there must be a timing profile for it")
    option("served-model-name", "", str, "its name in the API and in metrics")
    option("host", "0.0.0.0", str, "address to listen on")  # noqa: S104
    option("port", "8000", int, "port to listen on; without isolation the node's PORT wins")
    option("max-num-seqs", "256", int, "sequences that run at the same time")
    option("max-num-batched-tokens", "2048", int, "tokens in one step; longer prompts go in chunks")
    option("max-model-len", "0", int, "prompt and output together; 0: what the model allows")
    option("gpu-memory-utilization", "0.9", float, "share of the VRAM for weights, activations and KV cache")
    option("block-size", "16", int, "tokens in one KV-cache block")
    option("seed", "0", int, "seed of the made-up text")
    option("model-version", "v1", str, "this server's own: shown in /v1/models and in a header")
    option("profile", "", str, "this server's own: a timing profile's name or file")
    option("simulated-gpu", "", str, "this server's own: make a GPU of this product in memory")
    option("weights-from", "network", str, "this server's own: network, nvme or page_cache")
    option("sse-interval", "0.05", float, "this server's own: least real seconds between events")
    parser.add_argument("--clock", type=float, default=env.get("LABKIT_CLOCK") or "1", help="LABKIT_CLOCK")
    parser.add_argument(
        "--enforce-eager",
        action="store_true",
        default=env.get("ENFORCE_EAGER", "").lower() in _TRUE,
        help="no compilation, no CUDA graphs: a faster start",
    )
    return parser

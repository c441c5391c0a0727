"""The same seeded load by three generators: what users feel, and what the server's histograms say.

A trace in Azure's form is replayed on the model server at CLOCK 1 by labkit, by inference-perf (Kubernetes'
own) and by guidellm (vLLM's), each in an environment of its own. A generator that can't be had here is left
out, and said so. Every figure is the difference in percent between two that should be the same.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import yaml

from labkit.load import Load, Open, start, traces
from localcluster import spawn
from tests.bench.figures import Figure
from tests.labkit.unit.load_target import model_server
from tests.oracles.environment import CannotHaveError, make

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
REQUESTS = 30
WORD = 1.3
"""Tokens of a word, as the model server counts texts; the other generators send no token ids."""
MOST = 3.0
"""Percent."""


@dataclass(frozen=True)
class Seen:
    """Means in seconds, output tokens, and those of a second from the first request to the last token."""

    ttft: float
    itl: float
    tokens: float
    rate: float = math.nan


@dataclass(frozen=True)
class Room:
    """Where it happens: a folder, the server, the trace (as CSV and as JSON lines), a tokenizer of words."""

    folder: Path
    url: str

    @property
    def csv(self) -> Path:
        """The trace in the form of Azure's."""
        return self.folder / "trace.csv"

    @property
    def lines(self) -> Path:
        """The same as JSON lines, in the form of guidellm."""
        return self.folder / "trace.jsonl"

    @property
    def words(self) -> Path:
        """The tokenizer's folder."""
        return self.folder / "words"


Generator = Callable[[Room], Seen]


def figures(folder: Path) -> list[Figure]:
    """Run each generator against a server of its own."""
    found: dict[str, Seen] = {}
    rows: list[Figure] = []
    for name, generator in (("labkit", labkit), ("inference-perf", inference_perf), ("guidellm", guidellm)):
        try:
            seen, server = _run(folder / name, generator)
        except CannotHaveError as why:
            sys.stderr.write(f"{name} is left out: {why}\n")
            continue
        found[name] = seen
        rows += _compared(f"{name} against the server's histograms", seen, server)
    ours = found.pop("labkit")
    for name, seen in found.items():
        rows += _compared(f"{name} against labkit", seen, replace(ours, tokens=math.nan))
    return rows


def _compared(title: str, one: Seen, other: Seen) -> list[Figure]:
    pairs = (
        ("TTFT", one.ttft, other.ttft, "s"),
        ("ITL", one.itl, other.itl, "s"),
        ("output tokens", one.tokens, other.tokens, ""),
        ("output tokens per second", one.rate, other.rate, ""),
    )
    return [
        Figure(
            f"{what}: {title}",
            100 * abs(a / b - 1),
            "%",
            MOST,
            REQUESTS,
            f"{a:.4g} and {b:.4g} {unit}".strip(),
        )
        for what, a, b, unit in pairs
        if not math.isnan(a / b)
    ]


def _run(folder: Path, generator: Generator) -> tuple[Seen, Seen]:
    folder.mkdir(parents=True)
    flags = {"SSE_INTERVAL": "0.001", "WEIGHTS_FROM": "page_cache"}  # each token is an event
    with model_server(folder, clock=1, **flags) as url:
        room = Room(folder, url)
        _write(room)
        return generator(room), _histograms(url)


def _histograms(url: str) -> Seen:
    text = httpx.get(f"{url}/metrics", trust_env=False).text
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("vllm:")]
    values = {name.partition("{")[0]: float(value) for name, _, value in lines}

    def mean(name: str) -> float:
        return values[f"vllm:{name}_sum"] / values[f"vllm:{name}_count"]

    generated = values["vllm:generation_tokens_total"]
    return Seen(mean("time_to_first_token_seconds"), mean("inter_token_latency_seconds"), generated)


def _write(room: Room) -> None:
    """The trace: long prompts, so that a few milliseconds of a client are little; short answers."""
    rng, moment, rows = random.Random(1), 0.0, []
    for _ in range(REQUESTS):
        rows.append((moment, rng.randint(800, 2000), rng.randint(20, 60)))
        moment += rng.uniform(0.5, 2.0)
    first = datetime(2023, 11, 16, 18, 15, 46)  # noqa: DTZ001  as published: without a zone
    stamps = [(first + timedelta(seconds=at)).strftime("%Y-%m-%d %H:%M:%S.%f") for at, _, _ in rows]
    csv = [f"{stamp}0,{i},{o}\n" for stamp, (_, i, o) in zip(stamps, rows, strict=True)]
    room.csv.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(csv))
    lines = [{"timestamp": at, "input_length": i, "output_length": o} for at, i, o in rows]
    room.lines.write_text("".join(json.dumps(line) + "\n" for line in lines))
    room.words.mkdir()
    vocabulary = {"unknown": 0} | {f"w{number}": number + 1 for number in range(1000)}
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 100_000}
    (room.words / "tokenizer_config.json").write_text(json.dumps(about))
    tokenizer: dict[str, object] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "unknown"},
    }
    (room.words / "tokenizer.json").write_text(json.dumps(tokenizer))


def labkit(room: Room) -> Seen:
    """Ours."""
    trace = traces.azure(room.csv, verify=False)
    trace = replace(trace, sizes=tuple((round(i * WORD), o) for i, o in trace.sizes))
    result = start(Load(room.url, Open(trace.arrivals()), clock=1), room.folder / "out").wait()
    rows = [row for row in result.rows if row.ok]
    assert len(rows) == REQUESTS, result
    gaps = [(row.itl or 0.0) * (row.tokens_out - 1) for row in rows]
    tokens = sum(row.tokens_out for row in rows)
    took = max(row.end for row in rows) - min(row.sent for row in rows)
    ttft = sum(row.ttft or 0.0 for row in rows) / REQUESTS
    return Seen(ttft, sum(gaps) / (tokens - REQUESTS), tokens, tokens / took)


def inference_perf(room: Room) -> Seen:
    """The generator of Kubernetes' serving group; it reads Azure's form."""
    python = make("inference-perf>=0.7,<0.8", folder=room.folder / "venv", least=(3, 12))
    trace = {"file": str(room.csv), "format": "AzurePublicDataset"}
    asked = {
        "api": {"type": "completion", "streaming": True},
        "data": {"type": "random", "trace": trace},
        "load": {
            "type": "trace_replay",
            "trace": trace,
            "num_workers": 1,
            "interval": 0,
            "stages": [{"rate": 1, "duration": 60}],
        },
        "server": {"type": "vllm", "base_url": room.url, "model_name": MODEL},
        "tokenizer": {"pretrained_model_name_or_path": str(room.words)},
        "storage": {"local_storage": {"path": str(room.folder / "out")}},
    }
    (room.folder / "config.yaml").write_text(yaml.safe_dump(asked))
    program = Path(python).with_name("inference-perf")
    _go(program, "-c", room.folder / "config.yaml")
    told = json.loads((room.folder / "out" / "summary_lifecycle_metrics.json").read_text())["successes"]
    assert told["count"] == REQUESTS, told
    latency, rate = told["latency"], told["throughput"]["output_tokens_per_sec"]
    tokens = told["output_len"]["mean"] * REQUESTS
    return Seen(latency["time_to_first_token"]["mean"], latency["inter_token_latency"]["mean"], tokens, rate)


def guidellm(room: Room) -> Seen:
    """vLLM's generator."""
    python = make("guidellm>=0.8,<0.9", folder=room.folder / "venv", least=(3, 11))
    out = room.folder / "out.json"
    backend = f"kind=openai_http,target={room.url},model={MODEL},request_format=/v1/completions,http2=false"
    _go(
        *(Path(python).with_name("guidellm"), "run", "--disable-console-interactive"),
        *("--backend", backend),
        *("--profile", "kind=replay,schedule_turn=timestamp"),
        *("--constraint", f"kind=max_requests,count={REQUESTS}"),
        *("--data", f"kind=trace_synthetic,source.kind=json_file,source.path={room.lines}"),
        *("--tokenizer", f"kind=hf_auto,model={room.words}"),
        *("--output", f"kind=json,path={out}"),
    )
    (benchmark,) = json.loads(out.read_text())["benchmarks"]
    metrics = benchmark["metrics"]
    totals = metrics["request_totals"]  # on a busy machine it may end before it sends the last one
    assert totals["successful"] in {REQUESTS, REQUESTS - 1}, totals
    assert totals["errored"] == 0, totals

    def mean(name: str) -> float:
        return float(metrics[name]["successful"]["mean"])

    rate = mean("output_tokens_per_second")
    tokens = metrics["output_token_count"]["successful"]["total_sum"]
    return Seen(mean("time_to_first_token_ms") / 1000, mean("inter_token_latency_ms") / 1000, tokens, rate)


def _go(*argv: str | Path) -> None:
    done = spawn.run(argv, seconds=400)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

"""`/metrics` has the names, types, labels and buckets of vLLM, and values that follow from what happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from model_server.engine import Engine, Limits
from model_server.http_metrics import COARSE, FINE
from model_server.kv_cache import BlockPool
from model_server.metrics import NEVER
from model_server.profile import StepTiming
from model_server.request import Request
from model_server.stats import (
    CHOICES,
    LATENCY,
    PER_TOKEN,
    PREEMPTIONS,
    STEP_TOKENS,
    TTFT,
    Stats,
    sizes_up_to,
)
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from localcluster import polling
from tests.model_server.unit.test_model_server_http import FAST, Server, body, started
from tests.oracles import vllm

SIZES = sizes_up_to(8192)
OWN = {"model_name", "engine"}
NAMES: dict[str, tuple[str, set[str], tuple[float, ...]]] = {
    # name: type, labels beside the model and the engine, edges
    "num_requests_running": ("gauge", set(), ()),
    "num_requests_waiting": ("gauge", set(), ()),
    "num_requests_waiting_by_reason": ("gauge", {"reason"}, ()),
    "engine_sleep_state": ("gauge", {"sleep_state"}, ()),
    "kv_cache_usage_perc": ("gauge", set(), ()),
    "prefix_cache_queries": ("counter", set(), ()),
    "prefix_cache_hits": ("counter", set(), ()),
    "external_prefix_cache_queries": ("counter", set(), ()),
    "external_prefix_cache_hits": ("counter", set(), ()),
    "mm_cache_queries": ("counter", set(), ()),
    "mm_cache_hits": ("counter", set(), ()),
    "num_preemptions": ("counter", set(), ()),
    "prompt_tokens": ("counter", set(), ()),
    "prompt_tokens_by_source": ("counter", {"source"}, ()),
    "prompt_tokens_cached": ("counter", set(), ()),
    "generation_tokens": ("counter", set(), ()),
    "request_success": ("counter", {"finished_reason"}, ()),
    "estimated_flops_per_gpu": ("counter", set(), ()),
    "estimated_read_bytes_per_gpu": ("counter", set(), ()),
    "estimated_write_bytes_per_gpu": ("counter", set(), ()),
    "request_prompt_tokens": ("histogram", set(), SIZES),
    "request_generation_tokens": ("histogram", set(), SIZES),
    "request_max_num_generation_tokens": ("histogram", set(), SIZES),
    "request_params_max_tokens": ("histogram", set(), SIZES),
    "request_prefill_kv_computed_tokens": ("histogram", set(), SIZES),
    "request_params_n": ("histogram", set(), CHOICES),
    "request_num_preemptions": ("histogram", set(), PREEMPTIONS),
    "iteration_tokens_total": ("histogram", set(), STEP_TOKENS),
    "time_to_first_token_seconds": ("histogram", set(), TTFT),
    "inter_token_latency_seconds": ("histogram", set(), PER_TOKEN),
    "request_time_per_output_token_seconds": ("histogram", set(), PER_TOKEN),
    "e2e_request_latency_seconds": ("histogram", set(), LATENCY),
    "request_queue_time_seconds": ("histogram", set(), LATENCY),
    "request_inference_time_seconds": ("histogram", set(), LATENCY),
    "request_prefill_time_seconds": ("histogram", set(), LATENCY),
    "request_decode_time_seconds": ("histogram", set(), LATENCY),
}
INFO = "cache_config_info"
VALUES = {
    "reason": {"capacity", "deferred"},
    "sleep_state": {"awake", "weights_offloaded", "discard_all"},
    "source": {"local_compute", "local_cache_hit", "external_kv_transfer"},
    "finished_reason": {"stop", "length", "abort", "error", "repetition"},
}
OPT_IN = {
    "corrupted_requests",  # VLLM_COMPUTE_NANS_IN_LOGITS
    "kv_block_lifetime_seconds",  # --kv-cache-metrics, and the next two
    "kv_block_idle_before_evict_seconds",
    "kv_block_reuse_gap_seconds",
    "lora_requests_info",  # --enable-lora
}
"""What vLLM shows only where it is asked to."""
EDGES = {
    "REQUEST_LATENCY_BUCKETS": LATENCY,
    "TIME_TO_FIRST_TOKEN_BUCKETS": TTFT,
    "INTER_TOKEN_LATENCY_BUCKETS": PER_TOKEN,
    "ITERATION_TOKENS_BUCKETS": STEP_TOKENS,
    "REQUEST_PARAMS_N_BUCKETS": CHOICES,
    "REQUEST_NUM_PREEMPTIONS_BUCKETS": PREEMPTIONS,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server after three requests, one of them with a single token."""
    folder = tmp_path_factory.mktemp("server")
    with started(folder, FAST, "--simulated-gpu", "NVIDIA-L4", "--served-model-name", "m") as running:
        polling.until(running.ready, "the server to be ready", seconds=20, last_seen=running.log.read_text)
        for prompt, tokens in ((40, 30), (100, 60), (7, 1)):
            asked = body(model="m", prompt=[1] * prompt, max_tokens=tokens)
            running.http.post("/v1/completions", json=asked).raise_for_status()
        yield running


def families(server: Server) -> dict[str, Metric]:
    text = server.http.get("/metrics").text
    found = {family.name: family for family in text_string_to_metric_families(text)}
    return {n.removeprefix("vllm:"): f for n, f in found.items() if n.startswith("vllm:")}


def test_names_types_labels_and_buckets_are_those_of_the_table(server: Server) -> None:
    found = families(server)
    assert set(found) == {*NAMES, INFO}
    for name, (kind, labels, edges) in NAMES.items():
        family = found[name]
        assert family.type == kind, name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == OWN | labels, name
            assert sample.labels["model_name"] == "m"
            assert sample.labels["engine"] == "0"
        for label in labels:
            assert {sample.labels[label] for sample in family.samples} == VALUES[label]
        if kind == "histogram":
            cut = [sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")]
            assert cut == [*(str(edge) for edge in edges), "+Inf"], name


def test_the_table_is_that_of_the_vllm_that_runs_on_real_gpus(tmp_path: Path) -> None:
    theirs = vllm.unpack(tmp_path)
    engine = {name.removeprefix("vllm:"): kind for name, kind in theirs.metrics().items()}
    ours = {name: kind for name, (kind, _, _) in NAMES.items() if not name.startswith("estimated_")}
    assert {name: kind for name, kind in engine.items() if name not in OPT_IN} == ours
    assert theirs.buckets().items() >= EDGES.items()


def test_requests_are_counted_as_vllm_counts_them(server: Server) -> None:
    def both(name: str) -> tuple[float, float]:
        return server.metric(f"vllm:{name}_sum"), server.metric(f"vllm:{name}_count")

    assert both("request_prompt_tokens") == both("request_prefill_kv_computed_tokens") == (147, 3)
    assert both("request_generation_tokens") == both("request_max_num_generation_tokens") == (91, 3)
    assert both("request_params_max_tokens") == (91, 3)
    assert both("request_params_n") == (3, 3)
    assert both("request_num_preemptions") == (0, 3)
    assert both("iteration_tokens_total") == (147 + 91, 91), "one request at a time: a step for each token"
    mean, count = both("request_time_per_output_token_seconds")
    decode = server.metric("vllm:inter_token_latency_seconds_sum")
    assert count == 3
    assert mean == pytest.approx(decode * 2 / 88, rel=0.1), (
        "two requests of one pace; a single token has none"
    )


def test_what_cannot_happen_here_stays_at_zero_and_parts_add_up(server: Server) -> None:
    for name in NEVER:
        assert server.metric(f"vllm:{name}_total") == 0
    read = server.metric("vllm:prompt_tokens_total")
    assert server.metric("vllm:prompt_tokens_by_source_total", source="local_compute") == read == 147
    assert server.metric("vllm:request_success_total", finished_reason="length") == 3
    assert server.metric("vllm:request_success_total", finished_reason="error") == 0
    assert server.metric("vllm:engine_sleep_state", sleep_state="awake") == 1
    assert server.metric("vllm:num_requests_waiting_by_reason", reason="capacity") == 0


def test_the_caches_configuration_is_what_the_log_says(server: Server) -> None:
    (sample,) = families(server)[INFO].samples
    about = sample.labels
    tokens = int(about["num_gpu_blocks"]) * int(about["block_size"])
    assert about["kv_cache_size_tokens"] == str(tokens)
    assert f"GPU KV cache size: {tokens:,} tokens" in server.log.read_text()
    concurrency = float(about["kv_cache_max_concurrency"])
    assert f"per request: {concurrency:.2f}x" in server.log.read_text()
    assert about["enable_prefix_caching"] == "False"


HTTP = {
    "http_requests": ("counter", {"method", "status", "handler"}, ()),
    "http_request_size_bytes": ("summary", {"handler"}, ()),
    "http_response_size_bytes": ("summary", {"handler"}, ()),
    "http_request_duration_highr_seconds": ("histogram", set(), FINE),
    "http_request_duration_seconds": ("histogram", {"method", "handler"}, COARSE),
}


def test_the_http_side_is_counted_as_vllm_counts_it(tmp_path: Path) -> None:
    with started(tmp_path / "server", FAST, "--simulated-gpu", "NVIDIA-L4") as server:
        polling.until(server.ready, "the server to be ready", seconds=20, last_seen=server.log.read_text)
        asked = server.http.post("/v1/completions", json=body(max_tokens=200, stream=True))
        refused = server.http.post("/v1/completions", json=body(max_tokens=0))
        server.http.get("/nowhere")
        with server.http.stream("POST", "/v1/completions", json=body(max_tokens=8000, stream=True)) as left:
            next(left.iter_lines())
        server.until("vllm:num_requests_running", 0)
        text = server.http.get("/metrics").text
        found = {f.name: f for f in text_string_to_metric_families(text) if f.name.startswith("http_")}
        assert set(found) == set(HTTP)
        for name, (kind, labels, edges) in HTTP.items():
            assert found[name].type == kind
            assert {frozenset(s.labels) - {"le"} for s in found[name].samples} == {frozenset(labels)}
            cut = {float(s.labels["le"]) for s in found[name].samples if s.name.endswith("_bucket")}
            assert cut == ({*edges, float("inf")} if edges else set())
        counts = {(s.labels["handler"], s.labels["status"]): s.value for s in found["http_requests"].samples}
        here = "/v1/completions"
        assert counts == {(here, "2xx"): 2, (here, "4xx"): 1, ("none", "4xx"): 1}
        sizes = int(asked.request.headers["content-length"]) + int(refused.request.headers["content-length"])
        assert server.metric("http_request_size_bytes_sum", handler=here) > sizes
        assert server.metric("http_response_size_bytes_sum", handler=here) == len(refused.content)
        whole = server.metric("http_request_duration_highr_seconds_sum")
        assert whole > server.metric("vllm:e2e_request_latency_seconds_sum"), "in lab seconds, to the end"


def test_steps_count_new_tokens_and_the_prompts_that_they_end() -> None:
    timing = StepTiming(
        overhead_s=0.0, sequence_s=0.0, weights_s=1.0, token_s=0.0, context_token_s=0.0, pair_s=0.0
    )
    engine = Engine(timing=timing, limits=Limits(8, 100), pool=BlockPool(blocks=100), stats=Stats())
    engine.submit(Request(prompt=250, target=3), 0.0)
    engine.advance(10.0)
    steps = engine.stats.step_tokens
    assert (steps.sum, sum(steps.counts)) == (253, 3), "two chunks before the third give no token"
    assert dict(zip(steps.edges, steps.counts, strict=False))[256.0] == 1

"""`/metrics`: the engine's numbers under vLLM's names, and what is simulated under labkit_simulated_*.

A collector that looks at the engine when it is asked, so a scrape never sees an old queue. Times in the
histograms are lab seconds. The names are those of vLLM 0.30 in its default configuration but for its prefix
cache, which is off here: without LoRA, speculative decoding, KV connector and --kv-cache-metrics. Deprecated
names are left out, and so are the `_created` series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from model_server.kv_cache import BlockPool
from model_server.settings import Settings
from model_server.stats import Histogram

if TYPE_CHECKING:
    from model_server.serving import Serving

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABELS = ("model_name", "engine")
NEVER = {
    "prompt_tokens_cached": "Prompt tokens that were not computed. The prefix cache is off.",
    "prefix_cache_queries": "Prompt tokens looked up. The prefix cache is off.",
    "prefix_cache_hits": "Prompt tokens found. The prefix cache is off.",
    "external_prefix_cache_queries": "Prompt tokens looked up at other servers. There is no KV connector.",
    "external_prefix_cache_hits": "Prompt tokens found at other servers. There is no KV connector.",
    "mm_cache_queries": "Images and the like looked up. The models read text only.",
    "mm_cache_hits": "Images and the like found. The models read text only.",
    "estimated_flops_per_gpu": "0 unless vLLM is started with --enable-mfu-metrics.",
    "estimated_read_bytes_per_gpu": "0 unless vLLM is started with --enable-mfu-metrics.",
    "estimated_write_bytes_per_gpu": "0 unless vLLM is started with --enable-mfu-metrics.",
}
"""Counters that stay at 0 in a vLLM that is configured like this server."""


class ServingCollector(Collector):
    """Reads one server whenever Prometheus asks."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._labels = (serving.settings.served_model_name, "0")

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        self._serving.refresh()
        yield from self._gauges()
        yield from self._counters()
        yield from self._histograms()
        yield from self._simulated()

    def _gauges(self) -> Iterator[Metric]:
        engine = self._serving.engine
        running, waiting = (len(engine.running), len(engine.waiting)) if engine else (0, 0)
        usage = engine.pool.usage if engine else 0.0
        yield self._gauge("num_requests_running", "Requests that are being computed.", running)
        yield self._gauge("num_requests_waiting", "Requests in the queue.", waiting)
        reasons = {"capacity": waiting, "deferred": 0}  # without LoRA and KV transfer none is put off
        yield self._gauge("num_requests_waiting_by_reason", "Requests in the queue.", reason=reasons)
        asleep = {"awake": 1, "weights_offloaded": 0, "discard_all": 0}  # there is no sleep mode here
        yield self._gauge("engine_sleep_state", "1 for the state that the engine is in.", sleep_state=asleep)
        yield self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent.", usage)
        if engine:
            yield _cache_config(self._serving.settings, engine.pool, self._serving.served.max_model_len)

    def _counters(self) -> Iterator[Metric]:
        stats, of = self._serving.stats, self._counter
        yield of("prompt_tokens", "Prompt tokens read.", stats.prompt_tokens)
        sources = {"local_compute": stats.prompt_tokens, "local_cache_hit": 0, "external_kv_transfer": 0}
        yield of("prompt_tokens_by_source", "Prompt tokens by where they came from.", source=sources)
        yield of("generation_tokens", "Tokens generated.", stats.generation_tokens)
        yield of("num_preemptions", "Times a request lost its blocks.", stats.preemptions)
        yield of("request_success", "Requests that ended, by reason.", finished_reason=stats.requests)
        for name, text in NEVER.items():
            yield of(name, text, 0)

    def _histograms(self) -> Iterator[Metric]:
        stats = self._serving.stats
        of = self._histogram
        yield of("time_to_first_token_seconds", "Arrival to first token, lab seconds.", stats.ttft)
        yield of("inter_token_latency_seconds", "Token to token, lab seconds.", stats.intervals)
        yield of("request_time_per_output_token_seconds", "A request's mean, lab seconds.", stats.per_token)
        yield of("e2e_request_latency_seconds", "Arrival to last token, lab seconds.", stats.e2e)
        yield of("request_queue_time_seconds", "Time in the queue, lab seconds.", stats.queue)
        yield of("request_inference_time_seconds", "Time on the GPU, lab seconds.", stats.inference)
        yield of("request_prefill_time_seconds", "Reading the prompt, lab seconds.", stats.prefill)
        yield of("request_decode_time_seconds", "First to last token, lab seconds.", stats.decode)
        yield of("request_prompt_tokens", "Prompt tokens of a request.", stats.prompt_sizes)
        yield of("request_prefill_kv_computed_tokens", "Prompt tokens computed.", stats.computed_sizes)
        yield of("request_generation_tokens", "Generated tokens of a request.", stats.generation_sizes)
        yield of("request_max_num_generation_tokens", "Those of its longest choice.", stats.longest_sizes)
        yield of("request_params_max_tokens", "The most that a request allowed.", stats.max_tokens)
        yield of("request_params_n", "Choices that a request asked for.", stats.choices)
        yield of("request_num_preemptions", "How often a request lost its blocks.", stats.request_preemptions)
        yield of("iteration_tokens_total", "Tokens of a step that gave some.", stats.step_tokens)

    def _simulated(self) -> Iterator[Metric]:
        serving = self._serving
        info = GaugeMetricFamily(
            "labkit_simulated_info",
            "The GPU and all timing are SIMULATED from this profile.",
            labels=["gpu", "profile", "source", "clock", "model_version"],
        )
        profile, settings = serving.profile, serving.settings
        timing = (profile.name, profile.source, f"{settings.clock:g}")
        info.add_metric([serving.device.product, *timing, settings.model_version], 1)
        yield info
        phases = GaugeMetricFamily(
            "labkit_simulated_startup_seconds", "Start-up phases, lab seconds.", labels=["phase"]
        )
        for phase, seconds in serving.startup.phases.items():
            phases.add_metric([phase], seconds)
        yield phases
        busy = serving.engine.busy_seconds(serving.lab_now()) if serving.engine else 0.0
        busy_total = CounterMetricFamily(
            "labkit_simulated_gpu_busy_seconds", "Time in which the GPU had work, lab seconds."
        )
        busy_total.add_metric([], busy)
        yield busy_total
        sent = CounterMetricFamily(
            "labkit_simulated_requests",
            "Requests, by the address that sent them.",
            labels=["client"],
        )
        for client, count in serving.stats.clients.items():
            sent.add_metric([client], count)
        yield sent

    def _gauge(self, name: str, text: str, value: float = 0, **by: Mapping[str, float]) -> Metric:
        return self._filled(GaugeMetricFamily(f"vllm:{name}", text, labels=[*LABELS, *by]), value, by)

    def _counter(self, name: str, text: str, value: float = 0, **by: Mapping[str, float]) -> Metric:
        return self._filled(CounterMetricFamily(f"vllm:{name}", text, labels=[*LABELS, *by]), value, by)

    def _filled(
        self,
        family: GaugeMetricFamily | CounterMetricFamily,
        value: float,
        by: Mapping[str, Mapping[str, float]],
    ) -> Metric:
        """Add one value, or those of one more label."""
        for found in by.values():
            for label, part in found.items():
                family.add_metric([*self._labels, label], part)
        if not by:
            family.add_metric(self._labels, value)
        return family

    def _histogram(self, name: str, text: str, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(f"vllm:{name}", text, labels=LABELS)
        total, buckets = 0, []
        for edge, count in zip((*histogram.edges, float("inf")), histogram.counts, strict=True):
            total += count
            buckets.append(("+Inf" if edge == float("inf") else str(edge), total))
        family.add_metric(self._labels, buckets=buckets, sum_value=histogram.sum)
        return family


def _cache_config(settings: Settings, pool: BlockPool, longest: int) -> Metric:
    """The KV cache's configuration, under those names of vLLM's fields that mean something here."""
    tokens = pool.blocks * settings.block_size
    fields: dict[str, object] = {
        "block_size": settings.block_size,
        "cache_dtype": "auto",
        "enable_prefix_caching": False,
        "engine": 0,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "kv_cache_max_concurrency": tokens / longest,
        "kv_cache_size_tokens": tokens,
        "num_gpu_blocks": pool.blocks,
        "num_gpu_blocks_override": None,
        "sliding_window": None,
    }
    info = GaugeMetricFamily("vllm:cache_config_info", "The KV cache's configuration.", labels=list(fields))
    info.add_metric([str(value) for value in fields.values()], 1)
    return info


class Exposition:
    """The text that Prometheus reads."""

    def __init__(self, serving: Serving) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(ServingCollector(serving))

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

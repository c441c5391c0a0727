"""`/metrics`: the engine's numbers under vLLM's names, and what is simulated under labkit_simulated_*.

A collector that looks at the engine when it is asked, so a scrape never sees an old queue. Times in the
histograms are lab seconds. Deprecated names of vLLM are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from model_server.stats import Histogram

if TYPE_CHECKING:
    from model_server.serving import Serving

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LABELS = ("model_name", "engine")


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
        yield self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent.", usage)
        if engine:
            names = ["engine", "block_size", "num_gpu_blocks", "gpu_memory_utilization"]
            info = GaugeMetricFamily("vllm:cache_config_info", "The KV cache's configuration.", labels=names)
            settings = self._serving.settings
            values = (settings.block_size, engine.pool.blocks, settings.gpu_memory_utilization)
            info.add_metric(["0", *map(str, values)], 1)
            yield info

    def _counters(self) -> Iterator[Metric]:
        stats = self._serving.stats
        yield self._counter("prompt_tokens", "Prompt tokens read.", stats.prompt_tokens)
        yield self._counter("generation_tokens", "Tokens generated.", stats.generation_tokens)
        yield self._counter("num_preemptions", "Times a request lost its blocks.", stats.preemptions)
        ended = CounterMetricFamily(
            "vllm:request_success", "Requests that ended, by reason.", labels=[*LABELS, "finished_reason"]
        )
        for reason, count in stats.requests.items():
            ended.add_metric([*self._labels, reason], count)
        yield ended

    def _histograms(self) -> Iterator[Metric]:
        stats = self._serving.stats
        of = self._histogram
        yield of("time_to_first_token_seconds", "Arrival to first token, lab seconds.", stats.ttft)
        yield of("inter_token_latency_seconds", "Token to token, lab seconds.", stats.intervals)
        yield of("e2e_request_latency_seconds", "Arrival to last token, lab seconds.", stats.e2e)
        yield of("request_queue_time_seconds", "Time in the queue, lab seconds.", stats.queue)
        yield of("request_inference_time_seconds", "Time on the GPU, lab seconds.", stats.inference)
        yield of("request_prefill_time_seconds", "Reading the prompt, lab seconds.", stats.prefill)
        yield of("request_decode_time_seconds", "First to last token, lab seconds.", stats.decode)
        yield of("request_prompt_tokens", "Prompt tokens of a request.", stats.prompt_sizes)
        yield of("request_generation_tokens", "Generated tokens of a request.", stats.generation_sizes)

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

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"vllm:{name}", text, labels=LABELS)
        family.add_metric(self._labels, value)
        return family

    def _counter(self, name: str, text: str, value: float) -> Metric:
        family = CounterMetricFamily(f"vllm:{name}", text, labels=LABELS)
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


class Exposition:
    """The text that Prometheus reads."""

    def __init__(self, serving: Serving) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(ServingCollector(serving))

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)

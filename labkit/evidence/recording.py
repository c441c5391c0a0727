"""A recording of a run: replicas from the API server, queues from Prometheus, latencies from the load.

All times are converted to lab seconds since the recording began.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from labkit.evidence.load_series import load_series
from labkit.evidence.recorder import Recorder
from labkit.evidence.timeline import Timeline
from labkit.kube.client import Kube
from labkit.load.results import LoadResult
from labkit.metrics.client import Metrics
from labkit.metrics.series import Series
from localcluster import polling

NOTHING: Mapping[float, str] = MappingProxyType({})
STEP = "3s"  # finer than a scrape, so the moment of a step is known to within one scrape, not two
QUEUE = "vllm:num_requests_waiting"
HELD = "sum(inference_extension_flow_control_queue_size)"  # there only while a gateway runs
GPU = "DCGM_FI_DEV_GPU_UTIL"


class Recording:
    """Records until `stop`; `mark` labels a moment, which plots show."""

    def __init__(self, recorder: Recorder, metrics: Metrics, namespace: str) -> None:
        self._recorder = recorder
        self._metrics = metrics
        self._namespace = namespace

    @classmethod
    def begin(cls, kube: Kube, metrics: Metrics, *, names: tuple[str, str], stamp: str) -> Recording:
        """Start; `names` are the names of the Deployment and of its HPA."""
        deployment, hpa = names
        recorder = Recorder(kube, deployment=deployment, hpa=hpa, stamp=stamp)
        return cls(recorder.start(), metrics, kube.namespace)

    def __repr__(self) -> str:
        return f"<recording, {self._recorder.now():.0f} lab s>"

    def mark(self, text: str) -> None:
        """Label this moment with what happens now."""
        self._recorder.mark(text)

    def reach(self, seconds: float, *, since: float) -> None:
        """Keep recording until this many lab seconds have passed since a moment (Unix time)."""
        end = (since - self._recorder.started) * self._metrics.clock + seconds
        limit = seconds / self._metrics.clock + 30
        polling.until(
            lambda: self._recorder.now() >= end, f"lab second {end:.0f} of the recording", seconds=limit
        )

    def stop(self, load: LoadResult | None = None, *, events: Mapping[float, str] = NOTHING) -> Timeline:
        """Stop recording and add the load's series; lab second 0 is then when the load began.

        `events` labels moments of the load: `{60: "the crowd arrives"}`. Without a load, lab second 0 is when
        the recording began. Safe to repeat.
        """
        self._recorder.stop()
        series = (*self._queues(), *self._held(), *self._gpus())
        found = self._recorder.timeline().with_series(series)
        if load is None:
            return found
        began = (load.started - self._recorder.started) * load.clock
        for at, text in events.items():
            found = found.with_event(began + at, text)
        return replace(found, load=load.what).with_series(load_series(load, shift=began)).since(began)

    def _queues(self) -> Iterable[Series]:
        return self._asked(f'{QUEUE}{{namespace="{self._namespace}"}}', name="queue")

    def _held(self) -> Iterable[Series]:
        found = self._asked(HELD, name="gateway queue")
        return (replace(one, unit="requests", label="held at the gateway") for one in found)

    def _gpus(self) -> Iterable[Series]:
        found = self._asked(f'avg({GPU}{{namespace="{self._namespace}"}})', name="gpu")
        return (replace(one, unit="%", label="GPU, average over the pods") for one in found)

    def _asked(self, promql: str, *, name: str) -> Iterable[Series]:
        found = self._metrics.query_range(
            promql,
            start=self._recorder.started,
            end=self._recorder.ended or time.time(),
            step=STEP,
            may_be_empty=True,
        )
        return (replace(one, name=name) for one in found)

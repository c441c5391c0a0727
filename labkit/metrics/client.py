"""PromQL through prometheus-api-client, with the checks that it lacks.

The library drops warnings, rounds times to whole seconds (15 lab seconds at CLOCK=15), and says nothing when
a query matches nothing. Here an error carries Prometheus' own words, and an empty answer raises with the
reason.
Requests for the lab never go through a proxy, whatever HTTP_PROXY says.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import requests
from prometheus_api_client import PrometheusApiClientException, PrometheusConnect
from urllib3.util.retry import Retry

from labkit.errors import BadInput, ClusterError, LabError, Unreachable
from labkit.metrics.reasons import Known, names, why_empty
from labkit.metrics.series import Rows, Sample, Series

_LAB_SECONDS = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class NoData(LabError):
    """The query is valid but matched nothing; `cause` gives the likely reason."""


class Metrics:
    """One Prometheus.

    >>> metrics.query('sum(vllm:num_requests_waiting) by (pod)')
    """

    def __init__(
        self,
        url: str,
        *,
        ca: Path | None = None,
        cert: Path | None = None,
        key: Path | None = None,
        clock: float = 1.0,
    ) -> None:
        self.url = url.rstrip("/")
        self.clock = clock
        self._notes: list[str] = []
        session = requests.Session()
        session.trust_env = False
        session.verify = str(ca) if ca else True
        session.cert = (str(cert), str(key)) if cert and key else None
        session.hooks["response"].append(self._heed)
        # No retries: a Prometheus on this machine answers at once or not at all.
        self._prometheus = PrometheusConnect(self.url, session=session, retry=Retry(total=0), timeout=10)
        self._session = session

    def __repr__(self) -> str:
        return f"Prometheus at {self.url}"

    def authorize(self, header: str) -> Self:
        """Send this `Authorization` along: for a Prometheus behind an API server."""
        if header:
            self._session.headers["Authorization"] = header
        return self

    def query(self, promql: str, *, at: float | None = None, may_be_empty: bool = False) -> Rows:
        """The value of each series now, or at a Unix time; raises `NoData` if there is none."""
        self._notes = []
        params = {"time": at} if at is not None else {}
        raw = self._ask(promql, lambda: self._prometheus.custom_query(promql, params=params))
        if raw and not isinstance(raw[0], dict):  # a scalar: [time, "value"]
            raw = [{"metric": {}, "value": raw}]
        if not raw and not may_be_empty:
            raise self._no_data(promql, since="at that moment" if at else "in the last minutes")
        if raw and "values" in raw[0]:
            raise BadInput(
                f"{promql} is a range, not a value.",
                cause="It ends in square brackets, so each series has many samples.",
                fix="Use query_range, or a function over the range such as rate(...).",
            )
        return Rows(promql, tuple(Sample.of(r) for r in raw), tuple(self._notes))

    def value(self, promql: str, *, at: float | None = None) -> float:
        """The single number that a query returns; raises if it returns several."""
        rows = self.query(promql, at=at)
        if len(rows) != 1:
            raise BadInput(
                f"{promql} has {len(rows)} values, not one.",
                fix="Wrap it in sum(...), max(...) or the like, or use query().",
            )
        return rows[0].value

    def query_range(
        self,
        promql: str,
        *,
        start: float,
        end: float | None = None,
        step: str | float = "15s",
        may_be_empty: bool = False,
    ) -> list[Series]:
        """Each series between two Unix times, in lab seconds since `start`.

        `step` is in lab seconds, too: "15s" is 1 s at CLOCK=15.
        """
        self._notes = []
        until = time.time() if end is None else end
        if until < start:
            raise BadInput(
                f"The range ends {start - until:.1f} s before it starts.", fix="Swap start and end."
            )
        real = max(lab_seconds(step) / self.clock, 0.001)
        # Exact times go in as parameters, since the library rounds its own arguments to whole seconds.
        params = {"start": start, "end": until}
        moments = (datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(until, UTC))
        raw = self._ask(
            promql,
            lambda: self._prometheus.custom_query_range(promql, *moments, step=str(real), params=params),
        )
        if not raw and not may_be_empty:
            raise self._no_data(promql, since=f"in those {until - start:.0f} s")
        return [Series.of(r, start=start, clock=self.clock) for r in raw]

    def targets(self) -> list[dict[str, Any]]:
        """What Prometheus scrapes: `labels`, `health`, `lastError`, `scrapeUrl` of each active target."""
        data = self._ask("targets", lambda: self._prometheus.get_targets(state="active"))
        return list(data.get("activeTargets") or [])

    def names(self) -> list[str]:
        """All metric names that Prometheus knows."""
        return list(self._ask("names", self._prometheus.all_metrics) or [])

    def _ask(self, what: str, call: Any) -> Any:
        try:
            return call()
        except requests.exceptions.RequestException as error:
            raise Unreachable(
                f"Prometheus at {self.url} does not answer: {error}",
                cause="It is not running, or it refuses the certificate.",
                fix="Look at `labkit status` and `labkit logs prometheus`.",
            ) from error
        except PrometheusApiClientException as error:
            raise ClusterError(f"Prometheus refused {what}: {error}") from error

    def _heed(self, response: requests.Response, **_: Any) -> None:
        """Look at each answer before the library throws away all but its data."""
        try:
            said = response.json()
        except ValueError:
            return  # not from the API; the status says enough
        if said.get("kind") == "Status" and said.get("status") == "Failure":  # an API server is in between
            raise Unreachable(
                f"The API server does not reach Prometheus: {said.get('message', '')}",
                cause="It is not running, its Service has no endpoints, or it wants a certificate.",
                fix="kubectl get pods,endpoints in its namespace; or name an address in LABKIT_PROMETHEUS.",
            )
        if said.get("status") == "error":
            raise _refused(said.get("errorType", ""), said.get("error", ""))
        self._notes += [*said.get("warnings", ()), *said.get("infos", ())]

    def _no_data(self, promql: str, *, since: str) -> NoData:
        known = self.names()
        present = {n: self._labels(n) for n in names(promql) if n in known}
        reason = why_empty(promql, Known(known, self.targets(), since, present))
        return NoData(f"{promql} matched nothing.", cause=reason.cause, fix=reason.fix)

    def _labels(self, name: str) -> list[dict[str, str]]:
        params = {"match[]": f'{{__name__="{name}"}}', "limit": 3}
        now = time.time()
        moments = (datetime.fromtimestamp(now - 300, UTC), datetime.fromtimestamp(now + 1, UTC))
        return list(self._ask(name, lambda: self._prometheus.get_series(*moments, params=params)))


def lab_seconds(step: str | float) -> float:
    """`"15s"`, `"2m"`, `"500ms"` or a number, in lab seconds."""
    found = _LAB_SECONDS.match(str(step).strip())
    if not found or float(found[1]) <= 0:
        raise BadInput(f"{step!r} is not a step.", fix='Write "15s", "2m", "500ms" or a number of seconds.')
    return float(found[1]) * _UNITS[found[2]]


def _refused(kind: str, words: str) -> LabError:
    if kind == "bad_data":
        return BadInput(
            f"Prometheus can't read this query: {words}",
            cause="A typo in the PromQL; the position shown is where parsing stopped.",
            fix="https://prometheus.io/docs/prometheus/latest/querying/basics/ shows the grammar.",
        )
    return ClusterError(f"Prometheus failed ({kind}): {words}")

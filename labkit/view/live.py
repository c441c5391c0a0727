"""`kubectl get -w` for people: tables that change in place, what is waited for, and for how long at most.

Refuses to watch without an end: a condition, a load that ends, or a number of seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import httpx

from labkit import _wait
from labkit.errors import WaitTimeout
from labkit.kube.client import Kube, Which
from labkit.load import Running
from labkit.metrics.client import Metrics
from labkit.view import cluster
from labkit.view.notebook import Place
from labkit.view.table import Table
from labkit.view.verdict import Note

EVERY = 0.5  # real seconds between two looks; at the default clock 7 lab seconds


@dataclass(frozen=True)
class Source:
    """Where tables come from, and the stamp that they carry."""

    kube: Kube
    metrics: Callable[[], Metrics]
    stamp: str

    def table(self, kind: str, *, selector: str | None = None) -> Table:
        """`kubectl get KIND`; of GPUs, `nodes` shows what the scheduler counts, `gpus` what they do."""
        if kind in {"node", "nodes", "no"}:
            pods = self.kube.objects("pods", which=Which(namespace=""))
            nodes = [n.raw for n in self.kube.objects("nodes")]
            return cluster.nodes(nodes, [p.raw for p in pods], stamp=self.stamp)
        if kind in {"gpu", "gpus"}:
            figures = f'{{__name__=~"{"|".join(cluster.DCGM.values())}"}}'
            return cluster.gpus(self.metrics().query(figures, may_be_empty=True), stamp=self.stamp)
        return cluster.printed(self.kube.get(kind, which=Which(selector)), title=kind, stamp=self.stamp)


@dataclass(frozen=True)
class Until:
    """When a watch ends: a condition holds or a load has ended, at the latest after real `seconds`."""

    what: str | Running
    seconds: float

    @property
    def words(self) -> str:
        """What is waited for; of a load, how long it is planned to take."""
        if isinstance(self.what, str):
            return f"until {self.what}"
        load = self.what.load
        longest = load.shape.seconds + load.drain
        return (
            f"until the load has ended (planned: {longest / load.clock:.0f} s = {longest:.0f} lab s at most)"
        )


@dataclass(frozen=True)
class Several:
    """Tables one under the other, in one place; `now` changes all the time, so a terminal is spared it."""

    head: str
    now: str
    tables: tuple[Table, ...]

    def __str__(self) -> str:
        return "\n\n".join([self.head, *(str(t) for t in self.tables)])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        html = Note(f"{self.head}\n{self.now}")._repr_mimebundle_()["text/html"]
        html += "".join(t._repr_html_() for t in self.tables)
        return {"text/plain": f"{self.now}\n{self}", "text/html": html}


class Countdown:
    """A line that counts in place, with the time left; changes twice a second at most."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._place = Place()
        self._said = 0.0

    def tell(self, done: int, of: int, left: float) -> None:
        """So many are done; `left` is in real seconds."""
        if done == of or time.monotonic() - self._said > EVERY:
            self._said = time.monotonic()
            rest = f", {left:.0f} s left" if done < of else ""
            self._place.show(Note(f"{done:,} of {of:,} {self._what}{rest}"))


def until(kube: Kube, wanted: Sequence[str], *, seconds: float) -> None:
    """Wait for all conditions, one after the other, and say how long it took."""
    began = time.monotonic()
    place = Place()
    place.show(Note(f"waiting for {', '.join(wanted)} (at most {seconds:g} s) …"))
    kube.until(*wanted, seconds=seconds)
    took = time.monotonic() - began
    place.show(Note(f"{', '.join(wanted)}: true after {took:.1f} s = {took * kube.clock:.0f} lab s"))


def until_metric(metrics: Metrics, promql: str, *, seconds: float) -> None:
    """Wait until the query returns something, and say how long it took."""
    began = time.monotonic()
    place = Place()
    place.show(Note(f"waiting for {promql} (at most {seconds:g} s) …"))
    _wait.until(lambda: len(metrics.query(promql, may_be_empty=True)), promql, seconds=seconds, every=0.2)
    took = time.monotonic() - began
    place.show(Note(f"{promql}: true after {took:.1f} s = {took * metrics.clock:.0f} lab s"))


def until_healthy(addresses: Callable[[], Sequence[str]], *, seconds: float, clock: float) -> None:
    """Wait until every server (`host:port`, empty while it has none) says 200 under /health to us."""
    began = time.monotonic()
    place = Place()
    place.show(Note(f"waiting for 200 under /health of each pod (at most {seconds:g} s) …"))
    _wait.until(lambda: _healthy(addresses()), "200 under /health of each pod", seconds=seconds, every=0.1)
    took = time.monotonic() - began
    place.show(Note(f"each pod says 200 under /health: after {took:.1f} s = {took * clock:.0f} lab s"))


def _healthy(addresses: Sequence[str]) -> bool:
    return bool(addresses) and all(healthy(address) for address in addresses)


def healthy(address: str) -> bool:
    """Whether a server (`host:port`, empty where there is none) says 200 under /health to us."""
    if not address:
        return False
    try:
        answer = httpx.get(f"http://{address}/health", trust_env=False, timeout=5)
    except httpx.HTTPError:
        return False
    return answer.status_code == HTTPStatus.OK


def watch(source: Source, kinds: Sequence[str], end: Until) -> None:
    """Show the tables in place until the end."""
    place, began = Place(), time.monotonic()
    over = _over(source.kube, end)
    while True:
        finished = over()
        place.show(_now(source, kinds, end, time.monotonic() - began))
        if finished:
            return
        if time.monotonic() - began > end.seconds:
            raise WaitTimeout(end.words, seconds=end.seconds, last_seen="the tables above")
        _wait.pause(EVERY)


def _now(source: Source, kinds: Sequence[str], end: Until, passed: float) -> Several:
    head = f"watching {', '.join(kinds)} {end.words}; for {end.seconds:g} s at most"
    now = f"{passed:.0f} s = {passed * source.kube.clock:.0f} lab s passed"
    if not isinstance(end.what, str):
        now += f"; {end.what.progress()}"
    tables = enumerate(source.table(kind) for kind in kinds)
    return Several(head, now, tuple(replace(t, stamp=source.stamp if i == 0 else "") for i, t in tables))


def _over(kube: Kube, end: Until) -> Callable[[], bool]:
    what = end.what
    if not isinstance(what, str):
        return lambda: not what.alive
    return lambda: _holds(kube, what)


def _holds(kube: Kube, condition: str) -> bool:
    try:
        kube.until(condition, seconds=0)
    except WaitTimeout:
        return False
    return True

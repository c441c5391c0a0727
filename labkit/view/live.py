"""`kubectl get -w` for people: tables that change in place, with what is awaited and the time limit.

Every watch has an end: a condition, the end of a load, or a number of seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

import httpx

from labkit.errors import WaitTimeout
from labkit.kube.client import Kube, Which
from labkit.kube.conditions import stuck
from labkit.load import Running
from labkit.metrics.client import Metrics
from labkit.view import cluster
from labkit.view.notebook import Place
from labkit.view.table import Table
from labkit.view.verdict import Note
from localcluster import polling
from localcluster.api.objects import KubeObject

CONTAINER = "status.containerStatuses.0.containerID"
EVERY = 0.5  # real seconds between two looks: 7 lab seconds at the default clock


@dataclass(frozen=True)
class Source:
    """Where tables come from, and the stamp that they show."""

    kube: Kube
    metrics: Callable[[], Metrics]
    stamp: str

    def table(self, kind: str, *, selector: str | None = None) -> Table:
        """`kubectl get KIND`; `nodes` shows GPUs as the scheduler counts them, `gpus` their use.

        `queues` shows where requests wait: at the gateway, if one runs, and in each server.
        """
        if kind in {"node", "nodes", "no"}:
            pods = self.kube.objects("pods", which=Which(namespace=""))
            nodes = [n.raw for n in self.kube.objects("nodes")]
            return cluster.nodes(nodes, [p.raw for p in pods], stamp=self.stamp)
        if kind in {"gpu", "gpus"}:
            figures = f'{{__name__=~"{"|".join(cluster.DCGM.values())}"}}'
            return cluster.gpus(self.metrics().query(figures, may_be_empty=True), stamp=self.stamp)
        if kind == "queues":
            names, namespace = "|".join(cluster.QUEUES.values()), self.kube.namespace
            asked = f'{cluster.HELD} or {{__name__=~"{names}",namespace="{namespace}"}}'
            return cluster.queues(self.metrics().query(asked, may_be_empty=True), stamp=self.stamp)
        return cluster.printed(self.kube.get(kind, which=Which(selector)), title=kind, stamp=self.stamp)


@dataclass(frozen=True)
class Until:
    """When a watch ends: a condition holds or a load has ended, or `seconds` real seconds have passed."""

    what: str | Running
    seconds: float

    @property
    def words(self) -> str:
        """What is awaited; for a load, how long it is planned to take."""
        if isinstance(self.what, str):
            return f"until {self.what}"
        load = self.what.load
        longest = load.shape.seconds + load.drain
        return (
            f"until the load has ended (planned: {longest / load.clock:.0f} s = {longest:.0f} lab s at most)"
        )


@dataclass(frozen=True)
class Several:
    """Tables one below the other, in one place; `now` changes constantly, so a terminal does not show it."""

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
    """A progress line with the time left, updated in place at most twice a second."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._place = Place()
        self._said = 0.0

    def tell(self, done: int, of: int, left: float) -> None:
        """Show how many are done; `left` is in real seconds."""
        if done == of or time.monotonic() - self._said > EVERY:
            self._said = time.monotonic()
            rest = f", {left:.0f} s left" if done < of else ""
            self._place.show(Note(f"{done:,} of {of:,} {self._what}{rest}"))


def until(kube: Kube, wanted: Sequence[str], *, seconds: float) -> None:
    """Wait for the conditions in turn, and show how long that took."""
    began = time.monotonic()
    place = Place()
    place.show(Note(f"waiting for {', '.join(wanted)} (at most {seconds:g} s) …"))
    kube.until(*wanted, seconds=seconds)
    took = time.monotonic() - began
    place.show(Note(f"{', '.join(wanted)}: true after {took:.1f} s = {took * kube.clock:.0f} lab s"))


def until_running(kube: Kube, pod: str, *, seconds: float) -> KubeObject:
    """The pod once its first container runs; shows a note if that takes waiting."""
    there, what = kube.object(pod), f"a running container in {pod}"
    if _runs(there):
        return there
    place = Place()
    place.show(Note(f"waiting for {what} (at most {seconds:.0f} s) …"))

    def now() -> bool:
        nonlocal there
        there = kube.object(pod)
        return _runs(there)

    polling.until(now, what, seconds=seconds, every=0.1, last_seen=lambda: stuck(there) or "no container yet")
    place.show(Note(f"{what}: true"))
    return there


def until_ended(kube: Kube, pod: KubeObject, *, seconds: float = 15) -> None:
    """Wait until the API server knows that the container that ran in this pod has ended."""
    before = pod.at(CONTAINER)

    def over() -> bool:
        now = kube.object(f"pod/{pod.name}")
        return now.at(CONTAINER) != before or not _runs(now)

    polling.until(over, f"the end of the container of {pod!r}", seconds=seconds)


def _runs(pod: KubeObject) -> bool:
    return bool(pod.at("status.containerStatuses.0.state.running"))


def until_metric(metrics: Metrics, promql: str, *, seconds: float) -> None:
    """Wait until the query returns something, and show how long that took."""
    began = time.monotonic()
    place = Place()
    place.show(Note(f"waiting for {promql} (at most {seconds:g} s) …"))
    polling.until(lambda: len(metrics.query(promql, may_be_empty=True)), promql, seconds=seconds, every=0.2)
    took = time.monotonic() - began
    place.show(Note(f"{promql}: true after {took:.1f} s = {took * metrics.clock:.0f} lab s"))


def until_healthy(addresses: Callable[[], Sequence[str]], *, seconds: float, clock: float) -> None:
    """Wait until every server (`host:port`, empty while it has none) answers us 200 on /health."""
    began = time.monotonic()
    place = Place()
    place.show(Note(f"waiting until each pod answers 200 at /health (at most {seconds:g} s) …"))
    polling.until(lambda: _healthy(addresses()), "200 at /health of each pod", seconds=seconds, every=0.1)
    took = time.monotonic() - began
    place.show(Note(f"each pod answers 200 at /health: after {took:.1f} s = {took * clock:.0f} lab s"))


def _healthy(addresses: Sequence[str]) -> bool:
    return bool(addresses) and all(healthy(address) for address in addresses)


def healthy(address: str) -> bool:
    """Whether a server (`host:port`, empty if there is none) answers us 200 on /health."""
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
        polling.pause(EVERY)


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

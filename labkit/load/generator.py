"""The generator: sends what the plan says, when it says so, and records each request.

Runs inside the locust process. An open load never looks at the server: arrivals are sent on time,
whatever is still unanswered. Times are lab seconds since the start; only here are they divided by the clock.
A user of a closed load pauses after a failure, so a failing server is not hammered.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event
from gevent.pool import Group

from labkit.load.journal import Journal, cpu_stall_seconds
from labkit.load.plan import closed_of
from labkit.load.sse import Answer, Client, Target
from labkit.load.workload import Prompts, Workload

PULSE = 0.25
"""Real seconds between two pulses."""

AFTER_FAILURE = 2.0
"""Lab seconds that a user of a closed load waits after a failure: a dead server must not be hammered,
and forty users failing at once must not starve the machine that restarts it."""


class Generator:
    """One run of a plan. `tell` feeds locust's own table; `finished` is called once, at the end."""

    def __init__(
        self, plan: dict[str, Any], journal: Journal, tell: Callable[..., None], finished: Callable[[], None]
    ) -> None:
        self.clock = float(plan["clock"])
        self.shape: dict[str, Any] = plan["shape"]
        self._plan = plan
        self._journal = journal
        self._tell = tell
        self._finished = finished
        self._target = Target(
            plan["url"],
            ca=plan["ca"],
            keepalive=plan["keepalive"],
            allow_remote=plan["allow_remote"],
            headers=plan["headers"],
        )
        self._prompts = Prompts(plan["model"], seed=plan["seed"])
        self._started = Event()
        self._t0 = 0.0
        self._number = 0
        self._users_left = self.users
        self._counts: Counter[str] = Counter()
        self.reason = "stopped"

    @property
    def users(self) -> int:
        """How many locust users run this plan; an open load has a single one, which sends all arrivals."""
        return 1 if self.shape["kind"] == "open" else closed_of(self.shape).most

    def start(self) -> None:
        """Mark time 0, when all users are there."""
        self._t0 = time.monotonic()
        shape = {k: v for k, v in self.shape.items() if k not in {"times", "sizes"}}
        plan = {k: v for k, v in self._plan.items() if k != "workload"} | {"shape": shape}
        self._journal.write("run", started=time.time(), plan=plan)
        self._started.set()
        gevent.spawn(self._pulse)

    def end(self) -> None:
        """Write the journal's last line."""
        self._beat(0.0)
        self._journal.write("end", t=self.now(), reason=self.reason)

    def now(self) -> float:
        """Lab seconds since the start."""
        return (time.monotonic() - self._t0) * self.clock

    def person(self, user: int) -> None:
        """One user of a closed load: ask, read the answer, think, ask again."""
        self._started.wait()
        plan, client = self._plan, Client(self._target)
        rng = random.Random(f"{plan['seed']}/{user}")
        workload, think = Workload.of_json(plan["workload"]), float(self.shape["think"])
        for begin, end in closed_of(self.shape).turns(user):
            due = begin
            while due < end:
                self._until(due)
                ok = self._fire(client, due=due, user=user, size=workload.draw(rng))
                pause = rng.expovariate(1 / think) if think else 0.0
                due = max(self.now(), begin) + (pause if ok else max(pause, AFTER_FAILURE))
        client.close()
        self._users_left -= 1
        if not self._users_left:
            self._complete()

    def dispatch(self) -> None:
        """Run an open load: send every arrival at its time."""
        self._started.wait()
        group, most = Group(), int(self.shape["most_in_flight"])
        try:
            for due, size in zip(self.shape["times"], self.shape["sizes"], strict=True):
                self._until(due)
                if len(group) >= most:
                    about = {"due": due, "sent": self.now(), "in": size[0]}
                    self._record(self._next(), about, Answer("not_sent"))
                else:
                    group.spawn(self._fire, Client(self._target), due=due, user=-1, size=tuple(size))
            group.join()
        except gevent.GreenletExit:
            group.kill()
            raise
        self._complete()

    def _complete(self) -> None:
        self.reason = "done"
        self._finished()

    def _until(self, due: float) -> None:
        left = (due - self.now()) / self.clock
        if left > 0:
            gevent.sleep(left)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _fire(self, client: Client, *, due: float, user: int, size: tuple[int, int]) -> bool:
        number, answer = self._next(), Answer()
        body = self._prompts.body(number, tokens_in=size[0], tokens_out=size[1])
        sent = self.now()
        about = {"due": due, "sent": sent, "user": user, "in": size[0]}
        self._counts["sent"] += 1
        last_call = self.shape["seconds"] + self._plan["drain"] - sent
        patience = min(self._plan["timeout"], last_call)
        try:
            client.ask(body, answer, seconds=max(0.01, patience / self.clock))
            if answer.outcome == "timeout" and patience < self._plan["timeout"]:
                answer.outcome = "abandoned"
        finally:  # a killed greenlet still leaves its row, marked abandoned
            self._record(number, about, answer)
            self._tell(
                request_type="POST",
                name="/v1/completions",
                response_time=1000 * (self.now() - due),
                response_length=answer.tokens,
                exception=None if answer.outcome == "ok" else answer.outcome,
            )
            if not self._plan["keepalive"]:
                client.close()
        return answer.outcome == "ok"

    def _record(self, number: int, about: dict[str, Any], answer: Answer) -> None:
        self._counts[answer.outcome] += 1
        rest = answer.tokens - answer.first_tokens
        itl = (answer.last - answer.first) / rest if rest > 0 and answer.first and answer.last else None
        self._journal.write(
            "row",
            id=number,
            **{key: _short(value) for key, value in about.items()},
            first=self._lab(answer.first),
            end=_short(self.now()),
            out=answer.tokens,
            events=answer.events,
            counted=answer.counted,
            itl=_short(itl * self.clock) if itl is not None else None,
            gap=_short(answer.gap * self.clock),
            outcome=answer.outcome,
            status=answer.status,
            pod=answer.pod,
            version=answer.version,
            detail=answer.detail[:200],
        )

    def _lab(self, moment: float | None) -> float | None:
        return None if moment is None else _short((moment - self._t0) * self.clock)

    def _pulse(self) -> None:
        while True:
            expected = time.monotonic() + PULSE
            gevent.sleep(PULSE)
            self._beat(time.monotonic() - expected)

    def _beat(self, late: float) -> None:
        counts = self._counts
        answered = sum(n for key, n in counts.items() if key not in {"sent", "not_sent"})
        self._journal.write(
            "pulse",
            t=_short(self.now()),
            late=_short(late * self.clock),
            sent=counts["sent"],
            open=counts["sent"] - answered,
            ok=counts["ok"],
            stalled=cpu_stall_seconds(),
            real=_short(time.monotonic() - self._t0),
            cpu=_short(time.process_time()),
        )


def _short(value: float) -> float:
    return round(value, 5)

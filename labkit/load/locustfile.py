"""What locust runs: users that carry out the plan in LABKIT_LOAD_PLAN. Never imported by labkit itself.

Importing locust patches the standard library for gevent, which hangs a notebook, so this file only ever runs
in a process of its own (`labkit.load.run`). It ends when the pipe in LABKIT_LOAD_LIFELINE is
closed, which the system does when the parent dies, however it dies.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import gevent
from gevent.socket import wait_read
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser

from labkit.load.generator import Generator
from labkit.load.journal import Journal

_run: dict[str, Generator] = {}


@events.init.add_listener  # type: ignore[untyped-decorator]
def _prepare(environment: Environment, **_: Any) -> None:
    def finished() -> None:
        gevent.spawn(environment.runner.quit)

    plan = json.loads(Path(os.environ["LABKIT_LOAD_PLAN"]).read_text())
    journal = Journal(Path(os.environ["LABKIT_LOAD_JOURNAL"]))
    _run["generator"] = Generator(plan, journal, environment.events.request.fire, finished)
    gevent.spawn(_watch, int(os.environ["LABKIT_LOAD_LIFELINE"]), environment)


@events.spawning_complete.add_listener  # type: ignore[untyped-decorator]
def _begin(**_: Any) -> None:
    _run["generator"].start()


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _finish(**_: Any) -> None:
    _run["generator"].end()


def _watch(lifeline: int, environment: Environment) -> None:
    wait_read(lifeline)  # nothing is ever written to it, so readable means closed
    _run["generator"].reason = "the process that started it is gone"
    environment.runner.quit()


class Person(User):  # type: ignore[misc]  # locust ships no types that mypy may follow here
    """One user of a closed load, or the dispatcher of an open one."""

    seats = 0

    def on_start(self) -> None:
        """Take this user's number."""
        self.seat = Person.seats
        Person.seats += 1

    @task  # type: ignore[untyped-decorator]
    def work(self) -> None:
        """Do the whole job, then stop."""
        generator = _run["generator"]
        if generator.shape["kind"] == "open":
            generator.dispatch()
        else:
            generator.person(self.seat)
        raise StopUser

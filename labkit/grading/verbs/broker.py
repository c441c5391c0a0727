"""Carries out what a student's process asks for, and writes down what it saw: the evidence is its own.

Listens on a Unix socket that only the student's sandbox has. A check counts where the course's own cell calls
it, and is judged on objects that are read here, on recordings that were made here, and on the answer. Refuses
what `permits` does not name, and flags it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from labkit import checks
from labkit.errors import BadInput, ClusterError, LabError, Unreachable
from labkit.evidence.reads import read
from labkit.evidence.recording import Recording
from labkit.grading.judging.bundle import Given, Observation, Seen
from labkit.grading.judging.codec import WORD, Claims, Codec, Tabulated
from labkit.grading.judging.derived import NOT_WORKED_OUT, Cells
from labkit.grading.judging.proofs import in_flight
from labkit.grading.judging.sources import Source, constants, queries, sources
from labkit.grading.kernel.wire import Copies, Giver, Line, is_ours, made_there
from labkit.grading.sites.guard import Guard
from labkit.grading.submissions.remark import Remark, printable, shown
from labkit.grading.verbs import permits
from labkit.grading.verbs.again import Again, Handed
from labkit.grading.verbs.confined import Confined
from labkit.grading.verbs.held import Held
from labkit.lab import Lab, settled
from labkit.study.days import DAYS
from labkit.study.trial import Trial, trial
from labkit.view.notebook import show, shown_to
from labkit.view.verdict import Shown

LAST_CALL = 10.0  # real seconds for what is under way when a notebook ends
COUNTS = frozenset({"answering", "digest", "manifest", "requests_by_pod"})
"""Verbs that give plain data which the grader itself counted or read."""
BY_THE_GRADER = frozenset({"doctor", "follow", "pace", "record", "reset", "time_start"})
"""Evidence, and a fresh namespace: done with the grader's own rights where a student's are narrower."""
NODES = ("objects", "nodes")  # the what-if model counts GPUs
FORBIDDEN = "forbidden"  # what an API server calls it: no such right, over a quota, against Pod Security


class Broker:
    """One notebook's lab, from outside. `cell` and `check` say which cell of the course runs now."""

    def __init__(
        self, lab: Lab, seat: Path, released: Any, edition: Path, *, guard: Guard | None = None
    ) -> None:
        self.seen = Seen()
        self.cell, self.check = "", ""
        self._graders, self._guard = lab, guard
        self._lab = Lab(lab.session, lab.kube)  # of its own: a login is remembered there
        self._confined = Confined(seat, edition, shared=guard is not None)
        self._sources, self._constants = sources(released), constants(released)
        self._cells, self._again = Cells.of(released), Again(lab, self._confined)
        self._queries = queries(released)
        self._held = Held()
        self._line: Line | None = None
        self._giver = Giver(self._ask, permits.READ)
        self._giver.give(self._lab)

    def listen(self, path: Path) -> Callable[[], None]:
        """Serve whoever connects, one after the other; the function that is given ends it."""
        if self._guard:
            self._guard.lay()
            self._lab.kube = self._guard.student()
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen(1)
        serving = threading.Thread(target=self._serve, args=(server,), name="labkit-broker", daemon=True)
        serving.start()

        def close() -> None:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
            serving.join(LAST_CALL)  # what was asked for last may still be done
            self.seen.spread |= serving.is_alive()
            self._held.end()

        return close

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            self._line = Line(connection)
            with contextlib.closing(self._line), contextlib.suppress(Unreachable, BadInput, OSError):
                while True:
                    self._line.send(self._reply(self._line.receive()))

    def _reply(self, message: Mapping[str, Any]) -> dict[str, Any]:
        pictures: list[Any] = []
        try:
            with shown_to(lambda thing: pictures.append(thing._repr_mimebundle_())):
                value = self._do(message)
            return {"value": self._result(message, value), "shown": pictures}
        except LabError as error:
            if self._guard and FORBIDDEN in error.what.lower():
                what = error.what.replace(f"{self._confined.seat}/", "")
                self._flag(f"was told by the API server: {printable(what)[:300]}")
            told = {"kind": type(error).__name__, "what": error.what, "cause": error.cause, "fix": error.fix}
            return {"error": told, "shown": pictures}
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError, OSError) as error:
            what = f"The call makes no sense: {shown(str(error))}"
            return {"error": {"kind": "BadInput", "what": what, "cause": "", "fix": ""}, "shown": pictures}

    def _result(self, message: Mapping[str, Any], value: Any) -> Any:
        """As it travels. What PromQL of a student's own says is no figure that the course asked for."""
        if message["do"] == "metrics" and not self._queries.intersection(map(str, message["args"])):
            return Copies().encode(value)
        return self._giver.result(value, counted=message["do"] in COUNTS)

    def _do(self, message: Mapping[str, Any]) -> Any:
        target, name = self._giver.objects[int(message["on"])], str(message["do"])
        if not permits.permitted(target, name):
            self._flag(
                f"asked for {shown(name)} of {type(target).__name__}, which no cell of the course needs"
            )
            raise BadInput(
                f"A graded run has no {shown(name)}.", fix=f"Known: {', '.join(sorted(permits.LAB))}"
            )
        if isinstance(target, Lab) and name == "check":
            return self._judge(str(message["args"][0]), message["words"])
        if isinstance(target, Recording) and made_there([message["args"], message["words"]]):
            self._flag("gave a recording a load of its own making")
            raise BadInput("A recording takes the grader's own load only.", fix="Give it what lab.load gave.")
        given = [self._giver.decode(one) for one in message["args"]]
        args, words = self._allowed(
            name, given, {k: self._giver.decode(v) for k, v in message["words"].items()}
        )
        if isinstance(target, Lab) and name == "trial":
            return self._trial(*args)
        found = getattr(self._whose(target, name, args), name)
        value = self._kept(name, found(*args, **words)) if callable(found) else found
        if name == "reset" and self._guard:
            self._guard.lay()
        if name == "metrics":
            self._again.keep(args[0], words.get("since"), value)
        return value

    def _whose(self, target: Any, name: str, args: list[Any]) -> Any:
        """The student's own lab or the grader's: who has the right to it."""
        if target is self._lab and name in BY_THE_GRADER:
            return self._graders
        return self._graders.kube if target is self._lab.kube and (name, *args) == NODES else target

    def _trial(self, choice: int | Path, day: str) -> Trial:
        """Run one policy under one load, as notebook 06 does, with the load beside what was recorded."""
        done = trial(self._lab, choice, DAYS[day], seed=self._lab.session.seed, watch=False)
        return replace(done, run=done.run.with_series((in_flight([done.load], done.run),)))

    def _allowed(self, name: str, args: list[Any], words: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments as they may be; raises, and flags, where they may not."""
        try:
            self._held.refuse_more(name)
            return self._confined.allowed(name, args, permits.bounded(words))
        except BadInput as error:
            self._flag(error.what)
            raise
        finally:
            self.seen.spread |= self._confined.spread
            for odd in self._confined.odd:
                self._flag(odd)

    def _kept(self, name: str, value: Any) -> Any:
        """Notes what a verb gave where something follows from it."""
        if name == "url":
            self._confined.addresses.add(value)
        return self._held.keep(value)

    def _judge(self, name: str, words: Mapping[str, Any]) -> Any:
        check, where = checks.get(name), self._sources.get(name, {})
        handed = Handed(self._giver, words.get(WORD))
        given = {key: self._given(name, key, source, words.get(key), handed) for key, source in where.items()}
        last: dict[str, Any] = {}

        def look() -> dict[str, Any]:
            last.update(read(self._graders.kube, check.reads))
            return {**{key: one.value for key, one in given.items()}, **last}

        try:
            verdict = settled(check, look)
        except ClusterError as error:
            self.seen.trouble = error.what
            raise
        for one in given.values():
            if isinstance(one.value, Tabulated):
                one.value.live = None  # its process may be gone when this is judged again
        if self.check == name:
            reads = {key: Given(Source.READ, value) for key, value in last.items()}
            self.seen.observations.append(Observation(name, time.time(), self.cell, {**given, **reads}))
        show(Shown(verdict))
        return verdict

    def _given(self, check: str, key: str, source: Source, data: Any, handed: Handed) -> Given:
        """An argument, from whom it has to come."""
        if source is Source.COURSE:
            return Given(source, self._constants[check][key])
        if data is None:
            return Given(source, ..., own=source is Source.ANSWER)
        if source is Source.RECORDED:
            return self._recorded(check, key, data, handed)
        return Given(source, self._claim(data))

    def _recorded(self, check: str, key: str, data: Any, handed: Handed) -> Given:
        """What the grader recorded, or worked out of that; else the student's word."""
        with contextlib.suppress(*NOT_WORKED_OUT):
            own = is_ours(data)
            value = (
                self._giver.decode(data) if own else self._cells.work_out(check, key, handed.own, self._again)
            )
            Codec().encode(value)  # or it could not be kept
            return Given(Source.RECORDED, value)
        if made_there(data):
            self._flag(f"handed {check} a recording of its own making")
        return Given(Source.RECORDED, Codec().decode(data), own=False)

    def _claim(self, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("$") == "call":
            return self._giver.decode(data)
        try:
            return Claims().decode(data)
        except (BadInput, TypeError, ValueError, LookupError) as error:
            return f"no answer: {shown(str(error))}"

    def _ask(self, number: int, args: Any) -> Any:
        """What a student's function gives; what it raises, or that it takes too long, is its answer too."""
        assert self._line is not None
        self._line.send({"ask": number, "args": Codec().encode(args)})
        return self._claim(self._line.receive().get("answer"))

    def _flag(self, what: str) -> None:
        remark = Remark("flagged", what, self.cell)
        if remark not in self.seen.remarks and len(self.seen.remarks) < 20:
            self.seen.remarks.append(remark)

"""Carries out what a student's process asks for, and records what it saw: the evidence is its own.

Listens on a Unix socket that only the student's sandbox has. A check counts only if the course's own cell
calls it (`hearing`), and nothing that is said here depends on what is right. Refuses, and flags, what `table`
does not allow.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from course.hpa import what_if, why
from course.study.days import DAYS
from course.study.trial import Trial, trial
from labkit.errors import BadInput, ClusterError, LabError, Unreachable, typed
from labkit.evidence.recording import Recording
from labkit.lab import SERVER, Lab
from labkit.view.notebook import shown_to
from labkit_grading.judging.bundle import Seen
from labkit_grading.judging.programs import DEFAULT_PRODUCT
from labkit_grading.judging.proofs import in_flight
from labkit_grading.judging.reasons import MOST, of_lab, of_server
from labkit_grading.judging.sources import queries
from labkit_grading.kernel.handover import HandOver
from labkit_grading.kernel.wire import Copies, GraderCodec, Line, made_there
from labkit_grading.sites import terms
from labkit_grading.sites.guard import Guard
from labkit_grading.submissions.remark import Remark, shown
from labkit_grading.verbs import permits
from labkit_grading.verbs.confined import Confined
from labkit_grading.verbs.expected import expected
from labkit_grading.verbs.handles import OpenHandles
from labkit_grading.verbs.hearing import Hearing
from labkit_grading.verbs.objects import READ, permitted
from labkit_grading.verbs.provenance import Provenance
from labkit_grading.verbs.slips import Slip
from labkit_grading.verbs.table import VERBS, allowed

LAST_CALL = 10.0  # real seconds for what is still running when a notebook ends
COURSE: Mapping[str, Callable[..., Any]] = {"what_if": what_if, "why": why}
"""Functions of the course that the grader carries out."""
COUNTED_ON = frozenset({"get", "kube.objects"})  # nodes: cells and the what-if model read their GPUs
RECORDED = frozenset({SERVER, "llm-hpa"})
FORBIDDEN = "forbidden"  # the API server's words for: no such right, over quota, against Pod Security


class Held(Protocol):
    """What a notebook's pods are held to (`sites/terms.py`)."""

    def lay(self) -> None:
        """Before the first change."""

    def bound(self) -> None:
        """Again after a reset."""


class Broker:
    """One notebook's lab, from outside. `cell` and `check` say which of the course's cells is running."""

    def __init__(  # noqa: PLR0913 - the last two are what holds for pods, here and elsewhere
        self,
        lab: Lab,
        seat: Path,
        answers: HandOver,
        edition: Path,
        *,
        guard: Guard | None = None,
        terms: Held | None = None,
    ) -> None:
        self.seen = Seen()
        self.cell, self.check = "", ""
        self._graders, self._guard = lab, guard
        self._terms, self._laid = terms, False
        self._lab = Lab(lab.session, lab.kube)  # one of its own, since it remembers a login
        self._confined = Confined(seat, edition, shared=guard is not None)
        self._queries = queries(answers.released)
        self._handles = OpenHandles()
        self._codec = GraderCodec(READ)
        self._codec.give(self._lab)
        self.answers = answers
        self._provenance = Provenance()
        self.parameters: Mapping[str, Any] = {}
        self._hearing = Hearing(answers, seat, lab.kube, self._codec, self.seen, self._flag, self._unlike)

    def listen(self, path: Path) -> Callable[[], None]:
        """Serve connections one after the other; call the returned function to end it."""
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
            serving.join(LAST_CALL)  # finish the last request
            self.seen.spread |= serving.is_alive()
            self._handles.end()
            self._hearing.judge()

        return close

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            line = Line(connection)
            with contextlib.closing(line), contextlib.suppress(Unreachable, BadInput, OSError):
                while True:
                    line.send(self._reply(line.receive()))

    def _reply(self, message: Mapping[str, Any]) -> dict[str, Any]:
        pictures: list[Any] = []
        self._provenance.begin(len(self._codec.objects))
        try:
            with shown_to(lambda thing: pictures.append(thing._repr_mimebundle_())):
                value = self._do(message)
            result = self._result(message, value)
            self._provenance.gave(len(self._codec.objects))
            return {"value": result, "shown": pictures}  # noqa: TRY300 - what it numbered is noted by then
        except LabError as error:
            if len(self.seen.raised) < MOST:
                self.seen.raised.append(of_lab(self.cell, error, self._confined.seat))
            ours, what = terms.POLICY in error.what, error.what.replace(f"{self._confined.seat}/", "")
            if terms.reaches_for(what) or (self._guard and not ours and FORBIDDEN in what.lower()):
                self._flag(f"got from the API server: {of_server(what)[:380]}")
            words = {"what": error.what, "cause": error.cause, "fix": error.fix}
            told = {"kind": type(error).__name__, **{key: typed(text) for key, text in words.items()}}
            return {"error": told, "shown": pictures}
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError, OSError) as error:
            what = f"The call is not valid: {shown(str(error))}"
            return {"error": {"kind": "BadInput", "what": what, "cause": "", "fix": ""}, "shown": pictures}

    def _result(self, message: Mapping[str, Any], value: Any) -> Any:
        """Encode a result. The result of a student's own PromQL is not a figure that the course asked for."""
        if message["do"] == "metrics" and not self._queries.intersection(map(str, message["args"])):
            return Copies().encode(value)
        verb = VERBS[permitted(self._codec.objects[int(message["on"])], str(message["do"]))]
        return self._codec.result(value, counted=verb.counted)

    def _do(self, message: Mapping[str, Any]) -> Any:
        target, name = self._codec.objects[int(message["on"])], str(message["do"])
        verb = permitted(target, name)
        if not verb:
            self._flag(
                f"asked for {shown(name)} of {type(target).__name__}, which no cell of the course uses"
            )
            raise BadInput(f"A graded run does not provide {shown(name)}.", fix=f"Known: {', '.join(VERBS)}")
        if verb == "check":
            name, words = str(message["args"][0]), message["words"]
            return self._hearing.hear(name, words, cell=self.cell, of=self.check)
        self._provenance.asked(verb, self.cell, message)
        if isinstance(target, Recording) and made_there([message["args"], message["words"]]):
            self._flag("passed to a recording a load that it made itself")
            raise BadInput(
                "A recording only accepts the grader's own load.", fix="Pass the result of lab.load."
            )
        given = [self._codec.decode(one) for one in message["args"]]
        args, words = self._allowed(
            verb, given, {k: self._codec.decode(v) for k, v in message["words"].items()}
        )
        self._measure_as_the_course(verb, words)
        if verb == "trial":
            return self._trial(*args)
        if verb in COURSE:
            return self._kept(verb, COURSE[verb](self._whose(target, verb, args), *args, **words))
        found = getattr(self._whose(target, verb, args), name)
        value = self._kept(verb, found(*args, **words)) if callable(found) else found
        if verb == "reset":
            self._hold_again()
        return value

    def _unlike(self, check: str, key: str, data: Any) -> str:
        """Why a recording that a check was handed is not the one that the course's cells make."""
        wanted = expected(self.answers.released, self.parameters)
        return wanted.unlike(check, key, self._provenance.decode(data), self._provenance.calls)

    def _hold_again(self) -> None:
        """A reset removes quotas and policies."""
        if self._guard:
            self._guard.lay()
        if self._terms:
            self._terms.bound()

    def _measure_as_the_course(self, verb: str, words: Mapping[str, Any]) -> None:
        """Hold pods to the course's programs before anything is changed, and measure what its cells do."""
        if VERBS[verb].changes:
            self._lay_terms()
        if verb == "record":
            self._refuse_others(words, RECORDED)
        if verb == "nodes.plug_in":
            self._refuse_others({"product": words.get("gpu_product", DEFAULT_PRODUCT)}, {DEFAULT_PRODUCT})

    def _refuse_others(self, words: Mapping[str, Any], known: Collection[str]) -> None:
        """Raise for what decides a measurement and stands in no cell: what is recorded, a faster GPU."""
        if others := sorted({str(one) for one in words.values()} - self._queries - set(known)):
            told = f"{', '.join(map(shown, others))}, which no cell of the course names"
            self._flag(f"asked for {told}")
            raise BadInput(f"A graded run does not have {told}.", fix=f"Use {', '.join(sorted(known))}.")

    def _lay_terms(self) -> None:
        """Before the first change: from then on, the API server holds pods to what the course runs."""
        if self._terms is None or self._laid:
            return
        try:
            self._terms.lay()
        except ClusterError as error:
            self.seen.trouble = error.what
            raise
        self._laid = True

    def _whose(self, target: Any, verb: str, args: list[Any]) -> Any:
        """The lab that has the right to do it: the student's own or the grader's."""
        if VERBS[verb].graders or (verb in COUNTED_ON and args == ["nodes"]):
            return self._graders.kube if target is self._lab.kube else self._graders
        return target

    def _trial(self, choice: int | Path, day: str) -> Trial:
        """Run one policy under one load, as notebook 06 does, and add the load to the recording."""
        done = trial(self._lab, choice, DAYS[day], seed=self._lab.session.seed, watch=False)
        return replace(done, run=done.run.with_series((in_flight([done.load], done.run),)))

    def _allowed(self, name: str, args: list[Any], words: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments, if they are allowed; otherwise flag them and raise."""
        try:
            self._handles.refuse_more(name)
            return allowed(name, self._confined, args, permits.bounded(words))
        except Slip:
            raise
        except BadInput as error:
            self._flag(error.what)
            raise
        finally:
            self.seen.spread |= self._confined.spread
            while self._confined.odd:
                self._flag(self._confined.odd.pop(0))

    def _kept(self, name: str, value: Any) -> Any:
        """Note what a verb returned, if anything later depends on it."""
        if name in {"url", "gateway"}:
            self._confined.addresses.add(value)
        return self._handles.keep(value)

    def _flag(self, what: str) -> None:
        remark = Remark("flagged", what, self.cell)
        known = any(one.kind == "flagged" and one.what == remark.what for one in self.seen.remarks)
        if not known and len(self.seen.remarks) < 20:
            self.seen.remarks.append(remark)

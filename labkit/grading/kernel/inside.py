"""`python -m labkit.grading.kernel.inside SOCKET CONNECTION`: the student's kernel, in its sandbox.

Here `labkit.connect` gives a lab whose verbs the grader carries out, outside, on its own cluster. Nothing in
this process is trusted, so nothing in it needs to be: a student who changes it changes what they see, not
what the grader does. It has no network, no kubeconfig, and nobody else's files.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import labkit
from labkit import course, errors
from labkit.evidence.states import States
from labkit.grading.judging.codec import KIND, WORD, Codec
from labkit.grading.kernel import limits
from labkit.grading.kernel.wire import SENT, Line
from labkit.view.notebook import show
from labkit.view.prediction import Prediction, predict
from labkit.view.refusal import Attempt, Refusal

STAMP = "as the grader runs it"
LONGEST = 64 * 2**20  # bytes of what the grader says at once: 1,000 nodes are 5 MB


class Taker(Codec):
    """The student's side: remembers which of its copies has which number."""

    records = SENT

    def __init__(self, grader: Grader) -> None:
        self._grader = grader
        self._numbers: dict[int, tuple[Any, int]] = {}
        self.functions: list[Callable[..., Any]] = []

    def encode(self, value: Any) -> Any:
        """What the grader gave goes back as its number."""
        kept, number = self._numbers.get(id(value), (None, 0))
        return {KIND: "ref", "n": number} if kept is value and kept is not None else super().encode(value)

    def other(self, value: Any) -> Any:
        """Proxies by number, functions by ours; paths as texts."""
        if isinstance(value, Remote):
            return {KIND: "ref", "n": value.number}
        if callable(value):
            self.functions.append(value)
            return {KIND: "call", "n": len(self.functions) - 1}
        return str(value) if hasattr(value, "__fspath__") else super().other(value)

    def special(self, kind: str, data: Mapping[str, Any]) -> Any:
        """A numbered copy, or a proxy for what stays with the grader."""
        if kind != "ref":
            return super().special(kind, data)
        if "value" not in data:
            readable = {name: self.decode(value) for name, value in data["readable"].items()}
            return Remote(self._grader, data["n"], data["words"], readable)
        copy = self.decode(data["value"])
        self._numbers[id(copy)] = (copy, data["n"])
        return copy


class Grader:
    """The line to the grader."""

    def __init__(self, path: str) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        self._line = Line(connection, longest=LONGEST)
        self._taker = Taker(self)
        self.copies: dict[Path, str] = {}

    def close(self) -> None:
        """Say no more."""
        self._line.close()

    def changes(self, folder: Path) -> dict[str, Any]:
        """Which folder of the course a copy was made of, and the texts that are others in it."""
        name = self.copies.get(folder, "")
        texts = {path.relative_to(folder): path.read_text() for path in folder.rglob("*") if path.is_file()}
        changed = {str(p): text for p, text in texts.items() if _differs(course.root() / name / p, text)}
        return {"folder": name, "changed": changed}

    def sends(self, value: Any) -> bool:
        """Whether a value is something, and has a form in which it travels."""
        try:
            return value is not None and bool(self._taker.encode(value))
        except errors.BadInput:
            return False

    def call(self, on: int, do: str, args: tuple[Any, ...], words: Mapping[str, Any]) -> Any:
        """Let the grader do it; show what it shows, raise what it raises."""
        encode = self._taker.encode
        given = {"args": [encode(a) for a in args], "words": {k: encode(v) for k, v in words.items()}}
        self._line.send({"on": on, "do": do, **given})
        while "ask" in (reply := self._line.receive()):
            self._line.send({"answer": self._answer(reply)})
        for bundle in reply.get("shown", ()):
            _display(bundle)
        if "error" in reply:
            raise _error(reply["error"])
        return self._taker.decode(reply["value"])

    def _answer(self, reply: Mapping[str, Any]) -> Any:
        try:
            return Codec().encode(self._taker.functions[reply["ask"]](*Codec().decode(reply["args"])))
        except Exception as error:  # noqa: BLE001 - whatever a student's function raises is its answer
            return f"{type(error).__name__}: {error}"


VALUES = frozenset({"kube", "alive", "pid", "clock", "registry", "workshop"})
"""What notebooks read without calling it."""
NOTHING: Mapping[str, Any] = {}


class Remote:
    """What the grader keeps for us: a load that runs, a recording, the lab itself."""

    def __init__(
        self, grader: Grader, number: int, words: str, readable: Mapping[str, Any] = NOTHING
    ) -> None:
        self._grader = grader
        self.number = number
        self._words = words
        self._readable = readable

    def __repr__(self) -> str:
        return self._words

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._readable:
            return self._readable[name]
        if name in VALUES:
            return self._grader.call(self.number, name, (), {})
        if name == "build":
            return self._build
        return lambda *args, **words: self._grader.call(self.number, name, args, words)

    def _build(self, folder: Path, name: str) -> Any:
        """`build`, of a copy of the course's folder: the grader has its own, and is told what was changed."""
        return self._grader.call(self.number, "build", (self._grader.changes(folder), name), {})


class RemoteLab(Remote):
    """The lab; what needs nothing but what a student may see anyway is done here, in their own process."""

    def __init__(self, grader: Grader, seed: int) -> None:
        super().__init__(grader, 0, "lab, as the grader runs it")
        self._seed = seed

    def predict(self, question: str, answer: Any) -> Prediction:
        """As `Lab.predict`."""
        return predict(question, answer)

    def refused(self, check: str = "refused", *, because: str = "") -> Refusal:
        """As `Lab.refused`."""
        return Refusal(check, because=because)

    def attempt(self) -> Attempt:
        """As `Lab.attempt`."""
        return Attempt()

    def check(self, name: str, **given: Any) -> Any:
        """As `Lab.check`. Of the names below an argument, those that can't be sent are left out."""
        below = {key: value for key, value in given.pop(WORD, {}).items() if self._grader.sends(value)}
        return self._grader.call(0, "check", (name,), {**given, WORD: below} if below else given)

    def copy(self, folder: str) -> Path:
        """As `Lab.copy`, into a folder of this process's own."""
        made = course.copy(folder, into=Path(tempfile.mkdtemp()))
        self._grader.copies[made] = folder
        return made

    def trial(self, choice: Any, day: str) -> Any:
        """As `labkit.study.trial` does it: the grader does, since nobody else's bill is to be trusted."""
        return self._grader.call(0, "trial", (choice, day), {})

    def what_if(self, shape: Any, policy: Any, **options: Any) -> Any:
        """As `Lab.what_if`."""
        return self._model().ask(shape, policy, **options)

    def sweep(self, shape: Any, *, ttft: float, **options: Any) -> Any:
        """As `Lab.sweep`."""
        return self._model().sweep(shape, ttft=ttft, **options)

    def plot_frontier(self, found: Any, *, title: str, real: Mapping[str, Any] = NOTHING) -> None:
        """As `Lab.plot_frontier`."""
        show(self._model().picture(found, title=title, real=real))

    def plot_starts(self, starts: Mapping[str, Any], *, title: str) -> None:
        """As `Lab.plot_starts`."""
        from labkit.view import states  # noqa: PLC0415 - matplotlib, for those who draw

        rows = States(self.clock, {name: start.phases for name, start in starts.items()})
        show(states.picture(rows, title=title, stamp=STAMP))

    def _model(self) -> Any:
        from labkit.what_if import WhatIf  # noqa: PLC0415 - half a second, for those who ask

        return WhatIf(self.kube, self._seed, STAMP)


def _differs(path: Path, text: str) -> bool:
    return not path.is_file() or path.read_text() != text


def _display(bundle: Mapping[str, Any]) -> None:
    from IPython.display import display  # noqa: PLC0415 - the kernel has it by then

    display(dict(bundle), raw=True)


def _error(data: Mapping[str, str]) -> errors.LabError:
    kind = getattr(errors, data["kind"], errors.LabError)
    if kind is errors.WaitTimeout:
        return errors.LabError(data["what"], cause=data["cause"], fix=data["fix"])
    made: errors.LabError = kind(data["what"], cause=data["cause"], fix=data["fix"])
    return made


def main(path: str, connection: str) -> None:
    """Bound this process, put the grader's lab in its place, and become an IPython kernel."""
    limits.bound()
    labkit.connect = lambda **words: RemoteLab(Grader(path), int(words.get("seed", 0)))  # type: ignore[assignment]
    from ipykernel.kernelapp import launch_new_instance  # noqa: PLC0415 - bounded from here on

    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in (1, 2):
        os.dup2(nowhere, handle)  # the grader's own terminal is not for it
    launch_new_instance(argv=["-f", connection, "--IPKernelApp.capture_fd_output=False"])


if __name__ == "__main__":
    main(*sys.argv[1:3])

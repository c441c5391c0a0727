"""`python -m labkit_grading.kernel.inside SOCKET CONNECTION`: the student's kernel, in its sandbox.

Here `labkit.connect` returns a lab whose verbs the grader carries out, outside, on its own cluster. Nothing
in this process is trusted or needs to be: a student who changes it changes what they see, not what the
grader does. It has no network, no kubeconfig, and no one else's files.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import labkit
from labkit import course
from labkit.load import Workload
from labkit.view.prediction import Prediction, predict
from labkit.view.refusal import Attempt, Refusal
from labkit_grading.judging.codec import KIND, Codec
from labkit_grading.kernel import limits
from labkit_grading.kernel.wire import SENT, Line
from localcluster import errors

STAMP = "as the grader runs it"
LONGEST = 64 * 2**20  # bytes of one message from the grader: 1,000 nodes are 5 MB


class StudentCodec(Codec):
    """The student's side: remembers the number of each of its copies."""

    records = SENT

    def __init__(self, grader: Grader) -> None:
        self._grader = grader
        self._numbers: dict[int, tuple[Any, int]] = {}

    def encode(self, value: Any) -> Any:
        """What came from the grader goes back as its number."""
        kept, number = self._numbers.get(id(value), (None, 0))
        return {KIND: "ref", "n": number} if kept is value and kept is not None else super().encode(value)

    def other(self, value: Any) -> Any:
        """Proxies go by their number, paths as text."""
        if isinstance(value, Remote):
            return {KIND: "ref", "n": value._number}  # noqa: SLF001 - no public name of it may hide one of the object's
        return str(value) if hasattr(value, "__fspath__") else super().other(value)

    def special(self, kind: str, data: Mapping[str, Any]) -> Any:
        """Decode a numbered copy, or a proxy for an object that stays with the grader."""
        if kind != "ref":
            return super().special(kind, data)
        if "value" not in data:
            readable = {name: self.decode(value) for name, value in data["readable"].items()}
            return Remote(self._grader, data["n"], data["words"], readable)
        copy = self.decode(data["value"])
        self._numbers[id(copy)] = (copy, data["n"])
        return copy


class Grader:
    """The connection to the grader."""

    def __init__(self, path: str) -> None:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        self._line = Line(connection, longest=LONGEST)
        self._codec = StudentCodec(self)
        self.copies: dict[Path, str] = {}

    def close(self) -> None:
        """Say no more."""
        self._line.close()

    def changes(self, folder: Path) -> dict[str, Any]:
        """Which folder of the course was copied, and which texts in the copy have changed."""
        name = self.copies.get(folder, "")
        texts = {path.relative_to(folder): path.read_text() for path in folder.rglob("*") if path.is_file()}
        changed = {str(p): text for p, text in texts.items() if _differs(course.root() / name / p, text)}
        return {"folder": name, "changed": changed}

    def call(self, on: int, do: str, args: tuple[Any, ...], words: Mapping[str, Any]) -> Any:
        """Have the grader do it; show what it shows, raise what it raises."""
        encode = self._codec.encode
        given = {"args": [encode(a) for a in args], "words": {k: encode(v) for k, v in words.items()}}
        self._line.send({"on": on, "do": do, **given})
        reply = self._line.receive()
        for bundle in reply.get("shown", ()):
            _display(bundle)
        if "error" in reply:
            raise _error(reply["error"])
        return self._codec.decode(reply["value"])


VALUES = frozenset({"alive", "clock", "faults", "images", "kube", "nodes", "registry"})
"""What notebooks read without calling it: what has a `value` in the table of verbs."""
NOTHING: Mapping[str, Any] = {}


class Remote:
    """A proxy for what the grader keeps: a running load, a recording, the lab itself.

    Its own names begin with `_`: any other could be one of the object's, such as a layer's `number`.
    """

    def __init__(
        self, grader: Grader, number: int, words: str, readable: Mapping[str, Any] = NOTHING
    ) -> None:
        self._grader = grader
        self._number = number
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
            return self._grader.call(self._number, name, (), {})
        if name == "build":
            return self._build
        return lambda *args, **words: self._grader.call(self._number, name, args, words)

    def _build(self, folder: Path, name: str, **words: Any) -> Any:
        """`build` from a copy of a course folder: the grader uses its own, and gets only the changes."""
        return self._grader.call(self._number, "build", (self._grader.changes(folder), name), words)


@dataclass(frozen=True)
class About:
    """What the course's model needs from a `Session`."""

    seed: int
    stamp: str = STAMP


@dataclass(frozen=True)
class Recorded:
    """What a check is in a graded run: the same whatever was right or wrong."""

    id: str
    passed: None = None
    points: None = None
    inconclusive: None = None
    state: str = "recorded"
    expected: str = ""
    observed: str = "recorded; judged after the notebook has ended"
    hint: str = ""


class RemoteLab(Remote):
    """The lab. What needs only data that a student is allowed to see is done here, in their own process."""

    def __init__(self, grader: Grader, seed: int) -> None:
        super().__init__(grader, 0, "lab, as the grader runs it")
        self.session = About(seed)

    def predict(self, question: str, answer: Any) -> Prediction:
        """As `Lab.predict`."""
        return predict(question, answer)

    def refused(self, check: str = "refused", *, because: str = "") -> Refusal:
        """As `Lab.refused`."""
        return Refusal(check, because=because)

    def attempt(self) -> Attempt:
        """As `Lab.attempt`."""
        return Attempt()

    def check(self, name: str, **given: Any) -> Recorded:
        """Name a check's recordings to the grader, which says nothing: it judges when all has ended."""
        words = {key: None if callable(value) else value for key, value in given.items()}
        self._grader.call(0, "check", (name,), words)
        return Recorded(name)

    def copy(self, folder: str) -> Path:
        """As `Lab.copy`, into a folder of this process's own."""
        made = course.copy(folder, into=Path(tempfile.mkdtemp()))
        self._grader.copies[made] = folder
        return made

    def trial(self, choice: Any, day: str) -> Any:
        """As `course.study.trial`, but done by the grader, since only its own bill can be trusted."""
        return self._grader.call(0, "trial", (choice, day), {})

    def what_if(self, shape: Any, policy: Any, **options: Any) -> Any:
        """As `course.hpa.what_if`; for a file or a number, the grader asks, so that a check can use it.

        What no check uses, other requests or a gateway, is asked here.
        """
        usual = options["gateway"] is None and options["workload"] == Workload()
        if usual and isinstance(policy, int | str | Path):
            words = {name: options[name] for name in ("play", "target") if options[name] is not None}
            return self._grader.call(0, "what_if", (shape, policy, options["seconds"]), words)
        from course.hpa.model import WhatIf  # noqa: PLC0415 - half a second, for those who ask

        return WhatIf(self.kube, self.session.seed, STAMP).ask(shape, policy, **options)

    def why(self, run: Any, *, title: str, hpa: str) -> None:
        """As `course.hpa.why`, but done by the grader, since audit logs show what others did, too."""
        self._grader.call(0, "why", (run,), {"title": title, "hpa": hpa})


def _differs(path: Path, text: str) -> bool:
    return not path.is_file() or path.read_text() != text


def _display(bundle: Any) -> None:
    from IPython.display import display  # noqa: PLC0415 - the kernel has it by then

    data, metadata = bundle if isinstance(bundle, list) else (bundle, {})  # a picture's has its alt text
    display(data, metadata=metadata, raw=True)


def _error(data: Mapping[str, str]) -> errors.LabError:
    kind = getattr(errors, data["kind"], errors.LabError)
    if kind is errors.WaitTimeout:
        return errors.LabError(data["what"], cause=data["cause"], fix=data["fix"])
    made: errors.LabError = kind(data["what"], cause=data["cause"], fix=data["fix"])
    return made


def main(path: str, connection: str) -> None:
    """Limit this process, replace `labkit.connect` by the grader's lab, and become an IPython kernel."""
    limits.bound()
    grader = cache(partial(Grader, path))  # the grader serves one connection: a second `connect` shares it
    labkit.connect = lambda **words: RemoteLab(grader(), int(words.get("seed", 0)))  # type: ignore[assignment]
    from ipykernel.kernelapp import launch_new_instance  # noqa: PLC0415 - bounded from here on

    from labkit_grading.kernel.handing import handing_over  # noqa: PLC0415 - the same

    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in (1, 2):
        os.dup2(nowhere, handle)  # keep it off the grader's own terminal
    launch_new_instance(
        argv=["-f", connection, "--IPKernelApp.capture_fd_output=False"], kernel_class=handing_over()
    )


if __name__ == "__main__":
    main(*sys.argv[1:3])

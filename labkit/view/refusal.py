"""An expected refusal, and an attempt that may fail: both show what the cluster said, and go on.

`with lab.refused(): …` refuses to hide that nothing was refused: then a verdict says so.
`with lab.attempt(): …` judges nothing: a check below it does. An API server that did not answer at all is an
error, and stays one.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from labkit.errors import BadInput, LabError, Refused, Unreachable
from labkit.evidence import Verdict
from labkit.view.notebook import show
from labkit.view.verdict import Note, Shown


class Refusal:
    """What was refused: `error` is None until something was; `because` must stand in the server's words."""

    def __init__(self, check: str = "refused", *, because: str = "") -> None:
        self.check = check
        self.because = because
        self.error: LabError | None = None

    @property
    def message(self) -> str:
        """The server's own words; empty where it refused nothing."""
        return self.error.what if self.error else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Unreachable) or (error is not None and not isinstance(error, LabError)):
            return False
        self.error = error
        if isinstance(error, Refused):
            show(told(error))
        if self.check != "refused" or not isinstance(error, Refused):
            show(Shown(self.verdict()))
        return True

    def verdict(self) -> Verdict:
        """Passed where the API server said no, for the reason that was expected."""
        expected = "the API server refuses" + (f", and says {self.because!r}" if self.because else "")
        if self.error is None:
            hint = "Compare the manifest with the one in the text: does it still hold the mistake?"
            return Verdict(self.check, passed=False, expected=expected, observed="it was accepted", hint=hint)
        if not isinstance(self.error, Refused):
            asked = not isinstance(self.error, BadInput)
            observed = f"{'' if asked else 'never asked the server: '}{self.error.what}"
            return Verdict(
                self.check, passed=False, expected=expected, observed=observed, hint=self.error.fix
            )
        right = self.because.lower() in self.error.what.lower()
        return Verdict(
            self.check,
            passed=right,
            expected=expected,
            observed=self.error.what,
            hint="" if right else "It was refused for another reason: mend that first.",
        )


class Attempt:
    """What a learner's own file meets on its way: shown where it fails, for a check to judge."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, LabError) or isinstance(error, Unreachable):
            return False
        show(told(error))
        return True


def told(error: LabError) -> Note:
    """The error in full, as a message: what, why, and what to do."""
    refused = f"Refused ({error.reason or 'by the API server'}): " if isinstance(error, Refused) else ""
    lines = [f"{refused}{error.what}"]
    lines += [f"Likely cause: {error.cause}"] if error.cause else []
    lines += [f"Fix: {error.fix}"] if error.fix else []
    return Note("\n".join(lines), colour="#E69F00")

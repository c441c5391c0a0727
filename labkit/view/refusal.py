"""An expected refusal, and an attempt that might fail: both show what the cluster said, and continue.

If nothing was refused within `with lab.refused(): …`, a verdict says so. `with lab.attempt(): …` judges
nothing: the check below it does. If the API server did not answer at all, that remains an error.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from labkit.errors import BadInput, LabError, Refused, Unreachable, typed
from labkit.evidence import Verdict
from labkit.view.notebook import show
from labkit.view.verdict import Note, Shown


class Refusal:
    """What was refused. `error` is None until something was; the server's message must contain `because`."""

    def __init__(self, check: str = "refused", *, because: str = "") -> None:
        self.check = check
        self.because = because
        self.error: LabError | None = None

    @property
    def message(self) -> str:
        """The server's own message; empty if it refused nothing."""
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
        """Passed if the API server refused for the expected reason."""
        expected = "the API server refuses" + (f", and says {self.because!r}" if self.because else "")
        if self.error is None:
            hint = "Compare the manifest with the one in the text: does it still contain the mistake?"
            return Verdict(self.check, passed=False, expected=expected, observed="it was accepted", hint=hint)
        if not isinstance(self.error, Refused):
            asked = not isinstance(self.error, BadInput)
            observed = f"{'' if asked else 'not sent to the server: '}{self.error.what}"
            return Verdict(
                self.check, passed=False, expected=expected, observed=observed, hint=typed(self.error.fix)
            )
        right = self.because.lower() in self.error.what.lower()
        return Verdict(
            self.check,
            passed=right,
            expected=expected,
            observed=self.error.what,
            hint="" if right else "It was refused for another reason: fix that first.",
        )


class Attempt:
    """An attempt with a learner's own file: if it fails, the error is shown, for a check to judge."""

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
    details = error.details if isinstance(error, Refused) else ""
    return Note(typed("\n".join(lines)), colour="#E69F00", details=details)

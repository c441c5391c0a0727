"""One request of a load test, as the journal keeps it.

Times are lab seconds since the start. Waiting counts from the moment a request was *due*, so a late generator
never hides a wait. A failure has a kind instead of a latency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from localcluster.stored import made


@dataclass(frozen=True)
class Row:
    """One request. `outcome` is `ok` or the kind of failure.

    `refused` (nothing listens), `reset` (closed before any answer), `http_503` and the like, `broken`
    (cut before `[DONE]`), `timeout`, `tls`, `error` (sent within the stream), `protocol` (invalid); and
    two that are not the server's: `abandoned` (the run ended first), `not_sent` (too many were in flight).
    """

    id: int
    due: float
    sent: float
    end: float
    outcome: str
    first: float | None = None
    itl: float | None = None  # mean time between tokens: (last - first) / tokens after the first event
    gap: float = 0.0  # longest silence between two events
    tokens_in: int = 0
    tokens_out: int = 0
    events: int = 0
    counted: bool = True  # the server gave a token count; if not, tokens_out is the number of events
    status: int = 0
    pod: str = ""
    version: str = ""  # version of the model that answered
    user: int = -1
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the whole answer arrived."""
        return self.outcome == "ok"

    @property
    def failed(self) -> bool:
        """Whether the server's side failed it."""
        return self.outcome not in {"ok", "abandoned", "not_sent"}

    @property
    def lag(self) -> float:
        """How late the generator sent the request."""
        return max(0.0, self.sent - self.due)

    @property
    def ttft(self) -> float | None:
        """Time to first token, counted from when the request was due; None if no token came."""
        return None if self.first is None else self.first - self.due

    @property
    def e2e(self) -> float:
        """Time to the end, counted from when the request was due."""
        return self.end - self.due

    @classmethod
    def of(cls, line: dict[str, Any]) -> Row:
        """Build a row from a line of the journal."""
        names = {"in": "tokens_in", "out": "tokens_out"}
        renamed = {names.get(key, key): value for key, value in line.items()}
        return made(cls, renamed, newer=True)

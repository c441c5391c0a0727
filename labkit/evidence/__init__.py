"""What was observed while a notebook ran: series over lab time, their recorder, and check verdicts."""

from labkit.evidence.bill import Bill, bill
from labkit.evidence.curves import Curves
from labkit.evidence.outcomes import outcomes
from labkit.evidence.quantity import average_of, plainly, quantity
from labkit.evidence.timeline import Event, Timeline
from labkit.evidence.verdict import MIME, RUN_MIME, Verdict, could_not_run
from labkit.metrics.series import Series

__all__ = [
    "MIME",
    "RUN_MIME",
    "Bill",
    "Curves",
    "Event",
    "Series",
    "Timeline",
    "Verdict",
    "average_of",
    "bill",
    "could_not_run",
    "outcomes",
    "plainly",
    "quantity",
]

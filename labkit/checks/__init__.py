"""The checks of the course: pure functions from what was observed to a `Verdict`."""

from labkit.checks import containerize, deploy, hpa_cpu, hpa_queue, load, start
from labkit.checks.check import Check, Finding
from labkit.errors import BadInput
from labkit.evidence import Verdict

_NOTEBOOKS = (start, containerize, deploy, load, hpa_cpu, hpa_queue)
CHECKS: dict[str, Check] = {check.id: check for notebook in _NOTEBOOKS for check in notebook.CHECKS}


def get(check: str) -> Check:
    """The check of that name; raises `BadInput` with the names of its notebook where there is none."""
    if check not in CHECKS:
        near = [name for name in CHECKS if name[:2] == check[:2]] or sorted(CHECKS)
        raise BadInput(
            f"There is no check called {check!r}.", fix=f"Checks of this notebook: {', '.join(near)}."
        )
    return CHECKS[check]


__all__ = ["CHECKS", "Check", "Finding", "Verdict", "get"]

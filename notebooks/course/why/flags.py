"""The controller manager's flags that decide about scaling, from a command line; else Kubernetes' defaults.

https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from course.hpa.answers import length
from course.hpa.policy import Controller
from labkit.errors import BadInput

PREFIX = "--horizontal-pod-autoscaler-"
FIELDS = {
    "sync-period": "sync",
    "tolerance": "tolerance",
    "downscale-stabilization": "downscale_stabilization",
    "initial-readiness-delay": "readiness_delay",
    "cpu-initialization-period": "cpu_initialization",
}
"""The flag, without its prefix, and the field of `Controller`."""
_DURATION = re.compile(r"(\d+(\.\d*)?(h|ms|m|s|us|µs|ns))+|0")


@dataclass(frozen=True)
class Flags:
    """The flags; `known` says where they were read, and is empty if they are Kubernetes' defaults."""

    controller: Controller = field(default_factory=Controller)
    known: str = ""


def parse(words: Iterable[str], *, source: str) -> Flags:
    """The flags on a command line of kube-controller-manager; its other flags are skipped."""
    found: dict[str, float] = {}
    given = list(words)
    for place, word in enumerate(given):
        name, equals, value = word.partition("=")
        which = FIELDS.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
        if which is not None:
            found[which] = _value(name, value if equals else "".join(given[place + 1 : place + 2]))
    return Flags(replace(Controller(), **found), known=source)


def _value(name: str, value: str) -> float:
    try:
        if name.endswith("tolerance"):
            return float(value)
        if _DURATION.fullmatch(value):
            return length(value)
    except ValueError:
        pass
    wanted = "a number such as 0.1" if name.endswith("tolerance") else "a duration such as 15s or 5m0s"
    raise BadInput(
        f"{name}={value} can't be read.",
        cause=f"This flag takes {wanted}.",
        fix="Write the flags as the controller manager's own command line has them.",
    )

"""One record for each verb of the lab and of its results: what it does, and how grading handles it.

A verb without a record is refused, and so is one that only other processes need (`refused`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit_grading.verbs.confined import CallArgs, Confined, Words

Rule = Callable[[Confined, list[Any], Words], CallArgs]


@dataclass(frozen=True)
class Verb:
    """What a verb does to a cluster, and who does it for a student's process."""

    rule: Rule = Confined.as_given
    """Checks its arguments."""
    changes: bool = False
    """It changes objects, so checks before and after it see different ones."""
    spreads: bool = False
    """What it does outlives a reset of the namespace: nodes, APIs, the registry."""
    needs: str = ""
    """What not every provider has: a registry, access to processes of pods, audit logs."""
    value: bool = False
    """Read, not called."""
    local: bool = False
    """The student's own process does it, with what the grader shows anyway."""
    course: bool = False
    """A function of the course, of the study or the HPA's model, that the grader carries out."""
    refused: bool = False
    """Not available in a graded run."""
    counted: bool = False
    """Returns plain data that the grader itself counted or read."""
    graders: bool = False
    """Evidence, or a fresh namespace: done with the grader's own rights where a student's are narrower."""


REGISTRY, PROCESSES, AUDIT = "registry", "processes", "audit"
PLAIN = Verb(Confined.plain)
HERE = Verb(local=True)
SHOWN = Verb()
VERBS: Mapping[str, Verb] = {
    "answering": Verb(counted=True),
    "apply": Verb(Confined.apply, changes=True),
    "attempt": HERE,
    "check": SHOWN,
    "clock": Verb(value=True),
    "copy": HERE,
    "curl": Verb(Confined.curl),
    "delete": Verb(Confined.delete, changes=True),
    "doctor": Verb(Confined.plain, graders=True),
    "faults": Verb(value=True),
    "faults.kill": Verb(Confined.plain, changes=True, needs=PROCESSES),
    "faults.lift": Verb(changes=True),
    "faults.plant": Verb(Confined.plant, changes=True, spreads=True),
    "follow": Verb(Confined.plain, graders=True),
    "follow.stop": SHOWN,
    "get": Verb(Confined.get),
    "gateway": Verb(Confined.gateway, changes=True, spreads=True),
    "images": Verb(value=True),
    "images.build": Verb(Confined.build, needs=REGISTRY),
    "images.digest": Verb(Confined.digest, needs=REGISTRY, counted=True),
    "images.login": Verb(Confined.login, needs=REGISTRY),
    "images.pull_secret": Verb(Confined.pull_secret, changes=True, needs=REGISTRY),
    "images.push": Verb(Confined.push, spreads=True, needs=REGISTRY),  # a registry never forgets
    "images.registry": Verb(value=True, needs=REGISTRY),
    "images.tag": Verb(Confined.tag, needs=REGISTRY),
    "keda": Verb(changes=True, spreads=True),
    "kube": Verb(value=True),
    "kube.clock": Verb(value=True),
    "kube.object": PLAIN,
    "kube.objects": PLAIN,
    "kubectl": Verb(Confined.kubectl, changes=True),
    "load": Verb(Confined.load, changes=True),
    "load.alive": Verb(value=True),
    "load.progress": SHOWN,
    "load.result": SHOWN,
    "load.stop": SHOWN,
    "load.wait": SHOWN,
    "manifest": Verb(Confined.one_file, counted=True),
    "metrics": SHOWN,
    "nodes": Verb(value=True),
    "nodes.kwok": Verb(Confined.kwok, changes=True, spreads=True),
    "nodes.plug_in": Verb(Confined.plug_in, changes=True, spreads=True),
    "nodes.start": Verb(Confined.machine, changes=True, spreads=True),
    "nodes.stop": Verb(Confined.machine, changes=True, spreads=True),
    "pace": Verb(graders=True),
    "pace.stop": SHOWN,
    "plot": SHOWN,
    "pods": SHOWN,
    "predict": HERE,
    "prometheus": Verb(refused=True),
    "record": Verb(Confined.plain, graders=True),
    "record.mark": SHOWN,
    "record.reach": SHOWN,
    "record.stop": SHOWN,
    "refused": HERE,
    "requests_by_pod": Verb(counted=True),
    "reset": Verb(changes=True, graders=True),
    "show": PLAIN,
    "table": SHOWN,
    "time_start": Verb(graders=True),
    "time_start.first_token": SHOWN,
    "trial": Verb(Confined.trial, course=True, changes=True),
    "until": SHOWN,
    "until_healthy": SHOWN,
    "until_metric": SHOWN,
    "url": PLAIN,
    "watch": Verb(Confined.watch),
    "what_if": Verb(Confined.what_if, course=True, graders=True),
    "what_if.attainment": SHOWN,
    "what_if.replica_seconds": SHOWN,
    "what_if.ttft": SHOWN,
    "why": Verb(Confined.why, course=True, needs=AUDIT),
}
"""By name: `apply`; `kube.object` of a part of the lab, `load.stop` of what `lab.load` gave."""


def allowed(name: str, confined: Confined, args: list[Any], words: Words) -> CallArgs:
    """The arguments as the verb gets them; raises `BadInput` for any that no cell of the course uses."""
    verb = VERBS[name]
    given = verb.rule(confined, args, words)
    confined.spread |= verb.spreads
    confined.stay(name)
    return given

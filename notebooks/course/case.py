"""A stored observation as a table of what each hop said: a case for the learner to judge.

>>> lab.table(case.read("manifests/05-hpa-queue/cases/colleague.json"), wraps="seen")

It gives no verdict; `labkit.doctor.pipeline` would.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from labkit import course
from labkit.doctor import subject
from labkit.doctor.facts import Observation
from labkit.doctor.pipeline import HOPS
from labkit.doctor.scraping import NEEDED
from labkit.metrics.series import selector
from localcluster.stored import made

SHOWN = ("__name__", *NEEDED)


def load(path: str) -> Observation:
    """The observation in a file of the course."""
    return made(Observation, json.loads(course.existing(path).read_text())["seen"])


def read(path: str) -> list[dict[str, str]]:
    """One row for each thing observed, from the pods to the Deployment."""
    seen = load(path)
    told = dict(zip((hop.name for hop in HOPS), map(list, _told(seen)), strict=True))
    return [{"hop": hop, "seen": line} for hop, lines in told.items() for line in lines]


def _told(seen: Observation) -> Iterable[Iterable[str]]:
    yield (f"{pod.name}: {'ready' if pod.ready else 'not ready'}, {_labels(pod.labels)}" for pod in seen.pods)
    yield (f"{page.pod}: {page.error or ', '.join(page.names)}" for page in seen.pages)
    yield (f"{target.pod}: {target.health} {target.error}".rstrip() for target in seen.prometheus.targets)
    yield (selector({label: series.get(label, "") for label in SHOWN}) for series in seen.prometheus.series)
    yield [", ".join(seen.api.names) or seen.api.names_error or "no names"]
    yield [
        *(f"{s.name}: Available={s.available} {s.reason}".rstrip() for s in seen.api.services),
        f"{subject.served_name(seen)}: {dict(seen.api.values) or seen.api.values_error or 'no values'}",
    ]
    yield (
        f"{hpa.name}: {c.type}={c.status} {c.reason}: {c.message}"
        for hpa in seen.autoscalers
        for c in hpa.conditions
    )
    yield (f"deployment/{w.name}: {w.replicas} replicas" for w in seen.workloads)


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in labels.items() if key != "pod-template-hash")

"""Mutants on a real cluster: a solution with one thing wrong is applied, and just its own check may say so.

First the solution itself, so that it is known which checks of the notebook hold in this situation; then the
mutant, and of these checks only its own may fail. Most mutants are judged on stored evidence: `examples`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labkit import checks, course
from labkit.errors import BadInput, LabError
from labkit.lab import Lab
from tests.course.findings import Problem

COFFEE = '{"status": {"capacity": {"example.com/coffee": %s}, "allocatable": {"example.com/coffee": %s}}}'
IMAGE = "registry.lab:5000/me/llm-inference:latest"
SERVERS, HPA = "deployment/llm-inference-service available", "hpa/llm-hpa ScalingActive"


@dataclass(frozen=True)
class Mutant:
    """`file` is a solution, and `change` makes the mutant of it; each is given until `ready` holds."""

    check: str
    file: str
    change: tuple[str, str] = ("", "")
    ready: tuple[str, ...] = ()
    first: str = ""
    """What has to stand before."""
    instead: str = ""
    """The mutant, where the course has it as a planted fault."""
    breaks: str = ""
    """What holds once the mutant has done its harm, where it keeps `ready` from holding."""
    anew: bool = False
    """A pod can't be changed: it has to be made again."""


MUTANTS = (
    Mutant(
        "00.coffee",
        "00-start/solutions/coffee.yaml",
        ("example.com/coffee: 2", "example.com/coffee: 1"),
        ("pod/coffee running",),
        anew=True,
    ),
    Mutant(
        "00.mended",
        "00-start/solutions/one-gpu.yaml",
        ("nvidia.com/gpu: 1", "nvidia.com/gpu: 2"),
        ("pod/one-gpu running",),
        anew=True,
    ),
    Mutant(
        "00.all-placed",
        "00-start/solutions/as-many-as-fit.yaml",
        ("replicas: 12", "replicas: 11"),
        ("deployment/thirteen-gpus available",),
    ),
    Mutant(
        "01.pulled",
        "01-containerize/solutions/pull.yaml",
        ("  imagePullSecrets:\n    - name: my-login\n", ""),
        ("pod/pulled running",),
        breaks="pods stuck=1",
        anew=True,
    ),
    Mutant(
        "02.deployment",
        "02-deploy/solutions/deployment.yaml",
        ("memory: 16Gi", "memory: 8Gi"),
        (SERVERS, "pods app=llm-model total=2"),
    ),
    Mutant(
        "03.batch",
        "03-load/solutions/batch-64.yaml",
        ("--max-num-seqs=64", "--max-num-seqs=32"),
        ("deployment/batch-64 available",),
    ),
    Mutant(
        "04.hpa",
        "04-hpa-cpu/solutions/hpa.yaml",
        ("averageUtilization: 80", "averageUtilization: 20"),
        (SERVERS, HPA),
        first="04-hpa-cpu/server",
    ),
    Mutant(
        "04.mended",
        "04-hpa-cpu/solutions/hpa.yaml",
        ready=(SERVERS, HPA),
        first="04-hpa-cpu/server",
        instead="04-hpa-cpu/faults/no-cpu-request",
        breaks="hpa/llm-hpa not ScalingActive",
    ),
    Mutant(
        "05.hpa",
        "05-hpa-queue/solutions/hpa.yaml",
        ("maxReplicas: 10", "maxReplicas: 9"),
        (SERVERS, HPA),
        first="overlays/embedded/server",
    ),
)


def of_notebook(number: str) -> list[Mutant]:
    """Those of one notebook (`05`)."""
    return [mutant for mutant in MUTANTS if mutant.check.startswith(f"{number}.")]


def problems(lab: Lab, mutant: Mutant) -> list[Problem]:
    """What is wrong with what the checks say of a mutant; leaves an empty namespace."""
    try:
        with fresh(lab):
            failed = failing_with(lab, mutant)
    except LabError as error:
        return [_not_tried(mutant, error)]
    wrong = dict.fromkeys({mutant.check} - failed, "holds although it is applied")
    wrong |= dict.fromkeys(failed - {mutant.check}, "fails for it, too")
    return [
        Problem(
            name,
            f"{told}: {mutant.instead or ' → '.join(mutant.change)!r} in {mutant.instead or mutant.file}",
            "The check was changed, or the solution.",
            f"Let {mutant.check} fail for it, and no other check of the notebook.",
        )
        for name, told in wrong.items()
    ]


@contextmanager
def fresh(lab: Lab) -> Iterator[None]:
    """As every notebook begins; one node announces coffee, and notebook 01's image is in the registry."""
    lab.reset()
    lab.images.login(lab.images.registry.username, lab.images.registry.password)
    lab.images.tag("registry.lab:5000/llm-inference:1.0", IMAGE)
    lab.images.push(IMAGE)
    lab.images.pull_secret("my-login")
    patch = ("patch", "node/cpu-node-1", "--subresource=status", "--type=merge", "-p")
    lab.kube.kubectl(*patch, COFFEE % ('"3"', '"3"'))
    try:
        yield
    finally:
        lab.kube.kubectl(*patch, COFFEE % ("null", "null"))
        lab.reset()


def failing_with(lab: Lab, mutant: Mutant) -> set[str]:
    """The checks of the notebook that hold with the solution and no longer with the mutant."""
    file = course.path(f"manifests/{mutant.file}")
    if mutant.first:
        lab.apply(f"manifests/{mutant.first}")
    lab.apply(file)
    lab.until(*mutant.ready, seconds=120)
    passing = alike(mutant.check) - failing(lab, alike(mutant.check))
    if mutant.check not in passing:
        raise BadInput(f"{mutant.check} fails with its solution.", fix=f"Look at {mutant.file}.")
    if mutant.anew:
        lab.delete(file)
        lab.until("pods total=0", seconds=30)
    with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
        lab.apply(mutated(mutant, Path(folder)))
    lab.until(*([mutant.breaks] if mutant.breaks else mutant.ready), seconds=120)
    return failing(lab, passing)


def mutated(mutant: Mutant, folder: Path) -> Path:
    """Where the mutant lies; raises `BadInput` where the solution does not hold what it changes."""
    if mutant.instead:
        return course.path(f"manifests/{mutant.instead}")
    file = course.path(f"manifests/{mutant.file}")
    if mutant.change[0] not in file.read_text():
        raise BadInput(f"{file.name} holds no {mutant.change[0]!r}.", fix="Fix MUTANTS in on_lab.py.")
    (folder / file.name).write_text(file.read_text().replace(*mutant.change))
    return folder / file.name


def alike(check: str) -> set[str]:
    """The checks of the same notebook that look at objects only, so that they can be asked at any time."""
    return {c.id for c in checks.CHECKS.values() if c.notebook == check[:2] and c.kind == "state"}


def failing(lab: Lab, names: set[str]) -> set[str]:
    """Those that don't hold at this moment."""
    return {name for name in names if not lab.check(name).passed}


def _not_tried(mutant: Mutant, error: LabError) -> Problem:
    return Problem(mutant.check, f"its mutant could not be tried: {error.what}", error.cause, error.fix)

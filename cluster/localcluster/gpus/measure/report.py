"""The results of a measurement: the profile, and a page that compares it with the roofline.

What can't be measured without a server (imports, compilation, a server's host CPU) stays an assumption, and
the profile says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localcluster.errors import BadInput
from localcluster.gpus import roofline
from localcluster.gpus.fit import Fit, Sample, coefficients
from localcluster.gpus.measure.shape import Shape
from localcluster.gpus.profile import GpuPart, ModelPart, Profile, to_toml
from localcluster.gpus.roofline import Figures

ASSUMED = "startup phases, host_cpu: of a vLLM server, see assumptions.toml"
HEADER = "# Measured by `python -m localcluster.gpus.measure`: see data/gpu/README.md.\n"


@dataclass(frozen=True)
class Subject:
    """What was measured: the card, the model and its shape, and the circumstances."""

    gpu: GpuPart
    model: str
    shape: Shape
    circumstances: Mapping[str, Any]
    """`machine`, `versions`, `date`, and what else a reader should know."""


@dataclass(frozen=True)
class Memory:
    """Measured MiB; None if there is only the assumption."""

    context_mib: int | None
    activation_mib: int | None


def profile(
    subject: Subject, fitted: Fit, *, memory: Memory, weights_per_second: Mapping[str, float]
) -> Profile:
    """The profile, with the assumptions in the places that were not measured."""
    assumed = Figures.read().assumptions
    known = {name: value for name, value in vars(memory).items() if value is not None}
    speeds = {**assumed["startup"]["weights_bytes_per_second"], **weights_per_second}
    bytes_each = assumed["bytes_per_parameter"]
    shape = subject.shape
    return Profile(
        name=roofline.profile_name(subject.gpu.product, subject.model),
        source="measured",
        gpu=subject.gpu,
        model=ModelPart(
            subject.model,
            shape.parameters * bytes_each,
            shape.kv_elements_per_token * assumed["bytes_per_kv_element"],
            _max_model_len(subject.model),
        ),
        step=fitted.step,
        memory={**assumed["memory"], **known},
        startup={**assumed["startup"], "weights_bytes_per_second": speeds},
        host_cpu=assumed["host_cpu"],
        fit=_fit_table(subject, fitted),
    )


def text(made: Profile) -> str:
    """The profile's file."""
    return HEADER + to_toml(made)


def predicted(made: Profile) -> Profile | None:
    """The roofline of the same card and model; None if there are no published figures."""
    try:
        return roofline.profile(made.gpu.product, made.model.id)
    except BadInput:
        return None


def page(made: Profile, samples: Sequence[Sample]) -> str:
    """Markdown: coefficients and steps, measured, fitted and by the roofline."""
    beside = predicted(made)
    facts = [f"- {name}: {value}" for name, value in made.fit.items() if not isinstance(value, Mapping)]
    heads = ("coefficient", "measured", "roofline", "measured / roofline")
    theirs = coefficients(beside.step) if beside else {}
    rows = [
        (name, f"{value:.4g}", *_ratio(value, theirs.get(name)))
        for name, value in coefficients(made.step).items()
    ]
    steps = [_step_row(sample, made, beside) for sample in samples]
    names = ("step", "measured (ms)", "fit (ms)", "off", "roofline (ms)", "measured / roofline")
    parts = [f"# {made.name}", "\n".join(facts), _table(heads, rows), _table(names, steps)]
    if beside is None:
        parts.append(
            f"data/gpu/ has no published figures for {made.gpu.product}, so there is no roofline "
            "to compare with."
        )
    return "\n\n".join(parts) + "\n"


def _fit_table(subject: Subject, fitted: Fit) -> dict[str, Any]:
    return {
        **subject.circumstances,
        "samples": len(fitted.errors),
        "median_relative_error": fitted.median_relative_error,
        "max_relative_error": fitted.max_relative_error,
        "assumed": ASSUMED,
    }


def _max_model_len(model: str) -> int:
    entry = Figures.read().models.get(model)
    return int(entry["max_model_len"]) if entry else 2048


def _step_row(sample: Sample, made: Profile, beside: Profile | None) -> tuple[str, ...]:
    fit_s = sample.predicted(made.step)
    roof = sample.predicted(beside.step) * 1e3 if beside else None
    each = sample.context // sample.sequences
    what = f"prefill {sample.tokens}" if sample.is_prefill else f"decode {sample.sequences} × {each}"
    off = f"{fit_s / sample.seconds - 1:+.1%}"
    return (
        what,
        f"{sample.seconds * 1e3:.3f}",
        f"{fit_s * 1e3:.3f}",
        off,
        *_ratio(sample.seconds * 1e3, roof),
    )


def _ratio(mine: float, theirs: float | None) -> tuple[str, str]:
    return ("–", "–") if theirs is None else (f"{theirs:.4g}", f"{mine / theirs:.2f}" if theirs else "–")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])

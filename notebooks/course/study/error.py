"""How far off the what-if model is: each cell of a study simulated, next to the cluster's results.

A run is one throw of the dice, and so is a play of the model: means over a cell's runs are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from course.hpa.comparison import Figure
from course.hpa.setting import Setting
from course.hpa.simulator import Outcome
from course.study import table
from course.study.days import DAYS
from course.study.plan import POLICIES
from course.study.record import Run
from labkit.load import Load, Open

PLAYS = 3  # plays of the model for each run on the cluster


def errors(setting: Setting, runs: Sequence[Run]) -> Iterator[tuple[str, str, tuple[Figure, ...]]]:
    """Load, policy, and their figures (replica-seconds, GPU-seconds, in time): cluster against model."""
    for load, policy in dict.fromkeys((run.load, run.policy) for run in runs if run.conclusive):
        mine = [run for run in runs if (run.load, run.policy) == (load, policy) and run.conclusive]
        yield load, policy, _figures(setting, mine)


def rows(setting: Setting, runs: Sequence[Run]) -> list[dict[str, str]]:
    """The errors as rows of a table."""
    return [
        {"load": load, "policy": policy} | {figure.name: _cell(figure) for figure in figures}
        for load, policy, figures in errors(setting, runs)
    ]


def markdown(setting: Setting, runs: Sequence[Run]) -> str:
    """The study in nine lines of Markdown: the cluster's results, and how far off the model is."""
    head = ("load", "policy", "runs", "in time", "GPU-seconds", "model: in time", "model: replica-seconds")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    means = {(row["load"], row["policy"]): row for row in table.rows(runs)}
    for load, policy, (replicas, _, share) in errors(setting, runs):
        row = means[load, policy]
        off = (f"{100 * share.error:+.1f} points", f"{replicas.error:+.1%}")
        shown = (load, policy, row["runs"], row["in time"], row["GPU-seconds"], *off)
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)


def _figures(setting: Setting, runs: Sequence[Run]) -> tuple[Figure, ...]:
    day = DAYS[runs[0].load]
    plays = [outcome for run in runs for outcome in _plays(setting, run)]

    def figure(name: str, real: Callable[[Run], float], model: Callable[[Outcome], float]) -> Figure:
        found = [model(outcome) for outcome in plays]
        relative = name != "in time"
        return Figure(name, fmean(real(run) for run in runs), fmean(found), min(found), max(found), relative)

    return (
        figure("replica-seconds", lambda r: r.replica_seconds(day.seconds), lambda o: o.replica_seconds()),
        figure("GPU-seconds", lambda r: r.gpu_seconds, lambda o: o.gpu_seconds),
        figure("in time", lambda r: r.attainment, lambda o: o.attainment(ttft=day.ttft)),
    )


def _plays(setting: Setting, run: Run) -> Iterator[Outcome]:
    day = DAYS[run.load]
    load = Load(url="http://127.0.0.1", shape=Open(day.arrivals(run.seed)), seed=run.seed)
    for play in range(PLAYS):
        yield setting.ask(load, POLICIES[run.policy], seconds=day.seconds, seed=PLAYS * run.seed + play)


def _cell(figure: Figure) -> str:
    shown = "{:,.0f}" if figure.relative else "{:.0%}"
    error = f"{figure.error:+.1%}" if figure.relative else f"{100 * figure.error:+.1f} points"
    return f"{shown.format(figure.real)} → {shown.format(figure.model)} ({error})"

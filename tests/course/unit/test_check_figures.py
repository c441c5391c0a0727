"""Figures: what a check works out of recordings is judged like the figure itself, under its old name."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import starmap
from typing import Any

import pytest

from course.checks.containerize import NEWLINE
from course.hpa.policy import Policy
from course.hpa.setting import policy_of
from course.queueing import load_point
from course.study import journal
from course.study.trial import Trial
from labkit import checks
from labkit.checks.check import PARTLY, UNANSWERED, Check, Figure, Finding
from labkit.errors import BadInput
from labkit.evidence import Series, Timeline, bill
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.states import Span
from labkit.load import LoadResult
from labkit.metrics.series import Rows, Sample
from labkit_grading.judging.sources import queries
from labkit_grading.submissions.released import assignment
from localcluster.gpus.roofline import Figures
from localcluster.images.manifest import Descriptor, Manifest
from localcluster.images.reference import parse
from localcluster.images.store import Image
from localcluster.images.workshop import Built, Push
from tests.course.examples import gateway, right
from tests.course.examples.load import LEVEL, OVERLOADED
from tests.course.examples.production import requests
from tests.course.examples.tuning import PICKED, modelled
from tests.grading.unit.grading_class import ROOT

USED, FREE = (f'DCGM_FI_DEV_FB_{kind}{{namespace="llm-lab"}}' for kind in ("USED", "FREE"))
COUNTER = 'max_over_time(vllm:num_preemptions_total{pod=~"batch-64-.*"}[20s])'
FULL = Series("vllm:kv_cache_usage_perc", "", ((0.0, 0.4), (15.0, 0.99)), "batch-64-x")


_MANIFEST = Manifest(Descriptor("application/json", "sha256:0", 2), ())
IMAGE = Built(
    Image(parse("me/llm-inference:2"), "sha256:" + sha256(_MANIFEST.write()).hexdigest(), _MANIFEST, {}), ()
)
_RUN = Timeline(15, "test", (Series("gpus", "", ((0.0, 2.0), (60.0, 4.0), (120.0, 4.0))),), began=100.0)
_LOAD = replace(OVERLOADED, started=100.0)
TRIAL = Trial(_RUN, _LOAD, bill(_RUN, _LOAD, ttft=10, seconds=120))


def lesson() -> Policy:
    found = policy_of("manifests/base/hpa.yaml")
    assert isinstance(found, Policy)
    return found


def rows(query: str, *values: float) -> Rows:
    return Rows(query, tuple(starmap(lambda n, v: Sample({"UUID": f"GPU-{n}"}, v, 1.0), enumerate(values))))


RECORDED: Mapping[str, Mapping[str, Any]] = {
    "00.idle": {
        "in_use": rows("sum(DCGM_FI_DEV_FB_USED)", 75),
        "unused": rows("sum(DCGM_FI_DEV_FB_FREE)", 25),
    },
    "01.layers": {"change": Push("r:2", "sha256:0", (), (5, 6), 9)},
    "01.digest": {"image": IMAGE},
    "02.grace": {"runs": {"v1": requests(), "v2": requests(slow=3)}, "pre_stop": 15},
    "03.capacity": {},
    "03.knee": {"runs": [LEVEL, OVERLOADED]},
    "03.little": {"users": 20, "think": 10},
    "03.preemptions": {"fills": (FULL,), "counter": rows(COUNTER, 24)},
    "06.bill": {"trial": TRIAL},
    "06.target": {"outcomes": {t: modelled(lesson().with_target(t)) for t in (1, 20)}},
    "06.model": {"plays": [modelled(lesson(), seed=play) for play in range(2)], "bill": PICKED},
    "06.trace": {},
    "07.piled-up": {
        "rate": 1.5,
        "capacity": 1.2,
        "slow_start": ColdStart("a", (Span("weights", 0.0, 60.0),)),
    },
    "07.patience": {"slow_start": ColdStart("a", (Span("weights", 0.0, 60.0),)), "period": 5},
    "07.mended": {
        "slow_start": ColdStart("a", (Span("weights", 0.0, 60.0),)),
        "deployment": None,
        "pods": [],
    },
    "08.waste": {"in_use": rows(USED, 6000, 6000), "unused": rows(FREE, 18000, 18000)},
    "08.price": {"gpus": 2, "in_use": rows(USED, 6000, 6000), "unused": rows(FREE, 18000, 18000)},
    "12.random": {"load": gateway.VAIN},
    "12.contract": {"load": gateway.HIDDEN},
    "12.moved": {"run": gateway.held(0, 36, 3), "without": gateway.RANDOM, "behind": gateway.RANDOM},
    "12.mended": {"run": gateway.held(0, 36, 3), "without": gateway.RANDOM, "load": gateway.PICKED},
    "12.priority": {"chats": gateway.PICKED, "others": gateway.RANDOM, "objectives": gateway.CHAT_FIRST},
    "12.late": {"bound": gateway.KEPT, "free": gateway.MOVED},
}
"""What the notebooks' cells hand over, but for the answers."""


def figures(check: str) -> dict[str, Any]:
    ready = checks.get(check).figured(RECORDED[check])
    return {name: ready[name] for name in checks.get(check).figures}


def test_every_check_with_figures_is_looked_at() -> None:
    assert {check.id for check in checks.CHECKS.values() if check.figures} == set(RECORDED)


@pytest.mark.parametrize("check", RECORDED)
def test_recordings_are_judged_as_their_figures_are(check: str) -> None:
    asked, answers = checks.get(check), dict.fromkeys(checks.get(check).answers, 0.75)
    own = {
        name: value for name, value in RECORDED[check].items() if name in asked.takes or name in asked.reads
    }
    assert {*own, *answers} == {*asked.takes, *asked.reads}
    other = {name: value for name, value in own.items() if name in {*asked.recordings, *asked.reads}}
    as_figures = asked.run({**other, **figures(check), **answers})
    assert asked.run({**own, **answers}) == as_figures
    assert as_figures.state != "inconclusive"


def test_what_each_figure_is() -> None:
    assert figures("00.idle") == {"used": 75, "free": 25}
    assert figures("01.layers") == {"sent": (5, 6)}
    more = f"sha256:{sha256(IMAGE.manifest + NEWLINE).hexdigest()}"
    assert figures("01.digest") == {"digest": more}
    assert more != IMAGE.digest
    assert figures("06.bill") == {"bill": bill(_RUN, _LOAD, ttft=5, seconds=60)}
    assert figures("06.bill")["bill"].gpu_seconds == 120
    longest = max(row.e2e for run in RECORDED["02.grace"]["runs"].values() for row in run.rows if row.ok)
    assert figures("02.grace") == {"longest": longest}
    assert figures("03.capacity") == figures("03.little") == {"capacity": pytest.approx(0.617, abs=0.01)}
    assert figures("03.knee") == {"points": [load_point(LEVEL), load_point(OVERLOADED)]}
    assert figures("03.preemptions") == {"cache": 0.99, "counted": 24}
    assert figures("07.patience") == figures("07.mended") == figures("07.piled-up") == {"start": 60}
    assert figures("08.waste") == {
        "used": {"GPU-0": 6000, "GPU-1": 6000},
        "total": {"GPU-0": 24000, "GPU-1": 24000},
    }
    price = Figures.read().gpus["NVIDIA-L4"]["usd_per_hour"]
    assert figures("08.price") == {"share": 0.75, "usd_per_hour": price}


def test_the_models_figures_are_what_it_said() -> None:
    outcomes = RECORDED["06.target"]["outcomes"]
    said = {t: (one.gpu_seconds, one.attainment(ttft=10)) for t, one in outcomes.items()}
    assert figures("06.target") == {"asked": said}
    plays = RECORDED["06.model"]["plays"]
    cost, share = figures("06.model")["predicted"]
    assert cost == pytest.approx(sum(play.gpu_seconds for play in plays) / 2)
    assert share == pytest.approx(sum(play.attainment(ttft=10) for play in plays) / 2)


def test_shares_are_those_of_the_courses_study() -> None:
    shares = figures("06.trace")["shares"]
    for policy, share in shares.items():
        runs = [run for run in journal.stored() if (run.load, run.policy) == ("trace", policy)]
        assert share == pytest.approx(sum(run.attainment for run in runs) / len(runs))


@pytest.mark.parametrize(
    ("check", "other"),
    [
        ("00.idle", {"in_use": rows("sum(DCGM_FI_DEV_FB_FREE)", 75)}),
        ("03.preemptions", {"counter": rows("vector(24)", 24)}),
        ("03.preemptions", {"fills": (FULL, replace(FULL, name="vllm:num_requests_running"))}),
        ("03.preemptions", {"fills": (replace(FULL, label="batch-1-x"),)}),
        ("06.target", {"outcomes": {2: modelled(lesson())}}),
        ("06.target", {"outcomes": {5: modelled(lesson()), 2: modelled(2)}}),
        ("06.model", {"plays": [modelled(lesson())] * 2}),
        ("06.model", {"plays": [modelled(lesson()), modelled(3, seed=1)]}),
        ("08.waste", {"unused": rows(USED, 6000, 6000)}),
        ("08.price", {"in_use": 5}),
        ("07.patience", {"slow_start": 60.0}),
        ("02.grace", {"runs": {"v1": 5}}),
        ("01.digest", {"image": IMAGE.digest}),
        ("06.bill", {"trial": TRIAL.bill}),
    ],
)
def test_another_recording_than_the_one_that_is_wanted_is_named(check: str, other: Mapping[str, Any]) -> None:
    asked = checks.get(check)
    handed = {**RECORDED[check], **dict.fromkeys(asked.answers, 1), **other}
    with pytest.raises(BadInput):
        asked.figured(handed)
    verdict = asked.run(handed)
    assert verdict.state == "inconclusive"
    assert "Pass what the cells above recorded" in verdict.hint


@pytest.mark.parametrize(
    ("check", "nothing"),
    [
        ("00.idle", {"in_use": rows("sum(DCGM_FI_DEV_FB_USED)")}),
        ("02.grace", {"runs": {}}),
        ("02.grace", {"runs": {"v1": replace(LEVEL, rows=())}}),
        ("03.knee", {"runs": []}),
        ("03.preemptions", {"fills": ()}),
        ("06.target", {"outcomes": {}}),
        ("07.patience", {"slow_start": ColdStart("a", ())}),
        ("07.patience", {"slow_start": None}),
        ("08.waste", {"in_use": rows(USED)}),
    ],
)
def test_a_figure_of_nothing_can_not_be_judged(check: str, nothing: Mapping[str, Any]) -> None:
    asked = checks.get(check)
    handed = {**RECORDED[check], **dict.fromkeys(asked.answers, 1), **nothing}
    verdict = asked.run(handed)
    assert verdict.state == "inconclusive"
    assert "nothing to judge yet" in verdict.observed
    assert asked.run(asked.figured(handed)).state == "inconclusive"


def test_what_is_open_stays_open() -> None:
    asked = checks.get("02.grace")
    open_ = {"answer": 98, "runs": ..., "pre_stop": 15}
    assert asked.figured(open_)["longest"] is ...
    assert asked.run(open_).observed == PARTLY
    assert asked.run(open_ | {"answer": ..., "pre_stop": ...}).observed == UNANSWERED


def test_a_call_that_lacks_a_recording_says_which_ones_are_taken() -> None:
    assert "runs=…" in checks.get("02.grace").run({"answer": 98, "pre_stop": 15}).hint


@pytest.mark.parametrize("number", ["00", "03", "08"])
def test_what_is_asked_of_prometheus_stands_in_the_notebook(number: str) -> None:
    [path] = ROOT.glob(f"notebooks/{number}-*.ipynb")
    asked = queries(assignment(ROOT, [path]).notebooks[path.stem])
    recorded = [value for check, given in RECORDED.items() if check[:2] == number for value in given.values()]
    assert {one.query for one in recorded if isinstance(one, Rows)} <= asked


def judge(answer: Any, longest: float) -> Finding:
    return Finding(passed=longest > 0, observed=str(answer))


def of_run(run: LoadResult) -> float:
    return float(len(run.rows))


@pytest.mark.parametrize(
    "figure",
    [
        {"shortest": Figure(of=("run",), by=of_run)},
        {"answer": Figure(of=("run",), by=of_run)},
        {"longest": Figure(of=("run", "other"), by=of_run)},
        {"longest": Figure(of=("answer",), by=of_run)},
    ],
)
def test_a_figure_that_does_not_fit_its_judge_is_refused(figure: Mapping[str, Figure]) -> None:
    with pytest.raises(BadInput):
        Check("00.x", "5", "think", judge, answers=("answer",), figures=figure)
    Check(
        "00.x", "5", "think", judge, answers=("answer",), figures={"longest": Figure(of=("run",), by=of_run)}
    )


COPIED: Mapping[str, Mapping[str, Any]] = {
    "01.digest": {"answer": IMAGE.digest[:7] + IMAGE.digest[7:]},
    "06.bill": {"answer": (TRIAL.bill.attainment, TRIAL.bill.gpu_seconds)},
    "08.waste": {"answer": rows(USED, 6000)[0].value},
}
"""Values that the lab shows, as answers to what is to be worked out."""


@pytest.mark.parametrize("check", COPIED)
def test_a_value_that_the_lab_shows_is_no_answer_where_work_is_asked(check: str) -> None:
    assert checks.get(check).copying is False
    assert checks.get(check).run({**RECORDED[check], **COPIED[check]}).state == "failed"


@pytest.mark.parametrize("check", checks.CHECKS.values(), ids=lambda check: check.id)
def test_each_check_says_whether_copying_is_allowed(check: Check) -> None:
    assert (check.copying is None) == (not check.answers)


ASKED = [check.id for check in checks.CHECKS.values() if check.copying is False]


@pytest.mark.parametrize("check", ASKED)
def test_what_is_to_be_worked_out_stands_in_no_recording(check: str) -> None:
    """In none that the check takes, neither in its fields nor in what its classes make of them."""
    asked = checks.get(check)
    for evidence in [one for name, one in right(check[:2]) if name == check]:
        apart = {*asked.answers, *asked.figures}
        handed = {**RECORDED.get(check, {}), **evidence}
        recordings = [one for name, one in handed.items() if name not in apart]
        values = {value for one in recordings for value in shown(one)}
        answers = [evidence[name] for name in asked.answers]
        assert not [one for one in answers if isinstance(one, str | float) and one in values]


def shown(thing: Any) -> Iterator[Any]:
    """The numbers and texts that a recording gives away."""
    if isinstance(thing, str | float | int | bytes):
        yield thing
    elif isinstance(thing, Mapping):
        yield from shown([*thing.keys(), *thing.values()])
    elif isinstance(thing, list | tuple | set):
        for part in thing:
            yield from shown(part)
    elif is_dataclass(thing):
        kind = type(thing)
        read = [name for name in dir(kind) if isinstance(getattr(kind, name), property | cached_property)]
        for name in (*(field.name for field in fields(thing)), *read):
            with suppress(KeyError):  # a recording of a test has no plan
                yield from shown(getattr(thing, name))

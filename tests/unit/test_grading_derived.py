"""What cells of the course make of recordings, the grader makes again of its own: nobody's word is needed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import BadInput, Unreachable
from labkit.evidence.cold_start import ColdStart
from labkit.evidence.queueing import LoadPoint
from labkit.evidence.states import Span
from labkit.grading.judging.bundle import Given
from labkit.grading.judging.codec import WORD
from labkit.grading.judging.derived import Cells, handing_over, to_run
from labkit.grading.judging.sources import Source
from labkit.grading.kernel.inside import Grader, RemoteLab
from labkit.grading.kernel.wire import Giver, is_ours
from labkit.grading.submissions.released import assignment
from labkit.grading.submissions.restore import restore
from labkit.grading.verbs.again import Again, Handed
from labkit.grading.verbs.broker import Broker
from labkit.grading.verbs.confined import Confined
from labkit.kube.client import Kube
from labkit.lab import NAMESPACE, Lab, Session
from labkit.load import Open, arrivals
from labkit.load.results import LoadResult
from labkit.metrics.series import Rows, Sample
from labkit.providers.embedded.provider import Embedded
from labkit.validation.examples.production import requests
from tests.unit.grading_class import ROOT, by_mark
from tests.unit.grading_jailed import NOWHERE

USED, FREE = (f'DCGM_FI_DEV_FB_{kind}{{namespace="llm-lab"}}' for kind in ("USED", "FREE"))


def released(number: str) -> Any:
    [path] = ROOT.glob(f"notebooks/{number}-*.ipynb")
    return assignment(ROOT, [path]).notebooks[path.stem]


@pytest.fixture
def again(tmp_path: Path) -> Again:
    (tmp_path / "config").write_text(NOWHERE)
    lab = Lab(
        Session(Embedded("nowhere"), 15, 0, "test"), Kube(tmp_path / "config", namespace=NAMESPACE, clock=15)
    )
    return Again(lab, Confined(ROOT, ROOT))


def handed(**own: Any) -> Handed:
    """As a student's process sends it: by the grader's own numbers."""
    giver = Giver(lambda *_: None)
    items = [[name, _numbers(giver.result(value))] for name, value in own.items()]
    return Handed(giver, {"$": "dict", "items": items})


def _numbers(data: Any) -> Any:
    if isinstance(data, list):
        return [_numbers(one) for one in data]
    if isinstance(data, Mapping) and data.get("$") == "dict":
        return {"$": "dict", "items": [[key, _numbers(value)] for key, value in data["items"]]}
    return {"$": "ref", "n": data["n"]} if isinstance(data, Mapping) and "n" in data else data


def work_out(number: str, check: str, argument: str, again: Again, **own: Any) -> Any:
    return Cells.of(released(number)).work_out(check, argument, handed(**own).own, again)


def test_what_is_read_off_a_recording(again: Again) -> None:
    start = ColdStart("server-1", (Span("weights", 0.0, 60.0),))
    assert work_out("07", "07.patience", "start", again, slow_start=start) == 60.0


def test_what_is_counted_over_several_runs(again: Again) -> None:
    runs = {"v1": requests(), "yours": requests(slow=3)}
    longest = max(row.e2e for run in runs.values() for row in run.rows if row.ok)
    assert work_out("02", "02.grace", "longest", again, runs=runs) == longest


def test_what_a_function_of_the_courses_makes_of_runs(again: Again) -> None:
    points = work_out("03", "03.knee", "points", again, runs=[requests(), requests(50)])
    assert [type(point) for point in points] == [LoadPoint, LoadPoint]


def test_what_follows_from_the_courses_own_files(again: Again) -> None:
    assert work_out("03", "03.capacity", "capacity", again) == pytest.approx(0.617, abs=0.01)
    shares = work_out("06", "06.trace", "shares", again)
    assert set(shares) == {"static", "queue", "CPU"}
    assert work_out("08", "08.price", "usd_per_hour", again) > 0


def test_what_prometheus_said_when_the_cell_asked(again: Again) -> None:
    for query, each in ((USED, 6000.0), (FREE, 18000.0)):
        again.keep(query, None, Rows(query, tuple(Sample({"UUID": f"GPU-{n}"}, each, 1.0) for n in range(9))))
    assert work_out("08", "08.waste", "total", again) == {f"GPU-{n}": 24000.0 for n in range(9)}
    assert work_out("08", "08.price", "share", again) == pytest.approx(0.75)


def test_what_nobody_asked_can_not_be_worked_out(again: Again) -> None:
    with pytest.raises(LookupError):
        work_out("08", "08.waste", "used", again)


def test_a_dict_that_several_cells_fill_stays_the_students_word(again: Again) -> None:
    with pytest.raises(BadInput):
        work_out("05", "05.hops", "hops", again)


def test_what_the_students_process_made_is_not_taken_for_the_graders(again: Again) -> None:
    cells = Cells.of(released("02"))
    made: Mapping[str, Any] = {"$": "dict", "items": [["v1", 5]]}
    for data in (
        {"$": "dict", "items": [["runs", made]]},
        {"$": "dict", "items": []},
        None,
        [1],
        {"$": "tuple"},
    ):
        with pytest.raises(BadInput):
            cells.work_out("02.grace", "longest", Handed(Giver(lambda *_: None), data).own, again)


def test_nor_is_plain_data_that_a_students_file_holds() -> None:
    giver = Giver(lambda *_: None)
    number = giver.result({"usd_per_hour": 0.01}, counted=True)["n"]
    data = {"$": "ref", "n": number}
    assert is_ours(data)
    with pytest.raises(BadInput):
        Handed(giver, {"$": "dict", "items": [["card", data]]}).own("card")


def test_nothing_is_loaded_recorded_or_applied_again(again: Again) -> None:
    for verb in ("load", "record", "apply", "kube", "curl", "prometheus"):
        assert not hasattr(again, verb)


def test_a_check_that_is_run_hands_over_what_is_below_its_arguments() -> None:
    grace = by_mark(
        to_run(restore(released("02"), (), name="02").notebook, released("02")), "02-grace"
    ).source
    assert f"{WORD}={{" in grace
    assert "'runs': globals().get('runs')" in grace
    assert WORD not in by_mark(released("02"), "02-grace").source
    plain = 'lab.check("05.hpa").points'
    assert handing_over(plain, Cells.of(released("05"))) == plain


def test_a_name_that_is_given_twice_or_changed_is_no_definition() -> None:
    definitions = Cells.of(released("05")).definitions
    assert "hops" not in definitions
    assert "starts" not in Cells.of(released("07")).definitions
    assert "share" not in Cells.of(released("06")).definitions  # a stub
    assert isinstance(requests(), LoadResult)


@pytest.fixture
def broker(tmp_path: Path, again: Again) -> Iterator[tuple[Broker, RemoteLab]]:
    """Both sides of the wire, of notebook 07, as they talk where a student is graded."""
    made = Broker(again._lab, ROOT, released("07"), ROOT)
    made.cell, made.check = "07-65-07-patience", "07.patience"
    close = made.listen(tmp_path / "broker.sock")
    grader = Grader(str(tmp_path / "broker.sock"))
    yield made, RemoteLab(grader, 0)
    grader.close()
    close()


def start_of(seconds: float, broker: Broker, lab: RemoteLab) -> ColdStart:
    """A start that the grader measured, as the student's process has it."""
    start = ColdStart("server-1", (Span("weights", 0.0, seconds),))
    copy: ColdStart = lab._grader._taker.decode(broker._giver.result(start))
    return copy


def test_a_figure_off_a_recording_is_the_graders_own(
    broker: tuple[Broker, RemoteLab],
) -> None:
    grader, lab = broker
    slow_start = start_of(60.0, *broker)
    below = {"slow_start": slow_start, "start": lambda: 1, "threshold": 24, "gone": None, "odd": object()}
    verdict = lab.check("07.patience", answer=24, start=120.0, period=5, derived=below)
    assert not verdict.passed  # it would be right for a start of 120 s
    assert verdict.points == 0
    [seen] = grader.seen.observations
    assert seen.given["start"] == Given(Source.RECORDED, 60.0)
    assert not seen.self_reported
    assert lab.check("07.patience", answer=12, start=60.0, period=5, derived=below).points == 1


def test_a_figure_of_which_nothing_is_known_stays_the_students_word(broker: tuple[Broker, RemoteLab]) -> None:
    grader, lab = broker
    forged = ColdStart("mine", (Span("weights", 0.0, 120.0),))
    lab.check("07.patience", answer=24, start=120.0, period=5)
    lab.check("07.patience", answer=24, start=120.0, period=5, derived={"slow_start": forged})
    lab.check("07.patience", answer=24, start=120.0, period=5, derived={"slow_start": lab})
    assert [one.self_reported for one in grader.seen.observations] == [("start",)] * 3


def test_what_can_not_be_kept_is_no_evidence(broker: tuple[Broker, RemoteLab]) -> None:
    grader, lab = broker
    with pytest.raises(BadInput):
        lab.check("07.patience", answer=24, start=lab, period=5)
    assert not grader.seen.observations


def test_what_the_model_asks_of_the_lab_is_permitted(broker: tuple[Broker, RemoteLab]) -> None:
    _, lab = broker
    assert lab.clock == lab.kube.clock == 15
    with pytest.raises(Unreachable):  # the API server, of which the model asks nodes and server
        lab.what_if(Open(arrivals.poisson(rate=1, seconds=60, seed=0)), 3, seconds=60)
    assert not broker[0].seen.remarks

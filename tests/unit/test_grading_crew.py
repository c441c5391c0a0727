"""How many workers a class gets; a report has one grader at a time, and nothing of an earlier one."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import _proc
from labkit._proc import MARKER
from labkit.errors import BadInput
from labkit.evidence import Timeline
from labkit.grading.bundle import Bundle, load
from labkit.grading.capacity import Capacity, chosen
from labkit.grading.handed_in import HandedIn
from labkit.grading.premises import Premises
from labkit.grading.report.write import Growing
from labkit.grading.restore import Restored
from labkit.grading.seal import key
from labkit.grading.sitting import Patience
from labkit.grading.student import Job, lost, unsure
from tests.unit.grading_bundle import bundle
from tests.unit.grading_class import released

LOADS = list(released().notebooks.values())
SLEEP = "import time; time.sleep(600)"


@pytest.mark.parametrize(
    ("machine", "workers"),
    [(Capacity(2, 24.0), 4), (Capacity(2, 3.2), 2), (Capacity(1, 0.3), 1), (Capacity(64, 400.0), 30)],
)
def test_as_many_workers_as_cores_and_memory_carry(machine: Capacity, workers: int) -> None:
    crew = chosen([], 30, machine=machine)
    assert crew.workers == workers
    assert f"{machine.memory:.1f} GiB" in crew.why


def test_notebooks_that_load_servers_need_a_core_each() -> None:
    assert chosen(LOADS, 30, machine=Capacity(2, 24.0)).workers == 2
    assert "put load on servers" in chosen(LOADS, 30, machine=Capacity(2, 24.0)).why


def test_whoever_asks_for_more_gets_it_and_is_told() -> None:
    asked = chosen(LOADS, 30, asked=6, machine=Capacity(2, 24.0))
    assert asked.workers == 6
    assert "inconclusive" in asked.why
    assert "inconclusive" not in chosen(LOADS, 30, asked=1, machine=Capacity(2, 24.0)).why
    assert chosen([], 3, asked=6, machine=Capacity(2, 24.0)).workers == 3  # there are no more students


def test_a_report_has_one_grader_at_a_time(tmp_path: Path) -> None:
    with (
        Premises(tmp_path).claimed(),
        pytest.raises(BadInput, match="Another labkit grade"),
        Premises(tmp_path).claimed(),
    ):
        pass
    with Premises(tmp_path).claimed():
        pass


def test_what_a_killed_grader_left_is_ended_first(tmp_path: Path) -> None:
    killed = Premises(tmp_path)
    with killed.claimed():
        number = killed.next_number()
        scratch = Path(killed.environment(number)["TMPDIR"])
        lab = tmp_path / "labs" / f"w{number}"
        lab.mkdir(parents=True)
        worker = _proc.popen([sys.executable, "-c", SLEEP])
        server = _proc.popen([sys.executable, "-c", SLEEP], env={MARKER: str(lab)})
        killed.record(number, worker.pid)
    with Premises(tmp_path).claimed():
        assert worker.wait(10)
        assert server.wait(10)
    assert not scratch.exists()
    assert not lab.exists()
    assert [path.name for path in (tmp_path / "workers").iterdir()] == ["lock"]


def test_a_student_whom_no_worker_survives_is_not_judged_and_run_again_next_time() -> None:
    job = Job(released(), Path("edition"), Path("work"), Patience())
    handed = HandedIn(
        "ada", "ada", {name: Restored(n, 0, ()) for name, n in released().notebooks.items()}, {}, ()
    )
    made = lost(job, handed, "its worker ended, 2 times")
    assert all(one.ours for one in made.ran)
    assert [remark.kind for remark in made.remarks] == ["flagged"]


def test_what_could_not_be_judged_is_seen_and_the_last_time_counts() -> None:
    right = bundle().observations
    [scaled] = [one for one in right if one.check == "05.scale-out"]
    empty = replace(scaled, given={"timeline": replace(scaled.given["timeline"], value=Timeline(15, "test"))})
    assert unsure([*right, empty])
    assert not unsure([empty, *right])


def test_a_report_grows_by_students_and_keeps_those_who_were_there(tmp_path: Path) -> None:
    mine = key(tmp_path / "key.pem")
    report = tmp_path / "report"
    (report / "evidence").mkdir(parents=True)
    (report / "rubric.toml").write_text('notebooks = ["05"]\n')
    bundle().save(report / "evidence", mine)
    (report / "evidence" / "zoe.evidence").write_text("broken")
    growing = Growing(report, mine)
    done = growing.add(load(bundle(student="bob").save(report / "evidence", mine), mine))
    assert [sheet.student for sheet in done.sheets] == [bundle().student, "bob"]
    assert list(done.failed) == ["zoe"]
    assert "bob" in (report / "grades.csv").read_text()
    assert (report / "students" / "bob" / "feedback.html").exists()
    done = growing.add(Bundle("zoe", "zoe", 0.0))
    assert not done.failed
    assert len(done.sheets) == 3

"""How many workers a class gets; a report has one grader at a time, and nothing of an earlier one."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from labkit.errors import BadInput, ProviderError
from labkit.evidence import Timeline
from labkit_grading.capacity import Capacity, chosen
from labkit_grading.cli.grade import app
from labkit_grading.crew import Workers
from labkit_grading.judging.bundle import Bundle, load
from labkit_grading.judging.seal import key
from labkit_grading.report.write import Growing
from labkit_grading.sites.premises import Premises
from labkit_grading.sites.site import HERE
from labkit_grading.sitting import Patience
from labkit_grading.student import Job, digest, lost, unsure
from labkit_grading.submissions.handed_in import HandedIn, clean
from labkit_grading.submissions.intake import take_in
from labkit_grading.submissions.released import assignment
from labkit_grading.submissions.restore import Restored
from localcluster import spawn
from localcluster.spawn import MARKER
from tests.grading.unit.grading_bundle import bundle
from tests.grading.unit.grading_class import QUEUE, ROOT, folder, notebook, released

LOADS = list(released().notebooks.values())
SLEEP = "import time; time.sleep(600)"
ADA = HandedIn("ada", "ada", {name: Restored(n, 0, ()) for name, n in released().notebooks.items()}, {}, ())


def job(work: Path) -> Job:
    return Job(released(), Path("edition"), work, Patience())


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
        told = killed.environment(number)
        scratch, out = Path(told["TMPDIR"]), Path(told["LABKIT_OUT"])
        out.mkdir()
        lab = tmp_path / "labs" / f"w{number}"
        lab.mkdir(parents=True)
        worker = spawn.popen([sys.executable, "-c", SLEEP])
        server = spawn.popen([sys.executable, "-c", SLEEP], env={MARKER: str(lab)})
        killed.record(number, worker.pid)
    with Premises(tmp_path).claimed():
        assert worker.wait(10)
        assert server.wait(10)
    assert not scratch.exists()
    assert not lab.exists()
    assert [path.name for path in (tmp_path / "workers").iterdir()] == ["lock"]


def test_clusters_that_do_not_come_up_are_told_with_the_cause(tmp_path: Path) -> None:
    work = tmp_path / "no:where"  # no kubeconfig may lie there
    premises = Premises(work)
    with (
        premises.claimed(),
        Workers(job(work), premises, 2) as workers,
        pytest.raises(ProviderError, match="3 times") as error,
    ):
        list(workers.run([ADA]))
    assert "A lab can't be in" in error.value.cause
    assert not list((work / "workers").glob("*.json"))


def test_a_student_whom_no_worker_survives_is_not_judged_and_run_again_next_time() -> None:
    made = lost(job(Path("work")), ADA, "2 workers were lost")
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


def test_a_class_whose_evidence_is_there_is_reported_and_nobody_is_run(tmp_path: Path) -> None:
    folder(tmp_path / "class" / "ada", {f"{QUEUE}.ipynb": notebook()})
    [submission] = take_in(tmp_path / "class").submissions
    wanted = assignment(ROOT, [ROOT / "notebooks" / f"{QUEUE}.ipynb"])
    made = replace(bundle(), of=digest(clean(submission, wanted), wanted, HERE))
    report = tmp_path / "report"
    (report / "work").mkdir(parents=True)
    (report / "evidence").mkdir()
    saved = made.save(report / "evidence", key(tmp_path / "key.pem"))
    before = saved.stat().st_mtime_ns
    words = (str(tmp_path / "class"), "--out", str(report), "--key", str(tmp_path / "key.pem"))
    done = CliRunner().invoke(app, [*words, "-b", "05", "--trust-submissions"])
    assert done.exit_code == 0, done.output
    assert "students to run" not in done.output
    assert "ada" in (report / "grades.csv").read_text()
    assert saved.stat().st_mtime_ns == before

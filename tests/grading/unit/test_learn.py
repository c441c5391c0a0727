"""The edition to work in by oneself: made once, never overwritten, renewed where nobody worked."""

import os
from pathlib import Path

import nbformat
import pytest

from labkit.errors import BadInput
from labkit.notebooks import jupyterlab
from labkit_grading.release import learn, solutions
from labkit_grading.release.release import FILES, FOLDERS, MARK, PAGES, release, written

ROOT = Path(__file__).parents[3]
EXERCISE = "manifests/00-start/exercises/coffee.yaml"
OTHER = "manifests/00-start/exercises/tea.yaml"


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A small course with a solution."""
    place = tmp_path / "course"
    for folder in (
        *FOLDERS,
        "docs",
        "manifests/00-start/exercises",
        "manifests/00-start/solutions",
    ):
        (place / folder).mkdir(parents=True, exist_ok=True)
    for name in (*FILES, *PAGES, EXERCISE, OTHER, "manifests/00-start/solutions/coffee.yaml"):
        (place / name).write_text(f"# {name}\n")
    (place / "Makefile").write_text("jupyter:\n\tlabkit jupyter\n")
    cells = [nbformat.v4.new_code_cell("lab = 1", id="first")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), place / "notebooks" / "00-start.ipynb")
    return place


def test_it_is_made_in_the_course_and_found_again(course: Path) -> None:
    made = learn.at_hand(course)
    assert (made.folder, made.state) == (course / "learn", "made")
    assert (made.folder / EXERCISE).exists()
    assert not list(made.folder.glob("manifests/*/solutions"))
    assert learn.at_hand(course).state == "kept"
    assert learn.at_hand(made.folder).folder == made.folder  # from inside of it, too


def test_one_that_nobody_worked_in_follows_the_course(course: Path) -> None:
    folder = learn.at_hand(course).folder
    (folder / "out").mkdir()
    (folder / "notes.md").write_text("mine")
    (course / EXERCISE).write_text("# newer\n")
    (course / OTHER).unlink()
    assert learn.at_hand(course).state == "renewed"
    assert (folder / EXERCISE).read_text() == "# newer\n"
    assert not (folder / OTHER).exists()
    assert (folder / "notes.md").read_text() == "mine"


def test_one_that_was_worked_in_stays_and_what_is_newer_is_named(course: Path) -> None:
    folder = learn.at_hand(course).folder
    (folder / EXERCISE).write_text("# my answer\n")
    (course / OTHER).write_text("# newer\n")
    found = learn.at_hand(course)
    assert (found.state, found.newer) == ("kept", (OTHER,))
    assert (folder / OTHER).read_text() != "# newer\n"


def test_an_update_renews_all_but_what_was_worked_in(course: Path) -> None:
    folder = learn.at_hand(course).folder
    (folder / EXERCISE).write_text("# my answer\n")
    for name in (EXERCISE, OTHER):
        (course / name).write_text("# newer\n")
    done = learn.update(course, folder)
    assert (done.renewed, done.yours) == ((OTHER,), (EXERCISE,))
    assert (folder / EXERCISE).read_text() == "# my answer\n"
    assert learn.at_hand(course).newer == ()  # said once, that is enough
    (folder / EXERCISE).unlink()
    assert learn.update(course, folder).renewed == (EXERCISE,)
    assert (folder / EXERCISE).read_text() == "# newer\n"


def test_a_folder_of_somebody_else_is_not_updated(course: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a learner's edition"):
        learn.update(course, tmp_path)


def test_a_file_that_somebody_added_is_work(course: Path, tmp_path: Path) -> None:
    folder = release(course, tmp_path / "learners").folder
    (folder / "out").mkdir()
    (folder / "out" / "summary.md").write_text("a run")
    release(course, folder)
    (folder / "notebooks" / "mine.ipynb").write_text("{}")
    with pytest.raises(BadInput, match="mine"):
        release(course, folder)


@pytest.mark.parametrize(
    ("check", "place"),
    [
        ("00.coffee", EXERCISE),
        ("05.steps", "notebooks/05-hpa-queue.ipynb"),
        ("07.spare", "manifests/07-cold-starts/exercises/spare.yaml"),
        ("10.capstone", "manifests/10-production/exercises/capstone/hpa.yaml"),
    ],
)
def test_an_exercise_has_a_solution_to_compare_with(check: str, place: str) -> None:
    found = solutions.of(check, ROOT)
    assert place in [solution.place for solution in found]
    assert all(solution.text for solution in found)


def test_a_check_of_what_the_cluster_did_has_none() -> None:
    with pytest.raises(BadInput, match="no solution of its own"):
        solutions.of("02.healed", ROOT)


def test_a_solution_is_found_from_the_edition_and_compared_with_ones_own(course: Path) -> None:
    folder = learn.at_hand(course).folder
    assert learn.author(folder) == course
    assert learn.edition(course) == folder
    told = solutions.Solution(EXERCISE, "# other").differences(folder)
    assert f"-# {EXERCISE}" in told
    assert "+# other" in told
    assert not solutions.Solution(EXERCISE, f"# {EXERCISE}").differences(folder)


def test_jupyterlab_opens_the_edition_and_the_learners_own_flags_come_last(course: Path) -> None:
    words = jupyterlab.argv(course, ["--port=8899"])
    assert f"--ServerApp.root_dir={course}" in words
    assert words[-1] == "--port=8899"
    assert ("--allow-root" in words) == (os.geteuid() == 0)


def test_jupyterlab_keeps_its_things_in_the_edition_where_home_is_read_only(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    told = jupyterlab.environment(course, lab="mine", own={"PATH": "/usr/bin", "IPYTHONDIR": "/x"})
    assert told["LABKIT_LAB"] == "mine"
    assert told["JUPYTER_RUNTIME_DIR"].startswith(str(course))
    assert told["IPYTHONDIR"] == "/x"


def test_the_mark_is_no_file_of_the_edition(course: Path) -> None:
    assert MARK not in written(learn.at_hand(course).folder)

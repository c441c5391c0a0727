"""Exercise files that were renamed on the way are found, and nothing that was handed in is dropped unsaid."""

from pathlib import Path, PurePosixPath

import pytest

from labkit_grading.submissions.collect import collect
from labkit_grading.submissions.files import Files
from labkit_grading.submissions.handed_in import HandedIn, clean
from labkit_grading.submissions.intake import Submission, take_in
from labkit_grading.submissions.released import Assignment, assignment
from labkit_grading.submissions.remark import PERSON
from labkit_grading.submissions.renamed import is_named, is_renamed, retry
from tests.grading.unit.grading_class import HPA, NOTEBOOKS, POLICY, QUEUE, ROOT, folder, notebook, zipped
from tests.grading.unit.grading_class import released as released_05

BOOK = f"notebooks/{QUEUE}.ipynb"
MINE = (ROOT / HPA).read_bytes().replace(b'averageValue: "1"', b'averageValue: "5"')
LATER = MINE.replace(b'"5"', b'"6"')
ONLY = (ROOT / POLICY).read_bytes() + b"# mine\n"


@pytest.fixture(scope="module")
def released() -> Assignment:
    return released_05()


@pytest.fixture(scope="module")
def course() -> Assignment:
    return assignment(ROOT, NOTEBOOKS)


def handed(wanted: Assignment, files: dict[str, bytes], *, order: dict[str, int] | None = None) -> HandedIn:
    taken = {PurePosixPath(name): data for name, data in files.items()}
    uploads = {PurePosixPath(name): number for name, number in (order or {}).items()}
    return clean(Submission("ada", "ada", Files(taken=taken, order=uploads)), wanted)


def lines(found: HandedIn) -> list[str]:
    return [str(remark) for remark in found.remarks]


@pytest.mark.parametrize(
    "name",
    [
        "hpa (3).yml", "hpa(2).yaml", "hpa-12.yaml", "hpa_2.yaml", "hpa 4.YAML", "hpa copy 3.yaml",
        "hpa - Copy (2).yaml", "hpa-kopie.yaml", "Copie de hpa.yml", "Copy (2) of hpa.yaml", "hpa 副本.yaml",
        "hpa.yaml.download", "hpa.yaml.1", "HPA (1).yaml.txt", "hpa (1) (1).yaml", "turned-in/hpa-2.yaml",
    ],
)  # fmt: skip
def test_a_file_that_something_renamed_is_taken_and_that_is_said(name: str, released: Assignment) -> None:
    found = handed(released, {BOOK: notebook(), name: MINE})
    assert found.exercises == {PurePosixPath(HPA): MINE}
    assert lines(found) == [f"note: {name}: taken as 05-hpa-queue/exercises/hpa.yaml, by its name"]


@pytest.mark.parametrize("name", ["exercise 2.yaml", "hpa_final_FINAL.yaml", "Untitled.yml", "adas-hpa.yaml"])
def test_a_file_with_a_name_of_the_students_own_is_known_by_its_objects(
    name: str, released: Assignment
) -> None:
    for data in (MINE, MINE.replace(b"  metrics:", b" metrics:\n")):  # also with a mistake in it
        found = handed(released, {BOOK: notebook(), name: data})
        assert found.exercises == {PurePosixPath(HPA): data}
        assert lines(found) == [f"note: {name}: taken as 05-hpa-queue/exercises/hpa.yaml, by its contents"]


def test_two_files_are_told_apart_by_their_objects(released: Assignment) -> None:
    found = handed(released, {BOOK: notebook(), "one.yaml": ONLY, "two.yaml": MINE})
    assert found.exercises == {PurePosixPath(HPA): MINE, PurePosixPath(POLICY): ONLY}


def test_a_file_in_its_place_is_no_rename_and_another_one_does_not_replace_it(released: Assignment) -> None:
    found = handed(released, {BOOK: notebook(), HPA: MINE, "older try.yaml": LATER})
    assert found.exercises == {PurePosixPath(HPA): MINE}
    assert lines(found) == ["note: not used, since no exercise asks for it: older try.yaml"]


def test_a_file_that_fits_several_exercises_is_for_a_person(course: Assignment) -> None:
    found = handed(course, {BOOK: notebook(), "best.yaml": MINE})
    assert not found.exercises
    [line] = [remark for remark in found.remarks if remark.kind == PERSON]
    assert line.file == "best.yaml"
    assert {"04.hpa", "05.hpa", "06.bounds"} <= set(found.unsure)


def test_one_that_was_found_needs_no_person_for_a_second_copy(course: Assignment) -> None:
    every = {path: data + b"# mine\n" for path, data in course.exercises.items() if path.name == "hpa.yaml"}
    found = handed(course, {BOOK: notebook(), **{str(p): d for p, d in every.items()}, "hpa.yaml": LATER})
    assert dict(found.exercises) == every
    assert not found.for_a_person
    assert "note: not used, since no exercise asks for it: hpa.yaml" in lines(found)


@pytest.mark.parametrize(
    ("files", "order", "late", "kind"),
    [
        (("hpa.yaml", "hpa (2).yaml"), {}, "hpa (2).yaml", "note"),
        (("hpa-9.yaml", "hpa-10.yaml"), {}, "hpa-10.yaml", "note"),
        (("hpa-1.yaml", "hpa.yaml"), {"hpa-1.yaml": 7, "hpa.yaml": 8}, "hpa.yaml", "note"),
        (("hpa copy 5.yaml", "hpa.yaml"), {}, "hpa.yaml", "flagged"),
        (("a/hpa.yaml", "b/hpa.yaml"), {}, "a/hpa.yaml", "flagged"),
    ],
)
def test_of_several_the_latest_counts(
    files: tuple[str, str], order: dict[str, int], late: str, kind: str, released: Assignment
) -> None:
    data = {name: LATER if name == late else MINE for name in files}
    found = handed(released, {BOOK: notebook(), **data}, order=order)
    assert found.exercises == {PurePosixPath(HPA): LATER}
    assert any(line.startswith(f"{kind}: ") and line.endswith(late) for line in lines(found)), lines(found)


def test_a_number_in_the_released_name_is_no_retry(course: Assignment) -> None:
    assert is_named("batch-64 (1).yaml", "batch-64.yaml")
    assert not is_named("batch-32.yaml", "batch-64.yaml")
    assert not is_renamed("Batch-64.yml", "batch-64.yaml")
    assert (
        retry(PurePosixPath("batch-64.yaml"), "batch-64.yaml"),
        retry(PurePosixPath("batch-64-2.yaml"), "batch-64.yaml"),
    ) == (0, 2)
    [place] = [path for path in course.exercises if path.name == "batch-64.yaml"]
    new = course.exercises[place] + b"# new\n"
    old = course.exercises[place] + b"# old\n"
    found = handed(course, {"batch-64.yaml": old, "batch-64 (1).yaml": new})
    assert found.exercises == {place: new}


@pytest.mark.parametrize("name", ["hpa.txt", "hpa (1).json", "hpa", "Kopie von hpa.docx"])
def test_an_exercise_saved_as_another_kind_of_file_is_for_a_person(name: str, tmp_path: Path) -> None:
    folder(tmp_path / "ada", {BOOK: notebook(), name: MINE})
    [one] = take_in(tmp_path / "ada" / "..").submissions
    found = clean(one, released_05())
    assert found.for_a_person
    assert "05.hpa" in found.unsure
    assert any("saved as another kind of file" in line for line in lines(found))


ODD = {
    "thoughts.md": b"",
    "img/a.png": b"",
    "03-load.ipynb": notebook(),
    "other.yaml": b"a: 1\n",
    "x.ipynb": b"{}",
    "venv/lib/hpa.yaml": MINE,
    ".ipynb_checkpoints/hpa.yaml": MINE,
    "work/._hpa.yaml": b"",
    ".secret/x.bin": b"",
}


@pytest.mark.parametrize("packed", [False, True])
def test_everything_that_was_handed_in_has_a_line(packed: bool, tmp_path: Path, released: Assignment) -> None:  # noqa: FBT001
    files = {BOOK: notebook(), **ODD}
    if packed:
        (tmp_path / "ada.zip").write_bytes(zipped(files))
    else:
        folder(tmp_path / "ada", files)
    folder(tmp_path / "bob", {BOOK: notebook()})
    ada, bob = (clean(one, released) for one in take_in(tmp_path).submissions)
    told = "\n".join(lines(ada))
    for name in ("thoughts.md", "img/a.png", "other.yaml", "venv", ".ipynb_checkpoints", "._hpa.yaml"):
        assert name in told
    assert ".secret/x.bin" in told or "and 1 more" in told
    assert ada.answers == 1
    assert lines(bob) == []


@pytest.mark.parametrize("name", ["__zoe__", ".zoe", "._zoe", "zoe.", "-zoe", "z.o.e", "~$zoe", "_zoe_"])
def test_a_students_folder_may_have_any_name(name: str, tmp_path: Path, released: Assignment) -> None:
    folder(tmp_path / name, {BOOK: notebook()})
    folder(tmp_path / "bob", {BOOK: notebook()})
    found = {one.student: clean(one, released) for one in take_in(tmp_path).submissions}
    assert set(found) == {name, "bob"}
    assert [one.answers for one in found.values()] == [1, 1]


def test_what_stands_beside_the_class_is_said_and_kept(tmp_path: Path) -> None:
    beside = {"hand-in/hpa.yaml": MINE, "hand-in/zoe notes/n.txt": b"n"}
    students = {f"hand-in/submitted/{who}/ps1/{QUEUE}.ipynb": notebook() for who in ("ada", "bob")}
    folder(tmp_path / "in", {**beside, **students, "hand-in/source/ps1/x.ipynb": b"{}"})
    done = collect(tmp_path / "in", tmp_path / "out", released_05())
    assert [one.student for one in done] == ["ada", "bob"]
    page = (tmp_path / "out" / "collected.md").read_text()
    assert "hpa.yaml: stands beside the folder with the students" in page
    assert "zoe notes: stands beside" in page
    assert "source" not in page
    assert [path.read_bytes() for path in (tmp_path / "out").rglob("_nobody/**/hpa.yaml")] == [MINE]


@pytest.mark.parametrize("name", [f"roejo_LATE_7_8_{QUEUE}.ipynb", f"LATE_anon_c4Dx2_9_{QUEUE}.ipynb"])
def test_canvas_mark_of_lateness_is_shown(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(notebook())
    (tmp_path / "in" / f"poesa_9_10_{QUEUE}.ipynb").write_bytes(notebook())
    done = collect(tmp_path / "in", tmp_path / "out", released_05())
    marked = {one.student: [r.kind for r in one.remarks] for one in done}
    assert marked.pop("poesa") == []
    assert list(marked.values()) == [["late"]]
    assert "late: the platform marked it LATE" in (tmp_path / "out" / "collected.md").read_text()

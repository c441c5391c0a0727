"""What students hand in is odd in every way: each way gets its line, none costs another student anything."""

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from typer.testing import CliRunner

from labkit.errors import BadInput
from labkit.notebooks.strip import read
from labkit_grading.cli.collect import app
from labkit_grading.submissions.collect import REPORT, Collected, collect
from labkit_grading.submissions.files import Limits, of_folder
from labkit_grading.submissions.handed_in import HandedIn, clean
from labkit_grading.submissions.intake import safe, student, take_in
from labkit_grading.submissions.originals import ORIGINALS
from labkit_grading.submissions.remark import PERSON
from labkit_grading.submissions.restore import checks_of, is_solution
from localcluster.cli.console import FOR_A_PERSON
from tests.grading.unit.grading_class import (
    ANSWER,
    HPA,
    POLICY,
    QUEUE,
    ROOT,
    billion_laughs,
    by_mark,
    cut_short,
    deep,
    folder,
    in_another_language,
    linked,
    notebook,
    plain,
    released,
    zipped,
)

NAME = f"notebooks/{QUEUE}.ipynb"
SMALL = Limits(file=2**20, total=3 * 2**20, files=20, archive=2**20)


def handed_in(place: Path, name: str = "ada") -> HandedIn:
    [one] = [s for s in take_in(place).submissions if s.student == name]
    return clean(one, released())


def lines(handed: HandedIn) -> list[str]:
    return [str(remark) for remark in handed.remarks]


def of(place: Path, files: dict[str, bytes]) -> HandedIn:
    folder(place / "ada", files)
    return handed_in(place)


def test_an_answer_and_an_exercise_file_are_taken(tmp_path: Path) -> None:
    handed = of(tmp_path, {NAME: notebook(), HPA: b"kind: HorizontalPodAutoscaler\n"})
    assert by_mark(handed.notebooks[QUEUE].notebook, "answer-05-names").source == ANSWER
    assert handed.exercises == {PurePosixPath(HPA): b"kind: HorizontalPodAutoscaler\n"}
    assert handed.answers == 2
    assert lines(handed) == []


def test_all_but_solution_cells_is_the_courses(tmp_path: Path) -> None:
    def edit(made: Any) -> None:
        for cell in made.cells:
            cell.source = "forged = True"

    restored = of(tmp_path, {NAME: notebook(edit)}).notebooks[QUEUE].notebook
    for cell, ours in zip(restored.cells, released().notebooks[QUEUE].cells, strict=True):
        assert cell.source == ("forged = True" if is_solution(ours) else ours.source)
        assert cell.metadata == ours.metadata


def test_an_edited_check_is_flagged_and_a_deleted_one_put_back(tmp_path: Path) -> None:
    def edit(made: Any) -> None:
        by_mark(made, "05-hpa").source = "print('passed')"
        made.cells.remove(by_mark(made, "05-steps"))

    handed = of(tmp_path, {NAME: notebook(edit)})
    assert handed.remarks[0].kind == "flagged"
    assert "05-hpa" in handed.remarks[0].what
    assert "missing" in handed.remarks[1].what
    assert by_mark(handed.notebooks[QUEUE].notebook, "05-steps").source.startswith("lab.check(")


def test_edited_parameters_are_put_back(tmp_path: Path) -> None:
    def edit(made: Any) -> None:
        cell = next(c for c in made.cells if c.cell_type == "code")
        cell.source = cell.source.replace('"exercises"', '"solutions"')

    [line] = lines(of(tmp_path, {NAME: notebook(edit)}))
    assert line.startswith("restored:")


def test_marks_that_an_editor_threw_away_are_not_needed(tmp_path: Path) -> None:
    def edit(made: Any) -> None:
        for cell in made.cells:
            cell.metadata.pop("nbgrader", None)

    handed = of(tmp_path, {NAME: notebook(edit)})
    assert by_mark(handed.notebooks[QUEUE].notebook, "answer-05-names").source == ANSWER


def test_a_cell_that_poses_as_another_is_flagged_and_cells_beside_are_not_run(tmp_path: Path) -> None:
    def edit(made: Any) -> None:
        twin = by_mark(made, "answer-05-names").copy()
        twin.id, twin.source = "twin", "import os; os._exit(0)"
        extra = twin.copy()
        extra.id, extra.metadata = "extra", {}
        made.cells += [twin, extra]

    handed = of(tmp_path, {NAME: notebook(edit)})
    assert [remark.kind for remark in handed.remarks] == ["flagged", "note", "flagged"]
    assert "the last one counts" in handed.remarks[0].what
    assert str(handed.notebooks[QUEUE].notebook).count("os._exit") == 1  # of two, the marked one


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (cut_short, "broken JSON"),
        (deep, "nested too deeply"),
        (lambda: b"", "empty"),
        (lambda: b"\x89PNG\r\n\x1a\n\xff", "a picture"),
        (lambda: b"[1, 2]", "not in notebook format"),
        (lambda: b'{"nbformat": 5, "cells": []}', "format 5"),
        (
            lambda: b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 5}]}',
            "something other than text",
        ),
        (lambda: notebook(in_another_language), "another kernel, R"),
    ],
)
def test_what_is_no_notebook_is_for_a_person_and_never_runs(
    tmp_path: Path, made: Callable[[], bytes], line: str
) -> None:
    handed = of(tmp_path, {NAME: made()})
    assert [remark.kind for remark in handed.remarks] == [PERSON]
    assert line in handed.remarks[0].what
    assert handed.answers == 0
    assert list(handed.unread) == [QUEUE]
    assert list(handed.unsure) == checks_of(released().notebooks[QUEUE])


def test_a_renamed_notebook_is_found_by_its_cells(tmp_path: Path) -> None:
    handed = of(tmp_path, {"Final (2) REALLY.ipynb": notebook()})
    assert handed.answers == 1
    assert lines(handed) == [f"note: Final (2) REALLY.ipynb: taken as {QUEUE}.ipynb, by its cells"]


def test_two_of_one_name_are_named(tmp_path: Path) -> None:
    same = of(tmp_path, {NAME: notebook(), f"old/{QUEUE}.ipynb": notebook()})
    assert [remark.kind for remark in same.remarks] == ["note"]
    other = notebook(lambda made: setattr(by_mark(made, "answer-05-names"), "source", "renamed_by = 1"))
    differ = of(tmp_path, {f"old/{QUEUE}.ipynb": other})
    assert [remark.kind for remark in differ.remarks] == ["flagged"]
    assert by_mark(differ.notebooks[QUEUE].notebook, "answer-05-names").source == ANSWER


def test_an_exercise_file_is_found_where_it_can_only_be_this_one(tmp_path: Path) -> None:
    assert of(tmp_path, {NAME: notebook(), "hpa.yaml": b"spec: {}\n"}).exercises
    assert not of(tmp_path / "other", {NAME: notebook(), "solutions/hpa.yaml": b"spec: {}\n"}).exercises


@pytest.mark.parametrize(
    ("data", "why"), [(billion_laughs(), "aliases"), (b"x" * 70_000, "KiB"), (b"\xff\xfe\x00", "not text")]
)
def test_an_exercise_that_no_api_server_should_see_is_refused(tmp_path: Path, data: bytes, why: str) -> None:
    handed = of(tmp_path, {NAME: notebook(), HPA: data})
    assert why in handed.remarks[0].what
    assert not handed.exercises


def test_a_notebook_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    folder(tmp_path / "ada", {NAME: b""})
    with (tmp_path / "ada" / NAME).open("wb") as file:
        file.truncate(2**30)  # a hole: it takes no disk
    assert (
        lines(handed_in(tmp_path))[0]
        == f"refused: {NAME}: too large: it says 1,024 MiB, 16 MiB are read at most"
    )


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    bomb.write_bytes(zipped({f"{n}.ipynb": bytes(900 * 2**10) for n in range(10)}))
    assert bomb.stat().st_size < 20_000
    found = of_folder(tmp_path, SMALL)
    assert sum(map(len, found.taken.values())) <= SMALL.total
    assert {remark.kind for remark in found.remarks} == {"refused"}


def test_a_header_that_promises_little_is_not_believed(tmp_path: Path) -> None:
    size = 900 * 2**10
    data = zipped({"a.ipynb": bytes(size)}).replace(size.to_bytes(4, "little"), (10).to_bytes(4, "little"))
    liar = tmp_path / "liar.zip"
    liar.write_bytes(data)
    found = of_folder(tmp_path, SMALL)
    assert not found.taken
    assert found.remarks


@pytest.mark.parametrize("name", ["../../bob/x.ipynb", "/etc/x.ipynb", "a\\..\\x.ipynb", "C:x.ipynb"])
def test_a_path_that_leads_out_of_a_zip_file_is_flagged(tmp_path: Path, name: str) -> None:
    (tmp_path / "ada.zip").write_bytes(zipped({name: notebook(), NAME: notebook()}))
    handed = handed_in(tmp_path)
    assert [remark.kind for remark in handed.remarks] == ["flagged"]
    assert handed.answers == 1
    assert {path.name for path in tmp_path.iterdir()} == {"ada.zip"}


def test_links_are_flagged_and_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "hidden-checks.yaml"
    secret.write_text("points: everything")
    place = folder(tmp_path / "class" / "ada", {"a.txt": b""})
    (place / "hpa.yaml").symlink_to(secret)
    (place / "all").symlink_to(tmp_path)
    assert not of_folder(place).taken
    assert [remark.kind for remark in of_folder(place).remarks] == ["flagged", "flagged"]
    (tmp_path / "class" / "bob.zip").write_bytes(linked("hpa.yaml", str(secret)))
    assert not handed_in(tmp_path / "class", "bob").exercises


def test_a_pipe_does_not_hold_the_class_up(tmp_path: Path) -> None:
    place = folder(tmp_path / "ada", {"a.txt": b""})
    os.mkfifo(place / f"{QUEUE}.ipynb")
    assert "pipe" in of_folder(place).remarks[0].what


@pytest.mark.parametrize("data", [b"PK\x03\x04 and then nothing", b"Rar!\x1a\x07", b""])
def test_what_is_no_zip_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "ada.zip").write_bytes(data)
    assert "not a zip file" in lines(handed_in(tmp_path))[0]


def test_a_zip_file_with_a_password_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped({NAME: notebook()}))
    data[6] |= 1  # the local header's flag, and that of the central directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "ada.zip").write_bytes(bytes(data))
    assert "password" in lines(handed_in(tmp_path))[0]


def test_more_files_than_anybody_needs_are_left(tmp_path: Path) -> None:
    folder(tmp_path, {f"{n}.yaml": b"a" for n in range(30)})
    assert len(of_folder(tmp_path, SMALL).taken) == 20


def test_who_a_student_is_follows_from_the_lms(tmp_path: Path) -> None:
    folder(tmp_path / "Ada Lovelace_417_assignsubmission_file", {NAME: notebook()})
    (tmp_path / f"bob_LATE_12_345_{QUEUE}.ipynb").write_bytes(notebook())
    (tmp_path / "thesis.docx").write_bytes(b"")
    (tmp_path / ".DS_Store").write_bytes(b"")
    found = take_in(tmp_path)
    assert [one.student for one in found.submissions] == ["Ada Lovelace", "bob"]
    assert found.strays == ("thesis.docx: belongs to no student",)
    assert take_in(tmp_path / "Ada Lovelace_417_assignsubmission_file").submissions[0].remarks


def test_one_zip_file_of_a_whole_class(tmp_path: Path) -> None:
    export = tmp_path / "export.zip"
    export.write_bytes(
        zipped(
            {
                f"ada_1_assignsubmission_file/{NAME}": notebook(),
                "bob.zip": zipped({NAME: notebook()}),
                "../eve/x.ipynb": b"",
                "readme.txt": b"",
            }
        )
    )
    found = take_in(export)
    assert [one.student for one in found.submissions] == ["ada", "bob"]
    assert [clean(one, released()).answers for one in found.submissions] == [1, 1]
    assert len(found.strays) == 2


def test_two_students_of_one_name_keep_apart(tmp_path: Path) -> None:
    for name in ("Eve", "eve", "ｅｖｅ"):  # the last one is a full-width twin
        folder(tmp_path / name, {NAME: notebook()})
    found = take_in(tmp_path).submissions
    assert len({one.folder.lower() for one in found}) == 3
    assert all(any(remark.kind == "flagged" for remark in one.remarks) for one in found)


def test_a_folder_called_like_another_student_is_flagged(tmp_path: Path) -> None:
    folder(tmp_path / "ada", {f"bob/{NAME}": notebook()})
    folder(tmp_path / "bob", {NAME: notebook()})
    assert lines(handed_in(tmp_path)) == [
        "flagged: bob: this folder has the name of another student; it counts as ada's"
    ]


@pytest.mark.parametrize(
    "name", ["../../etc", "a/b", "<b>x</b>", "=1+1", "a\x1b[2J", "ä" * 300, "..", "con\n"]
)
def test_a_name_is_safe_as_a_folder(name: str) -> None:
    assert safe(name) != safe(name + "x")
    assert safe(name).isascii()
    assert not set(safe(name)) & set("/\\\n ")
    assert student(name).isprintable()


@pytest.fixture(scope="module")
def odd_class(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("class")
    for name, files in {
        "ada": {NAME: notebook(), HPA: b"kind: HorizontalPodAutoscaler\n"},
        "broken": {NAME: cut_short()},
        "deep": {NAME: deep()},
        "empty": {"notes.txt": b""},
        "laughs": {NAME: notebook(), HPA: billion_laughs()},
        "foreign": {NAME: notebook(in_another_language)},
    }.items():
        folder(place / name, files)
    (place / "out.zip").write_bytes(zipped({"../../ada/hpa.yaml": b"", NAME: notebook()}))
    (place / "no.zip").write_bytes(b"PK?")
    return place


def test_a_class_is_collected_whatever_is_in_it(odd_class: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = CliRunner().invoke(app, [str(odd_class), "--out", str(out), "-b", "05"])
    assert ran.exit_code == FOR_A_PERSON, ran.output
    told = {one["student"]: one for one in plain((out / REPORT).read_bytes())["submissions"]}
    assert set(told) == {"ada", "broken", "deep", "empty", "laughs", "foreign", "out", "no"}
    assert {name: one["answers"] for name, one in told.items() if one["answers"]} == {
        "ada": 2,
        "laughs": 1,
        "out": 1,
    }
    assert all(one["remarks"] for name, one in told.items() if name != "ada")
    assert {name for name, one in told.items() if one["status"] == PERSON} == set(told) - {"ada"}
    assert all(name in ran.output for name in told)
    assert (out / ORIGINALS / "no" / "no.zip").read_bytes() == b"PK?"
    assert (out / ORIGINALS / "broken" / NAME).read_bytes() == cut_short()
    assert (out / "ada" / HPA).read_bytes() == b"kind: HorizontalPodAutoscaler\n"
    for name in told:
        assert read(out / name / "notebooks" / f"{QUEUE}.ipynb")
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_collecting_twice_gives_the_same(odd_class: Path, tmp_path: Path) -> None:
    first = collect(odd_class, tmp_path / "out", released())
    (tmp_path / "out" / "ada" / "forged-result.json").write_text("{}")
    assert collect(odd_class, tmp_path / "out", released()) == first
    assert not (tmp_path / "out" / "ada" / "forged-result.json").exists()


def test_a_folder_that_is_somebody_elses_is_not_written_to(odd_class: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="is not empty"):
        collect(odd_class, tmp_path, released())
    with pytest.raises(BadInput, match="inside the submissions' folder"):
        collect(odd_class, odd_class / "out", released())


def test_no_submissions_are_an_error(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match="no submissions"):
            take_in(source)


def test_a_page_shows_a_name_and_does_not_become_it(tmp_path: Path) -> None:
    folder(tmp_path / "class" / "<img src=x> | ada", {"a.txt": b""})
    collect(tmp_path / "class", tmp_path / "out", released())
    page = (tmp_path / "out" / "collected.md").read_text()
    assert "<img" not in page.replace("\\<", "")
    assert "\\<img src=x\\> \\| ada" in page


def test_only_an_authors_course_can_say_what_was_handed_out() -> None:
    assert Collected("a", "a", 0, ()).flagged is False
    assert QUEUE in released().notebooks
    assert list(released().exercises) == [PurePosixPath(HPA), PurePosixPath(POLICY)]
    assert (ROOT / HPA).read_bytes() == released().exercises[PurePosixPath(HPA)]

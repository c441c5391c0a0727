"""What editors, systems and students do to a notebook: the answer is found, or a person is asked."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat
import pytest

from labkit_grading.submissions.files import Files
from labkit_grading.submissions.handed_in import HandedIn, clean
from labkit_grading.submissions.intake import Submission
from labkit_grading.submissions.released import Assignment, assignment
from labkit_grading.submissions.remark import PERSON, Remark
from labkit_grading.submissions.restore import checks_after, checks_of, checks_on
from tests.grading.unit.grading_class import (
    ANSWER,
    HPA,
    NOTEBOOKS,
    POLICY,
    QUEUE,
    ROOT,
    by_mark,
    cut_short,
    notebook,
    released,
)

BOOK = f"{QUEUE}.ipynb"
NAMES, DESIRED, ALONE = "answer-05-names", "answer-05-desired-by-hand", "answer-05-alone"
STUB = "hop = ..."
WORKED = "import math\n\n\ndef desired(queues, target=5, lowest=2, highest=10):\n    return 7"


@pytest.fixture(scope="module")
def wanted() -> Assignment:
    return released()


@pytest.fixture
def made() -> Any:
    """A notebook with two right answers in it, as plain JSON."""
    found = json.loads(notebook())
    cell(found, DESIRED)["source"] = WORKED.splitlines(keepends=True)
    return found


def cell(made: Any, mark: str) -> Any:
    return next(c for c in made["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == mark)


def place(made: Any, mark: str) -> int:
    return int(made["cells"].index(cell(made, mark)))


def new(source: str, kind: str = "code", **more: Any) -> Any:
    shape: dict[str, Any] = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {
        "cell_type": kind,
        "id": f"n{random.getrandbits(40):x}",
        "metadata": {},
        "source": source,
        **shape,
        **more,
    }


def saved(made: Any) -> bytes:
    return json.dumps(made, ensure_ascii=False).encode()


def handed(wanted: Assignment, files: dict[str, bytes] | bytes) -> HandedIn:
    every = files if isinstance(files, dict) else {BOOK: files}
    taken = {PurePosixPath(name): data for name, data in every.items()}
    return clean(Submission("ada", "ada", Files(taken=taken)), wanted)


def source(found: HandedIn, mark: str) -> str:
    return str(by_mark(found.notebooks[QUEUE].notebook, mark).source)


def kinds(found: HandedIn) -> list[str]:
    return [remark.kind for remark in found.remarks]


def lineends(made: Any) -> bytes:
    for one in made["cells"]:
        one["source"] = "".join(one["source"]).replace("\n", "\r\n")
    return saved(made).replace(b"\n", b"\r\n")


def colab(made: Any) -> bytes:
    made["nbformat_minor"] = 0
    for number, one in enumerate(made["cells"]):
        one.pop("id")
        one["metadata"] |= {"id": f"c{number}", "colab": {"base_uri": "x"}}
        one["source"] = "".join(one["source"])
    made["metadata"] = {
        "colab": {"provenance": []},
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
    }
    return saved(made)


def format_3(made: Any) -> bytes:
    old = nbformat.convert(nbformat.reads(json.dumps(made), as_version=4), 3)
    return str(nbformat.v3.writes_json(old)).encode()


def shuffled(made: Any) -> bytes:
    random.Random(1).shuffle(made["cells"])
    return saved(made)


def ids(made: Any, name: Callable[[int], str | None], minor: int = 5) -> bytes:
    made["nbformat_minor"] = minor
    for number, one in enumerate(made["cells"]):
        one.pop("id")
        if name(number) is not None:
            one["id"] = name(number)
    return saved(made)


def outputs(made: Any) -> bytes:
    for one in made["cells"]:
        if one["cell_type"] == "code":
            one["execution_count"] = 3
            one["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["passed\n"]}]
    return saved(made)


def no_marks(made: Any) -> bytes:
    for one in made["cells"]:
        one["metadata"] = {}
    return saved(made)


SAVED: dict[str, Callable[[Any], bytes]] = {
    "as it is": saved,
    "CRLF": lineends,
    "CR in sources": lambda m: saved(
        {**m, "cells": [{**c, "source": "".join(c["source"]).replace("\n", "\r")} for c in m["cells"]]}
    ),
    "BOM": lambda m: b"\xef\xbb\xbf" + saved(m),
    "UTF-16": lambda m: saved(m).decode().encode("utf-16"),
    "UTF-16 BE": lambda m: b"\xfe\xff" + saved(m).decode().encode("utf-16-be"),
    "UTF-16 without a BOM": lambda m: saved(m).decode().encode("utf-16-le"),
    "UTF-32": lambda m: saved(m).decode().encode("utf-32"),
    "Windows-1252": lambda m: (
        saved({**m, "cells": [*m["cells"], new("Zoë", "markdown")]}).decode().encode("cp1252", "replace")
    ),
    "Colab": colab,
    "format 3": format_3,
    "cells in any order": shuffled,
    "other ids": lambda m: ids(m, lambda n: f"other-{n}"),
    "one id for all": lambda m: ids(m, lambda _: "same"),
    "no ids in 4.5": lambda m: ids(m, lambda _: None),
    **{f"format 4.{minor}": lambda m, minor=minor: ids(m, lambda _: None, minor) for minor in range(5)},  # type: ignore[misc]
    "4.4 with ids": lambda m: saved({**m, "nbformat_minor": 4}),
    "outputs": outputs,
    "no marks": no_marks,
    "blanks behind lines": lambda m: saved(
        {**m, "cells": [{**c, "source": "".join(c["source"]) + "  \n\n"} for c in m["cells"]]}
    ),
    "only code cells": lambda m: saved({**m, "cells": [c for c in m["cells"] if c["cell_type"] == "code"]}),
    "only answers": lambda m: saved({**m, "cells": [c for c in m["cells"] if c["metadata"].get("nbgrader")]}),
}


@pytest.mark.parametrize("how", SAVED)
def test_however_it_was_saved_the_answers_are_the_same(how: str, made: Any, wanted: Assignment) -> None:
    found = handed(wanted, SAVED[how](made))
    assert found.answers == 2, found.remarks
    assert source(found, NAMES).strip() == ANSWER
    assert source(found, DESIRED).strip() == WORKED
    assert not set(kinds(found)) & {PERSON, "flagged", "missing"}, found.remarks
    nbformat.validate(found.notebooks[QUEUE].notebook)
    assert found.notebooks[QUEUE].notebook.nbformat_minor == 5


def test_without_marks_and_ids_cells_are_known_by_text_and_place_and_that_is_said(
    made: Any, wanted: Assignment
) -> None:
    no_marks(made)
    found = handed(wanted, ids(made, lambda _: None, 2))
    assert (found.answers, source(found, NAMES), source(found, DESIRED)) == (2, ANSWER, WORKED)
    assert kinds(found) == ["flagged", "flagged", "flagged"]
    assert not found.unsure


def test_without_marks_an_answer_that_fits_no_place_is_for_a_person(made: Any, wanted: Assignment) -> None:
    cell(made, NAMES)["source"] = "# old\nsomething = 7"
    no_marks(made)
    found = handed(wanted, ids(made, lambda _: None, 2))
    assert list(found.unsure) == ["05.names"]
    assert found.for_a_person
    assert "can't be matched" in "".join(remark.what for remark in found.remarks)
    assert source(found, DESIRED) == WORKED


def split(made: Any) -> None:
    at = place(made, DESIRED)
    first, second = copy.deepcopy(made["cells"][at]), made["cells"][at]
    first["source"], second["source"] = (
        "import math\nlow = 2\n",
        "def desired(queues, target=5):\n    return low",
    )
    first["id"] = "upper-half"
    made["cells"].insert(at, first)


def split_bare(made: Any) -> None:
    split(made)
    made["cells"][place(made, DESIRED)]["metadata"] = {}  # the upper half keeps none


def copied(made: Any) -> None:
    again = copy.deepcopy(cell(made, NAMES))
    again["source"], again["id"] = "renamed_by, labelled_by = 1, 2", "again"
    made["cells"].insert(place(made, NAMES) + 1, again)


def merged_with_check(made: Any) -> None:
    check = cell(made, "05-names")
    mine = cell(made, NAMES)
    mine["source"] = "".join(mine["source"]) + "\n\n" + "".join(check["source"])
    made["cells"].remove(check)


def merged_into_check(made: Any) -> None:
    check, mine = cell(made, "05-names"), cell(made, NAMES)
    check["source"] = "".join(mine["source"]) + "\n\n" + "".join(check["source"])
    made["cells"].remove(mine)


def markdown(made: Any) -> None:
    mine = cell(made, NAMES)
    mine["cell_type"] = "markdown"
    mine.pop("outputs")
    mine.pop("execution_count")


def raw(made: Any) -> None:
    markdown(made)
    cell(made, NAMES)["cell_type"] = "raw"


def retyped(made: Any) -> None:
    at = place(made, NAMES)
    made["cells"][at] = new(ANSWER)


def below(made: Any) -> None:
    cell(made, NAMES)["source"] = "renamed_by, labelled_by = ..., ..."
    made["cells"].insert(place(made, NAMES) + 1, new(ANSWER))


def moved_away(made: Any) -> None:
    made["cells"].append(made["cells"].pop(place(made, NAMES)))


@pytest.mark.parametrize(
    ("change", "expected", "said"),
    [
        (copied, "renamed_by, labelled_by = 1, 2", "the last one counts, as in nbgrader"),
        (merged_with_check, ANSWER, "merged with 05-29-05-names"),
        (merged_into_check, ANSWER, "merged into another cell"),
        (markdown, ANSWER, "turned into markdown"),
        (raw, ANSWER, "turned into raw"),
        (retyped, ANSWER, "has lost its metadata"),
        (below, f"renamed_by, labelled_by = ..., ...\n\n{ANSWER}", "in a new cell below"),
        (moved_away, ANSWER, ""),
    ],
)
def test_wherever_an_answer_went_it_is_found(
    change: Callable[[Any], None], expected: str, said: str, made: Any, wanted: Assignment
) -> None:
    change(made)
    found = handed(wanted, saved(made))
    assert (
        source(found, NAMES).removeprefix("renamed_by, labelled_by = ..., ...\n\n")
        == expected.rpartition("\n\n")[2]
    )
    assert said in " ".join(remark.what for remark in found.remarks)
    assert not found.for_a_person
    assert found.answers == 2


@pytest.mark.parametrize("change", [split, split_bare])
def test_a_cell_that_was_split_counts_as_a_whole(
    change: Callable[[Any], None], made: Any, wanted: Assignment
) -> None:
    change(made)
    found = handed(wanted, saved(made))
    if change is split:
        assert (
            source(found, DESIRED)
            == "import math\nlow = 2\n\n\ndef desired(queues, target=5):\n    return low"
        )
        assert "was split" in found.remarks[0].what
    else:  # nobody can know that the cell above belongs to it, but that it is needed
        assert found.unsure.keys() == {"05.desired-by-hand"}
        assert any("needs low from a cell that the student added" in remark.what for remark in found.remarks)


def test_a_helper_in_a_cell_beside_is_no_silent_zero(made: Any, wanted: Assignment) -> None:
    made["cells"].insert(2, new("import numpy as np\n\ndef helper(x):\n    return x"))
    cell(made, DESIRED)["source"] = "def desired(queues):\n    return helper(np.ceil(2))"
    found = handed(wanted, saved(made))
    assert found.unsure.keys() == {"05.desired-by-hand"}
    cell(made, DESIRED)["source"] = WORKED
    assert not handed(wanted, saved(made)).unsure


def test_a_lost_answer_with_two_cells_that_fit_is_for_a_person(made: Any, wanted: Assignment) -> None:
    at = place(made, NAMES)
    made["cells"][at : at + 1] = [new("x = 1"), new("y = 2")]
    found = handed(wanted, saved(made))
    assert list(found.unsure) == ["05.names"]
    assert source(found, DESIRED) == WORKED


def two_merged(made: Any) -> None:
    mine, other = cell(made, NAMES), cell(made, DESIRED)
    other["source"] = "".join(other["source"]) + "\n" + "".join(mine["source"])
    made["cells"].remove(mine)


def retyped_as_text(made: Any) -> None:
    made["cells"][place(made, NAMES)] = new(ANSWER, "markdown")


@pytest.mark.parametrize(("change", "where"), [(two_merged, DESIRED), (retyped_as_text, "a cell of text")])
def test_an_answer_that_another_cell_swallowed_is_for_a_person(
    change: Callable[[Any], None], where: str, made: Any, wanted: Assignment
) -> None:
    change(made)
    found = handed(wanted, saved(made))
    assert list(found.unsure) == ["05.names"]
    assert any(f"seems to be in {where}" in remark.what for remark in found.remarks)


def test_a_cell_that_poses_as_a_check_is_flagged(made: Any, wanted: Assignment) -> None:
    again = copy.deepcopy(cell(made, "05-names"))
    again["source"], again["id"] = "lab.check('05.names', renamed_by='adapter')", "again"
    made["cells"].insert(0, again)
    found = handed(wanted, saved(made))
    assert kinds(found) == ["flagged"]
    assert "renamed_by='adapter'" not in str(found.notebooks[QUEUE].notebook)


def test_a_deleted_answer_with_nothing_left_over_is_missing(made: Any, wanted: Assignment) -> None:
    made["cells"].pop(place(made, NAMES))
    found = handed(wanted, saved(made))
    assert "missing" in kinds(found)
    assert not found.for_a_person


def test_an_untouched_notebook_counts_nothing_however_it_was_saved(wanted: Assignment) -> None:
    plain = json.loads(nbformat.writes(wanted.notebooks[QUEUE]))
    for how in ("as it is", "CRLF", "blanks behind lines", "format 3", "Colab", "UTF-16"):
        found = handed(wanted, SAVED[how](copy.deepcopy(plain)))
        assert (found.answers, found.for_a_person) == (0, False), how


def test_conflict_marks_in_an_answer_are_for_a_person(made: Any, wanted: Assignment) -> None:
    cell(made, NAMES)["source"] = "<<<<<<< local\nrenamed_by = 1\n=======\nrenamed_by = 2\n>>>>>>> remote"
    assert list(handed(wanted, saved(made)).unsure) == ["05.names"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            lambda: b"<<<<<<< HEAD\n" + notebook() + b"\n=======\n" + notebook() + b"\n>>>>>>> fix\n",
            "conflict markers",
        ),
        (
            lambda: notebook().replace(b'"cells"', b'<<<<<<< HEAD\n"cells"\n=======\n>>>>>>> x\n', 1),
            "conflict markers",
        ),
        (cut_short, "broken JSON"),
        (lambda: notebook()[:-3], "is truncated"),
        (lambda: b"", "empty"),
        (lambda: b"\n  \n", "empty"),
        (lambda: b"<!DOCTYPE html><html>", "web page"),
        (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS"),
        (lambda: b"import math\nx = 1\n", "begins with"),
        (lambda: b"PK\x03\x04\x00\x00", "a zip file"),
        (lambda: b"%PDF-1.7\x00\xff", "a PDF"),
        (lambda: b'{"nbformat": 3, "worksheets": 7}', "can't upgrade"),
        (lambda: b'{"nbformat": true, "cells": []}', "format True"),
        (lambda: json.dumps({"nbformat": 4, "cells": [new("print(1)")]}).encode(), "none of its cells"),
        (lambda: json.dumps({"nbformat": 4, "cells": []}).encode(), "none of its cells"),
    ],
)
def test_what_can_not_be_read_names_its_reason(
    data: Callable[[], bytes], said: str, wanted: Assignment
) -> None:
    found = handed(wanted, data())
    [line] = [remark for remark in found.remarks if remark.kind == PERSON]
    assert said in line.what
    assert "not graded" in line.what
    assert list(found.unread) == [QUEUE]
    assert set(found.unsure) == set(checks_of(wanted.notebooks[QUEUE]))


@pytest.mark.parametrize(
    "name",
    [
        "05-HPA-Queue.ipynb", "05-hpa-queue-1.ipynb", "05-hpa-queue (1).ipynb", "05-hpa-queue-Copy1.ipynb",
        "Kopie von 05-hpa-queue.ipynb", "Copy of 05-hpa-queue.ipynb", "05_hpa_queue.ipynb", "final.ipynb",
        "05-hpa-queue.ipynb.txt", "05-hpa-queue.ipynb.json", "05-hpa-queue - Kopie (2).IPYNB",
    ],
)  # fmt: skip
def test_a_notebook_is_known_under_any_name(name: str, wanted: Assignment) -> None:
    found = handed(wanted, {f"a/b/{name}": notebook()})
    assert found.answers == 1
    assert set(kinds(found)) <= {"note"}


@pytest.mark.parametrize(
    ("old", "late"),
    [
        (BOOK, f"{QUEUE}-1.ipynb"), (f"{QUEUE}-2.ipynb", f"{QUEUE}-10.ipynb"), (BOOK, f"{QUEUE} (1).ipynb"),
        (f"Version 9/{BOOK}", f"Version 10/{BOOK}"), (f"{QUEUE}-Copy1.ipynb", BOOK),
    ],
)  # fmt: skip
def test_of_several_the_latest_counts_and_that_is_said(
    old: str, late: str, made: Any, wanted: Assignment
) -> None:
    cell(made, NAMES)["source"] = "renamed_by, labelled_by = 'old', 'older'"
    found = handed(wanted, {old: saved(made), late: notebook()})
    assert source(found, NAMES) == ANSWER
    assert any("there is more than one" in remark.what and late in remark.what for remark in found.remarks)
    assert not found.for_a_person


def test_where_nothing_tells_the_latest_a_person_is_asked(made: Any, wanted: Assignment) -> None:
    found = handed(wanted, {f"a/{BOOK}": saved(made), f"b/{BOOK}": notebook()})
    assert found.for_a_person
    assert set(found.unsure) == set(checks_of(wanted.notebooks[QUEUE]))
    assert not found.unread  # it is run: what passes, passes


def test_a_broken_one_beside_a_good_one_is_flagged(wanted: Assignment) -> None:
    found = handed(wanted, {BOOK: notebook(), f"{QUEUE}-1.ipynb": cut_short()})
    assert found.answers == 1
    assert kinds(found) == ["flagged"]


def test_notebooks_of_the_whole_course_are_told_apart(wanted: Assignment) -> None:
    every = assignment(ROOT, NOTEBOOKS)
    files = {f"x{n}.ipynb": nbformat.writes(one).encode() for n, one in enumerate(every.notebooks.values())}
    found = clean(Submission("a", "a", Files(taken={PurePosixPath(k): v for k, v in files.items()})), every)
    assert kinds(found) == ["note"] * len(NOTEBOOKS)


def test_every_answer_and_file_of_the_course_is_judged_by_some_check() -> None:
    every = assignment(ROOT, NOTEBOOKS)
    for stem, one in every.notebooks.items():
        names = set(checks_of(one))
        for n, c in enumerate(one.cells):
            if c.metadata.get("nbgrader", {}).get("solution"):
                assert set(checks_after(one, n)) <= names
        for path in every.exercises:
            if path.parts[1][:2] == stem[:2]:
                assert set(checks_on(one, "/".join(path.parts[3:]))) <= names
                assert checks_on(one, "/".join(path.parts[3:]))


MINE = "kind: HorizontalPodAutoscaler\nspec:\n  x: 1\n"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (HPA, MINE.encode()), (HPA, MINE.replace("\n", "\r\n").encode()),
        (HPA, b"\xef\xbb\xbf" + MINE.encode()),
        (HPA, MINE.encode("utf-16")), ("hpa.yaml", MINE.encode()), ("HPA.YAML", MINE.encode()),
        ("hpa.yml", MINE.encode()), ("hpa (1).yaml", MINE.encode()), ("hpa-1.yaml", MINE.encode()),
        ("hpa.yaml.txt", MINE.encode()), ("exercises/hpa.yaml", MINE.encode()), (HPA.upper(), MINE.encode()),
        ("05-hpa-queue/hpa.yaml", MINE.encode()),
    ],
)  # fmt: skip
def test_an_exercise_file_is_found_and_read_as_text(name: str, data: bytes, wanted: Assignment) -> None:
    found = handed(wanted, {BOOK: notebook(), name: data})
    assert found.exercises == {PurePosixPath(HPA): MINE.encode()}
    assert not found.for_a_person


def test_an_exercise_saved_by_another_system_is_still_untouched(wanted: Assignment) -> None:
    data = (ROOT / HPA).read_bytes().replace(b"\n", b"\r\n")
    assert not handed(wanted, {BOOK: notebook(), HPA: b"\xef\xbb\xbf" + data}).exercises


def test_an_exercise_that_could_be_several_is_for_a_person() -> None:
    every = assignment(ROOT, NOTEBOOKS)
    files = {PurePosixPath("hpa.yaml"): MINE.encode(), PurePosixPath("05-work/hpa.yaml"): MINE.encode()}
    found = clean(Submission("a", "a", Files(taken=files)), every)
    assert list(found.exercises) == [PurePosixPath(HPA)]
    [line] = [remark for remark in found.remarks if remark.kind == PERSON]
    assert "04-hpa-cpu/exercises/hpa.yaml" in line.what
    assert "04.hpa" in found.unsure


def test_tabs_and_conflicts_in_an_exercise_are_said(wanted: Assignment) -> None:
    tabs = handed(wanted, {BOOK: notebook(), HPA: b"spec:\n\tx: 1\n"})
    assert [remark.what for remark in tabs.remarks] == ["indented with tabs, which YAML forbids"]
    assert tabs.exercises
    torn = handed(wanted, {BOOK: notebook(), HPA: b"<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> x\n"})
    assert torn.for_a_person
    assert "05.hpa" in torn.unsure
    assert not torn.exercises


@pytest.mark.parametrize(
    "what", [Remark("refused", "locked", "x/hpa.yaml"), Remark("refused", "broken", "w.zip")]
)
def test_an_exercise_that_may_be_in_what_can_not_be_read_is_for_a_person(
    what: Remark, wanted: Assignment
) -> None:
    files = Files(taken={PurePosixPath(BOOK): notebook()}, remarks=[what])
    found = clean(Submission("ada", "ada", files), wanted)
    assert found.answers == 1
    assert found.for_a_person
    assert "05.hpa" in found.unsure
    both = {PurePosixPath(HPA): MINE.encode(), PurePosixPath(POLICY): b"kind: NetworkPolicy\n"}
    mine = Files(taken={**files.taken, **both}, remarks=[what])
    assert not clean(Submission("ada", "ada", mine), wanted).for_a_person


def test_the_copy_of_a_whole_course_brings_its_exercises_only(tmp_path: Path, wanted: Assignment) -> None:
    files = {"manifests/base/hpa.yaml": b"a: 1\n", "manifests/05-hpa-queue/solutions/hpa.yaml": b"b: 1\n"}
    assert not handed(wanted, {BOOK: notebook(), **files}).exercises

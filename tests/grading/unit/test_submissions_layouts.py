"""What learning platforms export, as docs/submissions.md lists it: each row is built and taken in."""

import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from labkit.errors import BadInput
from labkit_grading.submissions.collect import collect
from labkit_grading.submissions.files import Files
from labkit_grading.submissions.handed_in import HandedIn, clean
from labkit_grading.submissions.intake import take_in
from labkit_grading.submissions.originals import ORIGINALS
from labkit_grading.submissions.released import Assignment
from labkit_grading.submissions.remark import PERSON
from tests.grading.unit.grading_class import QUEUE, ROOT, folder, notebook, released, zipped

BOOK = f"{QUEUE}.ipynb"
YAML = b"# mine\nkind: HorizontalPodAutoscaler\n"
LISTING = "".join(
    f"submission_{n}: !ruby/hash:ActiveSupport::HashWithIndifferentAccess\n  :submitters:\n"
    f"  - :name: Student {n}\n    :sid: '{n}'\n  :created_at: 2026-11-29 10:15:00 Z\n"
    for n in (111, 112)
)
_ROW = re.compile(
    r"^\| (?P<name>[^|]+) \| [^|]+ \| (?P<files>`[^|]+`) \| (?P<students>`[^|]+`) \|$", re.MULTILINE
)
ROWS = {
    row["name"]: (re.findall("`([^`]+)`", row["files"]), re.findall("`([^`]+)`", row["students"]))
    for row in _ROW.finditer((ROOT / "docs" / "submissions.md").read_text())
}


@pytest.fixture(scope="module")
def wanted() -> Assignment:
    return released()


@pytest.fixture(scope="module")
def book() -> bytes:
    return notebook()


def packed(files: Mapping[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def filled(name: str, book: bytes) -> bytes:
    """What a file of this name holds."""
    if name.endswith(".zip"):
        return zipped({f"my course/notebooks/{BOOK}": book, "__MACOSX/x": b"", "my course/.DS_Store": b""})
    if name.endswith(".tar.gz"):
        return packed({f"./work/{BOOK}": book})
    kinds = {".ipynb": book, ".yaml": YAML, ".yml": LISTING.encode()}
    return next((data for end, data in kinds.items() if name.endswith(end)), b"text")


def students(source: Path, wanted: Assignment, keep: Path | None = None) -> dict[str, HandedIn]:
    return {one.student: clean(one, wanted) for one in take_in(source, keep=keep).submissions}


def test_the_page_lists_layouts() -> None:
    assert len(ROWS) >= 14


@pytest.mark.parametrize("row", ROWS)
def test_each_layout_of_the_page_is_taken(row: str, tmp_path: Path, wanted: Assignment, book: bytes) -> None:
    names, expected = ROWS[row]
    files = {name: filled(name, book) for name in names}
    folder(tmp_path / "class", files)
    (tmp_path / "class.zip").write_bytes(zipped(files))
    (tmp_path / "wrapped.zip").write_bytes(zipped({f"hw 3/submissions/{n}": d for n, d in files.items()}))
    (tmp_path / "twice.zip").write_bytes(zipped({"export.zip": zipped(files)}))
    (tmp_path / "class.tar.gz").write_bytes(packed(files))
    for source in ("class", "class.zip", "wrapped.zip", "twice.zip", "class.tar.gz"):
        found = students(tmp_path / source, wanted)
        assert list(found) == expected, source
        assert all(one.answers >= 1 for one in found.values()), source
        assert not any(one.for_a_person for one in found.values()), source


@pytest.mark.parametrize("row", ROWS)
def test_nothing_of_a_layout_is_lost(row: str, tmp_path: Path, book: bytes, wanted: Assignment) -> None:
    names, _ = ROWS[row]
    files = {name: filled(name, book) for name in names}  # once: a gzip file says when it was made
    folder(tmp_path / "class", files)
    take_in(tmp_path / "class", keep=tmp_path / ORIGINALS)
    kept = sorted(path.read_bytes() for path in (tmp_path / ORIGINALS).rglob("*") if path.is_file())
    beside = ("submission_metadata.yml", "outbound/", "source/", "Working files/", ".git/")
    assert kept == sorted(data for n, data in files.items() if not any(part in n for part in beside))


def windows(files: Mapping[str, bytes]) -> bytes:
    return zipped({name.replace("/", "\\"): data for name, data in files.items()})


def test_backslashes_are_folders_and_lead_nowhere_else(
    tmp_path: Path, wanted: Assignment, book: bytes
) -> None:
    hpa = f"labkit/manifests/{QUEUE}/exercises/hpa.yaml"
    folder(
        tmp_path / "class",
        {
            "ada.zip": windows({f"labkit/notebooks/{BOOK}": book, hpa: YAML, "labkit/empty/": b""}),
            "eve.zip": windows({f"../../notebooks/{BOOK}": book, f"C:/notebooks/{BOOK}": book}),
        },
    )
    found = students(tmp_path / "class", wanted)
    assert found["ada"].answers == 2
    assert found["ada"].remarks == ()
    assert found["eve"].answers == 0
    assert [r.kind for r in found["eve"].remarks] == ["flagged", "flagged", PERSON]
    (tmp_path / "class.zip").write_bytes(windows({f"{who}/notebooks/{BOOK}": book for who in ("ada", "bob")}))
    assert list(students(tmp_path / "class.zip", wanted)) == ["ada", "bob"]
    assert {path.name for path in tmp_path.iterdir()} == {"class", "class.zip"}


@pytest.mark.parametrize("encoding", ["cp437", "utf-8"])
def test_names_that_are_not_ascii_are_read_as_meant(encoding: str, tmp_path: Path, book: bytes) -> None:
    data = zipped({f"Zoxx Mxxller/{BOOK}": book, f"Bob/{BOOK}": book})
    marks = {"cp437": ("ë", "ü", 1), "utf-8": ("ë", "ü", 2)}[encoding]
    one, other = (letter.encode(encoding).ljust(2, b"_")[:2] for letter in marks[:2])
    raw = data.replace(b"Zoxx", b"Zo" + one).replace(b"Mxxller", b"M" + other + b"ller")
    (tmp_path / "class.zip").write_bytes(raw)
    names = [one.student.replace("_", "") for one in take_in(tmp_path / "class.zip").submissions]
    assert sorted(names) == ["Bob", "Zoë Müller"]


def test_two_uploads_of_one_student_by_canvas(tmp_path: Path, wanted: Assignment, book: bytes) -> None:
    other = notebook(lambda made: setattr(made.cells[0], "source", "earlier"))
    folder(
        tmp_path,
        {
            f"adal_1001_9_{BOOK}": other,
            f"adal_1001_10_{QUEUE}-1.ipynb": book,
            f"adal_1002_11_{BOOK}": book,  # another student of the same name
        },
    )
    found = students(tmp_path, wanted)
    assert list(found) == ["adal_1001", "adal_1002"]
    assert all(one.answers == 1 for one in found.values())
    assert not any(one.for_a_person for one in found.values())


def test_several_owners_are_named_together(tmp_path: Path, wanted: Assignment, book: bytes) -> None:
    listing = (
        b"submission_1:\n  :submitters:\n  - :name: Ada\n  - :name: Bob\nsubmission_2:\n  :submitters: []\n"
    )
    folder(
        tmp_path / "assignment_4_export",
        {
            "submission_metadata.yml": listing,
            f"submission_1/{BOOK}": book,
            f"submission_2/{BOOK}": book,
            f"submission_3/{BOOK}": book,
        },
    )
    assert list(students(tmp_path, wanted)) == ["Ada and Bob", "submission_2", "submission_3"]


@pytest.mark.parametrize(
    "listing", [b"\xff", b"[", b"- 1", b"submission_1: 5", b"a: &a [x]\n" + b"b: *a\n" * 30]
)
def test_a_listing_that_can_not_be_read_costs_names_only(listing: bytes, tmp_path: Path, book: bytes) -> None:
    folder(tmp_path, {"submission_metadata.yml": listing, f"submission_1/{BOOK}": book})
    assert [one.student for one in take_in(tmp_path).submissions] == ["submission_1"]


def test_a_loose_notebook_without_a_name_is_nobodys_and_said(tmp_path: Path, book: bytes) -> None:
    folder(tmp_path / "in", {f"ada/{BOOK}": book, "Copy of 05-hpa-queue.ipynb": book, "x.docx": b""})
    done = collect(tmp_path / "in", tmp_path / "out", released())
    assert [one.student for one in done] == ["ada"]
    page = (tmp_path / "out" / "collected.md").read_text()
    assert "Copy of 05-hpa-queue.ipynb: belongs to no student" in page
    assert (tmp_path / "out" / ORIGINALS / "_nobody" / "x.docx").exists()


def test_one_students_own_folder_or_zip_is_one_student(
    tmp_path: Path, wanted: Assignment, book: bytes
) -> None:
    folder(tmp_path / "ada", {f"notebooks/{BOOK}": book, "notebooks/.ipynb_checkpoints/x.ipynb": b""})
    (tmp_path / "bob.zip").write_bytes(zipped({BOOK: book}))
    for who in ("ada", "bob"):
        [(name, handed)] = students(tmp_path / (who if who == "ada" else "bob.zip"), wanted).items()
        assert (name, handed.answers) == (who, 1)


def deep(book: bytes, levels: int) -> bytes:
    data = zipped({BOOK: book})
    for _ in range(levels - 1):
        data = zipped({"inner.zip": data})
    return data


def test_archives_in_archives_end_somewhere(tmp_path: Path, wanted: Assignment, book: bytes) -> None:
    folder(tmp_path, {"ada.zip": deep(book, 3), "eve.zip": deep(book, 6)})
    found = students(tmp_path, wanted)
    assert found["ada"].answers == 1
    assert found["eve"].answers == 0
    assert found["eve"].for_a_person
    assert any("3 levels deep" in remark.what for remark in found["eve"].remarks)


def bomb_of_tar() -> bytes:
    return packed({f"{n}.ipynb": bytes(8 * 2**20) for n in range(40)})


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("name", "made", "line"),
    [
        ("eve.tar.gz", bomb_of_tar, "larger than 256 MiB"),
        ("eve.tgz", lambda: half(packed({BOOK: notebook()})), "not a readable archive"),
        ("eve.zip", lambda: half(zipped({BOOK: notebook()})), "not a readable archive"),
        ("eve.tar", lambda: b"no tar", "not a readable archive"),
        ("eve/work.rar", lambda: b"Rar!", "hand in a zip file"),
        ("eve/05-hpa-queue.html", lambda: b"<html>", "no notebook (.ipynb) was handed in"),
        ("eve/answers.pdf", lambda: b"%PDF", "no notebook (.ipynb) was handed in"),
    ],
)
def test_what_can_not_be_opened_is_for_a_person(
    name: str, made: Callable[[], bytes], line: str, tmp_path: Path, wanted: Assignment
) -> None:
    folder(tmp_path, {name: made(), f"ada/{BOOK}": notebook()})
    found = students(tmp_path, wanted)
    assert found["ada"].answers == 1
    assert found["eve"].for_a_person
    assert any(line in remark.what for remark in found["eve"].remarks), found["eve"].remarks


def test_an_empty_folder_is_an_empty_submission(tmp_path: Path, wanted: Assignment, book: bytes) -> None:
    files = {f"ada/{BOOK}": book, "bob/ps1/timestamp.txt": b"2026-11-29 10:15:00 UTC"}
    (folder(tmp_path / "in", files) / "eve" / "notebooks").mkdir(parents=True)
    (tmp_path / "in.zip").write_bytes(zipped({**files, "eve/": b"", "eve/notebooks/": b""}))
    (tmp_path / "win.zip").write_bytes(windows({**files, "eve/": b"", "eve/notebooks/": b""}))
    for name in ("in", "in.zip", "win.zip"):
        found = students(tmp_path / name, wanted)
        assert list(found) == ["ada", "bob", "eve"]
        for who in ("bob", "eve"):
            assert [r.kind for r in found[who].remarks] == ["missing"]
            assert not found[who].for_a_person


def test_blackboards_listing_tells_a_user_from_the_assignment(tmp_path: Path, wanted: Assignment) -> None:
    stamp = "attempt_2026-11-29-10-15-00"
    files = {
        f"HW_3_ada_l_{stamp}_{BOOK}": notebook(),
        f"HW_3_ada_l_{stamp}.txt": b"Name: Ada L. (ada_l)\r\n...",
    }
    folder(tmp_path, {**files, f"HW_3_eve_{stamp}_{BOOK}": notebook()})
    assert list(students(tmp_path, wanted)) == ["ada_l", "eve"]


def test_links_in_a_tar_file_and_in_a_class_are_not_followed(tmp_path: Path, wanted: Assignment) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind, name in (
            (tarfile.SYMTYPE, BOOK),
            (tarfile.LNKTYPE, f"x/{BOOK}"),
            (tarfile.FIFOTYPE, "p.ipynb"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    folder(tmp_path, {"eve.tar": buffer.getvalue(), "bob/a.txt": b""})
    (tmp_path / "mal_1_2_x.ipynb").symlink_to("/etc/passwd")
    (tmp_path / "lou").symlink_to("/etc")
    found = take_in(tmp_path)
    assert [one.student for one in found.submissions] == ["bob", "eve", "mal"]
    assert not any(one.files.taken for one in found.submissions)
    assert found.strays == ("lou: a link, which could lead anywhere: not followed",)
    assert [len(clean(one, wanted).remarks) for one in found.submissions] == [1, 4, 2]


def test_attempts_that_do_not_count_are_kept_and_said(
    tmp_path: Path, wanted: Assignment, book: bytes
) -> None:
    stub = notebook(lambda made: setattr(made.cells[0], "source", "old"))
    names = [f"Q_ada_attempt_2026-11-2{n}-10-00-00_{BOOK}" for n in (7, 9, 8)]
    folder(tmp_path / "in", dict(zip(names, (stub, book, stub), strict=True)))
    found = students(tmp_path / "in", wanted, tmp_path / "kept")
    assert found["ada"].answers == 1
    assert any("2 earlier attempts: the latest, 20261129100000" in r.what for r in found["ada"].remarks)
    assert len([p for p in (tmp_path / "kept").rglob("*") if p.is_file()]) == 3


def test_a_broken_class_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "class.zip").write_bytes(zipped({f"ada/{BOOK}": b"{}"})[:-30])
    with pytest.raises(BadInput, match=r"no submissions|can't be read"):
        take_in(tmp_path / "class.zip")


def test_originals_of_hostile_names_stay_below_their_folder(tmp_path: Path) -> None:
    data = zipped({"a" * 300 + ".ipynb": b"{}", "con\n<x>.ipynb": b"{}", "..hidden/.. /x.ipynb": b"{}"})
    folder(tmp_path / "in", {"bob/a.txt": b""})
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            inner = name if len(name) < 250 else name[-250:]
            folder(tmp_path / "in", {f"eve/{inner}": b"{}"})
    take_in(tmp_path / "in", keep=tmp_path / "kept")
    assert len(list((tmp_path / "kept" / "eve").rglob("*.ipynb"))) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"in", "kept"}
    assert Files().kept.left == 0

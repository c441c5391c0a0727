"""A record comes back from its file as it was; what is no record of this version is an error."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest

from localcluster import stored
from localcluster.errors import LabError


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Place:
    file: Path | None = None
    certs: tuple[Path, Path, Path] | None = None


@dataclass(frozen=True)
class Part:
    name: str
    place: Place = field(default_factory=Place)
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Whole:
    number: int
    seconds: float
    words: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    pairs: tuple[tuple[float, float], ...] = ()
    named: Mapping[str, Part] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)
    best: Part | None = None
    kind: Literal["plain", "odd"] = "plain"
    rest: Mapping[str, Any] = field(default_factory=dict)


FULL = Whole(
    3,
    1.5,
    words=("a", "ü", "\udce4"),  # the last as os.fsdecode makes it, of a name that is no UTF-8
    parts=(Part("x", Place(Path("/a b/c"), (Path("ca"), Path("crt"), Path("key")))), Part("y")),
    pairs=((0.0, 1.0), (2.5, 3.0)),
    named={"z": Part("z", colour=Colour.BLUE)},
    ports={8000: 4711},
    best=Part("best"),
    kind="odd",
    rest={"list": [1, "two", None], "deep": {"er": True}},
)


@pytest.mark.parametrize("record", [FULL, Whole(1, 2.0), Place(), Part("p")], ids=lambda r: type(r).__name__)
@pytest.mark.parametrize("indent", [None, 1])
def test_a_record_comes_back_as_it_was(tmp_path: Path, record: Any, indent: int | None) -> None:
    file = tmp_path / "new" / "record.json"
    stored.save(file, record, indent=indent)
    assert stored.load(file, type(record)) == record
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_what_is_not_synced_is_still_whole_and_has_its_mode(tmp_path: Path) -> None:
    for record in (FULL, Whole(1, 2.0)):
        stored.save(tmp_path / "record.json", record, mode=0o644, synced=False)
        assert stored.load(tmp_path / "record.json", Whole) == record
    assert stat.S_IMODE((tmp_path / "record.json").stat().st_mode) == 0o644


def test_a_list_of_records_and_a_dict_of_them_come_back(tmp_path: Path) -> None:
    file = tmp_path / "parts.json"
    stored.save(file, [Part("a"), Part("b")])
    assert stored.load(file, list[Part]) == [Part("a"), Part("b")]
    stored.save(file, {"a": Part("a")})
    assert stored.load(file, dict[str, Part]) == {"a": Part("a")}


def test_plain_data_has_the_fields_in_their_order_and_nothing_but_json() -> None:
    told = json.loads(json.dumps(stored.plain(FULL)))
    assert list(told) == list(FULL.__dataclass_fields__)
    assert told["parts"][0]["place"] == {"file": "/a b/c", "certs": ["ca", "crt", "key"]}
    assert told["named"]["z"]["colour"] == "blue"
    assert told["ports"] == {"8000": 4711}


def test_a_number_that_json_does_not_know_is_still_a_number() -> None:
    text = json.dumps(stored.plain(Whole(1, float("nan"))))
    assert '"seconds": NaN' in text
    assert stored.made(Whole, json.loads(text)).seconds != 0


def test_what_is_no_data_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object can't be stored as JSON"):
        stored.save(tmp_path / "record.json", Whole(1, 2.0, rest={"it": object()}))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, error in ((tmp_path / "none", FileNotFoundError), (tmp_path / "file/x", NotADirectoryError)):
        with pytest.raises(error):
            stored.load(path, Whole)
        assert stored.find(path, Whole) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "Expected `object`, got `array`"),
        ("null", "Expected `object`, got `null`"),
        ('{"number": 1}', "missing required field `seconds`"),
        ('{"number": "1", "seconds": 2}', r"Expected `int`, got `str` - at `\$.number`"),
        ('{"number": 1.5, "seconds": 2}', "Expected `int`, got `float`"),
        ('{"number": 1, "seconds": 2, "kind": "new"}', "Invalid enum value 'new'"),
        ('{"number": 1, "seconds": 2, "best": {"name": "a", "place": {"file": 3}}}', "not int"),
        ('{"number": 1, "seconds": 2, "parts": [{"name": "a", "place": {"certs": ["a"]}}]}', "length 3"),
        ('{"number": 1, "seconds": 2, "pairs": [[1, 2], 3]}', r"Expected `array`, got `int`"),
    ],
)
def test_a_damaged_file_is_an_error_that_says_where(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "record.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=why):
        stored.load(file, Whole)
    assert stored.find(file, Whole) is None


def test_bytes_that_are_no_text_are_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(b"\xff\xfe")
    assert stored.find(tmp_path / "record.json", Whole) is None


def test_an_older_file_gets_the_default_of_a_new_field(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"number": 1, "seconds": 2}')
    assert stored.load(tmp_path / "record.json", Whole) == Whole(1, 2.0)


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ('"later": 1', "later"),
        ('"best": {"name": "a", "later": 1}', "later"),
        ('"parts": [{"name": "a"}, {"name": "b", "weight": 1}]', "weight"),
        ('"named": {"a": {"name": "a", "place": {"url": ""}}}', "url"),
    ],
)
def test_a_newer_file_is_refused_unless_the_reader_says_otherwise(
    tmp_path: Path, more: str, name: str
) -> None:
    file = tmp_path / "record.json"
    file.write_text(f'{{"number": 1, "seconds": 2, {more}}}')
    with pytest.raises(ValueError, match=f"unknown field '{name}'"):
        stored.load(file, Whole)
    assert stored.find(file, Whole) is None
    assert stored.load(file, Whole, newer=True).number == 1


def test_a_mapping_can_have_any_key(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text(
        '{"number": 1, "seconds": 2, "rest": {"any": {"thing": [{"a": 1}]}}}'
    )
    assert stored.load(tmp_path / "record.json", Whole).rest == {"any": {"thing": [{"a": 1}]}}


def test_a_disk_that_takes_nothing_is_told_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "record.json").mkdir()
    (tmp_path / "record.json" / "in-the-way").touch()
    with pytest.raises(LabError, match="Could not write") as raised:
        stored.save(tmp_path / "record.json", FULL)
    assert "LABKIT_HOME" in raised.value.fix
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]

"""SECURITY.md claims nothing that no test holds: each row names files and tests that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "SECURITY.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for table in PAGE.split("| enforced |")[1:]
    for line in table.split("\n\n", 1)[0].splitlines()[2:]
]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def is_there(named: str) -> bool:
    """Whether a test is there: `test_file::test_name`, or the path of a file."""
    file, _, name = named.partition("::")
    if not name:
        return (ROOT / file).is_file()
    return any(re.search(rf"\bdef {name}\(", path.read_text()) for path in ROOT.glob(f"tests/**/{file}.py"))


def test_it_makes_claims() -> None:
    assert len(ROWS) > 20


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_a_claim_names_its_code_and_the_tests_that_hold_it(row: list[str]) -> None:
    _, where, held = row
    assert [path for path in quoted(where) if not (ROOT / path).exists()] == []
    assert where == "the same" or quoted(where)
    assert quoted(held)
    assert [test for test in quoted(held) if not is_there(test)] == []


def test_what_is_named_as_a_test_outside_the_tables_is_there() -> None:
    prose = "\n".join(line for line in PAGE.splitlines() if not line.startswith("|"))
    assert [named for named in re.findall(r"`(test_\w+::test_\w+)`", prose) if not is_there(named)] == []

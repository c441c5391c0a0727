"""docs/architecture.md says what the contracts say, and every folder that the documents name is there."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
PATHS = re.compile(r"`((?:cluster|grading|labkit|notebooks|tests)/[\w./-]+)`")


def layers(package: str) -> list[set[str]]:
    """The layers of a package, as its contract has them, from the top down."""
    [contract] = [c for c in CONTRACTS["contracts"] if c.get("containers") == [package]]
    return [set(layer.split(" | ")) for layer in contract["layers"]]


def rows(package: str) -> list[set[str]]:
    """The packages that each row of the table names first."""
    section = PAGE.split(f"\n## {package}\n")[1].split("\n## ")[0]
    firsts = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [set(re.findall(r"`(\w+)`", first)) for first in firsts]


def test_the_houses_are_those_of_the_contracts() -> None:
    houses = re.findall(r"^\| `(\w+)` \| `([\w/]+)` \|", PAGE, re.MULTILINE)
    assert {name for name, _ in houses} == set(CONTRACTS["root_packages"])
    assert all((ROOT / folder / "__init__.py").is_file() for _, folder in houses)


@pytest.mark.parametrize("package", ["localcluster", "labkit", "course"])
def test_the_page_and_the_contract_name_the_same_packages_in_the_same_order(package: str) -> None:
    order = [name for layer in layers(package) for name in layer]
    named = rows(package)
    assert sorted(name for row in named for name in row) == sorted(order)
    place = {name: i for i, layer in enumerate(layers(package)) for name in layer}
    assert all(
        max(place[n] for n in above) <= min(place[n] for n in below) for above, below in pairwise(named)
    )


@pytest.mark.parametrize(
    "page", ["docs/architecture.md", "CONTRIBUTING.md", "SECURITY.md", "docs/how-real.md"]
)
def test_every_path_that_a_page_names_is_there(page: str) -> None:
    named = PATHS.findall((ROOT / page).read_text())
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []

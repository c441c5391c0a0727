"""The course at a glance: what the notebooks' first cells say, and a class of 90 minutes."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from labkit.errors import BadInput
from labkit.notebooks import outline
from labkit.notebooks.strip import read

ROOT = Path(__file__).parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]-*.ipynb"))


def test_a_class_fits_into_its_hour_and_a_half() -> None:
    assert 0 < sum(outline.of(path).core for path in NOTEBOOKS) <= outline.CLASS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_a_class_leaves_out_is_a_section_of_the_notebook(path: Path) -> None:
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert set(outline.of(path).without) <= set(sections)


def test_a_notebook_without_minutes_is_named(tmp_path: Path) -> None:
    path = tmp_path / "00-start.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 00 · Why?")]), path)
    with pytest.raises(BadInput, match="title and its minutes"):
        outline.of(path)


def test_seconds_come_from_a_summary(tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    file.write_text(json.dumps({"notebooks": [{"notebook": "00-start", "seconds": 51.4}]}))
    one = outline.Outline("00-start", "Why?", 30, 20, ())
    lines = outline.table([one], outline.measured(file)).splitlines()
    assert lines[-2:] == [
        "| [00-start](notebooks/00-start.ipynb) | Why? | 30 | 20 | 51 s |",
        "| all | | 30 | 20 | 51 s |",
    ]
    assert outline.measured(tmp_path / "none.json") == {}

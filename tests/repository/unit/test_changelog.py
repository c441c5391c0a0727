"""What the changelog promises and counts is what the tree holds."""

import re
import tomllib
from pathlib import Path

from labkit import checks

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "CHANGELOG.md").read_text()
READ = re.compile(
    r"""environ(?:\.get\(|\[)\s*["'](LABKIT_\w+)|envvar="(LABKIT_\w+)"|= "(LABKIT_[A-Z_]+)"$""", re.MULTILINE
)
"""A variable that Python code reads, by its name or through a constant."""
HOUSES = ("cluster/localcluster", "labkit", "grading/labkit_grading", "notebooks/course")
SET_BY_LABKIT = {
    *("LABKIT_CONTAINER_ID", "LABKIT_LAB_DIR", "LABKIT_POD_UID"),
    *("LABKIT_LOAD_JOURNAL", "LABKIT_LOAD_LIFELINE", "LABKIT_LOAD_PLAN"),
}
"""What labkit hands to processes that it starts: nothing for people, so no promise."""


def test_the_version_of_the_tree_has_an_entry() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"^## {re.escape(version)}\b", PAGE, re.MULTILINE)


def test_each_variable_that_commands_read_is_promised() -> None:
    code = "\n".join(path.read_text() for house in HOUSES for path in (ROOT / house).rglob("*.py"))
    read = {name for groups in READ.findall(code) for name in groups if name}
    assert len(read) > 5
    assert set(re.findall(r"^\| `(LABKIT_\w+)` \|", PAGE, re.MULTILINE)) == read - SET_BY_LABKIT
    assert read >= SET_BY_LABKIT


def test_it_counts_what_there_is() -> None:
    assert f"with {len(checks.CHECKS)} checks" in PAGE
    last = max(path.name[:2] for path in (ROOT / "notebooks").glob("[0-9][0-9]-*.ipynb"))
    assert f"notebooks (00 to {last})" in PAGE

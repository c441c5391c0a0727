"""NOTICE names every file that is based on the work of others, and no file that is not there."""

import re
from pathlib import Path

from localcluster import spawn

ROOT = Path(__file__).parents[3]
NOTICE = (ROOT / "NOTICE").read_text()
NAMED = set(re.findall(r"\b(?:labkit|cluster)/[\w./-]+\.\w+", NOTICE))


def tracked(*patterns: str) -> list[str]:
    listed = spawn.run(["git", "ls-files", "-z", "--", *patterns], cwd=ROOT)
    return [name for name in listed.stdout.split("\0") if name]


def test_what_it_names_is_there() -> None:
    assert NAMED
    assert [name for name in NAMED if not (ROOT / name).is_file()] == []


def test_it_names_every_interface_definition() -> None:
    files = tracked("*.proto")
    assert files
    assert set(files) <= NAMED


def test_it_names_every_file_of_data_with_a_source() -> None:
    """`source =` on an entry, or `# Source:` at the top, says that somebody else published the figures."""
    files = [
        name
        for name in tracked("labkit/*.toml", "cluster/localcluster/data/gpu/*.toml")
        if re.search(r"^(# Source:|source = )", (ROOT / name).read_text(), re.MULTILINE)
    ]
    assert files
    assert set(files) <= NAMED

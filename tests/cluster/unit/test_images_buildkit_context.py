"""`.dockerignore` by BuildKit's words: the same files reach the builder, or the pattern is refused by name.

BuildKit's own reader, matcher and walk answer, on the patterns of the matcher's tests and on random ones.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path, PurePosixPath

import pytest

from labkit.errors import ImageError
from localcluster.images.context import Context
from localcluster.images.ignorefile import IgnoreFile
from localcluster.images.source import Source
from tests.cluster.unit.buildkit_answers import encoded
from tests.oracles.program import Oracle, oracle

TEXT = r'"(?:[^"\\]|\\.)*"|`[^`]*`'  # a string in Go
ROW = re.compile(rf"\{{({TEXT}),\s*({TEXT}),\s*(?:true|false)\b")
NAMES = ("a", "b", "ab", "a.b", ".a", "a-b", "é", "*", "!", "d", "7", "[", "(")
PIECES: tuple[str, ...] = (
    *NAMES,
    "**",
    "?",
    "[a-b]",
    "[^a]",
    "/",
    "/",
    "\\*",
    "\\",
    "-",
    "]",
    "$",
    "+",
    ")",
    "{",
    "..",
    "\\d",
)
PIECES += ("[x-]", "[-]", "[?]", "[[:alpha:]]", "[b-a]", "\\é", "[\\]]", "[]")
PARTS = ("a", "*", "**", "b", "?", "a*", ".a", "*.b")


@pytest.fixture(scope="module")
def buildkit() -> Oracle:
    return oracle("buildkit")


def literal(text: str) -> str:
    found: str = text[1:-1] if text[0] == "`" else json.loads(text)
    return found


def hides(folder: Path, pattern: str, path: str) -> bool | ImageError:
    file = folder / ".dockerignore"
    file.write_text(pattern)
    try:
        return IgnoreFile.read(file).hides(PurePosixPath(path))
    except ImageError as error:
        return error


def test_the_patterns_of_its_matchers_tests(buildkit: Oracle, tmp_path: Path) -> None:
    tests = buildkit.sources("github.com/moby/patternmatcher") / "patternmatcher_test.go"
    rows = [(literal(p), literal(path)) for p, path in ROW.findall(tests.read_text())]
    rows = [(pattern, path) for pattern, path in rows if not path.startswith("/")]  # no path in a context
    assert len(rows) > 100
    read = buildkit.ask([{"do": "ignored", "text": encoded(p.encode())} for p, _ in rows])
    questions = [
        {"do": "match", "patterns": found["answer"], "path": path}
        for found, (_, path) in zip(read, rows, strict=True)
    ]
    for (pattern, path), theirs in zip(rows, buildkit.ask(questions), strict=True):
        ours = hides(tmp_path, pattern, path)
        if isinstance(ours, ImageError):
            assert "error" in theirs, (pattern, str(ours))
        else:
            assert ours == theirs.get("answer"), (pattern, path, theirs)


def grown(rng: random.Random, folder: Path) -> None:
    """A folder with some files in folders of one to three levels, and some empty folders."""
    folder.mkdir()
    for _ in range(rng.randint(1, 9)):
        place = folder.joinpath(*(rng.choice(NAMES) for _ in range(rng.randint(1, 3))))
        if not any(above.is_file() for above in [place, *place.parents]) and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.mkdir() if rng.random() < 0.1 else place.touch()


def ignored(rng: random.Random) -> str:
    """A random .dockerignore, as different editors save it."""
    lines = [
        rng.choice(["", "# why", " # x"]) if rng.random() < 0.1 else line(rng)
        for _ in range(rng.randint(1, 4))
    ]
    return (
        rng.choice(["", "", "\ufeff"]) + rng.choice(["\n", "\n", "\r\n"]).join(lines) + rng.choice(["", "\n"])
    )


def line(rng: random.Random) -> str:
    parts = [rng.choice(PARTS) for _ in range(rng.randint(1, 3))]
    pieces = [rng.choice(PIECES) for _ in range(rng.randint(1, 4))]
    text = "/".join(parts) if rng.random() < 0.6 else "".join(pieces)
    return rng.choice(["", "", "!", "! ", " ", "/", "./"]) + text + rng.choice(["", "", "/", " "])


def reaching(folder: Path) -> list[str] | ImageError:
    """What reaches our builder, with the folders around it."""
    try:
        entries = Context(folder, folder / "Dockerfile").entries(folder, "", Source(folder, 1))
        paths = [PurePosixPath(entry.path) for entry in entries if entry.path]
    except ImageError as error:
        return error
    return sorted({str(p) for path in paths for p in (path, *path.parents) if p.parts})


def test_random_ignore_files_let_the_same_files_through(buildkit: Oracle, tmp_path: Path) -> None:
    rng = random.Random(1)
    questions, mine = [], []
    for number in range(800):
        folder, text = tmp_path / str(number), ignored(rng)
        grown(rng, folder)
        (folder / ".dockerignore").write_bytes(text.encode())
        questions.append({"do": "walk", "text": encoded(text.encode()), "path": str(folder)})
        mine.append((text, reaching(folder)))
    same = 0
    for (text, ours), theirs in zip(mine, buildkit.ask(questions), strict=True):
        if isinstance(ours, ImageError):
            assert "error" in theirs or "is not a valid pattern" in str(ours), (text, str(ours))
        else:
            assert ours == sorted(theirs.get("answer", [])), (text, theirs)
            same += 1
    assert same > 400

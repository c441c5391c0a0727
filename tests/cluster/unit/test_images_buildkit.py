"""Dockerfiles by BuildKit's words: whatever it accepts means the same here, or is refused by name.

The files are those of BuildKit's own tests, from Go's module cache, and random ones; BuildKit itself answers.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import ImageError
from localcluster.images.source import Source
from localcluster.images.store import Store
from localcluster.images.words import Words
from tests.cluster.unit.buildkit_answers import configurations, configured, encoded, parsed, read
from tests.oracles.program import Oracle, oracle

REFUSED = {
    "ADD is not supported": "COPY and RUN do what it does, and can be seen",
    "COPY --from is not supported": "one stage only",
    "COPY --link is not supported": "a layer of its own is what every COPY makes here",
    "COPY --parents is not supported": "rare",
    "COPY also splits at blanks": "it probably does not mean what it looks like",
    "HEALTHCHECK is not supported": "Kubernetes ignores it",
    "Here-documents": "the lessons need none",
    "MAINTAINER is not supported": "deprecated",
    "ONBUILD is not supported": "an image should show what it does",
    "RUN --mount is not supported": "BuildKit's caches and secrets",
    "Several stages": "one stage only",
    "VOLUME is not supported": "a pod declares its volumes",
    "This form of variable": "quotes, escapes and variables in a pattern that cuts or replaces",
    "needs at least one argument": "an empty CMD or ENTRYPOINT: probably a mistake",
    "RUN [] has no program": "the same",
    "has only flags": "the same",
    "is not ASCII": "BuildKit reads flags byte by byte",
    "is not the name of an ARG": "its value could not be used",
    "USER has no name": "the same",
    "WORKDIR has no folder": "the same",
    "is not closed": "BuildKit says so when it builds",
    "is not a signal": "Linux has none of that number",
    "is not a port": "no port, or a port of the host, which has no meaning here",
    "is not supported by the lab's builder": "a flag that the instruction does not have in Docker, either",
}
"""What is refused although BuildKit accepts it, and why."""


@pytest.fixture(scope="module")
def buildkit() -> Oracle:
    return oracle("buildkit")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def expected(error: ImageError) -> bool:
    return any(reason in str(error) for reason in REFUSED)


def files(buildkit: Oracle) -> Iterator[tuple[str, bytes]]:
    """BuildKit's files by name; those without a FROM get one."""
    tests = buildkit.sources("github.com/moby/buildkit") / "frontend/dockerfile/parser"
    for file in sorted([*tests.glob("testfile*/*/Dockerfile"), *tests.glob("testfile-line/Dockerfile")]):
        data = file.read_bytes()
        yield str(file.relative_to(tests).parent), data
        if b"FROM" not in data.upper():
            yield f"{file.relative_to(tests).parent} with FROM", b"FROM scratch\n" + data


def test_the_files_of_its_parsers_tests(buildkit: Oracle, tmp_path: Path) -> None:
    named = dict(files(buildkit))
    assert len(named) > 40
    same = 0
    for (name, data), theirs in zip(named.items(), parsed(buildkit, list(named.values())), strict=True):
        ours = read(tmp_path, data)
        if isinstance(ours, ImageError):
            assert isinstance(theirs, str) or expected(ours), (name, str(ours))
        else:
            assert ours == theirs, name
            same += 1
    assert same >= 20


def test_each_instruction_of_its_parsers_tests(buildkit: Oracle, tmp_path: Path) -> None:
    """By itself, so that one that is refused does not hide the others of its file."""
    answers = buildkit.ask([{"do": "parse", "text": encoded(data)} for _, data in files(buildkit)])
    codes = {
        (found["answer"]["escape"], one["Code"])
        for found in answers
        if "answer" in found
        for one in found["answer"]["instructions"]
        if one["Name"] != "FROM"
    }
    alone = [f"# escape={escape}\nFROM scratch\n{code}\n".encode() for escape, code in sorted(codes)]
    assert len(alone) > 150
    assert read_alike(buildkit, tmp_path, alone) > 100


def read_alike(buildkit: Oracle, folder: Path, files: list[bytes]) -> int:
    """Each is refused by name, or understood as BuildKit does; how many are."""
    same = 0
    for data, theirs in zip(files, parsed(buildkit, files), strict=True):
        ours = read(folder, data)
        if isinstance(ours, ImageError):
            assert isinstance(theirs, str) or expected(ours), (data, str(ours))
        else:
            assert ours == theirs, data
            same += 1
    return same


# Random Dockerfiles -------------------------------------------------------------------------------------

PIECES: tuple[str, ...] = (
    *(
        "a",
        "b",
        "é",
        "$A",
        "${B:-d}",
        "${A:+z}",
        '"x y"',
        "'q $A'",
        "\\",
        "\\$A",
        "`",
        "#c",
        "=",
        "x=1",
        "[",
        "]",
    ),
    *(
        '["a", "b"]',
        '["a", 1]',
        "['a']",
        "[]",
        '["a",]',
        '["\\ud800", "<<E"]',
        "NaN",
        "{}",
        '"open',
        "\t",
        "\x0b",
    ),
    *("<<EOF", "<<-E", "<<'E'", "3<<EOF", "a<<EOF", "<<", "<< EOF", "\\<<EOF", '"<<EOF"', "\u2003", "\u00a0"),
    *(
        "--",
        "-x",
        "--chown=1",
        "--chmod=755",
        "--from=x",
        "--mount=type=x",
        "80",
        "90/udp",
        "1-3",
        "/a/b",
        "../c",
    ),
)
NAMES: tuple[str, ...] = (
    *("RUN", "COPY", "CMD", "ENTRYPOINT") * 3,
    *("ENV", "LABEL", "ARG") * 3,
    "SHELL",
    "USER",
    "WORKDIR",
)
NAMES += ("EXPOSE", "STOPSIGNAL", "HEALTHCHECK NONE", "cmd", "  Run", "# comment", "", "\\\n")
BETWEEN = (*(" ",) * 4, "", "  ", " \\\n  ", "\\\n", " \\\n# why\n\n  ")
TOPS = ("", "", "", "# escape=`\n", "\ufeff", "#escape=\\\n", "# syntax=docker/dockerfile:1\n", "ARG A=top\n")


def made(rng: random.Random) -> bytes:
    """A random Dockerfile, as an editor on Linux or Windows saves it."""
    lines = [instruction(rng) for _ in range(rng.randint(1, 4))]
    text = rng.choice(TOPS) + "\n".join(["FROM scratch", *lines]) + rng.choice(["", "\n"])
    return (text.replace("\n", "\r\n") if rng.random() < 0.3 else text).encode()


def instruction(rng: random.Random) -> str:
    name = rng.choice(NAMES)
    if name in {"ENV", "LABEL", "ARG"} and rng.random() < 0.9:
        pairs = (f"{rng.choice('ABab')}={''.join(piece(rng, 2))}" for _ in range(rng.randint(1, 2)))
        return f"{name} {' '.join(pairs)}"
    if name in {"CMD", "ENTRYPOINT", "SHELL", "COPY", "RUN"} and rng.random() < 0.4:
        return f"{name} {json.dumps(piece(rng, 3))}{rng.choice(['', '', ' ', ' x'])}"
    return f"{name} {rng.choice(BETWEEN).join(piece(rng, 3))}{rng.choice(['', '', ' ', chr(10) + 'EOF'])}"


def piece(rng: random.Random, most: int) -> list[str]:
    return [rng.choice(PIECES) for _ in range(rng.randint(0, most))]


def test_random_files_are_read_alike(buildkit: Oracle, tmp_path: Path) -> None:
    rng = random.Random(1)
    every = [made(rng) for _ in range(3000)]
    assert read_alike(buildkit, tmp_path, every) > 600


@pytest.mark.parametrize("args", [{}, {"A": "given"}])
def test_random_files_make_images_that_run_alike(
    buildkit: Oracle, store: Store, tmp_path: Path, args: dict[str, str]
) -> None:
    rng = random.Random(len(args))
    every = [
        data
        for data in (made(rng) for _ in range(1500))
        if b"RUN" not in data.upper() and b"COPY" not in data
    ]
    same = 0
    for data, theirs in zip(every, configurations(buildkit, every, args), strict=True):
        ours = configured(store, tmp_path / "context", data, args)
        if isinstance(ours, ImageError):
            assert isinstance(theirs, str) or expected(ours), (data, str(ours))
        else:
            assert ours == theirs, data
            same += 1
    assert same > 100


@pytest.mark.parametrize(
    "lines",
    [
        ("CMD a", "ENTRYPOINT b"),
        ("ENTRYPOINT b", "CMD a"),
        ('CMD ["x"]', 'ENTRYPOINT ["y"]', 'CMD ["z"]'),
        ('ENTRYPOINT ["y"]', "ENTRYPOINT []"),
        ('CMD ["x"]', "CMD []"),
        ('SHELL ["sh", "-x"]', "ENTRYPOINT b", 'CMD ["c"]'),
        ('ENV X="80 90"', 'EXPOSE $X 70/UDP 3-5 "60"'),
        ("ENV A=1 B=$A", "ENV A=2 B=$A PATH=/x:$PATH"),
        ("ARG A=1 B=$A", "ENV C=$A$B", "ENV A=2", "ENV D=$A", "ARG A=3", "ENV E=$A"),
        ("WORKDIR /a", "WORKDIR b/../c", "STOPSIGNAL sigint", "USER 1:2"),
    ],
)
def test_what_an_image_runs(buildkit: Oracle, store: Store, tmp_path: Path, lines: tuple[str, ...]) -> None:
    data = "\n".join(["FROM scratch", *lines]).encode()
    [theirs] = configurations(buildkit, [data], {})
    assert configured(store, tmp_path / "context", data, {}) == theirs


# Words ----------------------------------------------------------------------------------------------------

VARIABLES = {"PWD": "/home", "SHELL": "bash", "KOREAN": "한국어", "NULL": "", "a_b": "x'y"}
MARKS: tuple[str, ...] = (
    "$",
    "$",
    "${",
    "{",
    "}",
    "}",
    ":",
    "-",
    "+",
    "?",
    "'",
    '"',
    "\\",
    "`",
    " ",
    "#",
    "%",
    "/",
    "*",
    ".",
    "!",
    "1",
)
MARKS += ("@", "_", "a", "b", "é", "PWD", "NULL", "XX", "${PWD", "${XX:-", "$a_b", "${NULL:+")


def expanded(word: str, escape: str) -> str | ImageError:
    try:
        return Words(VARIABLES, Source(Path("Dockerfile"), 1), escape).expand(word)
    except ImageError as error:
        return error


def check_words(buildkit: Oracle, words: list[str], escape: str = "\\") -> int:
    env = [f"{name}={value}" for name, value in VARIABLES.items()]
    questions = [{"do": "word", "text": encoded(w.encode()), "escape": escape, "env": env} for w in words]
    same = 0
    for word, theirs in zip(words, buildkit.ask(questions), strict=True):
        ours = expanded(word, escape)
        if isinstance(ours, ImageError):
            assert "error" in theirs or "This form of variable" in str(ours), (word, theirs, str(ours))
        else:
            assert ours == theirs.get("answer"), (word, theirs)
            same += 1
    return same


def test_the_words_of_its_shells_tests(buildkit: Oracle) -> None:
    shell = buildkit.sources("github.com/moby/buildkit") / "frontend/dockerfile/shell"
    lines = (shell / "envVarTest").read_text().splitlines() + (shell / "wordsTest").read_text().splitlines()
    rows = [line.split("|") for line in lines if "|" in line and not line.startswith("#")]
    words = [row[-2].strip() for row in rows]
    assert len(words) > 140
    assert check_words(buildkit, words) > 90


CUTS = (*"ab*?/#%}x.1hol '\\$é[^{", "//", "##", "%%", "/o}", "}")


def test_random_words_that_cut_and_replace(buildkit: Oracle) -> None:
    rng = random.Random(1)
    words = []
    for _ in range(5000):
        pattern = "".join(rng.choice(CUTS) for _ in range(rng.randint(0, 5)))
        sign = rng.choice(["#", "##", "%", "%%", "/", "//"])
        words.append(f"${{{rng.choice([*VARIABLES, 'XX'])}{sign}{pattern}{rng.choice(['}', '/o}', '/}'])}")
    assert check_words(buildkit, words) > 2000


@pytest.mark.parametrize("escape", ["\\", "`"])
def test_random_words(buildkit: Oracle, escape: str) -> None:
    rng = random.Random(escape)
    words = ["".join(rng.choice(MARKS) for _ in range(rng.randint(1, 9))) for _ in range(5000)]
    assert check_words(buildkit, words, escape) > 2000

"""A Dockerfile is read whole or refused by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import ImageError
from labkit.images.dockerfile import Source, read
from labkit.images.words import pairs, split

HERE = Source(Path("Dockerfile"), 1)


def instructions(folder: Path, text: str) -> list[str]:
    (folder / "Dockerfile").write_text(text)
    return [str(one) for one in read(folder / "Dockerfile")]


def test_comments_and_continuations(tmp_path: Path) -> None:
    text = (
        '# syntax=docker/dockerfile:1\n\nfrom a\n# why\nRUN one \\\n  # inside\n\n  && two\n  \tCMD\t["x"]\n'
    )
    assert instructions(tmp_path, text) == ["FROM a", "RUN one && two", 'CMD ["x"]']


def test_an_instruction_knows_the_line_it_starts_at(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\n\nRUN one \\\n two\nCMD x")
    assert [one.source.line for one in read(tmp_path / "Dockerfile")] == [1, 3, 5]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ADD https://example.com/a /a", "ADD is not supported"),
        ("VOLUME /data", "VOLUME is not supported"),
        ("ONBUILD RUN x", "ONBUILD is not supported"),
        ('SHELL ["bash"]', "SHELL is not supported"),
        ("MAINTAINER me", "MAINTAINER is not supported"),
        ("HEALTHCHECK CMD curl localhost", "HEALTHCHECK is not supported"),
        ("RUN --mount=type=cache,target=/x pip install y", "RUN --mount is not supported"),
        ("RUN --network=none x", "RUN --network is not supported"),
        ("COPY --from=build /a /b", "COPY --from is not supported"),
        ("COPY --link a b", "COPY --link is not supported"),
        ("RUN <<EOF", "Here-documents"),
        ("FROM b", "Several stages"),
        ("COPPY a b", "`COPPY` is not a Dockerfile instruction"),
        ("RUN", "RUN needs at least one argument"),
        ("# escape=`\nRUN x", ""),
    ],
)
def test_what_is_not_supported_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    text = f"FROM a\n{line}\n"
    if not said:  # a parser directive counts only at the top, elsewhere it is a comment
        assert instructions(tmp_path, text) == ["FROM a", "RUN x"]
        with pytest.raises(ImageError, match="escape="):
            instructions(tmp_path, line)
        return
    with pytest.raises(ImageError) as caught:
        instructions(tmp_path, text)
    assert caught.value.what.startswith(f"{tmp_path / 'Dockerfile'}:2: ")
    assert said in caught.value.what
    assert caught.value.fix


@pytest.mark.parametrize("text", ["", "# nothing\n", "RUN x\nFROM a\n"])
def test_it_begins_with_from(tmp_path: Path, text: str) -> None:
    with pytest.raises(ImageError, match="FROM"):
        instructions(tmp_path, text)


def test_a_missing_dockerfile(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="can't be read"):
        read(tmp_path / "Dockerfile")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$A/b ${A}x ${NO:-d} ${A:+set} ${NO:+set}", ["a b/b", "a bx", "d", "set", ""]),
        ("'$A' \"$A c\" \\$A a\\ b", ["$A", "a b c", "$A", "a b"]),
        ("$ $9", ["$", "$9"]),
        ('"say \\"hi\\""', ['say "hi"']),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split(text, {"A": "a b"}, HERE) == words


def test_pairs_in_both_forms() -> None:
    assert pairs('A=1 B="2 3" C=$X', {"X": "x"}, HERE) == {"A": "1", "B": "2 3", "C": "x"}
    assert pairs("PATH /opt/bin:$X more", {"X": "x"}, HERE) == {"PATH": "/opt/bin:x more"}


@pytest.mark.parametrize("text", ["A=1 B", "A", "A='1", "A=${B/x/y}"])
def test_pairs_that_are_none(text: str) -> None:
    with pytest.raises(ImageError, match="Dockerfile:1: "):
        pairs(text, {}, HERE)

"""A Dockerfile is read whole or refused by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import ImageError
from localcluster.images.dockerfile import read
from localcluster.images.source import Source
from localcluster.images.words import Words

HERE = Source(Path("Dockerfile"), 1)


def instructions(folder: Path, text: str | bytes) -> list[str]:
    (folder / "Dockerfile").write_bytes(text if isinstance(text, bytes) else text.encode())
    return [str(one) for one in read(folder / "Dockerfile")]


def test_comments_and_continuations(tmp_path: Path) -> None:
    text = (
        '# syntax=docker/dockerfile:1\n\nfrom a\n# why\nRUN one \\\n  # inside\n\n  && two\n  \tCMD\t["x"]\n'
    )
    assert instructions(tmp_path, text) == ["FROM a", "RUN one   && two", 'CMD ["x"]']


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ENV A=1\\\n    B=2", "ENV A=1    B=2"),  # the indent keeps the words apart
        ("RUN a\\\nb", "RUN ab"),
        ("RUN a\\\n# inside\n  # indented\nb", "RUN ab"),
        ("RUN a \\\n\n   \n b", "RUN a  b"),
        ("RUN a\\ \t \n b", "RUN a b"),  # blanks behind the backslash
        ("RUN a\\\n\tb", "RUN a\tb"),
        ("RUN echo a\\\\", "RUN echo a\\\\"),  # an escaped backslash continues nothing
        ("RUN a \\", "RUN a"),  # at the end of the file
        ("RUN a \\\n# only a comment", "RUN a"),
        ("\\\nRUN a", "RUN a"),
        ("  RUN a  ", "RUN a"),
        ("RUN a \\\r\n  b", "RUN a   b"),
        ("RUN echo \x0b\x0c\u2028x", "RUN echo \x0b\x0c\u2028x"),  # no line ends
    ],
)
def test_continued_lines_are_joined_as_buildkit_does(tmp_path: Path, text: str, wanted: str) -> None:
    assert instructions(tmp_path, f"FROM a\n{text}") == ["FROM a", wanted]


def test_an_empty_line_inside_an_instruction_is_told(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\nRUN a \\\n\n b\n")
    notes: list[str] = []
    read(tmp_path / "Dockerfile", notes.append)
    assert [note.partition("Dockerfile:")[2][:16] for note in notes] == ["2: an empty line"]


BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    "text",
    [
        BOM + b"FROM a\r\n\r\n# why\r\nRUN b\r\n",
        BOM + b"# why\nFROM a\nRUN b",
        BOM + b"# syntax=docker/dockerfile:1\r\n# escape=`\r\nFROM a\r\nRUN `\r\nb\r\n",
        b"#escape = `\n#Syntax=docker.io/docker/dockerfile:1.7-labs\nFROM a\nRUN `  \nb",
        b"# check=skip=all\nFROM a\nRUN b",
        b"# not a directive\n# escape=`\nFROM a\nRUN \\\nb",
        b"\n# escape=`\nFROM a\nRUN \\\nb",
        b"FROM a\r\r\nRUN b\r\n",
    ],
)
def test_what_editors_on_windows_save(tmp_path: Path, text: bytes) -> None:
    assert instructions(tmp_path, text) == ["FROM a", "RUN b"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("FROM a\n".encode("utf-16"), 1, "UTF-16"),
        ("FROM a\n".encode("utf-16-be"), 1, "NUL byte"),
        (b"\xfe\xff\x00F", 1, "UTF-16"),
        (b"FROM a\nRUN \x00\n", 2, "NUL byte"),
        (b"FROM a\rRUN b\r", 1, "carriage return"),
        (b"FROM a\n# caf\xe9\n", 2, "not UTF-8 (byte 0xe9)"),
        (b"FROM a\n" + BOM + b"RUN b\n", 2, "byte order mark"),
        (BOM + BOM + b"FROM a\n", 1, "byte order mark"),
        (b"# escape=x\nFROM a\n", 1, "escape=x is not valid"),
        (b"FROM a\nRUN a\x1cb\n", 2, "control character U+001C"),
        (b"FROM a\nRUN a\n\\\n", 3, "no instruction follows"),
        (b"# escape=`\n# escape=`\nFROM a\n", 2, "escape appears twice"),
        (BOM + b"# syntax=example.com/other:1\nFROM a\n", 1, "syntax example.com/other:1"),
    ],
)
def test_what_is_no_text_of_a_dockerfile_is_refused(
    tmp_path: Path, text: bytes, line: int, said: str
) -> None:
    with pytest.raises(ImageError, match=r"Dockerfile:") as caught:
        instructions(tmp_path, text)
    assert caught.value.what.startswith(f"{tmp_path / 'Dockerfile'}:{line}: ")
    assert said in caught.value.what
    assert caught.value.fix


def test_an_instruction_knows_the_line_it_starts_at(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\n\nRUN one \\\n two\nCMD x")
    assert [one.source.line for one in read(tmp_path / "Dockerfile")] == [1, 3, 5]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ADD https://example.com/a /a", "ADD is not supported"),
        ("VOLUME /data", "VOLUME is not supported"),
        ("ONBUILD RUN x", "ONBUILD is not supported"),
        ("SHELL bash -c", "SHELL needs a list of words"),
        ("SHELL []", "SHELL needs a list of words"),
        ("RUN []", "RUN [] has no program"),
        ('CMD ["a", 1]', "values that are not strings"),
        ("CMD --port 8000", "CMD --port is not supported"),
        ("ENTRYPOINT --x", "ENTRYPOINT --x is not supported"),
        ("ENV --x=1 A=2", "ENV --x is not supported"),
        ("COPY --chmod=755 --chmod=700 a b", "COPY has --chmod twice"),
        ("COPY --chmod=755", "COPY has only flags"),
        ("ADD a.tar.gz /a", "ADD is not supported"),
        ("ADD --chown=1 a /a", "ADD is not supported"),
        ("HEALTHCHECK --interval=5s NONE", "HEALTHCHECK --interval is not supported"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK is not supported"),
        ("RUN --security=insecure x", "RUN --security is not supported"),
        ("RUN --mount=type=secret,id=a cat /run/secrets/a", "RUN --mount is not supported"),
        ('RUN --mount=type=bind,source="a b" x', "RUN --mount is not supported"),
        ("COPY --parents a b", "COPY --parents is not supported"),
        ("COPY --exclude=*.md a b", "COPY --exclude is not supported"),
        ("COPY <<EOF /a", "Here-documents"),
        ("COPY <<-'EOF' /a", "Here-documents"),
        ("RUN python3 <<EOF > /a", "Here-documents"),
        ("RUN 3<<EOF cat", "Here-documents"),
        ("MAINTAINER me", "MAINTAINER is not supported"),
        ("HEALTHCHECK CMD curl localhost", "HEALTHCHECK is not supported"),
        ("RUN --mount=type=cache,target=/x pip install y", "RUN --mount is not supported"),
        ("RUN --network=none x", "RUN --network is not supported"),
        ("COPY --from=build /a /b", "COPY --from is not supported"),
        ("COPY --link a b", "COPY --link is not supported"),
        ("RUN <<EOF", "Here-documents"),
        ("RUN echo a << b", "Here-documents"),  # its name may follow as a word of its own
        ('COPY ["<<EOF", "/a"]', "Here-documents"),
        ("COPY a", "COPY needs a source and a destination"),
        ("ENV A", "`A` has no value"),
        ("LABEL a=b c", "`c` is not KEY=value"),
        ("FROM b", "Several stages"),
        ("COPPY a b", "`COPPY` is not a Dockerfile instruction"),
        ("RUN", "RUN needs at least one argument"),
    ],
)
def test_what_is_not_supported_is_named_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    text = f"FROM a\n{line}\n"
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
    "line",
    [
        "RUN echo $((1<<x))",
        "RUN cat <<<word",
        'RUN echo "a <<EOF"',
        "RUN echo a <<",
        "RUN echo $((1<<3))",
        'RUN ["sh", "-c", "cat <<EOF"]',
        'SHELL ["bash", "-c"]',
        "RUN -- --odd-name",
        "HEALTHCHECK none",
        "CMD []",
    ],
)
def test_what_looks_like_something_refused_and_is_not(tmp_path: Path, line: str) -> None:
    assert len(instructions(tmp_path, f"FROM a\n{line}\n")) == 2


@pytest.mark.parametrize("line", ["CMD ['python3']", 'ENTRYPOINT ["a" "b"]', "RUN [ -f /a ]"])
def test_a_list_that_is_not_json_is_told(tmp_path: Path, line: str) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM a\n{line}\n")
    notes: list[str] = []
    read(tmp_path / "Dockerfile", notes.append)
    assert len(notes) == 1
    assert "runs as a shell command" in notes[0]


def test_an_entrypoint_in_a_shell_is_told(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\nENTRYPOINT python3 -m serve\nCMD serve\n")
    notes: list[str] = []
    read(tmp_path / "Dockerfile", notes.append)
    assert len(notes) == 1
    assert 'ENTRYPOINT ["python3", …]' in notes[0]


VARIABLES = {"A": "a b", "EMPTY": "", "V": "v1.2.3"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$A/b ${A}x ${NO:-d} ${A:+set} ${NO:+set}", ["a b/b", "a bx", "d", "set", ""]),
        ("${NO-d} ${EMPTY-d} ${EMPTY:-d} ${EMPTY+s} ${EMPTY:+s}", ["d", "", "d", "s", ""]),
        ("${NO:-${ALSO:-$A}} ${NO:-'$A'}", ["a b", "$A"]),
        ('"${A:?not there}" "${EMPTY?not there}"', ["a b", ""]),
        ("'$A' \"$A c\" \\$A a\\ b", ["$A", "a b c", "$A", "a b"]),
        ("$ $9 $$ $é", ["$", "", "", ""]),
        (
            "${V#v} ${V%.*} ${V%%.*} ${V##*.} ${V/./-} ${V//./-}",
            ["1.2.3", "v1.2", "v1", "3", "v1-2.3", "v1-2-3"],
        ),
        ('"say \\"hi\\"" "a\\b" a\\b \'a\\b\'', ['say "hi"', "a\\b", "ab", "a\\b"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert Words(VARIABLES, HERE).split(text) == words


def test_words_with_another_escape() -> None:
    assert Words(VARIABLES, HERE, "`").split('C:\\a `$A a` b "`$A \\"') == ["C:\\a", "$A", "a b", "$A \\"]


def test_pairs_in_both_forms() -> None:
    words = Words({"X": "x"}, HERE)
    assert words.values('A=1 B="2 3" C=$X D=a\\ b') == {"A": "1", "B": "2 3", "C": "x", "D": "a b"}
    assert words.values("PATH /opt/bin:$X  more") == {"PATH": "/opt/bin:x  more"}
    assert words.values("KEY\tvalue") == {"KEY": "value"}
    assert words.values('"a.b c"="d e" f=""') == {"a.b c": "d e", "f": ""}


@pytest.mark.parametrize(
    "text",
    ["A=1 B", "A", "A='1", "A=${B/$x/y}", "=1", "A=${B", "A=${}", "A=${B:?gone}", "A=${B%'x'}", 'A "b'],
)
def test_pairs_that_are_none(text: str) -> None:
    with pytest.raises(ImageError, match="Dockerfile:1: "):
        Words({}, HERE).values(text)

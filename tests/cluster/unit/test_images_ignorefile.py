"""`.dockerignore` hides what BuildKit would hide, whoever saved it; what can't be read is refused."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from labkit.errors import ImageError
from localcluster.images.ignorefile import IgnoreFile

BOM = b"\xef\xbb\xbf"


def hidden(folder: Path, text: str | bytes, *paths: str) -> list[str]:
    (folder / ".dockerignore").write_bytes(text if isinstance(text, bytes) else text.encode())
    rules = IgnoreFile.read(folder / ".dockerignore")
    return [path for path in paths if rules.hides(PurePosixPath(path))]


@pytest.mark.parametrize(
    "text",
    [
        b"secret.env",
        BOM + b"secret.env\r\n*.log\r\n",
        BOM + b"# why\r\nsecret.env\r\n",
        BOM + b"\r\n\r\n  secret.env \t\r\n",
        b"secret.env\r\r\n",
        b"/secret.env\n",
        b"./secret.env\n",
        b"secret.env/\n",
        b"//secret.env\n",
        b"a/../secret.env\n",
        b"../secret.env/../../secret.env\n/../secret.env\n",
        b"**/secret.env\n",
        b"**secret.env\n",
        b"secret.*\n",
        b"secret?env\n",
        b"[rs]ecret.env\n",
        b"[^a]ecret.env\n",
        b"secret\\.env\n",
        b"!secret.env\nsecret.env\n",
        b"*\n!app.py\n",
        b"**\n!app.py\n",
    ],
)
def test_a_secret_stays_at_home(tmp_path: Path, text: bytes) -> None:
    assert hidden(tmp_path, text, "secret.env", "app.py") == ["secret.env"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("secret.env\n!secret.env", []),  # the last rule that applies decides
        ("*.env\n!secret.env\n*.env", ["secret.env"]),
        ("**/*.env", ["secret.env", "a/b.env", "a/c/d.env"]),
        ("*/*.env", ["a/b.env"]),
        ("a", ["a", "a/b.env", "a/c", "a/c/d.env"]),
        ("a/**", ["a/b.env", "a/c", "a/c/d.env"]),
        ("a/**/d.env", ["a/c/d.env"]),
        ("a\n!a/c", ["a", "a/b.env"]),
        ("a\n!a/c\na/c/d.env", ["a", "a/b.env", "a/c/d.env"]),
        ("a/c/d.env\n!a", ["a/c/d.env"]),  # `!a` would change nothing for `a`, so it does nothing below it
        ("! a\na/c", ["a/c", "a/c/d.env"]),
        ("a/*", ["a/b.env", "a/c", "a/c/d.env"]),
        ("d.env", []),  # counts from the root, unlike .gitignore
        ("# a\n", []),
        (" # a\n", []),  # names a file "# a"
        ("..\n../a\n.\n/\n", []),
        ("a**d.env", ["a/c/d.env"]),
        ("A\nsecret.Env", []),
        ("[a-b]/[!b]*", ["a/b.env"]),  # `!` is no negation in Go
    ],
)
def test_rules_are_read_as_buildkit_reads_them(tmp_path: Path, text: str, wanted: list[str]) -> None:
    assert hidden(tmp_path, text, "secret.env", "a", "a/b.env", "a/c", "a/c/d.env") == wanted


def test_odd_names(tmp_path: Path) -> None:
    assert hidden(tmp_path, "# a\n #b\n(c)+$\n\\!d\n\\#e\n", "#b", "(c)+$", "!d", "#e", "# a") == [
        "#b",
        "(c)+$",
        "!d",
        "#e",
    ]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("secret.env\n".encode("utf-16"), 1, "UTF-16"),
        ("secret.env\n".encode("utf-16-le"), 1, "NUL byte"),
        (b"a\rsecret.env\r", 1, "carriage return"),
        (b"a\n" + BOM + b"secret.env\n", 2, "byte order mark"),
        (BOM + BOM + b"secret.env\n", 1, "byte order mark"),
        (b"a\n\xe9\n", 2, "not UTF-8"),
        (b"a\n!\n", 2, "`!` has no pattern"),
        (b"[secret.env\n", 1, "is not a valid pattern"),
        (b"[]secret.env\n", 1, "is not a valid pattern"),
        (b"[z-a]\n", 1, "is not a valid pattern"),
        (b"secret.env\\\n", 1, "is not a valid pattern"),
    ],
)
def test_a_line_that_can_not_be_understood_is_refused(
    tmp_path: Path, text: bytes, line: int, said: str
) -> None:
    with pytest.raises(ImageError) as caught:
        hidden(tmp_path, text, "secret.env")
    assert caught.value.what.startswith(f"{tmp_path / '.dockerignore'}:{line}: ")
    assert said in caught.value.what
    assert caught.value.fix


def test_no_file_hides_nothing(tmp_path: Path) -> None:
    assert not IgnoreFile.read(tmp_path / ".dockerignore").hides(PurePosixPath("a"))

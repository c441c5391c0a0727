"""Splits and expands the words of an instruction: quotes, escapes and `$VARIABLES`, as BuildKit's lexer does.

`$name`, `${name}` and the forms with `-`, `+` and `?` (with and without a colon) are known; so are those that
cut or replace (`#`, `%`, `/`), if their patterns have no quotes, escapes or variables. Between single quotes
nothing is expanded.
Source: https://github.com/moby/buildkit/blob/master/frontend/dockerfile/shell/lex.go
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from localcluster.images.cutting import cut, replaced
from localcluster.images.source import Source

BLANKS = re.compile(r"[\t\v\f\r ]+")
_NAME = re.compile(r"[^\W\d]\w*|\d+|[@*#?$!-]")  # a shell's own variables (digits, signs) are never set here


@dataclass(frozen=True)
class Words:
    """How the text of an instruction is read: with these variables, and this escape character."""

    variables: Mapping[str, str]
    source: Source
    escape: str = "\\"

    def expand(self, text: str) -> str:
        """A text without its quotes, its variables replaced; unknown variables are empty."""
        return _Reader(text, self).until("")

    def split(self, text: str) -> list[str]:
        """The words of a line, unquoted and expanded; an expansion never makes two words of one."""
        return [self.expand(word) for word in self.raw(text)]

    def raw(self, text: str) -> list[str]:
        """The words of a line with their quotes and escapes still in them."""
        words, word, quote, escaped = [], "", "", False
        for char in text:
            if not quote and not escaped and char.isspace():
                words += [word] if word else []
                word = ""
                continue
            word += char
            if escaped:
                escaped = False
            elif char == self.escape and quote != "'":
                escaped = True
            elif char in "\"'" and quote in {"", char}:
                quote = "" if quote else char
        if quote:
            raise self.unclosed(quote)
        word = word[:-1] if escaped else word  # at the end it has nothing to escape
        return [*words, word] if word else words

    def values(self, text: str) -> dict[str, str]:
        """The `KEY=value` words of ENV and LABEL, expanded."""
        return {self.expand(key): self.expand(value) for key, value in self.pairs(text)}

    def pairs(self, text: str) -> list[tuple[str, str]]:
        """`KEY=value` words as they are written; the old form `ENV KEY the rest` too."""
        raw = self.raw(text)
        if not raw or "=" not in raw[0]:
            key, *rest = BLANKS.split(text, maxsplit=1)
            if not rest:
                raise self.source.refuse(f"`{key}` has no value.", fix=f"Write {key}=value.")
            return [(key, rest[0])]
        found = []
        for word in raw:
            key, equals, value = word.partition("=")
            if not equals or not key:
                raise self.source.refuse(
                    f"`{word}` is not KEY=value.", fix="Quote values that contain spaces."
                )
            found.append((key, value))
        return found

    def arguments(self, text: str) -> list[tuple[str, str | None]]:
        """The names of ARG as they are written, with their defaults."""
        found = []
        for word in self.raw(text):
            name, equals, default = word.partition("=")
            if not name or set(name) & {"$", "'", '"', self.escape}:
                what = f"`{name}` is not the name of an ARG: there are no quotes or variables in it."
                raise self.source.refuse(what, fix="Write ARG NAME=default.")
            found.append((name, default if equals else None))
        return found

    def unclosed(self, quote: str) -> Exception:
        """The error for an unclosed quote."""
        fix = f"Close the quote, or escape it with {self.escape}."
        return self.source.refuse(f"A {quote} is not closed.", fix=fix)


class _Reader:
    """Reads a text once, from left to right."""

    def __init__(self, text: str, how: Words) -> None:
        self._text = text
        self._how = how
        self._at = 0

    def until(self, stop: str) -> str:
        """All up to `stop`, expanded; empty means to the end."""
        out = ""
        while char := self._next():
            if char == stop:
                return out
            if char == "'":
                out += self._single()
            elif char == '"':
                out += self._double()
            elif char == "$":
                out += self._variable()
            else:
                out += self._next() if char == self._how.escape else char
        if stop:
            raise self._bad()
        return out

    def _next(self) -> str:
        char = self._text[self._at : self._at + 1]
        self._at += 1
        return char

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _single(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise self._how.unclosed("'")
        found, self._at = self._text[self._at : end], end + 1
        return found

    def _double(self) -> str:
        out, escape = "", self._how.escape
        while char := self._next():
            if char == '"':
                return out
            if char == "$":
                out += self._variable()
            elif char == escape and self._peek() in {'"', "$", escape}:
                out += self._next()
            else:
                out += char
        raise self._how.unclosed('"')

    def _variable(self) -> str:
        if self._peek() == "{":
            return self._braced()
        name = self._name()
        return self._how.variables.get(name, "") if name else "$"

    def _name(self) -> str:
        found = _NAME.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found[0] if found else ""

    def _braced(self) -> str:
        self._at += 1
        name = self._name()
        sign = self._next()
        value = self._how.variables.get(name)
        if name and sign == "}":
            return value or ""
        if sign and sign in "#%/":
            return self._cut(value or "", sign)
        empty_counts = sign == ":"
        sign = self._next() if empty_counts else sign
        if not name or not sign or sign not in "-+?":
            raise self._bad()
        other = self.until("}")
        missing = value is None or (empty_counts and not value)
        if sign == "?" and missing:
            said = other or f"is not allowed to be {'empty' if value == '' else 'unset'}"
            fix = f"Set it with --build-arg {name}=…, or give a default: ${{{name}:-…}}."
            raise self._how.source.refuse(f"{name}: {said}", fix=fix)
        if sign == "+":
            return "" if missing else other
        return other if missing else value or ""

    def _cut(self, value: str, sign: str) -> str:
        if sign != "/":
            return cut(value, sign, self._plain("}"))
        every = self._peek() == "/"
        self._at += every
        pattern, new = self._plain("/"), self._plain("}")
        if not pattern.strip("*"):
            raise self._bad()  # it is found in nothing, too, and programs differ in how often
        return replaced(value, pattern, new, every=every)

    def _plain(self, stop: str) -> str:
        """All up to `stop`, which must not need to be expanded."""
        out = ""
        while (char := self._next()) != stop:
            if not char or char in {"'", '"', "$", "<", self._how.escape}:
                raise self._bad()
            out += char
        return out

    def _bad(self) -> Exception:
        fix = "Use ${NAME}, ${NAME:-default}, ${NAME:+instead}, ${NAME:?message}, ${NAME%end} or ${NAME/a/b}."
        return self._how.source.refuse(f"This form of variable is not supported: {self._text}", fix=fix)

"""Splits and expands the words of an instruction: quotes, escapes and `$VARIABLES`, as Docker does.

`$name`, `${name}`, `${name:-default}` and `${name:+instead}` are known; other modifiers are refused.
Between single quotes nothing is expanded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from labkit.images.dockerfile import Source

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)(?:(:[-+])((?:[^{}\\]|\\.)*))?\}")


def split(text: str, variables: Mapping[str, str], source: Source) -> list[str]:
    """The words of a line, unquoted and expanded; an expansion never makes two words of one."""
    return [expand(word, variables, source) for word in raw_words(text, source)]


def raw_words(text: str, source: Source) -> list[str]:
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
        elif char == "\\" and quote != "'":
            escaped = True
        elif char in "\"'" and quote in {"", char}:
            quote = "" if quote else char
    if quote:
        raise source.refuse(
            f"A {quote} is opened and never closed.", fix="Close the quote, or escape it with \\."
        )
    return [*words, word] if word else words


def expand(word: str, variables: Mapping[str, str], source: Source) -> str:
    """One word without its quotes, its variables replaced; unknown variables are empty."""
    out, at, quote = "", 0, ""
    while at < len(word):
        char = word[at]
        if char == "\\" and quote != "'" and at + 1 < len(word):
            keep = quote == '"' and word[at + 1] not in '"$\\'
            out += word[at : at + 2] if keep else word[at + 1]
            at += 2
        elif char in "\"'" and quote in {"", char}:
            quote = "" if quote else char
            at += 1
        elif char == "$" and quote != "'":
            value, at = _variable(word, at + 1, variables, source)
            out += value
        else:
            out += char
            at += 1
    return out


def _variable(word: str, at: int, variables: Mapping[str, str], source: Source) -> tuple[str, int]:
    if plain := _NAME.match(word, at):
        return variables.get(plain[0], ""), plain.end()
    if braced := _BRACED.match(word, at):
        value = variables.get(braced[1], "")
        if braced[2] is None:
            return value, braced.end()
        other = expand(braced[3], variables, source)
        return (value or other) if braced[2] == ":-" else (other if value else ""), braced.end()
    if word[at : at + 1] == "{":
        fix = "Use ${NAME}, ${NAME:-default} or ${NAME:+instead}."
        raise source.refuse(f"This form of a variable is not supported: ${word[at:]}", fix=fix)
    return "$", at


def pairs(text: str, variables: Mapping[str, str], source: Source) -> dict[str, str]:
    """`KEY=value` words of ENV and LABEL; the old form `ENV KEY the rest` too."""
    raw = raw_words(text, source)
    if "=" not in raw[0]:
        key, _, rest = text.partition(" ")
        if not rest.strip():
            raise source.refuse(f"`{key}` has no value.", fix=f"Write {key}=value.")
        return {key: expand(rest.strip(), variables, source)}
    found = {}
    for word in raw:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise source.refuse(f"`{word}` is not KEY=value.", fix="Quote values that hold spaces.")
        found[expand(key, variables, source)] = expand(value, variables, source)
    return found

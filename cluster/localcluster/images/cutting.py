"""Cuts and replaces in the value of a variable: `${V#v}`, `${V%.*}`, `${V/a/b}`. Patterns have `*` and `?`.

`#` and `%` cut the shortest match at the beginning and at the end, `##` and `%%` the longest; `/` replaces
the first match, `//` all of them.
Source: https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

from __future__ import annotations

import re


def cut(value: str, sign: str, pattern: str) -> str:
    """Without a beginning (`#`) or an end (`%`); a pattern that begins with the sign again is greedy."""
    greedy = pattern.startswith(sign)
    pattern = pattern.removeprefix(sign)
    if sign == "#":
        return _after(value, pattern, greedy=greedy)
    # The shortest match at the end is the shortest at the beginning, both read backwards.
    return _after(value[::-1], pattern[::-1], greedy=greedy)[::-1]


def _after(value: str, pattern: str, *, greedy: bool) -> str:
    found = re.match(_expression(pattern, greedy=greedy), value)
    return value[found.end() :] if found else value


def replaced(value: str, pattern: str, new: str, *, every: bool) -> str:
    """With another text where the pattern is found, once or each time."""
    return re.sub(_expression(pattern, greedy=True), lambda _: new, value, count=0 if every else 1)


def _expression(pattern: str, *, greedy: bool) -> str:
    star = ".*" if greedy else ".*?"
    return "".join({"*": star, "?": "."}.get(char, re.escape(char)) for char in pattern)

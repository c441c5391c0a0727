"""Variables from a file that an init container wrote (`fileKeyRef`), as strictly as the kubelet. Pure.

A line is `NAME='value'`; the value is literal and may have several lines; `#` begins a comment.
https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file/
"""

from __future__ import annotations

import re

_BLANK = re.compile(r"[ \t]*(#[^\n]*)?(\n|\Z)")
_NAME = re.compile(r"[ \t]*(?P<name>[^=\n]*)=")
_VALUE = re.compile(r"'(?P<value>[^']*)'[ \t]*(#[^\n]*)?(\n|\Z)")
_EMPTY = re.compile(r"(?P<value>)[ \t][^\n]*(\n|\Z)")  # as in a shell: a blank ends the assignment


def value(text: str, key: str) -> str:
    r"""The value of `key`, empty if there is none; raises ValueError for a line before it that is none.

    >>> value("A='1'  # one\nB='two\nlines'", "B")
    'two\nlines'
    """
    here = 0
    while here < len(text):
        if blank := _BLANK.match(text, here):
            here = blank.end()
            continue
        name = _NAME.match(text, here)
        if not name or not name["name"] or name["name"] != name["name"].rstrip(" \t"):
            raise ValueError(_where(text, here, "wants NAME='value'"))
        found = _VALUE.match(text, name.end()) or _EMPTY.match(text, name.end())
        if not found:
            raise ValueError(_where(text, here, "wants a value in single quotes, and nothing after it"))
        if name["name"] == key:
            return found["value"]
        here = found.end()
    return ""


def _where(text: str, place: int, what: str) -> str:
    return f"line {text.count(chr(10), 0, place) + 1} {what}"

"""What browsers, file managers and platforms add to the name of an exercise file on its way to the grader.

`hpa (1).yml`, `hpa-1.yaml`, `hpa copy 2.yaml`, `Kopie von hpa.yaml` and `HPA.yaml.txt` are all `hpa.yaml`.
Refuses nothing and guesses nothing: a name that was chosen by a person (`final.yaml`) is another name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

SUFFIX = re.compile(r"(?i)\.ya?ml(?:\.(?:txt|json|download|\d+))?$")
"""Of a YAML file: with what Notepad, browsers, Safari and wget add to a name that they don't know."""
_COPY = r"(?:copy|kopie|copie|copia|cópia|kopia|kopi)"
_COPIED = re.compile(rf"(?i)\b{_COPY}\d*\b|副本|コピー|복사본")
_MARKS = tuple(
    re.compile(mark, re.IGNORECASE)
    for mark in (
        r"^again ",  # our own, where a name occurs twice
        rf"^{_COPY} (?:\(\d+\) )?(?:of|von|de|di|van|av|af) ",
        r"[ _-]*\(\d+\)$",
        rf"[ _-]+{_COPY}[ _-]?\d*$",
        r"[ _-]*(?:副本|コピー|복사본)$",
        r"[ _-]+\d+$",
    )
)


def is_yaml(name: str) -> bool:
    """Whether a file's name is that of a YAML file, renamed or not."""
    return SUFFIX.search(name) is not None


def is_named(file: str, released: str) -> bool:
    """Whether a file has the name of a released one, with or without such marks."""
    return _stem(released) in _stems(_stem(file))


def is_renamed(file: str, released: str) -> bool:
    """Whether a file's name is not the released one's; capital letters and `.yml` make no difference."""
    other = SUFFIX.search(file)
    return _stem(file) != _stem(released) or other is None or other[0].lower() not in {".yaml", ".yml"}


def retry(path: PurePosixPath, released: str) -> int:
    """The number of a retry, 0 without one: a copy can be earlier or later, whatever its number."""
    left = _stem(path.name).replace(_stem(released), " ", 1)
    return 0 if _COPIED.search(left) else max(map(int, re.findall(r"\d{1,6}", left)), default=0)


def is_copy(path: PurePosixPath) -> bool:
    """Whether a file's name says that it is a copy."""
    return _COPIED.search(path.name) is not None


def _stem(name: str) -> str:
    return SUFFIX.sub("", name).casefold()


def _stems(stem: str) -> Iterator[str]:
    """A name, then without its last mark, and so on: `batch-64 (1)` is `batch-64` before it is `batch`."""
    waiting, seen = [stem], set()
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            yield one
            waiting += [mark.sub("", one).strip() for mark in _MARKS]

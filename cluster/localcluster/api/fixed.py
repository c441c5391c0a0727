"""Fields that are fixed once an object exists: what the API server says of them, and the way out.

Pure. The server tells of such a field in several ways, and puts a comparison of the whole object, or the
whole new value, behind its sentence. The sentence stays word for word; the rest is folded, not thrown away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_FIXED = re.compile(
    r"immutable"
    r"|may not change (?:fields|once set)"
    r"|may not be changed in an update"
    r"|updates to \S+ (?:spec )?(?:for fields other than .* )?are forbidden"
    r"|cannot change roleRef"
    r"|(?:can't|cannot|can not) be (?:changed|updated) (?:after|once)",
    re.IGNORECASE | re.DOTALL,
)
_OBJECT = re.compile(r'(?:^|\s)([A-Z]\w+)(?:\.[a-z0-9.-]+)? "([^"]+)" is invalid')
_QUOTED = re.compile(r'"[^"]*"')
_COMPARISON = re.compile(r"\n\s*(?:@@ |core\.|&?\w+\.\w+\{|[{}+-]).*", re.DOTALL)
_VALUE = re.compile(r"(Invalid value: )([{\[].{60,}[}\]])(?=: )", re.DOTALL)
LEFT_OUT = "…"

_TAKES_ALONG = {
    "DaemonSet": "Its pods go with it.",
    "Deployment": "Its pods go with it, and nothing serves until the new ones are ready.",
    "Job": "Its pods go with it, and it starts from the beginning.",
    "PersistentVolume": "Save what is stored there first.",
    "PersistentVolumeClaim": "What is stored there may go with it: save it first.",
    "StatefulSet": "Its pods go with it; its volume claims stay.",
}


def is_fixed(message: str) -> bool:
    """Whether the server refused to change a field of an object that is there already."""
    said = _QUOTED.sub("", message)  # a value is not the server's own wording
    return bool(_OBJECT.search(message) and _FIXED.search(said))


def brief(message: str) -> str:
    """The server's sentence without the comparison, or the long value, that follows it."""
    short = _COMPARISON.sub(f" {LEFT_OUT}", message.strip())
    return _VALUE.sub(r"\1…", short)


def way_out(message: str, *, elsewhere: str = "") -> str:
    """What to do, with the line to run; `elsewhere` is a namespace other than the lab's."""
    kind, name = _object(message)
    target = f"{kind.lower()}/{name}"
    terminal = f"kubectl delete {target}" + (f" --namespace {elsewhere}" if elsewhere else "")
    notebook = f'lab.delete("{target}"); lab.until("{target} gone")'
    lines = ["Delete the object, then apply your file again.", _TAKES_ALONG.get(kind, "")]
    if kind == "Service":
        lines = ["Take the field out of your file; or delete the object, then apply your file again.", ""]
    ways = f"in a terminal: {terminal}" if elsewhere else f"{notebook}   (in a terminal: {terminal})"
    return f"{' '.join(filter(None, lines))}\n  {ways}"


def _object(message: str) -> tuple[str, str]:
    found = _OBJECT.search(message)
    return (found.group(1), found.group(2)) if found else ("", "")


def changed(wanted: Any, there: Any, path: str = "") -> Iterator[str]:
    """The fields of a manifest at which the object that is there says something else."""
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        for key, value in wanted.items():
            yield from changed(value, there.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        for i, (value, old) in enumerate(zip(wanted, there, strict=True)):
            yield from changed(value, old, f"{path}[{i}]")
    elif wanted and str(wanted) != str(there):
        yield path

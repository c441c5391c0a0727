"""How learning platforms name what they export: from a name to the student, and to the attempt.

Each format is documented in docs/submissions.md, with the way to export it. Never looks inside: a student's
identity follows from the name that the platform gave, never from anything that was handed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

ALIASES = 20  # limit for Gradescope's listing: nested YAML aliases can fill any memory


@dataclass(frozen=True)
class Named:
    """The parts of a name. `inner` is the student's own file name, empty for a folder of files.

    `id` is the platform's number of the student. Attempts at one `work` supersede each other by `when`;
    `number` counts uploads if the platform does.
    """

    who: str
    id: str = ""
    inner: str = ""
    work: str = ""
    when: str = ""
    number: int = 0
    late: bool = False


ATTEMPT = "attempt.txt"
"""What Blackboard writes beside a student's files."""
_USER = re.compile(r"\s*Name: [^\n]*\(([^()\n]+)\)")
_STAMP = r"\d{4}-\d\d-\d\d[ _T-]\d\d[-:._]?\d\d[-:._]?\d\d"
_MOODLE = re.compile(
    r"(?P<who>.+?)_(?P<id>\d+)_assignsubmission_(?P<plugin>file|onlinetext)(?:_(?P<inner>.*))?"
)
_BLACKBOARD = re.compile(
    rf"(?P<work>.+)_(?P<who>[^_]+)_attempt_(?P<when>{_STAMP})(?:_(?P<inner>.+)|(?P<listing>\.txt))"
)
_EXCHANGE = re.compile(rf"(?P<who>.+)\+(?P<work>[^+]+)\+(?P<when>{_STAMP}[^+]*)(?:\+[^+]*)?")
_CANVAS = re.compile(
    r"(?:(?P<early>LATE)_)?(?P<who>anon|.+?)(?P<late>_LATE)?_(?P<id>\d+|(?<=anon_)\w{5})"
    r"_(?:(?P<number>\d+)_(?P<inner>.+)|(?P<entry>(?:text|link)\.html))"
)
_PERSONAL = re.compile(r"(?P<who>[^\W\d].*?)(?: - |[ _-]+)(?P<inner>\d\d-[a-z].*)", re.IGNORECASE)
_COPY = re.compile(
    r"(?i)(copy|kopie|copie|copia|cópia|kopia|kopi) (of|von|de|di|van|av|af)\b|final|neu|new|v\d"
)


def told(name: str) -> Named | None:
    """The parts of a name that a platform gave; None if no platform uses such names."""
    if found := _MOODLE.fullmatch(name):
        text = "onlinetext" if found["plugin"] == "onlinetext" else ""
        inner = "/".join(filter(None, (text, found["inner"])))
        who = f"{found['who']} {found['id']}" if found["who"].startswith("Participant") else found["who"]
        return Named(who, found["id"], inner)
    if found := _BLACKBOARD.fullmatch(name):
        inner = found["inner"] or ATTEMPT
        return Named(found["who"], inner=inner, work=found["work"], when=_digits(found["when"]))
    if found := _EXCHANGE.fullmatch(name):
        return Named(found["who"], work=found["work"], when=_digits(found["when"]))
    if found := _CANVAS.fullmatch(name):
        anonymous = found["who"] == "anon"
        who = f"anon_{found['id']}" if anonymous else found["who"]
        late = bool(found["late"] or found["early"])
        return Named(
            who, found["id"], found["inner"] or found["entry"], number=int(found["number"] or 0), late=late
        )
    return None


def personal(name: str) -> Named | None:
    """A course notebook prefixed with a student's name, as Google Classroom does: `Ada - 05-….ipynb`."""
    found = _PERSONAL.fullmatch(name)
    if found is None or _COPY.match(name):
        return None
    return Named(found["who"].strip(" -_"), inner=found["inner"])


def _digits(when: str) -> str:
    """A time as sortable text: Windows does not allow its colons."""
    return re.sub(r"\D", "", when)


class _Listing(yaml.SafeLoader):
    """Reads Gradescope's listing, written by Ruby: its custom tags are read as plain data."""


def _untagged(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Listing.add_multi_constructor("!", _untagged)


def user_of(listing: bytes) -> str:
    """The user's name in the first line of Blackboard's listing; empty if there is none."""
    found = _USER.match(listing[:1000].decode("utf-8", "replace").removeprefix("\ufeff"))
    return found[1].strip() if found else ""


def submitters(listing: bytes) -> dict[str, tuple[str, ...]]:
    """The submitters in Gradescope's submission_metadata.yml, by folder.

    Empty if it can't be read; an e-mail address if there is no name.
    """
    try:
        text = listing.decode("utf-8-sig")
        if sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)) > ALIASES:
            return {}
        data = yaml.load(text, _Listing)  # noqa: S506 - a SafeLoader
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError):
        return {}
    found = {str(folder): _people(one) for folder, one in data.items()} if isinstance(data, dict) else {}
    return {folder: names for folder, names in found.items() if names}


def _people(one: Any) -> tuple[str, ...]:
    people = one.get(":submitters") if isinstance(one, Mapping) else None
    rows = [row for row in people or [] if isinstance(row, Mapping)] if isinstance(people, list) else []
    names = (row.get(":name") or row.get(":email") or row.get(":sid") for row in rows)
    return tuple(str(name) for name in names if name)

"""Which fields of the API an embedded lab does not honour, and what it says instead.

The API server takes them all; nothing is ignored in silence. The list is written by scripts/fields.
"""

from __future__ import annotations

from localcluster.data import DATA

LIST = DATA / "refused-fields.txt"


def refused_fields() -> list[tuple[str, str]]:
    """Each field, as `PodSpec.hostPID`, with what is said instead."""
    rows = (line.partition("\t") for line in LIST.read_text().splitlines())
    return [(field, said) for field, _, said in rows]

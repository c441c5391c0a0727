"""How many requests of a load test ended how: by the version that answered, and by the kind of failure.

Requests cut off by the end of the test are not counted: they neither failed nor succeeded.
"""

from __future__ import annotations

from collections import Counter

from labkit.load.results import LoadResult

CUT_OFF = frozenset({"abandoned", "not_sent"})


def outcomes(run: LoadResult) -> dict[str, int]:
    """Counts: judged requests, whole answers of each version, failures by kind, and all failures."""
    judged = [row for row in run.rows if row.outcome not in CUT_OFF]
    versions = Counter(row.version for row in judged if row.ok)
    found = {"requests": len(judged)}
    found |= {f"answered by {version or '?'}": count for version, count in sorted(versions.items())}
    found |= run.failures()
    return found | {"failed": sum(row.failed for row in judged)}

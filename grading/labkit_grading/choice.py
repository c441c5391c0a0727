"""Which notebooks a class is graded in: unless asked, not those whose programs would have to be built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from labkit.notebooks import needs
from labkit.notebooks.strip import read
from labkit_grading.judging import rubric as rubrics
from labkit_grading.sites.site import Site
from localcluster import catalog


def gradable(
    chosen: Sequence[Path], site: Site, *, named: bool, rubric: Path, tell: Callable[[str], object]
) -> list[Path]:
    """The notebooks to grade; `tell` tells of those left out.

    What needs an optional part of a lab is graded if it was `named`, or if the rubric names it, so that no
    one loses its points: then its programs are built first. A run that is continued has its rubric already.
    """
    if not site.own:  # refused by name, with others that need a cluster of their own
        return list(chosen)
    optional = [path for path in chosen if needs.of(read(path))]
    asked = optional if named else _counted(optional, rubric)
    if not named and rubric.exists():
        for path in [path for path in optional if path not in asked]:
            tell(f"{path.stem} is left out: {rubric.name} does not count it")
        chosen = [path for path in chosen if path not in optional or path in asked]
    found, _ = needs.ready(chosen, catalog.get(site.provider), named=asked, tell=tell)
    return found


def _counted(paths: Sequence[Path], rubric: Path) -> list[Path]:
    if not rubric.exists():
        return []
    numbers = {name[:2] for name in rubrics.load(rubric).checks}
    return [path for path in paths if path.stem[:2] in numbers]

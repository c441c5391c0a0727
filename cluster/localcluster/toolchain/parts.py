"""The optional parts of a lab: which programs each needs, whether they are here, and how to get them."""

from __future__ import annotations

from dataclasses import dataclass

from localcluster.errors import BadInput, ToolchainError
from localcluster.toolchain import locate
from localcluster.toolchain.ladder import Ladder
from localcluster.toolchain.versions import Part, Pins, pins


@dataclass(frozen=True)
class Lacking:
    """What a part lacks on this machine, and how to get it."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"


def part(name: str, among: Pins | None = None) -> Part:
    """A part by its name; raises `BadInput` for a name that is none."""
    known = (among or pins()).parts
    if name not in known:
        raise BadInput(f"A lab has no optional part {name!r}.", fix=f"Known: {', '.join(known)}.")
    return known[name]


def lacking(name: str, ladder: Ladder | None = None) -> Lacking | None:
    """What the part lacks here; None if it can be started at once. Fetches nothing."""
    ladder = ladder or Ladder()
    wanted = part(name, ladder.pins)
    found = ladder.look(wanted.programs)
    if missing := [program for program in wanted.programs if program not in found]:
        command = f"labkit toolchain fetch {' '.join(missing)}"
        return Lacking(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not built yet",
            f"to build {'it' if len(missing) == 1 else 'them'} (about {wanted.minutes} min, once): {command}",
        )
    return _lacks_package(wanted)


def get(name: str, ladder: Ladder | None = None) -> None:
    """Find, download or build what the part needs, with progress; raises `ToolchainError` if that fails."""
    ladder = ladder or Ladder()
    wanted = part(name, ladder.pins)
    if lack := _lacks_package(wanted):  # first, since it takes no time to say
        raise ToolchainError(f"The part {name} can't be started: {lack.what}.", fix=lack.fix)
    ladder.ensure(wanted.programs)


def _lacks_package(wanted: Part) -> Lacking | None:
    if not wanted.envoy:
        return None
    try:
        locate.envoy()
    except ToolchainError as error:
        return Lacking("Envoy is not installed", error.fix.rstrip(".").replace("Run", "run"))
    return None

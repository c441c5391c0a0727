"""`make bench`: what we hold ourselves to, as a table on the screen and as JSON in out/.

    python -m tests.bench [--cold] [--only PART] [--students 100]

kwokctl, which we compare ourselves with, is fetched or built first where it is missing. `--cold` also builds
the control plane's programs from nothing, which takes about ten minutes on two cores. A class of a hundred
students takes half an hour. KEDA and the gateway are measured where they are built, or asked for. Two parts
are no part of the whole: `--only kind` needs Docker or Podman, and `--only load` fetches the load generators
of others, some gigabytes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from localcluster import spawn
from localcluster.toolchain import ladder, parts
from tests.bench import cluster, gateway, grading, keda, kind, load, network, pods, services
from tests.bench.figures import Figure, write

OUT = Path("out")
PARTS = ("cluster", "idle", "pods", "network", "keda", "gateway", "load", "grading", "kind")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cold", action="store_true", help="also build everything from nothing")
    parser.add_argument("--only", choices=PARTS, help="one part of it")
    parser.add_argument("--students", type=int, default=100, help="how many the class has that is graded")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="labkit-bench-") as home:
        os.environ["LABKIT_HOME"] = home
        figures: list[Figure] = []
        if asked.only in {None, "cluster"}:
            figures += cluster.up_against_kwokctl(binaries(Path(home) / "bin"))
        if asked.only in {None, "idle"}:
            figures += cluster.idle()
        if asked.only in {None, "pods"}:
            figures += pods.run(OUT)
        if asked.only in {None, "network"}:
            figures += [*network.figures(), *services.figures()]
        figures += optional(asked.only, Path(home))
        if asked.only == "load":
            figures += load.figures(Path(home) / "load")
        if asked.only in {None, "grading"}:
            figures += grading.figures(Path(home) / "grading", asked.students)
        if asked.only == "kind":
            figures += kind.run(OUT)
        if asked.cold:
            figures.append(cold_build(Path(home) / "cold"))
    write(figures, OUT)


def optional(only: str | None, home: Path) -> list[Figure]:
    """The optional parts of a lab: those that were asked for, or are here."""
    known = {"keda": keda.figures, "gateway": gateway.figures}
    wanted = [name for name in known if only == name or (only is None and not parts.lacking(name))]
    return [figure for name in wanted for figure in known[name](home / name)]


def binaries(into: Path) -> Path:
    """The same binaries for both, in one folder, as kwokctl wants them."""
    into.mkdir()
    for name, path in {**ladder.ensure(), **ladder.ensure(["kwok", "kwokctl"])}.items():
        (into / name).symlink_to(path)
    return into


def cold_build(cache: Path) -> Figure:
    """Every program from pinned modules, with nothing in any cache but the modules' sources."""
    env = {**os.environ, "LABKIT_CACHE": str(cache), "GOCACHE": str(cache / "go-build")}
    env.pop("LABKIT_BIN_DIR", None)
    began = time.monotonic()
    status = spawn.attached(["labkit", "toolchain", "build"], env=env)
    if status:
        raise SystemExit("the build from nothing failed")
    return Figure("binaries built from nothing", (time.monotonic() - began) / 60, "min", 10.0)


if __name__ == "__main__":
    main()

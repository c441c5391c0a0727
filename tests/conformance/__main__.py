"""Kubernetes' own end-to-end suite against a lab, area by area; what ran before is not run again.

    make conformance                                    every area without a result
    python -m tests.conformance node-probes storage     these areas, again
    python -m tests.conformance --failed node           only what failed there
    python -m tests.conformance --slice                 CI's selection
    python -m tests.conformance --page [--check]        docs/conformance.md from the stored results

Results lie under out/conformance/PROVIDER; with --store they become those of the page. Ends with 0 if every
failure is explained in exceptions.toml, and with 1 if not.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from localcluster import catalog
from localcluster.cli import console
from localcluster.errors import LabError, ProviderError
from localcluster.layout import default_name
from localcluster.provider import Provider, Spec
from localcluster.toolchain.progress import on
from tests.cluster.kind.wanted import wanted
from tests.conformance import images, on_kind, page, programs, results
from tests.conformance.suite import Cluster, Runner, Selection, areas, outcome

OUT = Path("out/conformance").absolute()


def main() -> int:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"one of: {', '.join(areas())}")
    parser.add_argument("--provider", default="embedded", choices=["embedded", "kind"])
    parser.add_argument("--failed", action="store_true", help="run only what failed before")
    parser.add_argument("--specs", nargs="+", metavar="NAME", help="only specs with these full names")
    parser.add_argument("--slice", action="store_true", help="CI's selection: at most six minutes")
    parser.add_argument(
        "--cached", action="store_true", help="do nothing, and say so, if the suite is not built yet"
    )
    parser.add_argument("--build", action="store_true", help="build the suite, then end")
    parser.add_argument("--store", action="store_true", help="make these results those of the page")
    parser.add_argument("--page", action="store_true", help="write docs/conformance.md")
    parser.add_argument("--check", action="store_true", help="with --page: end with 1 if the page is old")
    asked = parser.parse_args()
    unknown = sorted(set(asked.areas) - set(areas()))
    if unknown:
        parser.error(f"There is no area called {', '.join(unknown)}. Choose from: {', '.join(areas())}.")
    if asked.page:
        return page.main(check=asked.check)
    if asked.cached and not programs.find():
        console.report(
            "NOT RUN: upstream's suite. It is not built on this machine yet: make conformance builds it."
        )
        return 0
    built = programs.ready(on())
    if asked.build:
        return 0
    folder = OUT / asked.provider
    done: list[results.Area] = []
    for clock, names in _by_clock(asked).items():
        with _cluster(asked.provider, clock) as cluster, _images(*cluster, built) as registries:
            runner = Runner(built, Cluster(*cluster, registries), on())
            done += _run(runner, asked, folder, names) if names else [_sliced(runner, folder / "slice")]
    if asked.store:
        for area in done:
            area.save(page.STORED / asked.provider)
    if not (asked.slice or asked.areas):
        others = [name for name in areas() if name not in {area.name for area in done}]
        done += filter(None, (results.load(folder, name) for name in others))
    return _verdict(done)


def _by_clock(asked: argparse.Namespace) -> dict[float, list[str]]:
    """The areas to run on each lab, by the clock that they want; none of them for CI's selection."""
    if asked.slice:
        return {1.0: []}
    found: dict[float, list[str]] = {}
    for name, selection in areas().items():
        if name in asked.areas or not (asked.areas or results.load(OUT / asked.provider, name)):
            found.setdefault(selection.clock, []).append(name)
    return found


def _run(
    runner: Runner, asked: argparse.Namespace, folder: Path, names: Sequence[str]
) -> Iterator[results.Area]:
    for name in names:
        selection, before = areas()[name], results.load(folder, name)
        chosen = _chosen(selection, before, asked)
        if chosen is None:
            continue
        specs = runner.run(chosen, folder / name)
        narrow = before is not None and chosen is not selection
        area = before.merged(specs) if before and narrow else outcome(name, specs, runner.cluster.provider)
        area.save(folder)
        _tell(area)
        yield area


def _sliced(runner: Runner, folder: Path) -> results.Area:
    """CI's selection; what fails runs once more by itself, as all that fails in CI, and is named."""
    chosen = page.slice_of_all()
    area = outcome("slice", runner.run(chosen, folder), runner.cluster.provider)
    failed = [spec.name for spec in area.those(results.FAILED)]
    if not failed:
        return area
    console.report("FLAKY? Once more, by itself: " + "; ".join(failed))
    return area.merged(runner.run(chosen.named(failed), folder / "again"))


def _chosen(selection: Selection, before: results.Area | None, asked: argparse.Namespace) -> Selection | None:
    if asked.specs:
        return selection.named(asked.specs)
    if asked.failed and before:
        names = [spec.name for spec in before.those(results.FAILED)]
        return selection.named(names) if names else None
    return selection


def _tell(area: results.Area) -> None:
    passed, failed = len(area.those(results.PASSED)), area.those(results.FAILED)
    console.report(f"{area.name}: {passed} of {passed + len(failed)} passed")
    for spec in failed:
        console.report(
            f"  {spec.name}\n    {spec.place} {spec.message.splitlines()[0] if spec.message else ''}"
        )


def _verdict(done: list[results.Area]) -> int:
    unexplained = [spec for area in done for spec in area.those(results.FAILED) if not page.reason(spec.name)]
    for spec in unexplained:
        console.report(
            f"FAILED, and not explained in exceptions.toml: {spec.name}\n  {spec.place} {spec.message}"
        )
    passed = sum(len(area.those(results.PASSED)) for area in done)
    failed = sum(len(area.those(results.FAILED)) for area in done)
    console.out.print(f"{passed} passed, {failed} failed", markup=False)
    return 1 if unexplained or not passed else 0


@contextmanager
def _cluster(provider: str, clock: float) -> Iterator[tuple[str, Path]]:
    """A lab; one that runs is used, one that was started here is taken down again."""
    name = default_name()
    found = catalog.get(provider)
    running = _kubeconfig(found)
    if running:
        yield provider, running
        return
    kind = provider == "kind"
    spec = wanted(name, clock=clock) if kind else Spec(name, clock=clock, gpu_nodes=1, cpu_nodes=2)
    try:
        yield provider, found.up(spec, console.report)
    finally:
        found.down(console.report)


def _kubeconfig(found: Provider) -> Path | None:
    try:
        return found.kubeconfig()
    except ProviderError:
        return None


@contextmanager
def _images(provider: str, kubeconfig: Path, built: programs.Built) -> Iterator[Path]:
    progress, address = on(), images.free_address()
    with images.served(built, OUT / "images", progress, address) as registries, ExitStack() as stack:
        if provider == "kind":
            stack.enter_context(on_kind.reached(registries.parent, address, kubeconfig))
        yield registries


if __name__ == "__main__":
    os.environ.setdefault("LABKIT_LAB", "conformance")
    try:
        sys.exit(main())
    except LabError as error:
        console.fail(error)
        sys.exit(1)

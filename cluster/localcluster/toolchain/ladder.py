"""How to get a program, step by step: named folder, installed, cache, download, build.

Every skipped step says why. Refuses a program that did not run here in the pinned version (except in a folder
that the user named).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from localcluster.errors import ToolchainError
from localcluster.toolchain import build, golang, locate, objects
from localcluster.toolchain.cache import Cache, Entry
from localcluster.toolchain.progress import Progress, on
from localcluster.toolchain.versions import Pins, Program, cache_root, pins, target


@dataclass(frozen=True)
class Ladder:
    """The wanted programs, where they can come from, and where to report."""

    pins: Pins = field(default_factory=pins)
    cache: Cache = field(default_factory=lambda: Cache(cache_root() / "bin"))
    progress: Progress = field(default_factory=on)
    use_installed: bool = True
    use_downloads: bool = True

    def ensure(self, names: Sequence[str]) -> dict[str, Path]:
        """Paths of programs that are ready to run, by any step."""
        programs = self._named(names)
        _check_here(programs)
        found = self.look(names)
        missing = [p for p in programs if p.name not in found]
        if missing:
            with self.cache.writing(self.progress):
                found |= self._obtained(missing)
        return {name: found[name] for name in names}

    def look(self, names: Sequence[str]) -> dict[str, Path]:
        """What is available without writing, waiting or using the network."""
        found: dict[str, Path] = {}
        for program in self._named(names):
            path = self._present(program) if program.here else None
            if path:
                found[program.name] = path
        return found

    def cached(self, program: Program, *, full: bool = False) -> Entry | None:
        """The program's entry in the cache if it is whole; otherwise what is wrong is reported."""
        entry = self.cache.find(program.key())
        trouble = entry.trouble(full=full) if entry else ""
        if trouble:
            self.progress.note(f"{program.name}: the cached file is not used: {trouble}.")
            return None
        return entry

    @property
    def _downloads(self) -> Path:
        return self.cache.root / ".downloads"

    def _named(self, names: Sequence[str]) -> list[Program]:
        unknown = sorted(set(names) - set(self.pins.programs))
        if unknown:
            known = ", ".join(self.pins.programs)
            raise ToolchainError(
                f"There is no program called {', '.join(unknown)}.", fix=f"Choose from: {known}."
            )
        return [self.pins.programs[name] for name in names]

    def _present(self, program: Program) -> Path | None:
        path = None
        if self.use_installed:
            path = locate.explicit(program, self.progress)
            path = path or (None if program.ours else locate.installed(program, self.progress))
        entry = None if path else self.cached(program)
        return entry.folder / program.name if entry else path

    def _obtained(self, programs: Sequence[Program]) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for program in programs:  # another process may have added it while we waited
            entry = self.cached(program)
            if entry:
                found[program.name] = entry.folder / program.name
        missing = [p for p in programs if p.name not in found]
        if missing and self.use_downloads:
            found |= self._downloaded(missing)
        missing = [p for p in missing if p.name not in found]
        found |= self._built(missing) if missing else {}
        shutil.rmtree(self._downloads, ignore_errors=True)  # built parts of what came another way
        return found

    def _downloaded(self, programs: Sequence[Program]) -> dict[str, Path]:
        from localcluster.toolchain import download  # noqa: PLC0415 - slow, and programs are fetched once

        found: dict[str, Path] = {}
        for offer in download.offers(programs, self.progress):
            program = offer.program
            try:
                file = download.fetch(offer, self._downloads, self.progress)
                origin = f"downloaded from {offer.download.url}"
                found[program.name] = self._kept(program, file, origin)
            except (ToolchainError, download.Failure) as error:
                self.progress.note(f"{program.name}: no download ({error}).")
        return found

    def _built(self, programs: Sequence[Program]) -> dict[str, Path]:
        found: dict[str, Path] = {}
        try:
            go = golang.find(self.pins, self.cache, self.progress)
            for module in {p.module.name: p.module for p in programs}.values():
                wanted = [p for p in programs if p.module == module]
                found |= self._built_module(build.Job(module, wanted, go, Path()))
        except ToolchainError as error:
            names = ", ".join(p.name for p in programs if p.name not in found)
            raise ToolchainError(
                f"Not available here: {names}. {error.what}",
                cause=error.cause,
                fix=f"{error.fix} On a machine without a network, `localcluster toolchain "
                "install FILE` installs"
                " a bundle that `localcluster toolchain bundle FILE` made on another.".strip(),
            ) from error
        go.clear()
        return found

    def _built_module(self, job: build.Job) -> dict[str, Path]:
        with self.cache.staging() as staging:
            job = build.Job(job.module, job.programs, job.go, staging)
            files = build.build(job, self.pins, self.progress)
            origin = f"built from {job.module.name}/go.mod"
            return {p.name: self._kept(p, files[p.name], origin, self._objects(p, job)) for p in job.programs}

    def _objects(self, program: Program, job: build.Job) -> str:
        if not program.kustomization:
            return ""
        return objects.rendered(program, job, locate.kubectl(self.pins.releases["kubernetes"]))

    def _kept(self, program: Program, file: Path, origin: str, beside: str = "") -> Path:
        """Run it once; if it has the right version, it becomes an entry of the cache."""
        file.chmod(0o755)
        version = locate.version_of(program, file)
        if version != program.version:
            raise ToolchainError(f"{program.name} has version {version} instead of {program.version}.")
        with self.cache.staging() as staging:
            folder = staging / "entry"
            folder.mkdir()
            file.rename(folder / program.name)
            if beside:
                (folder / objects.FILE).write_text(beside)
            about = {"name": program.name, "version": program.version, "origin": origin}
            return self.cache.add(program.key(), folder, about).folder / program.name


def _check_here(programs: Sequence[Program]) -> None:
    foreign = [program for program in programs if not program.here]
    if foreign:
        names, known = ", ".join(p.name for p in foreign), ", ".join(foreign[0].platforms)
        raise ToolchainError(
            f"Not available here: {names}.",
            cause=f"It exists for {known} only, and this machine is {target()}.",
            fix="Use a machine or a virtual machine of that kind.",
        )


def ensure(names: Sequence[str] | None = None, *, progress: Progress | None = None) -> dict[str, Path]:
    """Paths of the programs that every lab needs, or of `names`, found, downloaded or built.

    Takes a tenth of a second when they are cached, and minutes the first time. Raises `ToolchainError`.

    >>> ensure(["etcd"])["etcd"]                                                        # doctest: +SKIP
    PosixPath('/home/me/.cache/labkit/bin/etcd-3.7.3-linux-amd64-0123456789ab/etcd')
    """
    ladder = Ladder(progress=progress or on())
    wanted = list(names) if names is not None else [*ladder.pins.wanted(), "kubectl"]
    found = ladder.ensure([name for name in wanted if name != "kubectl"])
    if "kubectl" in wanted:
        found["kubectl"] = locate.kubectl(ladder.pins.releases["kubernetes"])
    return found


def binaries(*, progress: Progress | None = None) -> Mapping[str, Path]:
    """The programs that every lab needs, by name."""
    return ensure(progress=progress)

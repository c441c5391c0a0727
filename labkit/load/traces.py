"""Recorded traffic: when requests came and how many tokens they held.

Real traces of Azure's LLM inference service (Azure/AzurePublicDataset, CC-BY 4.0: 2023, Patel et al.,
Splitwise, ISCA 2024; 2024, Stojkovic et al., DynamoLLM, HPCA 2025) can be read from their files; without a
file, `synthetic` makes a seeded twin of 2023 with the same statistics. A changed trace never passes for the
recorded one: `what` lists every cut and thinning.
"""

from __future__ import annotations

import hashlib
import os
import random
from bisect import bisect_left
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from labkit import course
from labkit.errors import BadInput, LoadError
from labkit.load import azure_file
from labkit.load.arrivals import Arrivals
from labkit.load.figures import recorded
from labkit.load.twin import Events, make
from localcluster.stored import write_atomically

_HOME = "https://raw.githubusercontent.com/Azure/AzurePublicDataset/master/data/AzureLLMInferenceTrace_{}.csv"
_SHA256 = {
    "code": "54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6",
    "conv": "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8",
}


@dataclass(frozen=True, repr=False)
class Trace:
    """Requests at `times` (lab seconds from 0, ascending) with `sizes` (tokens in, tokens out)."""

    times: tuple[float, ...]
    sizes: tuple[tuple[int, int], ...]
    seconds: float
    name: str
    what: str
    pace: float = 1.0
    """Recorded seconds that pass in one lab second."""

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        return f"<Trace {self.what}: {len(self):,} requests in {self.seconds:g} s, {self.rate:.2f}/s>"

    @property
    def rate(self) -> float:
        """Requests per second on average."""
        return len(self) / self.seconds

    def window(self, *, start: float, seconds: float) -> Trace:
        """The requests from `start` on, for `seconds`; time starts at 0 again."""
        low, high = bisect_left(self.times, start), bisect_left(self.times, start + seconds)
        times = tuple(time - start for time in self.times[low:high])
        what = f"{self.what}, window {start:g} to {start + seconds:g} s"
        return replace(self, times=times, sizes=self.sizes[low:high], seconds=seconds, what=what)

    def thinned(self, *, rate: float, seed: int = 0) -> Trace:
        """Keep each request with the same probability, so that on average `rate` per second are left.

        Bursts stay where they are; only their height shrinks.
        """
        if rate >= self.rate:
            raise BadInput(
                f"{self!r} can't be thinned to {rate:g}/s: it holds fewer.",
                fix="Choose a lower rate, or a busier window.",
            )
        return self._kept(rate / self.rate, seed, f"{self.what}, thinned to {rate:g}/s (seed {seed})")

    def share(self, part: float, *, seed: int = 0) -> Trace:
        """A part of the users, from 0 to 1: each request is kept with this probability.

        Unlike `thinned` it aims for no rate, so quiet stretches stay quiet.
        """
        return self._kept(part, seed, f"{self.what}, {part:.0%} of its requests (seed {seed})")

    def faster(self, factor: float) -> Trace:
        """The same requests, closer together: `factor` recorded seconds in one lab second."""
        times = tuple(time / factor for time in self.times)
        return replace(self, times=times, seconds=self.seconds / factor, pace=self.pace * factor)

    def _kept(self, part: float, seed: int, what: str) -> Trace:
        rng = random.Random(seed)
        kept = [i for i in range(len(self)) if rng.random() < part]
        times, sizes = tuple(self.times[i] for i in kept), tuple(self.sizes[i] for i in kept)
        return replace(self, times=times, sizes=sizes, what=what)

    def capped(self, *, tokens_in: int, tokens_out: int) -> Trace:
        """Limit the size of requests, for a model whose context is shorter than the recorded one's."""
        sizes = tuple((min(i, tokens_in), min(o, tokens_out)) for i, o in self.sizes)
        return replace(self, sizes=sizes, what=f"{self.what}, capped at {tokens_in} in and {tokens_out} out")

    def arrivals(self) -> Arrivals:
        """The arrivals for an open load: `Open(trace.arrivals())`. Says how recorded time became lab time.

        No server takes a request of 0 tokens: there it asks for one, and says so.
        """
        what = f"{self.what}, {self.pace:g} recorded s in 1 lab s"
        empty = sum(min(size) < 1 for size in self.sizes)
        if empty:
            what += f", {empty:,} requests of 0 tokens sent with 1"
        return Arrivals(self.times, self.seconds, what, tuple((max(1, i), max(1, o)) for i, o in self.sizes))


def azure(path: str | Path, *, verify: bool = True, seconds: float | None = None) -> Trace:
    """Read an `AzureLLMInferenceTrace_*.csv` of 2023 or 2024, or its first `seconds`.

    With `verify`, only the two published files of 2023 are accepted.

    >>> azure(Path("AzureLLMInferenceTrace_conv.csv"))                   # doctest: +SKIP
    <Trace conv (Azure, 2023): 19,366 requests in 3502 s, 5.53/s>
    """
    path = course.path(path)
    try:
        name = _name_of(path) if verify else path.stem
        found = azure_file.read(path, seconds=seconds)
    except OSError as error:
        raise BadInput(
            f"Can't read {path}: {error.strerror}.",
            fix="traces.fetch('conv', into=...) downloads it; traces.synthetic('conv') needs no file.",
        ) from error
    length = max(1.0, float(-int(-found.times[-1] // 1))) if seconds is None else seconds
    what = f"{name} (Azure, {found.year})" + ("" if seconds is None else f", its first {seconds:g} s")
    return Trace(tuple(found.times), tuple(found.sizes), length, name, what)


def get(name: str, *, seconds: float, seed: int = 0) -> Trace:
    """A stretch of the recorded trace if its file is there, otherwise of its synthetic twin.

    The file (`fetch` downloads it) is looked up in `$LABKIT_TRACES`, or in `data/` of the course; the seed
    determines where the stretch begins.
    """
    path = _folder() / f"AzureLLMInferenceTrace_{name}.csv"
    if not path.exists():
        return synthetic(name, seconds=seconds, seed=seed)
    whole = azure(path)
    start = round(random.Random(seed).uniform(0, max(0.0, whole.seconds - seconds)))
    return whole.window(start=start, seconds=seconds)


def synthetic(name: str, *, seconds: float | None = None, seed: int = 0) -> Trace:
    """A seeded twin of `conv` (a smooth ramp of chats) or `code` (violent bursts), by default equally long.

    >>> synthetic("code", seconds=600, seed=1).what
    'twin of code, seed 1'
    """
    known = recorded()
    if name not in known:
        raise BadInput(f"There is no trace {name!r}.", fix=f"Known: {', '.join(sorted(known))}.")
    length = seconds or known[name].seconds
    made: Events = make(known[name], seconds=length, seed=seed)
    return Trace(made.times, made.sizes, length, name, f"twin of {name}, seed {seed}")


def fetch(name: str, *, into: str | Path) -> Path:
    """Download the recorded trace from its public source unless it is already there; return its path."""
    into = course.path(into)
    if name not in _SHA256:
        raise BadInput(f"There is no trace {name!r}.", fix=f"Known: {', '.join(sorted(_SHA256))}.")
    path = into / f"AzureLLMInferenceTrace_{name}.csv"
    if path.exists() and _sum(path.read_bytes()) == _SHA256[name]:
        return path
    try:
        answer = httpx.get(_HOME.format(name), follow_redirects=True, timeout=60)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise LoadError(
            f"Could not download the trace {name}: {error}.",
            cause="No network, or a proxy that does not allow it.",
            fix=f"traces.synthetic({name!r}) has the same statistics and needs no network.",
        ) from error
    if _sum(answer.content) != _SHA256[name]:
        raise LoadError(
            f"The trace {name}, as downloaded, is not the published file.",
            cause="It was changed or truncated.",
        )
    write_atomically(path, answer.text)
    return path


def _folder() -> Path:
    return Path(os.environ.get("LABKIT_TRACES") or course.root() / "data")


def _name_of(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    found = {value: key for key, value in _SHA256.items()}.get(digest)
    if found is None:
        raise BadInput(
            f"{path} is not one of the two published traces of 2023 (SHA-256 {digest[:12]}…).",
            cause="It was edited, truncated, or is from another year.",
            fix="azure(path, verify=False) reads any file with these three columns.",
        )
    return found


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

"""Downloads a publisher's own build of a program, checked against the SHA-256 that the publisher gives.

An interrupted download continues where it stopped, also in a later run. Refuses a file with another checksum
(and deletes it), and does not wait more than a few seconds for a host.
"""

from __future__ import annotations

import io
import json
import queue
import re
import shutil
import tarfile
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from localcluster import polling
from localcluster.errors import ToolchainError
from localcluster.toolchain import disk
from localcluster.toolchain.cache import sha256
from localcluster.toolchain.progress import Progress, Task
from localcluster.toolchain.versions import Download, Program

PATIENCE = 4.0
"""Seconds in which hosts must answer with their lists of checksums; the others are skipped."""

Failure = httpx.HTTPError
"""What a transfer that failed raises."""

_TRIES = 6


@dataclass(frozen=True)
class Offer:
    """A program that can be downloaded from here, with the checksum that it must have."""

    program: Program
    download: Download
    sha256: str

    def part(self, folder: Path) -> Path:
        """The partial file: named by its checksum, so that a later run continues it."""
        return folder / f"{self.sha256[:16]}-{Path(urlsplit(self.download.url).path).name}.part"


def offers(programs: Sequence[Program], progress: Progress, *, patience: float = PATIENCE) -> list[Offer]:
    """Ask all publishers at once for the checksums; a note says why one is not available."""
    answers: queue.Queue[tuple[Program, str]] = queue.Queue()
    asked = [program for program in programs if program.download]
    for program in programs:
        if not program.download:
            progress.note(f"{program.name}: there is no download for this system.")
    for program in asked:  # daemons: looking up a name can hang, and can't be interrupted
        threading.Thread(target=_ask, args=(program, answers, patience), daemon=True).start()
    found = _collect(asked, answers, time.monotonic() + patience)
    for program in asked:
        if not isinstance(found.get(program.name), Offer):
            reason = found.get(program.name) or f"no answer within {patience:.0f} s"
            progress.note(f"{program.name}: no download ({reason}).")
    return [offer for offer in found.values() if isinstance(offer, Offer)]


def fetch(offer: Offer, folder: Path, progress: Progress) -> Path:
    """Download into `folder`, resume as often as it helps, check the checksum; returns the program."""
    folder.mkdir(parents=True, exist_ok=True)
    part = offer.part(folder)
    with progress.task(f"Downloading {offer.program.name}") as task, _client() as client:
        _complete(client, offer, part, task)
    if sha256(part) != offer.sha256:
        part.unlink()
        raise ToolchainError(
            f"{offer.download.url} does not have the SHA-256 that its publisher gives; it was deleted.",
            cause="The download was modified or damaged in transit (by a proxy or captive portal).",
            fix="Try another network.",
        )
    return _extracted(part, offer.download.member) if offer.download.member else part


def _client() -> httpx.Client:
    return httpx.Client(
        follow_redirects=True,
        timeout=httpx.Timeout(20.0, connect=PATIENCE),
        event_hooks={"request": [_only_tls]},
    )


def _only_tls(request: httpx.Request) -> None:
    """A list of checksums is only as trustworthy as its transport; also after a redirect."""
    if request.url.scheme != "https" and request.url.host != "127.0.0.1":
        raise httpx.UnsupportedProtocol(f"{request.url} is not https", request=request)


def _ask(program: Program, answers: queue.Queue[tuple[Program, str]], patience: float) -> None:
    download = program.download
    assert download is not None
    if download.sha256:
        answers.put((program, download.sha256))
        return
    try:
        with _client() as client:
            answer = client.get(download.sums, timeout=patience).raise_for_status()
        answers.put((program, _sum_in(answer.text, Path(urlsplit(download.url).path).name)))
    except httpx.HTTPStatusError as error:
        answers.put((program, f"{download.sums} answers {error.response.status_code}"))
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        answers.put((program, f"{urlsplit(download.sums).netloc}: {str(error) or type(error).__name__}"))


def _collect(
    asked: Sequence[Program], answers: queue.Queue[tuple[Program, str]], deadline: float
) -> dict[str, Offer | str]:
    found: dict[str, Offer | str] = {}
    while len(found) < len(asked):
        try:
            program, said = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        good = program.download and re.fullmatch(r"[0-9a-f]{64}", said)
        found[program.name] = Offer(program, program.download, said) if good and program.download else said
    return found


def _sum_in(text: str, name: str) -> str:
    """The sum of `name` in a list as sha256sum writes it; a bare checksum is for the file next to it."""
    if text.startswith("{"):
        return _digest_in(text, name)
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if len(rows) == 1 and len(rows[0]) == 1:
        return rows[0][0].lower()
    sums = [row[0].lower() for row in rows if len(row) == 2 and row[1].lstrip("*") == name]
    return sums[0] if sums else f"its list of checksums does not contain {name}"


def _digest_in(text: str, name: str) -> str:
    """The checksum of a release's file in GitHub's record of it.

    https://docs.github.com/en/rest/releases/releases#get-a-release-by-tag-name
    """
    try:
        digests = {asset["name"]: asset.get("digest") or "" for asset in json.loads(text)["assets"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        return "its record of the release can't be read"
    return (
        digests.get(name, "").removeprefix("sha256:")
        or f"its record of the release has no checksum of {name}"
    )


def _complete(client: httpx.Client, offer: Offer, part: Path, task: Task) -> None:
    """Read until the end, resuming after each interruption as long as there is progress."""
    for attempt in range(1, _TRIES + 1):
        try:
            _read_on(client, offer.download.url, part, task)
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            if attempt == _TRIES or isinstance(error, httpx.HTTPStatusError):
                said = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise ToolchainError(
                    f"The download of {offer.download.url} was interrupted: {said}",
                    cause="The network or the publisher's server failed.",
                    fix="Run the command again: it continues where it stopped.",
                ) from error
            task.advance(0, f"interrupted, continuing ({attempt})")
            polling.pause(0.2 * attempt)
        else:
            return


def _read_on(client: httpx.Client, url: str, part: Path, task: Task) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", url, headers=headers) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # the file is complete; the checksum will show
        answer.raise_for_status()
        if have and answer.status_code != httpx.codes.PARTIAL_CONTENT:
            have = 0  # this server starts over
        size = int(answer.headers.get("Content-Length", 0))
        task.total, task.done = (float(have + size) if size else None), float(have)
        disk.require(part.parent, size / disk.MB, f"Downloading {url}")
        with part.open("ab" if have else "wb") as file:
            for chunk in answer.iter_raw():
                file.write(chunk)
                task.advance(len(chunk), f"{task.done / disk.MB:.0f} MB")


def _extracted(archive: Path, member: str) -> Path:
    """Extract one file of a tar archive next to it, and nothing else."""
    target = archive.with_suffix(".program")
    try:
        with tarfile.open(archive) as tar:
            source = tar.extractfile(member)
            with source or io.BytesIO() as content, target.open("wb") as file:
                shutil.copyfileobj(content, file)
    except (KeyError, tarfile.TarError, EOFError, zlib.error) as error:
        target.unlink(missing_ok=True)
        raise ToolchainError(f"{archive.name} does not contain {member}: {error}.") from error
    archive.unlink()
    return target

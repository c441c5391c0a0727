"""What was handed in, kept byte for byte in the report's folder, for grading and for disputes.

Names are made harmless, nothing is unpacked. Keeps no more than `MOST` bytes of one submission.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ORIGINALS = "originals"
MOST = 512 * 2**20  # bytes of one submission
LONGEST = 180  # characters of a name: file systems take 255 bytes


@dataclass
class Originals:
    """One student's originals; nothing is kept if there is no folder."""

    folder: Path | None = None
    size: int = 0

    @property
    def left(self) -> int:
        """How many more bytes can be kept."""
        return MOST - self.size if self.folder else 0

    def begin(self) -> None:
        """Remove what an earlier run kept here."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, path: PurePosixPath, data: bytes) -> None:
        """Write one file below the folder; a second one with the same name is kept beside it."""
        if not self.folder:
            return
        place = self.folder.joinpath(*map(_plain, path.parts))
        place.parent.mkdir(parents=True, exist_ok=True)
        while place.exists():
            place = place.with_name(f"again {place.name}")
        place.write_bytes(data)
        self.size += len(data)


def _plain(name: str) -> str:
    kept = re.sub(r'[\x00-\x1f\x7f<>:"|?*\\/\ud800-\udfff]', "_", name)
    if len(kept.encode(errors="replace")) > LONGEST:
        kept = f"{kept[:30]}…{kept[-30:]}"
    return kept if kept.strip(". ") else "_"

"""Text as other people's programs save it: BOM, PowerShell's UTF-16, Windows-1252, any line endings.

The result is the same text with Unix line endings. Refuses anything that isn't text.
"""

from __future__ import annotations

import json
import re

from labkit.errors import BadInput

CONFLICT = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
"""What Git and nbdime leave where two versions did not fit together."""
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def decoded(data: bytes) -> tuple[str, str]:
    """The text, and a remark on how it was saved (empty for UTF-8); raises `BadInput` if it isn't text."""
    named = json.detect_encoding(data)  # recognised by the BOM, or by the zero bytes in two ASCII characters
    for encoding, told in ((named, _told(named)), ("cp1252", "saved in Windows-1252, not in UTF-8")):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not _BINARY.search(text):
            return lines(text.removeprefix("\ufeff")), told
    raise BadInput("it is not text", fix="Hand in the file that your editor saved.")


def _told(encoding: str) -> str:
    return "" if encoding.startswith("utf-8") else f"saved in {encoding[:6].upper()}, not in UTF-8"


def lines(text: str) -> str:
    """The text with Unix line endings."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def same(one: str, other: str) -> bool:
    """Whether two sources differ at most in line endings and trailing blanks."""
    return plain(one) == plain(other)


def plain(source: str) -> str:
    """A source without invisible differences."""
    return "\n".join(line.rstrip() for line in lines(source).splitlines()).strip()

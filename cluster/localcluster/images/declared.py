"""An image that declares a larger size than it has: a laptop need not move the 10 GB of a real model server.

The embedded node waits as long as that many bytes would take, and says so (`node/pod/link.py`). A real
runtime pulls what is there: an image for one has a hundredth of that size, in random bytes that nothing
compresses, and the registry sends a hundredth of the bytes (`kind/uplink.py`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from localcluster.images.build import Request
from localcluster.images.builders import build_with
from localcluster.images.store import Image, Store

SIZE = "dev.labkit.simulated-bytes"
"""Label of an image: the compressed size that it declares, in bytes."""
PART = 100
"""One of so many declared bytes is there for a real runtime."""
RATE = 200e6
"""Bytes in a lab second from the registry, of the declared ones."""
_AT_ONCE = 10_000_000
_DOCKERFILE = "FROM {ref}\nCOPY bulk /opt/bulk\n"


def declared(labels: Mapping[str, str]) -> int:
    """The size that an image's labels declare; 0 if there is none, or it is not a number."""
    text = labels.get(SIZE, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def enlarged(builder: str, image: Image, request: Request, store: Store) -> Image:
    """The image, with its part of the size that it declares, under the same name."""
    size = declared(image.config.labels) // PART
    if not size:
        return image
    with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
        Path(folder, "Dockerfile").write_text(_DOCKERFILE.format(ref=request.ref))
        with Path(folder, "bulk").open("wb") as file:
            while (left := size - file.tell()) > 0:
                file.write(os.urandom(min(left, _AT_ONCE)))
        return build_with(builder, Request(Path(folder), request.ref), store, quiet=True)

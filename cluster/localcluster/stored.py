"""Files that survive: text and records (dataclasses) that are written whole or not at all.

A record is stored as JSON and read back as its class, with its tuples, paths and nested records. Refuses to
guess: a field without a default must be there, each value must be of its field's type, and a field that this
version does not know is an error, unless the caller says `newer=True`. All these errors are `ValueError`s.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from localcluster.errors import LabError

T = TypeVar("T")


def plain(record: Any) -> Any:
    """A record (or a list or dict of them) as plain data for JSON, in the order of its fields."""
    return msgspec.to_builtins(record, str_keys=True, enc_hook=_plain)


def made(kind: type[T], data: Any, *, newer: bool = False) -> T:
    """The inverse of `plain`; `newer` ignores unknown fields, as those of a later version."""
    try:
        record = msgspec.convert(data, kind, str_keys=True, dec_hook=_made)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    if not newer and (name := next(_unknown(data, plain(record)), None)):
        raise ValueError(f"unknown field {name!r}")
    return record


def save(
    path: Path, record: Any, *, indent: int | None = None, mode: int = 0o600, synced: bool = True
) -> None:
    """Write a record as JSON, atomically."""
    write_atomically(path, json.dumps(plain(record), indent=indent), mode=mode, synced=synced)


def load(path: Path, kind: type[T], *, newer: bool = False) -> T:
    """Read what `save` wrote; raises `OSError` if the file can't be read, `ValueError` if it is damaged."""
    return made(kind, json.loads(path.read_text()), newer=newer)


def find(path: Path, kind: type[T], *, newer: bool = False) -> T | None:
    """The same; None if the file is missing or damaged."""
    try:
        return load(path, kind, newer=newer)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return None


def write_atomically(path: Path, text: str, *, mode: int = 0o600, synced: bool = True) -> None:
    """Write to another file, sync, rename: readers never see a partial file, even after a crash.

    Not `synced`, it takes a fraction of the time, and a crash of the machine may lose it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            if synced:
                os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise LabError(
            f"Could not write {path}: {error.strerror}.",
            cause="The disk is full or the folder is read-only.",
            fix="Free some space (`localcluster down` keeps only logs), or set LABKIT_HOME to a "
            "folder on another disk.",
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} can't be stored as JSON")


def _made(kind: type[T], value: Any) -> T:
    if issubclass(kind, Path):
        return kind(value)
    raise TypeError(f"{kind.__name__} can't be read from JSON")


def _unknown(data: Any, known: Any) -> Iterator[str]:
    """Names in `data` that its record, as plain data, does not have."""
    if isinstance(data, dict):
        for name, value in data.items():
            if name not in known:
                yield name
            else:
                yield from _unknown(value, known[name])
    elif isinstance(data, list):
        for one, other in zip(data, known, strict=True):
            yield from _unknown(one, other)

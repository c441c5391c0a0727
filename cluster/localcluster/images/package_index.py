"""The settings of this machine that pip gets in a RUN: how the package index is reached.

Nothing else. Passed on, from pip's configuration files and from `PIP_…` variables: the index and further
ones, proxy, certificates, trusted hosts, timeout and retries, links to wheels, which kinds of package may be
used. Settings for where and how *this user* installs (`user`, `target`, `prefix`, `require-virtualenv`, …)
are left out: they would break the image's own environments. So are `PYTHONPATH`, `PYTHONHOME`,
`PYTHONSTARTUP` and the logins in `.netrc`: a RUN starts with an empty environment. Files and their order:
https://pip.pypa.io/en/stable/topics/configuration/
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from localcluster.errors import ImageError

NAMES = (
    "cert", "client-cert", "default-timeout", "extra-index-url", "find-links", "index-url", "no-binary",
    "no-index", "only-binary", "prefer-binary", "proxy", "retries", "timeout", "trusted-host",
)  # fmt: skip
"""The options of pip for reaching the index."""


def settings(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Those options as `PIP_…` variables; a variable overrides `[install]`, which overrides `[global]`."""
    found: dict[str, str] = {}
    parsers = [_read(file) for file in _files(environment)]
    for section in ("global", "install"):
        for parser in parsers:
            found |= dict(parser.items(section)) if parser.has_section(section) else {}
    named = {_variable(name): " ".join(value.split()) for name, value in found.items()}
    known = {_variable(name) for name in NAMES}
    return {key: value for key, value in {**named, **environment}.items() if key in known and value}


def _variable(name: str) -> str:
    return f"PIP_{name.lower().lstrip('-').replace('-', '_').upper()}"


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    """The configuration files of pip, in increasing precedence; none if /dev/null is set."""
    named = environment.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return
    for folder in environment.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":"):
        yield Path(folder, "pip", "pip.conf")
    yield Path("/etc/pip.conf")
    if not (named and Path(named).exists()):
        home = Path(environment.get("HOME") or "~").expanduser()
        yield home / ".pip" / "pip.conf"
        yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")
    yield Path(sys.prefix, "pip.conf")
    if named:
        yield Path(named)


def _read(file: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ImageError(
            f"pip's configuration file {file} can't be read: {error}",
            cause="pip itself would refuse it, too.",
            fix=f"Fix it, or build without it: PIP_CONFIG_FILE={os.devnull} localcluster image build …",
        ) from error
    return parser

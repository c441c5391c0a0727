"""kubectl for notebooks: it finds the course's files, and adds a fix to what the server refuses."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from labkit import course
from labkit.errors import BadInput, ClusterError
from labkit.kube.refusals import immutable
from localcluster.api import kubectl as plain
from localcluster.api.fixed import is_fixed

FILES = ("-f", "--filename", "-k", "--kustomize", "--patch-file", "--from-env-file", "kustomize")
"""The words that are followed by the user's own file or folder."""


def words(command: str) -> list[str]:
    """A command split as a shell would; raises `BadInput` for an unclosed quote."""
    try:
        return shlex.split(str(command))
    except ValueError as error:
        raise BadInput(f"{command!s:.100} can't be read: {error}.", fix="Close each quote.") from error


def kubectl(
    *args: str | Path, kubeconfig: Path | None = None, stdin: str | None = None, warnings: bool = False
) -> str:
    """Run kubectl and return its output; files are looked up as everywhere else (`course.path`)."""
    try:
        return plain.kubectl(*found(args), kubeconfig=kubeconfig, stdin=stdin, warnings=warnings)
    except ClusterError as error:
        if is_fixed(error.what):
            raise immutable(error.what) from error
        raise


def found(args: Sequence[str | Path]) -> list[str]:
    """The words with each file's real path, so `-f manifests/base/hpa.yaml` works from any folder."""
    words = [str(arg) for arg in args]
    for i, word in enumerate(words):
        option, equals, value = word.partition("=")
        if equals and option in FILES:
            words[i] = f"{option}={_found(value)}"
        elif i and words[i - 1] in FILES:
            words[i] = _found(word)
    return words


def _found(name: str) -> str:
    """`-` and URLs stay as they are, and so does the pod in `logs -f POD`, which is not a file."""
    return name if name in {"", "-"} or "://" in name else str(course.path(name))

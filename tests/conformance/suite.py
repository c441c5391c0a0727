"""Runs specs of the suite with Ginkgo, several at a time, and shows how far it is."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from localcluster import spawn
from localcluster.background import Background, every
from localcluster.toolchain import ladder
from localcluster.toolchain.progress import Progress
from localcluster.toolchain.versions import kubernetes
from tests.conformance import programs, results

AREAS = Path(__file__).with_name("areas.toml")


@dataclass(frozen=True)
class Selection:
    """Which specs, how many at a time, after how many minutes they are stopped, and how fast the lab is."""

    title: str
    labels: str
    focus: Sequence[str] = ()
    skip: Sequence[str] = ()
    procs: int = 1
    minutes: int = 30
    ci: bool = True
    clock: float = 1.0

    def named(self, names: Sequence[str]) -> Selection:
        """Just the specs with these full names."""
        focus = [" " + re.escape(name).replace(r"\ ", " ") + "$" for name in names]  # behind the suite's name
        return replace(self, focus=focus, skip=(), procs=min(self.procs, len(names)))


def areas() -> dict[str, Selection]:
    """The areas by name, in the order of the page."""
    return {name: Selection(**said) for name, said in tomllib.loads(AREAS.read_text()).items()}


@dataclass(frozen=True)
class Cluster:
    """What the suite runs against."""

    provider: str
    kubeconfig: Path
    registries: Path | None = None
    """The suite's list of registries, where its images come from another."""


@dataclass(frozen=True)
class Runner:
    """The suite's programs and the cluster."""

    built: programs.Built
    cluster: Cluster
    progress: Progress

    def run(self, chosen: Selection, into: Path) -> list[results.Spec]:
        """Run the specs; their log and reports stay in a folder."""
        into.mkdir(parents=True, exist_ok=True)
        report = into / "report.json"
        report.unlink(missing_ok=True)
        total = self.count(chosen, into)
        log = into / "log.txt"
        log.unlink(missing_ok=True)
        with self.progress.task(chosen.title, float(total)) as task:
            child = spawn.popen(self._command(chosen, into), log=log, cwd=into, env=self._env())

            def look() -> None:
                done = log.read_text(errors="replace").count("•")
                task.advance(done - task.done, f"{done} of {total} specs")

            try:
                with Background(every(2.0, look), name="specs"):
                    child.wait()
            finally:
                if child.poll() is None:
                    child.terminate()  # Ginkgo ends its processes, and each its spec's namespace
                    child.wait()
        return results.read(report)

    def count(self, chosen: Selection, into: Path) -> int:
        """How many specs would run."""
        report = into / "report.json"
        command = [*self._command(chosen, into, procs=1), "--ginkgo.dry-run"]
        spawn.run(command, cwd=into, env=self._env())
        return sum(spec.state == results.PASSED for spec in results.read(report))

    def _command(self, chosen: Selection, into: Path, *, procs: int = 0) -> list[str]:
        ours = [
            "--provider=local",
            f"--kubeconfig={self.cluster.kubeconfig}",
            f"--kubectl-path={ladder.ensure(['kubectl'])['kubectl']}",
            "--dump-logs-on-failure=false",
            "--allowed-not-ready-nodes=0",
            "--minStartupPods=0",
            "--num-nodes=3",  # some specs want to be told that there are two
            "--non-blocking-taints=nvidia.com/gpu",
            f"--report-dir={into}",
        ]
        ginkgo = [
            f"--procs={procs or chosen.procs}",
            f"--timeout={chosen.minutes}m",
            "--no-color",
            "--keep-going",
            "--json-report=report.json",
            f"--output-dir={into}",
            f"--label-filter={chosen.labels}",
            *(f"--focus={each}" for each in chosen.focus),
            *(f"--skip={each}" for each in chosen.skip),
        ]
        return [str(self.built["ginkgo"]), *ginkgo, str(self.built[programs.SUITE]), "--", *ours]

    def _env(self) -> dict[str, str]:
        env = {**os.environ}
        env.pop("KUBECONFIG", None)
        if self.cluster.registries:
            env["KUBE_TEST_REPO_LIST"] = str(self.cluster.registries)
        return env


def outcome(name: str, specs: list[results.Spec], provider: str) -> results.Area:
    """An area's result."""
    return results.Area(name, kubernetes(), provider, specs)

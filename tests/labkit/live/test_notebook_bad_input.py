"""What a notebook does on a bad day: an exercise that is no YAML, cells out of order, a kernel that is gone.

Each story runs in kernels of its own, through papermill, on the real cluster. A learner must find a hint,
never a stack trace, and `lab.reset()` must bring the namespace back to its start.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest

from labkit import reset
from labkit.errors import BadInput
from labkit.lab import NAMESPACE, Lab
from labkit.notebooks.record import Record
from labkit.notebooks.run import Plan, run
from localcluster import polling, spawn
from localcluster.embedded.provider import Embedded
from localcluster.spawn import Proc

CONNECT = """
import labkit
lab = labkit.connect(provider="embedded", clock=15, seed=0)
"""
TAB = "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: one-gpu\n"
FOREIGN = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: somebody-elses}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: llm-inference-service}
  maxReplicas: 3
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: no-pods}
spec: {hard: {pods: "0"}}
---
apiVersion: v1
kind: Service
metadata: {name: stray}
spec: {selector: {app: llm-model}, ports: [{port: 80}]}
"""
LEFT = "hpa,deployments,replicasets,pods,services,resourcequotas,poddisruptionbudgets"
LOADS = """
import labkit
from labkit.load import Closed
lab = labkit.connect(provider="embedded", clock=15, seed=0)
running = lab.load(Closed(users=2, seconds=1e6))
print("generator", running.pid, flush=True)
running.wait()
"""

pytestmark = pytest.mark.embedded


@pytest.fixture(autouse=True)
def kernels_find_the_lab(cluster: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_LAB", cluster.spec().name)


def play(folder: Path, *cells: str) -> tuple[Record, str]:
    """Run cells as a notebook: its record, and the error as the learner sees it."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, folder / "00-day.ipynb")
    [record] = run(Plan((folder / "00-day.ipynb",), folder / "out"))
    executed = nbformat.read(folder / "out" / "00-day.ipynb", as_version=4)
    outputs = [o for cell in executed.cells for o in cell.get("outputs", [])]
    shown = [line for o in outputs if o.output_type == "error" for line in o.traceback]
    return record, "\n".join(shown)


def test_an_exercise_that_is_no_yaml_is_named_by_line_and_nothing_is_applied(
    lab: Lab, tmp_path: Path
) -> None:
    broken = tmp_path / "one-gpu.yaml"
    broken.write_text(TAB)
    with pytest.raises(BadInput, match="line 4"):
        lab.apply(broken, "manifests/base/hpa.yaml")
    assert not lab.kube.objects("hpa")


def test_the_cell_of_a_broken_exercise_shows_a_hint(lab: Lab, tmp_path: Path) -> None:
    broken = tmp_path / "one-gpu.yaml"
    broken.write_text(TAB)
    record, shown = play(tmp_path, CONNECT, f"lab.apply({str(broken)!r})")
    assert record.error.startswith("BadInput")
    assert "Fix the line named here" in shown
    assert "Traceback" not in shown


def test_a_notebook_goes_on_to_the_check_of_a_broken_exercise(lab: Lab, tmp_path: Path) -> None:
    broken = tmp_path / "one-gpu.yaml"
    broken.write_text(TAB)
    attempt = f"with lab.attempt():\n    lab.apply({str(broken)!r})"
    record, _ = play(tmp_path, CONNECT, attempt, 'lab.check("00.mended");')
    assert not record.error
    assert [(v.id, v.state) for v in record.verdicts] == [("00.mended", "failed")]


def test_a_notebook_entered_in_the_middle_says_what_to_run_first(lab: Lab, tmp_path: Path) -> None:
    record, shown = play(tmp_path, CONNECT, "lab.plot(run)")
    assert record.error.startswith("NameError")
    assert "The cell that makes `run` has not run" in shown
    assert "Run All Above" in shown
    assert "Traceback" not in shown


def test_a_notebook_in_an_empty_namespace_says_what_is_missing(lab: Lab, tmp_path: Path) -> None:
    record, shown = play(tmp_path, CONNECT, 'lab.faults.kill(f"pod/{lab.pods()[0]}")')
    assert record.error.startswith("IndexError")
    assert "a cell above it has not run" in shown
    assert "Traceback" not in shown


def test_a_notebook_may_run_twice_from_any_state(lab: Lab, tmp_path: Path) -> None:
    story = [CONNECT, "lab.reset()", 'lab.apply("manifests/base/hpa.yaml")\nlab.check("05.hpa");']
    for _ in range(2):
        record, shown = play(tmp_path, *story)
        assert record.green, shown


def test_what_another_notebook_left_is_gone_after_a_reset(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "left.yaml").write_text(FOREIGN)
    lab.apply("manifests/overlays/embedded", tmp_path / "left.yaml")
    reset.clear(lab.kube, print)
    assert lab.kube.kubectl("get", LEFT, "-o", "name").split() == []


def test_a_kernel_that_is_killed_takes_its_load_along(lab: Lab, tmp_path: Path) -> None:
    lab.reset()
    lab.apply("manifests/overlays/embedded/server")
    lab.until("deployment/llm-inference-service available", seconds=120)
    kernel = spawn.piped([sys.executable, "-c", LOADS])
    assert kernel.stdout is not None
    said = next(line for line in kernel.stdout if line.startswith("generator"))
    generator = Proc.of(int(said.split()[1]))
    assert generator.alive()
    kernel.kill()
    kernel.communicate()
    polling.until(lambda: not generator.alive(), "the load generator to end by itself", seconds=20)
    lab.reset()
    assert lab.pods() == []
    assert lab.kube.namespace == NAMESPACE

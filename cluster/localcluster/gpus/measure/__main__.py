"""Measure a timing profile on one NVIDIA GPU (`make gpu-profile`).

    python -m localcluster.gpus.measure [--model meta-llama/Llama-3.1-8B-Instruct] [--disk nvme] [--out out]

Leaves OUT/gpu-profile/NAME.toml, a page that compares it with the roofline (NAME.md), and every step
(NAME.json). To let the lab use the profile: copy it to data/gpu/measured/, then `python -m
localcluster.gpus.roofline`. `--device cpu --model tiny` runs the same program in seconds, and measures no
GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from importlib import import_module, util
from pathlib import Path
from typing import Any

from localcluster import stored
from localcluster.errors import BadInput, LabError
from localcluster.gpus.fit import fit
from localcluster.gpus.measure import machine, report
from localcluster.gpus.measure.shape import TINY, Shape
from localcluster.gpus.profile import GpuPart

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
GIB = 2**30
CPU = GpuPart("no-gpu", 0, 0.0, 0.0)


def main(arguments: list[str] | None = None) -> int:
    """Measure, fit, write; returns the exit status."""
    try:
        written = run(_asked(arguments))
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{written.read_text()}\n{written.with_suffix('.toml')}\n")
    return 0


def run(asked: argparse.Namespace) -> Path:
    """The page; the profile and the steps are next to it."""
    bench: Any = _with_torch()
    shape = Shape.of(asked.model)
    on_gpu = asked.device == "cuda"
    plan = bench.Plan(
        shape=shape,
        device=asked.device,
        grid=bench.Grid() if on_gpu else bench.Grid.small(),
        folder=asked.folder,
        load_bytes=int(asked.load_gib * GIB),
        stopwatch=bench.Stopwatch(asked.device) if on_gpu else bench.Stopwatch("cpu", least=5, seconds=0.05),
    )
    card, context_mib = _opened(bench) if on_gpu else (None, None)
    measured = bench.measure(plan, lambda line: sys.stderr.write(f"{line}\n"))
    gpu = card.part(idle_watts=machine.idle_watts()) if card else CPU
    subject = report.Subject(gpu, asked.model, shape, _circumstances(card, measured))
    made = report.profile(
        subject,
        fit(measured.samples),
        memory=report.Memory(context_mib, measured.activation_mib),
        weights_per_second=_speeds(asked, measured),
    )
    return _write(made, measured, asked.out / "gpu-profile")


def _asked(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=MODEL, help=f"of data/gpu/models.toml, or {TINY}")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk that would hold the weights")
    parser.add_argument("--disk", choices=("nvme", "network"), help="what kind of disk that is")
    parser.add_argument("--load-gib", type=float, default=4.0, help="size of the file that is loaded")
    parser.add_argument("--out", type=Path, default=Path("out"))
    return parser.parse_args(arguments)


def _with_torch() -> Any:
    if util.find_spec("torch") is None:
        raise BadInput(
            "Measuring a GPU needs torch, which is not installed.",
            cause="Nothing else needs it, so it is not a dependency.",
            fix=f"{sys.executable} -m pip install torch",
        )
    return import_module("localcluster.gpus.measure.bench")


def _opened(bench: Any) -> tuple[machine.Card, int]:
    """The card, and how much of its memory a CUDA context takes."""
    before = machine.card()
    bench.torch.zeros(1, device="cuda")
    return before, max(0, machine.card().used_mib - before.used_mib)


def _circumstances(card: machine.Card | None, measured: Any) -> dict[str, Any]:
    torch = import_module("torch")
    driver = f", CUDA {torch.version.cuda}, driver {card.driver}" if card else ""
    cores, loading = measured.host_cores, measured.loading
    return {
        "machine": machine.host(card.name if card else "no GPU: a test of the program"),
        "versions": f"torch {torch.__version__}{driver}",
        "date": datetime.now(UTC).date().isoformat(),
        "loaded": f"{loading.size / GIB:.3g} GiB at {loading.disk / 1e9:.3g} GB/s from disk",
        "host_cores_smallest_batch": cores[min(cores)],
        "host_cores_largest_batch": cores[max(cores)],
    }


def _speeds(asked: argparse.Namespace, measured: Any) -> dict[str, float]:
    disk = {asked.disk: measured.loading.disk} if asked.disk else {}
    return {**disk, "page_cache": measured.loading.page_cache}


def _write(made: Any, measured: Any, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{made.name}.md"
    page.write_text(report.page(made, measured.samples))
    page.with_suffix(".toml").write_text(report.text(made))
    samples = json.dumps(stored.plain(measured.samples), indent=1)
    page.with_suffix(".json").write_text(f"{samples}\n")
    return page


if __name__ == "__main__":
    sys.exit(main())

"""Pages for people: an executed notebook as one HTML file, and the summary of a run as Markdown and JSON.

Pages load nothing from the network, so they can be opened anywhere and later.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nbconvert import HTMLExporter

from labkit.notebooks.needs import LeftOut
from labkit.notebooks.record import Record
from localcluster.stored import write_atomically

SIGNS = {"passed": "✔", "failed": "✘", "inconclusive": "?"}
_SCRIPTS = ("mathjax_url", "require_js_url", "jquery_url", "widget_renderer_url", "mermaid_js_url")


def write_page(notebook: Path) -> Path:
    """Write `<notebook>.html` beside it."""
    # Embedding images in the text would also close every <details> at once, and so reveal all answers.
    exporter = HTMLExporter(**dict.fromkeys(_SCRIPTS, ""))
    body, _ = exporter.from_filename(str(notebook))
    page = notebook.with_suffix(".html")
    page.write_text(body)
    return page


def write_summary(records: Sequence[Record], out: Path, left: Sequence[LeftOut] = ()) -> Path:
    """Write `summary.json` and `summary.md`; return the path of the latter."""
    data = {
        "green": all(r.green for r in records),
        "notebooks": [r.to_json() for r in records],
        "left_out": [one.to_json() for one in left],
    }
    write_atomically(out / "summary.json", json.dumps(data, indent=1, ensure_ascii=False), mode=0o644)
    page = out / "summary.md"
    write_atomically(page, summary(records, left), mode=0o644)
    return page


def summary(records: Sequence[Record], left: Sequence[LeftOut] = ()) -> str:
    """The run as Markdown: one line for each notebook, then every check that did not pass."""
    stamps = sorted({str(r.run["stamp"]) for r in records if "stamp" in r.run})
    lines = ["# Notebooks", "", *(f"Ran on: {stamp}." for stamp in stamps), ""]
    lines += ["| notebook | result | checks passed | time |", "|---|---|---|---|"]
    for r in records:
        result = "green" if r.green else r.error.split(":")[0] if r.error else "checks open"
        lines.append(
            f"| {r.name} | {result} | {r.count('passed')} of {len(r.verdicts)} | {r.seconds:.0f} s |"
        )
    lines += [f"| {one.name} | left out | | |" for one in left]
    if left:
        ran = f"{len(records)} of {len(records) + len(left)} notebooks ran."
        lines += ["", ran, *(f"- {one}" for one in left)]
    for r in records:
        lines += _open(r)
    return "\n".join([*lines, ""])


def _open(record: Record) -> list[str]:
    lines = [f"- {record.name}: {record.error}"] if record.error else []
    lines += [
        f"- {SIGNS[v.state]} `{v.id}`: {v.observed}" + (f" (hint: {v.hint})" if v.hint else "")
        for v in record.verdicts
        if not v.passed
    ]
    return ["", *lines] if lines else []

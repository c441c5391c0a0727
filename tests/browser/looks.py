"""How an open notebook looks: in windows of two widths, in both themes; pictures for people, and axe's word.

axe-core (https://github.com/dequelabs/axe-core) measures what people meet who see badly, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

OUTPUTS = ".jp-Notebook:not(.lm-mod-hidden) .jp-OutputArea-output"
RULES = ["color-contrast", "image-alt", "th-has-data-cells", "td-headers-attr"]
TALL = 2000  # pixels of the window's height, and so of a picture's
ALL = 16_000  # pixels: as high as Chromium draws


@dataclass(frozen=True)
class Look:
    """A window's width in pixels, and a theme of JupyterLab's."""

    width: int
    theme: str

    def __str__(self) -> str:
        return f"{self.width}-{self.theme}"


LOOKS = [Look(width, theme) for width in (1280, 800) for theme in ("Light", "Dark")]


def faults(page: Page) -> list[str]:
    """What axe finds wrong with the outputs of the open notebook: rule, element, reason."""
    # JupyterLab's body has no height, and clips; axe takes for hidden what is clipped, or out of view.
    page.add_style_tag(content="body { height: 100vh }")
    size = page.viewport_size
    assert size
    page.set_viewport_size({"width": size["width"], "height": ALL})
    page.locator(".jp-Notebook:visible .jp-WindowedPanel-outer").first.evaluate("e => { e.scrollTop = 0 }")
    options = {"runOnly": RULES, "resultTypes": ["violations", "passes"]}
    found: dict[str, Any] = Axe().run(page, context={"include": [OUTPUTS]}, options=options).response
    judged = {rule["id"] for rule in [*found["passes"], *found["violations"]]}
    assert {"color-contrast", "image-alt"} <= judged, f"axe saw only {judged}"
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


def unseen(page: Page) -> list[str]:
    """Outputs that are wider than their column and can't be scrolled: part of them is never seen."""
    script = """found => found.filter(e => e.scrollWidth > e.clientWidth + 1
        && getComputedStyle(e).overflowX == 'hidden').map(e => e.innerText.slice(0, 80))"""
    seen: list[str] = page.locator(OUTPUTS).evaluate_all(script)
    return seen


def sheets(page: Page, into: Path, name: str) -> Iterator[Path]:
    """The whole notebook as pictures, for people to look at: one for each screen, from the top to the end."""
    into.mkdir(parents=True, exist_ok=True)
    scroller = page.locator(".jp-Notebook:visible .jp-WindowedPanel-outer").first
    height, seen = scroller.evaluate("e => [e.scrollHeight, e.clientHeight]")
    for number, top in enumerate(range(0, height, seen), 1):
        scroller.evaluate("(e, top) => { e.scrollTop = top }", top)
        path = into / f"{name}-{number}.png"
        scroller.screenshot(path=path)
        yield path
